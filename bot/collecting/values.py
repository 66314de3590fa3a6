"""The frozen values of collecting, and the two Protocols through which it meets the world."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bot.describing.values import Description
from bot.errors import BotError
from bot.upload import Rendition


@dataclass(frozen=True, slots=True)
class Listing:
    """What is directly in a category.

    Attributes:
        files: Titles, `File:…`.
        subcategories: Titles, `Category:…`.
        is_cut: Whether there are more files than were asked for.
    """

    files: tuple[str, ...] = ()
    subcategories: tuple[str, ...] = ()
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or category that was met and not collected, or collected as something else.

    Attributes:
        title: Its title.
        code: `deleted`, `redirect`, `duplicate`, `label_conflict`, `excluded`, `category_cut`, ….
        message: One sentence for a person.
        label: The label it would have; empty where that is open.
        category: The named category below which it was met.
    """

    title: str
    code: str
    message: str
    label: str = ""
    category: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one title; one line of the journal.

    Attributes:
        title: As the category names it.
        code: Empty where it was collected, else why not.
        message: One sentence where it was not.
        file: Where the picture lies, relative to the collection; empty where there is none.
        description: What the wiki says of it; None where nothing.
        rendition: What was fetched: kind, url, width_px, bytes.
        fetched_at: ISO 8601, UTC.
        tries: Failed tries where it may be tried again; 0 where this is final.
    """

    title: str
    code: str = ""
    message: str = ""
    file: str = ""
    description: Description | None = None
    rendition: Mapping[str, str | int | None] | None = None
    fetched_at: str = ""
    tries: int = 0

    @property
    def is_final(self) -> bool:
        """Whether it is not tried again."""
        return not self.tries


class Wiki(Protocol):
    """Whom collecting asks; see `bot.collecting.questions.CollectingQuestions`."""

    def listing(self, category: str, max_files: int) -> Listing:
        """List a category.

        Raises:
            ServiceDown: No answer.
            ConfigError: The wiki does not take that for a category.
        """
        ...

    def describe(self, titles: Sequence[str]) -> Mapping[str, Description | BotError]:
        """Describe files, by the titles asked; what is wrong with one is its value.

        Raises:
            ServiceDown: No answer.
        """
        ...


class Media(Protocol):
    """Who finds and fetches pictures; see `bot.collecting.fetching.MediaFetcher`."""

    def locate(self, described: Sequence[tuple[Description, int]]) -> Sequence[Rendition | BotError]:
        """Choose renditions of described files, each with how many tries failed before.

        Raises:
            ServiceDown: No answer.
        """
        ...

    def fetch(self, rendition: Rendition) -> Path:
        """Download the first part of a rendition into a file that the caller moves away.

        Raises:
            SkipUpload: It never can be had.
            RetryLater: It cannot be had now.
            ServiceDown: The host cannot be reached, or the disk not be written.
        """
        ...


__all__ = ["LeftOut", "Listing", "Media", "Outcome", "Wiki"]
