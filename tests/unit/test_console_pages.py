"""The console's pages through a client: what they tell, their charts, and the escaping of what users made."""

import re
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from configparser import ConfigParser
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from bot.console.frames import frames_chart
from bot.console.memory import Memory
from bot.console.overview_page import daemon_light, queue_light, stream_light
from bot.console.plotting import POLICY, STYLE
from bot.console.queue_form import parse, place_of
from bot.console.words import ago, duration, percent, until
from bot.settings import ROOT
from storage import lease
from storage.console_overview import overview
from storage.console_queue import Place, QueueFilter, QueueOrder, page
from storage.console_story import story
from storage.metric_values import MediaKind
from storage.review_values import ReviewState
from storage.tables import LeaseRow, PositionRow, ReviewItemRow, UploadRow
from storage.values import Owner
from tests.console_site import ConsoleSite, console_site
from tests.console_store import HOSTILE, make_hostile
from tests.storage_database import NOW, WIKI, after, fresh_database

PAGES = ("", "review", "queue", "scores?hours=720", "quality?days=60", "models", "purges")
CHARTS = ("rates", "scores", "quality", "threshold", "shadow")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleSite]:
    """A filled one; only read, but for one hostile upload."""
    with console_site(tmp_path_factory.mktemp("site"), now=NOW, pictures=2) as made:
        yield made


@pytest.fixture(scope="module")
def client(site: ConsoleSite) -> TestClient:
    return site.client(site.token("Olga", "console"))


@pytest.fixture(scope="module")
def hostile(site: ConsoleSite) -> str:
    """Public id of a video with a hostile title, uploader and verdict."""
    with site.database.read() as tx:
        row = (
            tx.query(UploadRow)
            .join(ReviewItemRow, ReviewItemRow.upload_id == UploadRow.id)
            .filter(UploadRow.title.like("%.webm"))
            .order_by(UploadRow.id.desc())
            .first()
        )
        assert row is not None
        log_id = row.log_id
    make_hostile(site.database, log_id)
    return f"{WIKI}-{log_id}"


