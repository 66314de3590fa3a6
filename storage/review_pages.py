"""Which items stand on which report page, and how far each page was read and written.

The store is the truth about rows: an item is placed here before its row is written, so a write that fails,
or a row that vandalism removed, is made good by the next edit. Verdicts and the revision up to which they
were read are stored in one transaction: call `reviews.add_verdicts` and `mark_seen` with the same `tx`, and
a crash in between costs a repetition, never a verdict.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, Select, func, or_, select, update
from sqlalchemy.orm import Session

from storage import review_entries
from storage.errors import StoreError
from storage.insertion import insert_new
from storage.review_values import PageKind, PageState, ReviewEntry, ReviewPage, ReviewState
from storage.tables import ReviewItemRow, ReviewPageRow


def unplaced(tx: Session, limit: int, *, after: str | None = None) -> list[ReviewEntry]:
    """Items without a page that still need a decision.

    Args:
        tx: Any session of the database.
        limit: At most so many.
        after: Only those behind the item with this public id, so that items which are left out do not hide
            the others; None, or an id of no item, begins with the oldest.

    Returns:
        The entries, oldest first.
    """
    behind = () if after is None else _behind(tx, after)
    waiting = [
        (created_at, row_id)
        for state in (ReviewState.OPEN, ReviewState.DISPUTED)
        for created_at, row_id in tx.execute(
            select(ReviewItemRow.created_at, ReviewItemRow.id)
            .where(ReviewItemRow.page_id.is_(None), ReviewItemRow.state == state.value, *behind)
            .order_by(ReviewItemRow.created_at, ReviewItemRow.id)
            .limit(limit)
        )
    ]
    return review_entries.load(tx, [row_id for _, row_id in sorted(waiting)[:limit]])


def add(tx: Session, wiki: str, title: str, kind: PageKind, now: datetime) -> bool:
    """Make a page known; nothing happens where it is.

    Args:
        tx: A session of `Database.transaction()`.
        wiki: Database name of the wiki that the page is on.
        title: Full title.
        kind: What it holds.
        now: The present.

    Returns:
        Whether it is new.
    """
    row = {"wiki": wiki, "title": title, "kind": kind.value, "state": PageState.OPEN.value, "created_at": now}
    return insert_new(tx, ReviewPageRow, [row]) == 1


def place(tx: Session, wiki: str, title: str, item_ids: Sequence[str], now: datetime) -> int:
    """Give items their page, for good; the page is made known where it is not.

    Rows stand in an order that follows from a hash of the item's id: whoever looks cannot tell from it when
    or why an item was chosen, and it is the same again after a backup was restored.

    Args:
        tx: A session of `Database.transaction()`.
        wiki: Database name of the wiki that the page is on.
        title: Full title of the page.
        item_ids: Public ids; those that have a page already, and unknown ones, are passed over.
        now: The present.

    Returns:
        How many were placed.
    """
    add(tx, wiki, title, PageKind.ITEM, now)
    page = _row(tx, wiki, title)
    return sum(
        _changed(
            tx,
            ReviewItemRow,
            (ReviewItemRow.item_id == item_id, ReviewItemRow.page_id.is_(None)),
            page_id=page.id,
            row_order=_row_order(item_id),
        )
        for item_id in sorted(item_ids)
    )


def move(tx: Session, wiki: str, title: str, item_ids: Sequence[str]) -> int:
    """Follow people who moved rows from one page to another; an archived page is opened for undecided ones.

    Args:
        tx: A session of `Database.transaction()`.
        wiki: Database name of the wiki that the page is on.
        title: Full title of the page on which the rows are now.
        item_ids: Public ids; those that have no page yet are passed over.

    Returns:
        How many were moved.

    Raises:
        StoreError: The page is not known.
    """
    page = _row(tx, wiki, title)
    moved = sum(
        _changed(
            tx,
            ReviewItemRow,
            (
                ReviewItemRow.item_id == item_id,
                ReviewItemRow.page_id.is_not(None),
                ReviewItemRow.page_id != page.id,
            ),
            page_id=page.id,
        )
        for item_id in sorted(item_ids)
    )
    if moved:
        archived = (ReviewPageRow.id == page.id, ReviewPageRow.state == PageState.ARCHIVED.value)
        _changed(tx, ReviewPageRow, (*archived, _undecided(page).exists()), state=PageState.OPEN.value)
    return moved


def unplace(tx: Session, wiki: str, title: str, item_ids: Sequence[str]) -> int:
    """Take undecided items off a page that cannot hold their rows; they wait for another page then.

    Args:
        tx: A session of `Database.transaction()`.
        wiki: Database name of the wiki that the page is on.
        title: Full title of the page.
        item_ids: Public ids; decided ones, and those on other pages, are passed over.

    Returns:
        How many wait again.

    Raises:
        StoreError: The page is not known.
    """
    page = _row(tx, wiki, title)
    here = (ReviewItemRow.page_id == page.id, ReviewItemRow.state != ReviewState.CLOSED.value)
    return sum(
        _changed(tx, ReviewItemRow, (ReviewItemRow.item_id == item_id, *here), page_id=None)
        for item_id in sorted(item_ids)
    )


def rows_of(tx: Session, wiki: str, title: str) -> list[ReviewEntry]:
    """The items on a page, decided ones included.

    Args:
        tx: Any session of the database.
        wiki: Database name of the wiki that the page is on.
        title: Full title of the page.

    Returns:
        The entries in the order of their rows; empty for an unknown page.
    """
    ids = tx.scalars(
        select(ReviewItemRow.id)
        .join(ReviewPageRow, ReviewPageRow.id == ReviewItemRow.page_id)
        .where(*_is(wiki, title))
        .order_by(ReviewItemRow.row_order, ReviewItemRow.id)
    )
    return review_entries.load(tx, ids.all())


def pages(tx: Session, wiki: str, *, open_only: bool = True) -> list[ReviewPage]:
    """The pages of a wiki's report with what stands on them.

    Args:
        tx: Any session of the database.
        wiki: Database name of the wiki that the pages are on.
        open_only: Leave out archived ones.

    Returns:
        The pages, oldest first.
    """
    chosen: tuple[ColumnElement[bool], ...] = (ReviewPageRow.wiki == wiki,)
    if open_only:
        chosen += (ReviewPageRow.state == PageState.OPEN.value,)
    return _load(tx, chosen)


def find(tx: Session, wiki: str, title: str) -> ReviewPage | None:
    """One page.

    Args:
        tx: Any session of the database.
        wiki: Database name of the wiki that the page is on.
        title: Full title.

    Returns:
        The page; None where it is not known.
    """
    return next(iter(_load(tx, _is(wiki, title))), None)


def mark_seen(tx: Session, wiki: str, title: str, revision_id: int) -> bool:
    """Remember up to which revision a page was read; it never goes back.

    Args:
        tx: The session in which the verdicts of this pass were added.
        wiki: Database name of the wiki that the page is on.
        title: Full title of the page.
        revision_id: The newest revision read.

    Returns:
        Whether this is further than before.

    Raises:
        StoreError: The page is not known.
    """
    page = _row(tx, wiki, title)
    return _move_seen(tx, page, revision_id)


def mark_written(
    tx: Session, wiki: str, title: str, revision_id: int, now: datetime, *, based_on: int | None
) -> None:
    """Remember an edit of our own.

    Where everything up to the text it was based on had been read, the edit counts as read too: it holds no
    verdict of anybody, and the next pass need not fetch it.

    Args:
        tx: A session of `Database.transaction()`.
        wiki: Database name of the wiki that the page is on.
        title: Full title of the page.
        revision_id: The revision that the edit made (or found, where nothing had to be changed).
        now: The present.
        based_on: The revision that the edit was based on; None where it created the page.

    Raises:
        StoreError: The page is not known.
    """
    page = _row(tx, wiki, title)
    _changed(
        tx,
        ReviewPageRow,
        (ReviewPageRow.id == page.id, _before(ReviewPageRow.last_written_revision_id, revision_id)),
        last_written_revision_id=revision_id,
    )
    _changed(tx, ReviewPageRow, (ReviewPageRow.id == page.id,), last_written_at=now)
    if page.last_seen_revision_id == based_on:
        _move_seen(tx, page, revision_id)


def archive(tx: Session, wiki: str, title: str) -> bool:
    """Close a page whose rows are all decided; a later dispute opens it again by itself.

    Args:
        tx: A session of `Database.transaction()`.
        wiki: Database name of the wiki that the page is on.
        title: Full title of the page.

    Returns:
        Whether it is archived now and was not before; False where a row is undecided.

    Raises:
        StoreError: The page is not known.
    """
    page = _row(tx, wiki, title)
    return bool(
        _changed(
            tx,
            ReviewPageRow,
            (
                ReviewPageRow.id == page.id,
                ReviewPageRow.state == PageState.OPEN.value,
                ~_undecided(page).exists(),
            ),
            state=PageState.ARCHIVED.value,
        )
    )


def _behind(tx: Session, item_id: str) -> tuple[ColumnElement[bool], ...]:
    found = tx.execute(
        select(ReviewItemRow.created_at, ReviewItemRow.id).where(ReviewItemRow.item_id == item_id)
    ).one_or_none()
    if found is None:
        return ()
    created_at, row_id = found
    same_moment = (ReviewItemRow.created_at == created_at) & (ReviewItemRow.id > row_id)
    return (or_(ReviewItemRow.created_at > created_at, same_moment),)


def _undecided(page: ReviewPageRow) -> Select[int]:
    return select(ReviewItemRow.id).where(
        ReviewItemRow.page_id == page.id, ReviewItemRow.state != ReviewState.CLOSED.value
    )


def _load(tx: Session, chosen: tuple[ColumnElement[bool], ...]) -> list[ReviewPage]:
    counts: dict[int, dict[str, int]] = {}
    last_change: dict[int, datetime] = {}
    for page_id, state, count, changed_at in tx.execute(
        select(ReviewPageRow.id, ReviewItemRow.state, func.count(), func.max(ReviewItemRow.state_changed_at))
        .join_from(ReviewPageRow, ReviewItemRow, ReviewItemRow.page_id == ReviewPageRow.id)
        .where(*chosen)
        .group_by(ReviewPageRow.id, ReviewItemRow.state)
    ):
        counts.setdefault(page_id, {})[state] = count
        if changed_at is not None:
            last_change[page_id] = max(changed_at, last_change.get(page_id, changed_at))
    rows = tx.scalars(
        select(ReviewPageRow)
        .where(*chosen)
        .order_by(ReviewPageRow.created_at, ReviewPageRow.id)
        .execution_options(populate_existing=True)
    )
    return [
        ReviewPage(
            wiki=row.wiki,
            title=row.title,
            kind=PageKind(row.kind),
            state=PageState(row.state),
            created_at=row.created_at,
            last_seen_revision_id=row.last_seen_revision_id,
            last_written_revision_id=row.last_written_revision_id,
            last_written_at=row.last_written_at,
            open=counts.get(row.id, {}).get(ReviewState.OPEN.value, 0),
            disputed=counts.get(row.id, {}).get(ReviewState.DISPUTED.value, 0),
            closed=counts.get(row.id, {}).get(ReviewState.CLOSED.value, 0),
            last_change_at=last_change.get(row.id),
        )
        for row in rows
    ]


def _row(tx: Session, wiki: str, title: str) -> ReviewPageRow:
    # Fresh from the database: the updates below pass the session's memory by.
    statement = select(ReviewPageRow).where(*_is(wiki, title)).execution_options(populate_existing=True)
    row = tx.scalar(statement)
    if row is None:
        raise StoreError(f"{title!r} on {wiki} is no known report page: add it, or place items on it, first")
    return row


def _is(wiki: str, title: str) -> tuple[ColumnElement[bool], ...]:
    return (ReviewPageRow.wiki == wiki, ReviewPageRow.title == title)


def _before(column: Any, revision_id: int) -> ColumnElement[bool]:
    return or_(column.is_(None), column < revision_id)


def _move_seen(tx: Session, page: ReviewPageRow, revision_id: int) -> bool:
    further = (ReviewPageRow.id == page.id, _before(ReviewPageRow.last_seen_revision_id, revision_id))
    return _changed(tx, ReviewPageRow, further, last_seen_revision_id=revision_id) == 1


def _changed(
    tx: Session, row_type: type[Any], conditions: tuple[ColumnElement[bool], ...], **values: Any
) -> int:
    statement = update(row_type).where(*conditions).values(values)
    result = tx.execute(statement.execution_options(synchronize_session=False))
    assert isinstance(result, CursorResult)
    return result.rowcount


def _row_order(item_id: str) -> int:
    """31 bits, for the signed integers of every database."""
    return int.from_bytes(hashlib.blake2b(item_id.encode(), digest_size=4).digest()) >> 1
