"""Where files come from that a caller only names: a Protocol, because the service fetches nothing itself."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from classifier.service.deadline import Deadline
from classifier.values import MediaPart


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that was fetched, there as long as the context that yielded it.

    Attributes:
        parts: Its local files; several are the pages of a document.
        sha256: Of the bytes that are scored, hexadecimal, where one whole file was fetched; the results of
            others are not cached.
        about: What the answer tells of it, such as `title`, `rendition`, `bytes`; plain values.
    """

    parts: Sequence[MediaPart]
    sha256: str | None
    about: Mapping[str, str | int | float | None]


class SourceProblem(Exception):
    """The file cannot be had.

    Args:
        code: Stable code, such as `host_not_allowed`, `deleted`, `too_large`, `source_unavailable`.
        status: HTTP status of a request for this file alone, 400 to 599.
        detail: One sentence for the caller; holds no address of ours.
        retry_after_s: When to try again, in seconds, where that is known.
    """

    def __init__(self, code: str, status: int, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.status = status
        self.detail = detail
        self.retry_after_s = retry_after_s


class Sources(Protocol):
    """Fetches files. Called from worker threads, several at a time."""

    def title(self, title: str, deadline: Deadline) -> AbstractContextManager[Fetched]:
        """Fetch what a title of the wiki names.

        Args:
            title: As the caller wrote it, at most 1,000 characters.
            deadline: Ask it between reads: nobody waits once no time is left.

        Returns:
            A context that deletes the file when it is left.

        Raises:
            SourceProblem: On entering, where it cannot be had.
            DeadlineExceeded: On entering, where the time is over.
        """
        ...

    def url(self, url: str, deadline: Deadline) -> AbstractContextManager[Fetched]:
        """Fetch what lies at an address.

        Args:
            url: As the caller wrote it, at most 8,000 characters; it is not to be trusted.
            deadline: As for `title`.

        Returns:
            As for `title`.

        Raises:
            SourceProblem: As for `title`; `host_not_allowed` where the host is not on the list.
            DeadlineExceeded: As for `title`.
        """
        ...


__all__ = ["Fetched", "SourceProblem", "Sources"]
