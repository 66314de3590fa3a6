"""A wiki of categories and its media in memory, behind the Protocols of `bot.collecting.values`."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bot.collecting.values import Listing
from bot.describing.values import Description
from bot.errors import BotError, SkipUpload
from bot.upload import Part, Rendition


class Killed(BaseException):
    """The process is gone; nothing of ours catches this."""


def sha1_of(content: str) -> str:
    return hashlib.sha1(content.encode()).hexdigest()


def description(title: str, content: str = "", **fields: str) -> Description:
    plain = {"media_type": "BITMAP", "mime": "image/png", "uploader": "Up", "author": "Ann", "licence": "CC0"}
    return Description(title, sha1_of(content or title), **{**plain, **fields})  # type: ignore[arg-type]


@dataclass
class FakeCommons:
    """Both Protocols at once. Every call counts, and from number `dies_at` on all fail."""

    folder: Path
    categories: dict[str, Listing] = field(default_factory=dict)
    files: dict[str, Description | BotError] = field(default_factory=dict)
    failures: dict[str, list[BotError]] = field(default_factory=dict)
    dies_at: int = 0
    calls: int = 0
    listed: Counter[str] = field(default_factory=Counter)
    described: Counter[str] = field(default_factory=Counter)
    fetched: Counter[str] = field(default_factory=Counter)
    tries: list[int] = field(default_factory=list)

    def listing(self, category: str, max_files: int) -> Listing:
        self._called()
        self.listed[category] += 1
        given = self.categories.get(category, Listing())
        return Listing(given.files[:max_files], given.subcategories, len(given.files) > max_files)

    def describe(self, titles: Sequence[str]) -> Mapping[str, Description | BotError]:
        self._called()
        assert 0 < len(titles) <= 50
        self.described.update(titles)
        absent = SkipUpload("deleted", "There is no such file.")
        return {title: self.files.get(title, absent) for title in titles}

    def locate(self, described: Sequence[tuple[Description, int]]) -> Sequence[Rendition | BotError]:
        self._called()
        self.tries += [tries for _, tries in described]
        return [
            Rendition(
                "thumbnail", (Part(f"https://upload.example/{one.sha1_hex}/330px-{one.title}.PNG?x"),), 330, 9
            )
            for one, _ in described
        ]

    def fetch(self, rendition: Rendition) -> Path:
        self._called()
        sha1 = rendition.parts[0].url.split("/")[3]
        if waiting := self.failures.get(sha1):
            raise waiting.pop(0)
        self.fetched[sha1] += 1
        path = self.folder / f"part-{sha1}"
        path.write_text(sha1)
        return path

    def _called(self) -> None:
        self.calls += 1
        if 0 < self.dies_at <= self.calls:
            raise Killed
