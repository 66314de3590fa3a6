"""The review's two passes over a real database and the fake wiki, and what people do on its pages by hand."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bot.monitoring import Metrics
from bot.review.context import FindsDeleted
from bot.review.control import ConfigReading, WikiConfig
from bot.review.messages import load_messages
from bot.review.report import Publisher
from bot.review.rows import FoundRow, parse_rows
from bot.review.templates import subpage
from bot.review.verdicts import VerdictReader
from bot.settings import ReviewSettings, load_settings
from bot.wiki_values import ReviewWiki
from storage import review_lookup, review_pages, reviews
from storage.engine import Database
from storage.review_values import PageKind, ReviewEntry, ReviewPage, Verdict, VerdictsRecorded
from storage.values import ReviewReason
from tests.fake_wiki import BOT, FakeAsks, FakeWiki
from tests.review_items import item_id, put_up
from tests.storage_database import NOW, WIKI, fresh_database, upload

EAGER = ConfigReading(WikiConfig(edit_interval_s=0))
INDEX = subpage(BOT)
ARCHIVE = subpage(BOT, "Archive")
DAY = subpage(BOT, "2026-03-01")


def review_settings(**changes: Any) -> ReviewSettings:
    return load_settings().review.model_copy(
        update={"user": BOT, "dry_run": False, "edit_interval_s": 0.0, **changes}
    )


class Office:
    """Database, wiki, reviewers and the bot's two passes."""

    def __init__(self, database: Database, wiki: FakeWiki | None = None, **changes: Any) -> None:
        self.database = database
        self.wiki = wiki or FakeWiki()
        self.asks = FakeAsks()
        self.deleted: FindsDeleted | None = None
        self.hints_within_s = 0.0
        self.now = NOW
        self.settings = review_settings(**changes)
        self.metrics = Metrics()
        self.reading = EAGER
        for name in ("Ann", "Bea"):
            self.wiki.account(name, "patroller")
        self.wiki.account("Newcomer")
        self.wiki.account("Example")
        self.restart()

    def restart(self) -> None:
        """Forget everything that is not in the store."""
        wiki: ReviewWiki = self.wiki
        self.publisher = Publisher(
            wiki,
            self.asks,
            self.database,
            WIKI,
            self.settings,
            load_messages("en"),
            self.metrics,
            deleted=self.deleted,
            hints_within_s=self.hints_within_s,
            clock=self.clock,
        )
        groups = self.settings.trusted_groups
        self.reader = VerdictReader(wiki, self.database, WIKI, groups, self.metrics)

    def clock(self) -> datetime:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    # The bot.

    def read(self, *edited: str) -> VerdictsRecorded | None:
        recorded = self.reader.read(edited)
        self.publisher.forget(self.reader.missing)
        return recorded

    def publish(self) -> None:
        self.publisher.publish(self.reading, lambda: True)

    def pass_by(self) -> None:
        """One round of the desk, a while after the last."""
        self.wait(61)
        self.read()
        self.publish()

    def set(self, **config: Any) -> None:
        self.reading = ConfigReading(replace(self.reading.config, **config))

    def put_up(self, numbers: Iterable[int], *, uploader: str = "Example", score: float = 0.9) -> None:
        numbers = list(numbers)
        uploads = [replace(upload(number), user=uploader) for number in numbers]
        put_up(self.database, dict.fromkeys(numbers, score), values=uploads, now=self.now)

    def draw(self, number: int, reason: ReviewReason, score: float = 0.1) -> None:
        put_up(self.database, {number: score}, reason=reason, now=self.now)

    # The wiki.

    def rows(self, title: str = DAY) -> list[FoundRow]:
        return parse_rows(self.wiki.text(title), BOT)

    def ids(self, title: str = DAY) -> list[str]:
        return [row.item_id for row in self.rows(title)]

    def row(self, number: int, title: str = DAY) -> FoundRow:
        return next(row for row in self.rows(title) if row.item_id == item_id(number))

    def places(self, number: int) -> list[str]:
        """Titles of the pages on which the item has a row."""
        return [title for title in self.wiki.titles() if item_id(number) in self.ids(title)]

    def line(self, number: int, title: str = DAY) -> str:
        return next(one for one in self.wiki.text(title).split("\n") if f"|id={item_id(number)}|" in one)

    def edited_line(self, number: int, word: str, comment: str = "", title: str = DAY) -> str:
        return re.sub(
            r"\|verdict=[^|}]*\|comment=[^|}]*",
            f"|verdict={word}|comment={comment}",
            self.line(number, title),
        )

    def give(self, user: str, number: int, word: str, comment: str = "", title: str = DAY) -> int:
        """Change verdict and comment in a row, by hand."""
        edited = self.edited_line(number, word, comment, title)
        return self.wiki.edit(user, title, self.wiki.text(title).replace(self.line(number, title), edited))

    # The store.

    def entry(self, number: int) -> ReviewEntry:
        with self.database.read() as tx:
            return review_lookup.entries(tx, [item_id(number)])[item_id(number)]

    def verdicts(self, number: int) -> list[Verdict]:
        with self.database.read() as tx:
            return reviews.verdicts_of(tx, item_id(number))

    def pages(self) -> list[ReviewPage]:
        with self.database.read() as tx:
            known = review_pages.pages(tx, WIKI, open_only=False)
        return [page for page in known if page.kind is PageKind.ITEM]

    def edits(self, fate: str) -> float:
        return self.metrics.registry.get_sample_value("commonsbot_wiki_edits_total", {"fate": fate}) or 0.0


@contextmanager
def opened(folder: Path, **changes: Any) -> Iterator[Office]:
    """An office with a database of its own."""
    with fresh_database(folder) as database:
        yield Office(database, **changes)
