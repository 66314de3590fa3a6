"""The desk: it edits only while the stop page says so, and goes on after whatever fails."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.errors import ConfigError
from bot.review import desk as desk_module
from bot.review.control import RUN_MARKER, WikiConfig, default_config_text
from bot.review.desk import ReviewDesk
from bot.review.templates import subpage
from classifier.values import Level
from storage.review_values import ReviewState
from tests.fake_wiki import BOT, down
from tests.review_items import item_id
from tests.review_office import DAY, INDEX, Office, opened

RUN = subpage(BOT, "Run")
CONFIG = subpage(BOT, "Config.json")
SECONDS = 20


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    monkeypatch.setattr(desk_module, "TICK_S", 0.02)
    monkeypatch.setattr(desk_module, "FAILURE_PAUSE_S", 0.02)
    with opened(tmp_path, control_interval_s=0.02, poll_interval_s=0.05) as made:
        made.put_up([1])
        yield made


class Running:
    """A desk in its thread."""

    def __init__(self, office: Office, **changes: Any) -> None:
        self.stop = threading.Event()
        self.levels: list[Level] = []
        settings = office.settings.model_copy(update=changes)
        self.desk = ReviewDesk(
            office.wiki,
            office.reader,
            office.publisher,
            settings,
            office.metrics,
            self.stop,
            set_level=self.levels.append,
            level="balanced",
        )


@contextmanager
def running(office: Office, **changes: Any) -> Iterator[Running]:
    made = Running(office, **changes)
    thread = threading.Thread(target=made.desk.run)
    thread.start()
    try:
        yield made
        assert thread.is_alive()
    finally:
        made.stop.set()
        thread.join(SECONDS)
    assert not thread.is_alive()


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    pause = threading.Event()
    while not happened():
        assert time.monotonic() < deadline, "never happened"
        pause.wait(0.01)


def rounds(office: Office, count: int = 3) -> None:
    """Wait until the desk has looked at the wiki some more times."""
    before = office.wiki.requests["newest"]
    until(lambda: office.wiki.requests["newest"] >= before + count)


def allow(office: Office) -> None:
    office.wiki.edit("Ann", RUN, f"{RUN_MARKER}\nRemove the line above to stop the bot.")


def test_rows_are_written_and_verdicts_read_while_the_page_says_so(office: Office) -> None:
    allow(office)
    with running(office):
        until(lambda: office.ids() == [item_id(1)])
        until(lambda: bool(office.wiki.text(INDEX)))
        office.give("Ann", 1, "sfw")
        until(lambda: office.entry(1).state is ReviewState.CLOSED)
        until(lambda: office.row(1).shows_score)


@pytest.mark.parametrize(
    "text", [None, "", "run: yes", "<!-- run: no -->", "<!-- run: yes --><!-- run: no -->"]
)
def test_nothing_is_written_without_the_marker_but_verdicts_are_read(
    office: Office, text: str | None
) -> None:
    office.pass_by()
    saved = list(office.wiki.saved)
    if text is not None:
        office.wiki.edit("Ann", RUN, text)
    with running(office):
        office.put_up([2])
        office.give("Ann", 1, "sfw")
        until(lambda: office.entry(1).state is ReviewState.CLOSED)
        rounds(office)
        assert office.wiki.saved == saved
        allow(office)
        until(lambda: item_id(2) in office.ids())


def test_a_dry_run_shows_what_it_would_write_before_there_is_a_stop_page(office: Office) -> None:
    with running(office, dry_run=True):
        until(lambda: office.ids() == [item_id(1)])


def test_a_dry_run_obeys_a_stop_page_that_says_stop(office: Office) -> None:
    office.pass_by()
    office.wiki.edit("Ann", RUN, "<!-- run: no -->")
    saved = list(office.wiki.saved)
    with running(office, dry_run=True):
        office.put_up([2])
        rounds(office)
        assert office.wiki.saved == saved


def test_an_unreadable_stop_page_means_stop_until_it_can_be_read_again(office: Office) -> None:
    allow(office)
    with running(office):
        until(lambda: bool(office.wiki.text(INDEX)))
        office.wiki.failing[f"read:{RUN}"] = down()
        until(lambda: failures(office) >= 1)
        saved = list(office.wiki.saved)
        office.put_up([2])
        count = failures(office)
        until(lambda: failures(office) >= count + 1)
        assert office.wiki.saved == saved
        office.wiki.failing.clear()
        until(lambda: item_id(2) in office.ids())


def failures(office: Office) -> float:
    registry = office.metrics.registry
    return registry.get_sample_value("commonsbot_service_failures_total", {"service": "review.wiki"}) or 0.0


def test_a_stop_in_the_middle_of_a_long_pass_is_noticed_before_the_next_edit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "TICK_S", 0.02)
    with opened(tmp_path, rows_per_page=1, control_interval_s=0.0001, poll_interval_s=0.05) as office:
        office.put_up(range(1, 6))
        allow(office)

        def after_first(_title: str) -> None:
            office.wiki.before_write = None
            office.wiki.edit("Ann", RUN, "stop")

        office.wiki.before_write = after_first
        with running(office):
            until(lambda: bool(office.wiki.saved))
            rounds(office)
            assert len(office.wiki.saved) == 1


def test_a_stop_told_by_the_stream_is_looked_at_at_once(office: Office) -> None:
    allow(office)
    with running(office, control_interval_s=3600.0) as made:
        until(lambda: bool(office.wiki.text(INDEX)))
        asked = office.wiki.requests["read"]
        office.wiki.edit("Ann", RUN, "stop")
        made.desk.notify(frozenset({RUN}))
        until(lambda: office.wiki.requests["read"] > asked)
        saved = list(office.wiki.saved)
        office.put_up([2])
        rounds(office)
        assert office.wiki.saved == saved


def test_an_edit_told_by_the_stream_is_read_at_once(office: Office) -> None:
    allow(office)
    with running(office, poll_interval_s=3600.0) as made:
        until(lambda: bool(office.ids()))
        office.give("Ann", 1, "sfw")
        made.desk.notify(frozenset({DAY}))
        until(lambda: office.entry(1).state is ReviewState.CLOSED)


def test_the_community_s_level_is_passed_on(office: Office) -> None:
    allow(office)
    office.wiki.edit("Ann", CONFIG, default_config_text(WikiConfig(level="cautious")))
    with running(office) as made:
        until(lambda: made.levels[-1:] == ["cautious"])


def test_a_broken_configuration_keeps_the_last_valid_one_and_says_so(office: Office) -> None:
    allow(office)
    office.wiki.edit("Ann", CONFIG, '{"level": "sensitive"}')
    with running(office) as made:
        until(lambda: made.levels[-1:] == ["sensitive"])
        office.wiki.edit("Newcomer", CONFIG, '{"level": ')
        until(lambda: "last valid" in office.wiki.text(INDEX))
        assert made.levels[-1] == "sensitive"
        office.wiki.edit("Ann", CONFIG, '{"level": "cautious"}')
        until(lambda: made.levels[-1] == "cautious" and "last valid" not in office.wiki.text(INDEX))


def test_a_missing_configuration_means_the_local_one(office: Office) -> None:
    allow(office)
    with running(office) as made:
        until(lambda: made.levels[-1:] == ["balanced"])


@pytest.mark.parametrize("method", ["newest", "users", "write", "read"])
def test_it_goes_on_after_a_failure(office: Office, method: str) -> None:
    allow(office)
    office.wiki.failing[method] = ConfigError("signed out") if method == "write" else down()
    with running(office):
        until(lambda: failures(office) >= 2 or method == "write")
        office.wiki.failing.clear()
        until(lambda: office.ids() == [item_id(1)])
        until(lambda: bool(office.wiki.text(INDEX)))
        assert office.wiki.saved.count(DAY) == 1


def test_failures_are_followed_by_longer_and_longer_pauses(office: Office) -> None:
    made = Running(office)
    pauses = [made.desk._failed(down()) for _ in range(30)]
    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[3] < pauses[-1] <= desk_module.LONGEST_PAUSE_S


def test_a_deleted_page_is_made_anew(office: Office) -> None:
    allow(office)
    with running(office):
        until(lambda: office.ids() == [item_id(1)])
        rounds(office)
        office.wiki.delete(DAY)
        until(lambda: office.ids() == [item_id(1)])
