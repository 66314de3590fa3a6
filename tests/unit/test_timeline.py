"""Timelines as files: what they say and draw, that they are private, escaped, and need nothing else."""

import base64
import io
import re
import stat
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bot.timeline import refusal, write_timeline
from bot.timeline_html import render_html
from bot.timeline_plot import plot
from bot.timeline_png import render_png
from bot.timeline_strip import Strip, Thumbnail
from bot.timeline_values import Scored, clock, decimals_for
from bot.timeline_words import description, facts, remarks, strip_note
from classifier.values import DecodeSummary, Frame, FrameResult, MediaKind, MediaScore

HOSTILE = '<script>alert("x")</script>{{ 7 * 7 }}" onerror=\'y\' &amp; \u202egpj.exe\x1b[31m'


def scored(
    *frames: FrameResult,
    kind: MediaKind = "video",
    duration_s: float | None = 10.0,
    name: str = "clip.webm",
    truncated: bool = False,
    address: str | None = None,
) -> Scored:
    worst = max(frames, key=lambda one: one.score)
    moving = kind in ("video", "animation")
    summary = DecodeSummary(
        kind,
        "pyav" if moving else "pillow",
        len(frames),
        duration_s if moving else None,
        0.1,
        truncated,
        "economical" if moving else "",
        1.25 if moving else None,
        0.9996 if moving else None,
    )
    label = "nsfw" if worst.score >= 0.8 else "sfw"
    result = MediaScore(worst.score, label, 0.8, frames, worst, summary)
    return Scored(name, result, "open_nsfw", "onnxruntime-int8", "balanced", address)


def film(**values: object) -> Scored:
    frames = [FrameResult(0.05 + second / 100, at_s=float(second)) for second in range(10)]
    frames[6] = FrameResult(0.93, at_s=6.0)
    return scored(*frames, **values)  # type: ignore[arg-type]


def thumbnails(what: Scored) -> list[Thumbnail]:
    strip = Strip("bgr")
    for one in what.result.frames:
        strip.add(Frame(np.full((224, 224, 3), 90, np.uint8), one.at_s, one.page), one.score)
    return strip.thumbnails()


STILL = scored(FrameResult(0.25), kind="image")
DOCUMENT = scored(
    FrameResult(0.1, page=1), FrameResult(0.9, page=17), FrameResult(0.2, page=40), kind="document"
)
ALL = {"film": film(), "still": STILL, "document": DOCUMENT, "cut short": film(truncated=True)}


class Page(HTMLParser):
    """Collects elements; complains about nesting that does not close."""

    VOID = frozenset({"meta", "img", "rect", "line", "polygon", "polyline"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page(what: Scored) -> Page:
    return Page(render_html(what, thumbnails(what)))


@pytest.mark.parametrize("what", ALL.values(), ids=ALL)
def test_the_page_loads_nothing_and_runs_nothing(what: Scored) -> None:
    made = page(what)
    [policy] = [one["content"] for one in made.all("meta") if one.get("http-equiv")]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert not {"script", "link", "iframe", "object", "use", "image"} & {tag for tag, _ in made.elements}
    for _, attributes in made.elements:
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("src") or "data:").startswith("data:image/jpeg;base64,"[:5])
    assert "url(" not in render_html(what, [])


@pytest.mark.parametrize("what", ALL.values(), ids=ALL)
def test_every_picture_and_the_plot_say_in_words_what_they_show(what: Scored) -> None:
    made = page(what)
    assert len(made.all("img")) == len(what.result.frames)
    for image in made.all("img"):
        assert re.fullmatch(
            r"Blurred picture( at \S+| at page \d+)?, score 0\.\d{3}(, .+)?", image["alt"] or ""
        )
    [svg] = made.all("svg")
    assert (svg["role"], svg["aria-labelledby"]) == ("img", "plot-title plot-text")
    assert description(what) in made.text


def test_whatever_a_file_is_called_stays_text() -> None:
    what = film(name=HOSTILE, address='https://example.org/"><script>')
    text = render_html(what, thumbnails(what))
    made = Page(text)
    assert made.all("script") == []
    assert not any(name.startswith("on") for _, attributes in made.elements for name in attributes)
    assert '<script>alert("x")</script>{{ 7 * 7 }}" onerror=\'y\' &amp; gpj.exe[31m' in made.text
    assert not {"\u202e", "\x1b"} & set(text)


def test_the_thumbnails_of_the_page_are_the_blurred_ones() -> None:
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (224, 224, 3), dtype=np.uint8)
    strip = Strip("bgr")
    strip.add(Frame(noise, 0.0), 0.1)
    [image] = Page(render_html(film(), strip.thumbnails())).all("img")
    content = base64.b64decode((image["src"] or "").partition(",")[2])
    with Image.open(io.BytesIO(content)) as decoded:
        assert decoded.size == (160, 160)
        inner = np.asarray(decoded).astype(int)[10:-10, 10:-10]
    assert np.abs(np.diff(inner, axis=1)).max() < 12, "neighbours differ as little as after a strong blur"


