"""What a reviewer needs to know beside the score, asked of the wiki in few questions.

The store knows what happened in the log; only the wiki knows whether a file is used, gone or suppressed now,
and how experienced its uploader is. Files are asked for 50 at a time, accounts likewise.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bot.wiki_values import ReviewWiki, UserInfo

FILES_A_QUESTION = 50
MAX_ROUNDS = 4
"""Questions about the usage of 50 files; a file used thousands of times must not take all day."""


class Asks(Protocol):
    """Asks the action API; see `bot.api.Api`."""

    def continued(self, params: Mapping[str, str | int], max_rounds: int = 20) -> Iterable[Mapping[str, Any]]:
        """Ask, and follow `continue`."""
        ...


class FindsDeleted(Protocol):
    """Knows deleted files; see `bot.retention.reuploads.DeletedFiles`."""

    def titles(self, sha1: str) -> Sequence[str]:
        """The titles under which bytes were deleted."""
        ...


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file as the wiki has it now.

    Attributes:
        in_use: Whether any page of any wiki shows it; None where that could not be told.
        missing: Whether it is gone.
        suppressed: Whether its newest version is hidden.
    """

    in_use: bool | None = None
    missing: bool = False
    suppressed: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """Facts about the files and uploaders of some rows.

    Attributes:
        files: By full title.
        uploaders: By user name.
        deleted: Titles of deleted files, by the SHA-1 of their bytes in base 36.
    """

    files: Mapping[str, FileFacts] = field(default_factory=dict)
    uploaders: Mapping[str, UserInfo] = field(default_factory=dict)
    deleted: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __or__(self, other: "Context") -> "Context":
        return Context(
            {**self.files, **other.files},
            {**self.uploaders, **other.uploaders},
            {**self.deleted, **other.deleted},
        )


def gather(api: Asks, wiki: ReviewWiki, titles: Sequence[str], uploaders: Sequence[str]) -> Context:
    """Ask for everything about some rows.

    Args:
        api: For the files.
        wiki: For the accounts.
        titles: Full titles of the files.
        uploaders: Names of their uploaders.

    Returns:
        What the wiki says.

    Raises:
        ServiceDown: The wiki does not answer.
    """
    files: dict[str, FileFacts] = {}
    wanted = list(dict.fromkeys(titles))
    for start in range(0, len(wanted), FILES_A_QUESTION):
        files |= _files(api, wanted[start : start + FILES_A_QUESTION])
    people = list(dict.fromkeys(uploaders))
    return Context(files, wiki.users(people) if people else {})


def _files(api: Asks, titles: Sequence[str]) -> dict[str, FileFacts]:
    question: dict[str, str | int] = {
        "prop": "imageinfo|fileusage|globalusage",
        "titles": "|".join(titles),
        "iiprop": "timestamp",
        "fulimit": "max",
        "gulimit": "max",
    }
    used: set[str] = set()
    gone: set[str] = set()
    versions: dict[str, Mapping[str, Any]] = {}
    spelling: dict[str, str] = {}
    complete = False
    for answer in api.continued(question, MAX_ROUNDS):
        complete = "continue" not in answer
        query = answer.get("query", {})
        spelling |= {entry["from"]: entry["to"] for entry in query.get("normalized", ())}
        for page in query.get("pages", ()):
            title = page["title"]
            if page.get("fileusage") or page.get("globalusage"):
                used.add(title)
            if page.get("missing") and not page.get("known"):
                gone.add(title)
            # Of a single file the answer goes on through its old versions, which others may have hidden.
            if title not in versions and page.get("imageinfo"):
                versions[title] = page["imageinfo"][0]
    hidden = {title for title, info in versions.items() if info.get("filehidden") or info.get("suppressed")}
    facts = {}
    for title in titles:
        name = spelling.get(title, title)
        in_use = True if name in used else False if complete else None
        facts[title] = FileFacts(in_use, missing=name in gone, suppressed=name in hidden)
    return facts
