"""Files with holes: what a decoder reads is brought first, and only that."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.decode import wire
from classifier.decode.limits import DecodeLimits
from classifier.decode.picture import Report
from classifier.decode.remote import BlockFile, RemoteBlocks, SourceGone, Supply
from classifier.decode.sniff import sniff_file
from classifier.decode.video import decode_video
from tests import media

BLOCK = wire.NEED_BYTES


class Holes:
    """A `BlockSource` that copies blocks from a whole file into one with holes."""

    def __init__(self, whole: Path, path: Path, ahead: int = 0, fails_after: int | None = None) -> None:
        self.content = whole.read_bytes()
        self.size_bytes = len(self.content)
        self.path = path
        self.asked: list[tuple[int, int]] = []
        self.brought: set[int] = set()
        self._ahead = ahead
        self._fails_after = fails_after
        with path.open("wb") as file:
            file.truncate(self.size_bytes)

    def ensure(self, offset: int, length: int) -> int:
        if len(self.asked) == self._fails_after:
            raise SourceGone
        self.asked.append((offset, length))
        until = min(offset + length + self._ahead, self.size_bytes)
        with self.path.open("r+b") as file:
            file.seek(offset)
            file.write(self.content[offset:until])
        self.brought.update(range(offset, until))
        return until


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A film with a keyframe every second and its index at the end."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    frames = media.grey_frames(160, width_px=320, height_px=240, noise=True)
    return media.save_video(
        path, frames, "libx264", rate=5, options={"g": "5", "qp": "20", "preset": "ultrafast"}
    )


def remote(holes: Holes) -> RemoteBlocks:
    return RemoteBlocks(0, holes.size_bytes, lambda _, offset, length: holes.ensure(offset, length))


def decoded(path, source=None, **changes):
    report = Report()
    name = sniff_file(path).name if source is None else "MP4"
    limits = DecodeLimits(**changes)
    pictures = [
        (picture.at_s, picture.content.tobytes())
        for picture in decode_video(path, name, limits, report, source=source)
    ]
    return pictures, report


def blocks(start: int, end: int) -> range:
    return range(start // BLOCK, -(-end // BLOCK))


@given(st.data())
def test_what_is_read_was_granted_first_and_asked_for_once(data):
    size = data.draw(st.integers(1, 40 * BLOCK))
    ahead = data.draw(st.integers(0, 5 * BLOCK))
    asked: list[int] = []

    def ask(part, offset, length):
        assert part == 3
        assert 0 <= offset < offset + length <= size
        assert offset % BLOCK == 0
        asked.extend(blocks(offset, offset + length))
        return min(offset + length + ahead, size)

    source = RemoteBlocks(3, size, ask)
    for _ in range(data.draw(st.integers(1, 10))):
        offset = data.draw(st.integers(0, size - 1))
        length = data.draw(st.integers(1, size - offset))
        until = source.ensure(offset, length)
        assert offset + length <= until <= size
        assert ahead or set(blocks(offset, until)) <= set(asked)
    assert len(asked) == len(set(asked))


def test_a_file_with_holes_reads_like_the_whole_one(tmp_path):
    content = bytes(range(256)) * 2000
    (tmp_path / "whole").write_bytes(content)
    holes = Holes(tmp_path / "whole", tmp_path / "holes")
    file, whole = BlockFile(holes.path, remote(holes)), io.BytesIO(content)
    for offset, whence, size in [(0, 0, 10), (300_000, 0, 70_000), (-5, 2, 100), (-200, 1, 7), (9, 2, 5)]:
        assert file.seek(offset, whence) == whole.seek(offset, whence)
        assert file.read(size) == whole.read(size)
        assert file.tell() == whole.tell()
    with pytest.raises(OSError, match="before the start"):
        file.seek(-1)


@pytest.mark.parametrize("mode", ["exact", "economical"])
def test_a_film_with_holes_decodes_to_the_very_same_frames(film, tmp_path, mode):
    holes = Holes(film, tmp_path / "holes")
    changes = {"sampling_mode": mode, "sampling_interval_s": 10.0, "sampling_order": "sequential"}
    assert decoded(holes.path, remote(holes), **changes) == decoded(film, **changes)
    assert len(holes.brought) < 0.6 * holes.size_bytes


def test_once_the_source_is_gone_decoding_ends_with_that_and_nothing_else(film, tmp_path):
    for after in range(1, 8):
        holes = Holes(film, tmp_path / "holes", fails_after=after)
        with pytest.raises(SourceGone):
            decoded(holes.path, remote(holes), sampling_interval_s=10.0)


def test_an_answer_of_nothing_is_the_end_of_the_source():
    sent: list[bytes] = []
    supply = Supply(sent.append)
    supply.answer(77)
    assert supply.ask(0, 5, 6) == 77
    assert not supply.gone
    supply.answer(None)
    with pytest.raises(SourceGone):
        supply.ask(1, 2, 3)
    assert supply.gone
    header = wire.unpack_header(sent[1][: wire.HEADER.size])
    values = wire.unpack_values(sent[1][wire.HEADER.size :])
    assert header.kind == wire.NEED
    assert wire.unpack_need(values, [None, 10]) == (1, 2, 3)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"part": 0, "offset": 0, "length": 1},
        {"part": 2, "offset": 0, "length": 1},
        {"part": -1, "offset": 0, "length": 1},
        {"part": 1, "offset": -1, "length": 1},
        {"part": 1, "offset": 0, "length": 0},
        {"part": 1, "offset": 0, "length": 11},
        {"part": 1, "offset": 10, "length": 1},
        {"part": 1, "offset": 2**70, "length": 2**70},
        {"part": 1, "offset": 0.0, "length": 1},
        {"part": True, "offset": 0, "length": 1},
    ],
)
def test_a_question_for_bytes_outside_the_file_is_refused(values):
    with pytest.raises(wire.WireError):
        wire.unpack_need(values, [None, 10])