def test_the_highest_frame_is_marked_in_plot_strip_and_table() -> None:
    made = page(film())
    assert made.text.count("0.930 at 0:06") == 4, "description, ring, point and strip"
    assert sum("highest, over threshold" in (image["alt"] or "") for image in made.all("img")) == 1
    assert [one["class"] for one in made.all("li")].count("over") == 1
    assert [one.get("class") for one in made.all("circle")].count("ring") == 1


def test_points_stand_where_their_time_and_score_are() -> None:
    drawn = plot(film())
    assert [point.x for point in drawn.points] == [second / 10 for second in range(10)]
    assert (drawn.worst.x, drawn.worst.score, drawn.worst.where) == (0.6, 0.93, "0:06")
    assert [tick.label for tick in drawn.ticks] == ["0:00", "0:02", "0:04", "0:06", "0:08", "0:10"]


def test_frames_that_were_decoded_out_of_order_are_drawn_in_order() -> None:
    what = scored(*(FrameResult(0.1, at_s=at_s) for at_s in (0.0, 8.0, 4.0, 2.0, 6.0)))
    assert [point.where for point in plot(what).points] == ["0:00", "0:02", "0:04", "0:06", "0:08"]


def test_a_single_picture_gets_no_axis_of_time() -> None:
    drawn = plot(STILL)
    assert (drawn.kind, drawn.ticks, drawn.worst.where) == ("single", (), "")
    assert "mode" not in dict(facts(STILL))
    assert description(STILL) == "The picture's score is 0.250, under the threshold 0.80 (balanced)."


def test_pages_stand_side_by_side_whatever_their_numbers() -> None:
    drawn = plot(DOCUMENT)
    assert drawn.kind == "pages"
    assert [round(point.x, 3) for point in drawn.points] == [0.167, 0.5, 0.833]
    assert [tick.label for tick in drawn.ticks] == ["page 1", "page 17", "page 40"]
    assert dict(facts(DOCUMENT))["pages scored"] == "3"


def test_the_facts_say_how_closely_it_was_looked() -> None:
    known = dict(facts(film()))
    assert known["largest gap"] == "1.25 s"
    assert known["covered"] == "99.9 %", "never rounded up to the whole"
    assert (known["mode"], known["decoder"], known["engine"]) == ("economical", "pyav", "onnxruntime-int8")
    assert known["threshold"] == "0.80 (balanced)"
    assert known["highest at"] == "0:06"


def test_a_file_that_was_not_decoded_to_its_end_says_so() -> None:
    assert remarks(film()) == []
    cut = film(truncated=True)
    assert "not looked at" in page(cut).text
    assert "Decoding ended" in remarks(cut)[0]


def test_after_a_stop_at_the_first_hit_nothing_is_said_of_the_rest() -> None:
    stopped = replace(film(), stops_early=True)
    assert remarks(stopped) != []
    assert not {"covered", "largest gap"} & set(dict(facts(stopped)))
    picture = replace(scored(FrameResult(0.9), kind="image"), stops_early=True)
    assert remarks(picture) == []


def test_frames_beyond_a_length_that_the_file_claims_are_drawn_inside() -> None:
    what = scored(FrameResult(0.1, at_s=0.0), FrameResult(0.2, at_s=40.0), duration_s=4.0)
    assert [point.x for point in plot(what).points] == [0.0, 1.0]


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=30), st.none() | st.floats(0, 1e7))
def test_nothing_is_ever_drawn_outside(times_s: list[float], duration_s: float | None) -> None:
    what = scored(*(FrameResult(0.5, at_s=at_s) for at_s in times_s), duration_s=duration_s)
    drawn = plot(what)
    assert all(0 <= point.x <= 1 for point in drawn.points)
    assert all(0 <= tick.x <= 1 + 1e-6 for tick in drawn.ticks)
    assert 1 <= len(drawn.ticks) <= 9
    assert sum(point.worst for point in drawn.points) == 1