class Markup(HTMLParser):
    """Tags, event handlers, and places that would run or load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.inline: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "style" or name.startswith("on"):
                self.inline.append(f"{tag} {name}")
            if name in ("href", "src", "action"):
                self.links.append(value or "")
        if tag == "style" or (tag == "script" and "src" not in dict(attrs)):
            self.inline.append(tag)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_nothing_inline_and_loads_nothing_from_elsewhere(client: TestClient, path: str) -> None:
    markup = Markup(client.get(f"/console/{path}").text)
    assert markup.inline == []
    own = ("/console/", "#")
    foreign = [link for link in markup.links if not link.startswith(own)]
    assert all(link.startswith("https://commons.wikimedia.org/wiki/") for link in foreign)
    assert {"main", "h1", "nav", "header"} <= set(markup.tags)


@pytest.mark.parametrize("path", ["queue", "queue?title=script", "items/{item}", "review?item={item}", ""])
def test_what_users_made_is_escaped(site: ConsoleSite, hostile: str, path: str) -> None:
    operator, reviewer = (
        site.client(site.token("Zoe", *scopes)) for scopes in (("console",), ("console", "review"))
    )
    for visitor in (operator, reviewer):
        page = visitor.get(f"/console/{path.format(item=hostile)}").text
        markup = Markup(page)
        assert "<script>alert" not in page
        assert markup.inline == []
        assert "\u202e" not in page  # a direction override lets a name pretend to be another
        if path and (visitor is not operator or "review" not in path):
            assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;" in page
            assert "{{7*7}}" in page


def test_a_hostile_verdict_is_shown_as_text(site: ConsoleSite, client: TestClient, hostile: str) -> None:
    page = client.get(f"/console/items/{hostile}").text
    assert page.count("&lt;script&gt;alert") >= 4  # title, uploader, reviewer, comment
    assert HOSTILE not in page


def test_what_is_typed_into_the_filters_is_escaped(client: TestClient) -> None:
    page = client.get("/console/queue", params={"title": HOSTILE, "state": HOSTILE}).text
    assert "<script>alert" not in page
    assert "was not understood" in page


def test_the_overview_tells_what_is_in_the_store(site: ConsoleSite, client: TestClient) -> None:
    page = client.get("/console/").text
    with site.database.read() as tx:
        found = overview(tx, NOW)
    for text in ("running", "3 seconds behind", "timeout", "<strong>open</strong>, 33 % read", "bot-host"):
        assert text in page
    for one in found.outcomes:
        assert f'<td class="n">{one.count}</td>' in page


def test_filters_reach_the_store_and_the_next_page_keeps_them(client: TestClient) -> None:
    page = client.get("/console/queue?state=closed&order=highest&title=e&medium=picture").text
    following = re.search(r'rel="next" href="([^"]+)"', page)
    assert following is not None
    address = following[1].replace("&amp;", "&")
    assert all(part in address for part in ("state=closed", "order=highest", "title=e", "medium=picture"))
    items = re.findall(r"/items/(commonswiki-\d+)", page)
    more = re.findall(r"/items/(commonswiki-\d+)", client.get(address).text)
    assert len(items) == 50
    assert more
    assert not set(items) & set(more)


def test_a_story_tells_every_step(site: ConsoleSite, client: TestClient) -> None:
    with site.database.read() as tx:
        entries = page(
            tx, QueueFilter(state=ReviewState.CLOSED, medium=MediaKind.MOVING), account="x"
        ).entries
        recent = entries[0]
        found = story(tx, WIKI, int(recent.item_id.rpartition("-")[2]))
    assert found is not None
    text = client.get(f"/console/items/{recent.item_id}").text
    steps = re.findall(r"<h2>([^<]+)</h2>", text)
    assert steps[:4] == ["Uploaded", "Heard of", "Processed", "Scored"]
    assert {"Scored by a shadow as well", "Drawn", "Put up for review", "Where it stands"} <= set(steps)
    assert any(step.startswith("Verdict: ") for step in steps)
    assert text.count('<circle class="dot') == len(found.scores[0].frames)
    assert f"{found.scores[0].score:.3f}" in text


def test_a_skipped_uploads_story_says_that_it_is_not_called_safe(
    site: ConsoleSite, client: TestClient
) -> None:
    with site.database.read() as tx:
        log_id = tx.query(UploadRow.log_id).filter(UploadRow.outcome_code == "undecodable").limit(1).scalar()
    text = client.get(f"/console/items/{WIKI}-{log_id}").text
    assert "undecodable" in text
    assert "says nothing about whether it is harmless" in text


@pytest.mark.parametrize("item", ["commonswiki-1", "x", "commonswiki-99999999999999999999", "..%2f..", "a-b"])
def test_an_unknown_upload_is_no_page(client: TestClient, item: str) -> None:
    answer = client.get(f"/console/items/{item}")
    assert answer.status_code == 404
    assert "<h1>404</h1>" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "quality?days=1e9&model=x",
        "quality?days=²",
        "scores?hours=-1&model=%00",
        "queue?after=x&low=nan",
        "queue?since=9999-12-31&to=9999-12-31",
    ],
)
def test_an_address_that_makes_no_sense_is_a_page_all_the_same(client: TestClient, path: str) -> None:
    assert client.get(f"/console/{path}").status_code == 200


def test_quality_tells_what_metrics_tells(client: TestClient) -> None:
    text = client.get("/console/quality?days=60").text
    assert "the model changed in this period" in text
    assert "Choose a model above." in text  # options of the command line would help nobody here
    assert "--model" not in text
    assert re.search(r"<dt>Precision</dt><dd>\d+ % \(\d+ to \d+\)</dd>", text)
    assert "0.80</th>" in text


def test_models_tell_the_registry_and_the_shadow(client: TestClient) -> None:
    text = client.get("/console/models").text
    for word in (
        "watcher watches",
        "standing-active",
        "standing-shadow",
        "better took its place",
        "torch-fp32",
    ):
        assert word in text


def test_the_purge_log_lists_removals(client: TestClient) -> None:
    text = client.get("/console/purges").text
    assert "20 removals" in text
    assert "suppressed" in text
    assert "2 reduced pictures are kept now" in text


def test_every_page_works_on_an_empty_store(tmp_path: Path) -> None:
    with console_site(tmp_path, filled=False) as empty:
        for scopes in (("console",), ("console", "review")):
            visitor = empty.client(empty.token("Zoe", *scopes))
            for path in PAGES:
                assert visitor.get(f"/console/{path}").status_code == 200, path
            for name in CHARTS[:-1]:
                assert visitor.get(f"/console/charts/{name}.svg").status_code == 200, name


def test_a_store_that_is_away_is_told(tmp_path: Path) -> None:
    with console_site(tmp_path, filled=False) as away:
        visitor = away.client(away.token())
        away.database.close()
        for path in tmp_path.glob("bot.sqlite3*"):
            path.unlink()
        answer = visitor.get("/console/queue")
        assert answer.status_code == 503
        assert "The store cannot be read" in answer.text


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_an_accessible_picture_without_inline_styles(client: TestClient, name: str) -> None:
    answer = client.get(f"/console/charts/{name}.svg?hours=720&days=60")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["content-security-policy"] == POLICY
    root = ET.fromstring(answer.text)
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title")
    assert root.findtext(f"{SVG}desc")
    assert [style.text for style in root.iter(f"{SVG}style")] == [STYLE]
    assert not any("style" in element.attrib for element in root.iter())
    assert "#0a0" not in answer.text  # every stand-in colour became one of the picture's own
    assert len(list(root.iter(f"{SVG}path"))) > 5


def test_equal_numbers_give_equal_charts(site: ConsoleSite, client: TestClient) -> None:
    from bot.console.charts import scores_chart
    from storage.console_scores import over_time

    with site.database.read() as tx:
        steps = over_time(tx, "better", NOW - timedelta(days=20), NOW)
    assert scores_chart(steps, "a & <b>") == scores_chart(steps, "a & <b>")
    assert "a &amp; &lt;b&gt;" in scores_chart(steps, "a & <b>")
    assert client.get("/console/charts/unknown.svg").status_code == 404


def test_a_chart_is_drawn_once_for_many(site: ConsoleSite, monkeypatch: pytest.MonkeyPatch) -> None:
    from bot.console import charts

    drawn: list[int] = []
    real = charts.rates_chart
    monkeypatch.setattr(charts, "rates_chart", lambda hours: drawn.append(1) or real(hours))
    with console_site(site.copies.parent / "other", filled=False) as other:
        visitor = other.client(other.token())
        for _ in range(3):
            visitor.get("/console/charts/rates.svg")
    assert len(drawn) == 1


def test_who_asks_for_the_same_at_once_lets_one_compute_it() -> None:
    memory: Memory[int] = Memory(60)
    made: list[int] = []
    started, go_on = threading.Event(), threading.Event()

    def make() -> int:
        made.append(1)
        started.set()
        go_on.wait(5)
        return len(made)

    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(memory.get("key", make))) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert started.wait(5)
    go_on.set()
    for thread in threads:
        thread.join(5)
    assert found == [1, 1, 1, 1]


def test_what_is_remembered_grows_old_and_does_not_pile_up() -> None:
    now = 0.0
    memory: Memory[float] = Memory(10, entries=2, monotonic=lambda: now)
    assert memory.get("a", lambda: 1.0) == 1.0
    assert memory.get("a", lambda: 2.0) == 1.0
    now = 10.0
    assert memory.get("a", lambda: 2.0) == 2.0
    memory.get("b", lambda: 0.0)
    memory.get("c", lambda: 0.0)
    assert memory.get("a", lambda: 3.0) == 3.0


def test_a_failure_is_not_remembered() -> None:
    memory: Memory[int] = Memory(60)

    def fail() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        memory.get("key", fail)
    assert memory.get("key", lambda: 1) == 1


def test_the_lights_tell_a_daemon_that_is_gone_silent_or_running(tmp_path: Path) -> None:
    with fresh_database(tmp_path) as database:

        def lights(at_s: float) -> list[Any]:
            with database.read() as tx:
                found = overview(tx, after(at_s))
            return [daemon_light(found), stream_light(found, 180), queue_light(found)]

        assert [(light.text, light.mood) for light in lights(0)] == [
            ("not running", "bad"),
            ("never connected", "bad"),
            ("empty", "good"),
        ]
        with database.transaction() as tx:
            lease.acquire(tx, owner=Owner("host", 1, NOW, "token"), now=NOW, ttl_s=60)
            tx.add(PositionRow(stream="s", event_id="[]", event_time=NOW, saved_at=NOW))
        assert [light.mood for light in lights(20)] == ["good", "good", "good"]
        assert [light.text for light in lights(20)][:2] == ["running", "20 seconds behind"]
        silent, behind, _queue = lights(300)
        assert (silent.text, silent.mood) == ("silent for 5 minutes", "bad")
        assert (behind.text, behind.mood) == ("5 minutes behind", "bad")
        with database.transaction() as tx:
            assert tx.query(LeaseRow).count() == 1


def test_a_question_to_the_queue_is_read_field_by_field() -> None:
    asked = parse(
        {
            "state": "open",
            "low": "0.5",
            "high": "2",
            "since": "2026-02-30",
            "to": "2026-03-01",
            "title": " a ",
        },
        blind=False,
    )
    assert asked.wanted == QueueFilter(state=ReviewState.OPEN, low=0.5, title="a", until=asked.wanted.until)
    assert asked.wanted.until is not None
    assert asked.wanted.until.isoformat() == "2026-03-02T00:00:00+00:00"
    assert [problem.split("”")[0] for problem in asked.problems] == ["“since", "“high"]
    assert dict(asked.given) == {"state": "open", "low": "0.5", "to": "2026-03-01", "title": "a"}


@pytest.mark.parametrize(("place", "order"), [(Place(7), "newest"), (Place(7, 0.1 + 0.2), "highest")])
def test_a_place_survives_its_way_through_an_address(place: Place, order: str) -> None:
    assert parse({"after": place_of(place), "order": order}, blind=False).after == place


@pytest.mark.parametrize("text", ["", "x", "-1", "1:2", "1:nan", "99999999999999999999", "1e3"])
def test_a_forged_place_begins_at_the_first_page(text: str) -> None:
    assert parse({"after": text, "order": QueueOrder.HIGHEST}, blind=False).after is None


def test_a_single_picture_has_no_chart(site: ConsoleSite) -> None:
    with site.database.read() as tx:
        log_id = (
            tx.query(UploadRow.log_id)
            .filter(UploadRow.title.like("%.jpg"), UploadRow.outcome == "scored")
            .limit(1)
            .scalar()
        )
        found = story(tx, WIKI, log_id)
    assert found is not None
    assert frames_chart(found.scores[0]) is None


def test_templates_style_sheet_and_scripts_are_part_of_the_package() -> None:
    settings = ConfigParser()
    settings.read(ROOT / "setup.cfg")
    patterns = settings["options.package_data"]["*"].replace(" ", "").split(",")
    folder = ROOT / "bot" / "console"
    files = [path for name in ("templates", "static") for path in (folder / name).iterdir()]
    assert len(files) > 10
    for path in files:
        assert any(path.relative_to(folder).match(pattern) for pattern in patterns), path


def test_times_and_shares_in_words() -> None:
    assert [duration(value) for value in (0, 1, 89, 90, 7199, 7200, 200_000)] == [
        "0 seconds",
        "1 second",
        "89 seconds",
        "2 minutes",
        "120 minutes",
        "2 hours",
        "2 days",
    ]
    assert ago(NOW, after(-5)) == "just now"
    assert until(after(600), NOW) == "in 10 minutes"
    assert [percent(value) for value in (None, 0.0123, 0.5)] == ["", "1.23 %", "50.0 %"]
