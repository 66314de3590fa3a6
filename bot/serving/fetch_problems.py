"""What errors of fetching mean for a caller of the prediction API: stable codes, and nothing of our inside.

The daemon's messages name hosts, proxies and paths, and are for the operator; a caller gets one sentence for
each code.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from bot.errors import BotError, RetryLater, ServiceDown, SkipUpload
from bot.media.address_gate import AddressRefused
from classifier.service.deadline import Deadline
from classifier.service.sources import SourceProblem

logger = logging.getLogger(__name__)

_SAID: Final[Mapping[str, tuple[int, str]]] = {
    "host_not_allowed": (403, "The address does not lie on one of the hosts that this service fetches from."),
    "invalid_title": (422, "That is no title of a file; one looks like File:Name.jpg."),
    "audio": (422, "The file is sound without pictures."),
    "deleted": (404, "There is no such file."),
    "hidden": (404, "The wiki hides the file."),
    "superseded": (404, "That version of the file is gone."),
    "empty": (422, "The file has no bytes."),
    "too_large": (413, "The file is larger than this service fetches."),
    "unsupported_type": (415, "There is neither a rendition of the file nor a decoder for it."),
    "changed": (503, "The file changed while it was being fetched."),
    "source_forbidden": (502, "The media host refuses this service."),
    "rendition_unavailable": (503, "The media host does not hand the file out at the moment."),
    "source_unavailable": (503, "The wiki or its media host does not answer at the moment."),
}
_RENAMED: Final = {"forbidden": "source_forbidden"}
"""For a caller, `forbidden` is about its token."""
_RETRY_AFTER_S: Final = 5.0
"""What is said of passing trouble where nobody named a time."""


def not_allowed() -> SourceProblem:
    """The address may not be fetched."""
    return _problem("host_not_allowed")


def not_a_title() -> SourceProblem:
    """The title is none."""
    return _problem("invalid_title")


@contextmanager
def as_source_problem(deadline: Deadline) -> Iterator[None]:
    """Turn errors of fetching into those that the service knows.

    Args:
        deadline: Where it is over, nothing else matters.

    Raises:
        SourceProblem: The file cannot be had.
        DeadlineExceeded: The time is over.
    """
    try:
        deadline.check()
        yield
    except BotError as error:
        deadline.check()
        raise _of(error) from error


def _of(error: BotError) -> SourceProblem:
    match error:
        case SkipUpload():
            code, after_s = error.code, None
        case RetryLater():
            code, after_s = error.code, error.after_s
        case ServiceDown() if isinstance(error.__cause__, AddressRefused):
            code, after_s = "host_not_allowed", None
        case _:
            code, after_s = "source_unavailable", getattr(error, "after_s", None)
    problem = _problem(_RENAMED.get(code, code), after_s)
    if problem.status >= 500:
        logger.warning("source_failed", extra={"code": code, "service": getattr(error, "service", None)})
    return problem


def _problem(code: str, after_s: float | None = None) -> SourceProblem:
    status, detail = _SAID.get(code, (502, "The file cannot be fetched."))
    if status == 503 and after_s is None:
        after_s = _RETRY_AFTER_S
    return SourceProblem(code, status, detail, after_s if status in {429, 503} else None)


__all__ = ["as_source_problem", "not_a_title", "not_allowed"]
