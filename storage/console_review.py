"""Which item a reviewer is asked about next in the console, and how many wait.

Items come in the order in which they were put up, flagged and sampled ones mixed, so that the order tells a
reviewer nothing. Nobody is asked about an upload of their own, nor twice.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from storage.review_values import ReviewState, VerdictSource
from storage.tables import ReviewItemRow, VerdictRow

_UNDECIDED = (ReviewState.OPEN, ReviewState.DISPUTED)


@dataclass(frozen=True, slots=True)
class Load:
    """What there is to do for one reviewer.

    Attributes:
        waiting: Undecided items that are not the reviewer's own and have no verdict of theirs.
        given_today: Items on which the reviewer gave a verdict since midnight UTC.
    """

    waiting: int
    given_today: int


def next_item(tx: Session, account: str, after: str | None = None) -> str | None:
    """The item to ask about.

    Args:
        tx: A session of `Database.read()`.
        account: The reviewer, spelt as the wiki does.
        after: Public id of an item that is passed over, with all before it; None begins with the oldest.

    Returns:
        Public id of the item; None where none is left behind `after`.
    """
    passed = None
    if after is not None:
        place = select(ReviewItemRow.created_at, ReviewItemRow.id).where(ReviewItemRow.item_id == after)
        passed = tx.execute(place).one_or_none()
    behind = () if passed is None else (_behind(*passed),)
    order = (ReviewItemRow.created_at, ReviewItemRow.id)
    # One question a state, each of which an index answers in order.
    first = (
        tx.execute(
            select(*order, ReviewItemRow.item_id)
            .where(ReviewItemRow.state == state.value, *_for(account), *behind)
            .order_by(*order)
            .limit(1)
        ).one_or_none()
        for state in _UNDECIDED
    )
    found = [(created_at, row_id, item_id) for created_at, row_id, item_id in filter(None, first)]
    return min(found)[2] if found else None


def load(tx: Session, account: str, midnight: datetime) -> Load:
    """How much there is to do.

    Args:
        tx: A session of `Database.read()`.
        account: The reviewer.
        midnight: When the day began.

    Returns:
        The counts.
    """
    undecided = ReviewItemRow.state.in_([state.value for state in _UNDECIDED])
    waiting = tx.scalar(select(func.count()).select_from(ReviewItemRow).where(undecided, *_for(account)))
    given = tx.scalar(
        select(func.count(VerdictRow.review_item_id.distinct())).where(
            VerdictRow.given_at >= midnight, *_by(account)
        )
    )
    return Load(waiting or 0, given or 0)


def _for(account: str) -> tuple[ColumnElement[bool], ...]:
    own = select(VerdictRow.id).where(VerdictRow.review_item_id == ReviewItemRow.id, *_by(account))
    not_the_uploader = or_(ReviewItemRow.uploader.is_(None), ReviewItemRow.uploader != account)
    return (not_the_uploader, ~own.exists())


def _by(account: str) -> tuple[ColumnElement[bool], ...]:
    return (VerdictRow.author == account, VerdictRow.source == VerdictSource.CONSOLE.value)


def _behind(created_at: datetime, row_id: int) -> ColumnElement[bool]:
    return or_(
        ReviewItemRow.created_at > created_at,
        and_(ReviewItemRow.created_at == created_at, ReviewItemRow.id > row_id),
    )


__all__ = ["Load", "load", "next_item"]
