"""Pure: from the address of the queue to a filter, and back to the address of its next page.

A value that makes no sense is left out and told, rather than silently showing something else than asked for.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from storage.console_queue import Place, QueueFilter, QueueOrder
from storage.metric_values import MediaKind
from storage.review_values import ReviewState
from storage.values import ReviewReason

LABELS: Final = ("nsfw", "sfw")
TELLING: Final = ("reason", "label", "low", "high", "order")
"""Filters whose answer tells something of a score or a reason: not for who still has to judge."""
MAX_TITLE_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class QueueQuestion:
    """What was asked for.

    Attributes:
        wanted: Which items.
        after: Where the page before ended; None for the first page.
        given: The fields as they were sent, those that count, for the form and for links.
        problems: What was left out and why, one sentence each.
    """

    wanted: QueueFilter
    after: Place | None
    given: Mapping[str, str]
    problems: tuple[str, ...]


def parse(query: Mapping[str, str], *, blind: bool) -> QueueQuestion:
    """Read the fields of the form.

    Args:
        query: Their values by name; anything at all.
        blind: Whether scores and reasons are hidden from who asks.

    Returns:
        The question.
    """
    found: dict[str, Any] = {}
    given: dict[str, str] = {}
    problems: list[str] = []
    for name, read in _READERS.items():
        text = query.get(name, "").strip()
        if not text:
            continue
        if blind and name in TELLING:
            problems.append(f"“{name}” is not for reviewers: the answer would tell the score or the reason.")
            continue
        try:
            found[_FIELDS.get(name, name)] = read(text)
        except ValueError:
            problems.append(f"“{name}” was not understood and is left out.")
            continue
        given[name] = text
    wanted = QueueFilter(**found)
    return QueueQuestion(wanted, _place(query.get("after", ""), wanted.order), given, tuple(problems))


def place_of(place: Place) -> str:
    """A place as it stands in an address."""
    return f"{place.row_id}" if place.score is None else f"{place.row_id}:{place.score!r}"


def _place(text: str, order: QueueOrder) -> Place | None:
    row_id, _, score = text.partition(":")
    try:
        if order is QueueOrder.HIGHEST:
            return Place(_row_id(row_id), _score(score))
        return Place(_row_id(row_id))
    except ValueError:
        return None


def _row_id(text: str) -> int:
    value = int(text)
    if not 0 < value < 2**63:
        raise ValueError(text)
    return value


def _score(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(text)
    return value


def _day(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)


def _day_after(text: str) -> datetime:
    try:
        return _day(text) + timedelta(days=1)
    except OverflowError as error:
        raise ValueError(text) from error


def _label(text: str) -> str:
    if text not in LABELS:
        raise ValueError(text)
    return text


def _short(text: str) -> str:
    if len(text) > MAX_TITLE_CHARS or "\0" in text:
        raise ValueError(text)
    return text


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "title": _short,
    "state": ReviewState,
    "reason": ReviewReason,
    "label": _label,
    "model": _short,
    "medium": MediaKind,
    "since": _day,
    "to": _day_after,
    "low": _score,
    "high": _score,
    "order": QueueOrder,
}
_FIELDS: Final = {"to": "until"}

__all__ = ["LABELS", "QueueQuestion", "parse", "place_of"]