@pytest.mark.parametrize(
    ("at_s", "decimals", "words"),
    [
        (0, 0, "0:00"),
        (59.99, 0, "0:59"),
        (60, 0, "1:00"),
        (3723.9, 0, "1:02:03"),
        (0.3, 1, "0:00.3"),
        (0.96, 1, "0:00.9"),
        (1.005, 2, "0:01.00"),
        (12.34, 2, "0:12.34"),
    ],
)
def test_positions_read_as_in_a_player(at_s: float, decimals: int, words: str) -> None:
    assert clock(at_s, decimals) == words


def test_positions_get_decimals_only_where_frames_lie_close() -> None:
    def at(*times_s: float) -> list[FrameResult]:
        return [FrameResult(0.1, at_s=at_s) for at_s in times_s]

    assert decimals_for(at(0, 1, 2.5)) == 0
    assert decimals_for(at(0, 0.5)) == 1
    assert decimals_for(at(0, 0.04, 9)) == 2
    assert decimals_for([FrameResult(0.1)]) == 0


def test_the_strip_says_what_it_leaves_out() -> None:
    assert "first" in strip_note(film(), 5)
    assert "first" not in strip_note(film(), 10)


@pytest.mark.parametrize("what", ALL.values(), ids=ALL)
def test_the_picture_says_in_its_description_what_it_shows(what: Scored) -> None:
    with Image.open(io.BytesIO(render_png(what, thumbnails(what)))) as picture:
        assert picture.format == "PNG"
        assert picture.width == 2000
        assert picture.info["Description"] == f"clip.webm: {description(what)}"


def test_a_picture_can_be_drawn_whatever_a_file_is_called() -> None:
    for name in (HOSTILE, "x" * 5000, "Файл 図 🎞.webm", "\x00", ""):
        assert render_png(film(name=name), [])


def test_the_picture_marks_the_highest_frame_in_the_colour_of_the_threshold() -> None:
    def reddish(what: Scored) -> int:
        with Image.open(io.BytesIO(render_png(what, []))) as picture:
            pixels = np.asarray(picture.convert("RGB")).astype(int)
        return int(((pixels[..., 0] > 150) & (pixels[..., 1] < 80)).sum())

    calm = scored(*(FrameResult(0.1, at_s=float(second)) for second in range(10)))
    assert reddish(film()) > reddish(calm) + 1000


@pytest.mark.parametrize("suffix", [".html", ".htm", ".png", ".PNG"])
def test_a_timeline_is_private_and_replaces_what_was_there(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_text("old")
    path.chmod(0o644)
    write_timeline(path, film(), thumbnails(film()))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().startswith(b"\x89PNG" if suffix.lower() == ".png" else b"<!doctype html>")
    assert list(tmp_path.iterdir()) == [path], "nothing is left beside it"


def test_a_timeline_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "out.html").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_timeline(tmp_path / "out.html", film(), [])
    assert [one.name for one in tmp_path.iterdir()] == ["out.html"]


def test_a_target_that_cannot_be_right_is_refused_before_anything_is_scored(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"")
    link = tmp_path / "b.png"
    link.symlink_to(picture)
    assert refusal(tmp_path / "out.png", [str(picture)]) is None
    assert "very file" in (refusal(picture, [str(picture)]) or "")
    assert "very file" in (refusal(link, [str(picture)]) or "")
    assert "must end in" in (refusal(tmp_path / "out.pdf", [str(picture)]) or "")
    assert "2 are given" in (refusal(tmp_path / "out.png", [str(picture)] * 2) or "")
    assert "no directory" in (refusal(tmp_path / "nowhere" / "out.png", [str(picture)]) or "")
    (tmp_path / "folder.html").mkdir()
    assert "is a directory" in (refusal(tmp_path / "folder.html", [str(picture)]) or "")


@pytest.mark.parametrize(("count", "radius"), [(150, "3.5"), (151, "2")])
def test_where_there_are_many_points_each_is_small(count: int, radius: str) -> None:
    frames = [FrameResult(0.1, at_s=float(second)) for second in range(count)]
    dots = page(scored(*frames, duration_s=float(count))).all("circle")
    assert [dot["r"] for dot in dots].count(radius) == count
