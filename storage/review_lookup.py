"""Review items by public id, wherever they stand: rows can be copied to any page, and ids can be forged."""

from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage import export, review_entries, reviews
from storage.review_values import PageState, ReviewEntry, Verdict
from storage.tables import ReviewItemRow, ReviewPageRow, UploadRow

_IDS_A_QUERY = 500
"""Whoever edits a page decides how many ids are on it; databases limit the length of a statement."""


def entries(tx: Session, item_ids: Collection[str]) -> dict[str, ReviewEntry]:
    """What the store knows of some items.

    Args:
        tx: Any session of the database.
        item_ids: Public ids, known or not.

    Returns:
        By public id; ids of no item are left out.
    """
    return {
        entry.item_id: entry
        for row_ids in _row_ids(tx, item_ids)
        for entry in review_entries.load(tx, row_ids)
    }


def verdicts(tx: Session, item_ids: Collection[str]) -> list[Verdict]:
    """Every verdict ever given on some items.

    Args:
        tx: Any session of the database.
        item_ids: Public ids, known or not.

    Returns:
        The verdicts, those of one item in the order in which they were given.
    """
    return [
        verdict
        for row_ids in _row_ids(tx, item_ids)
        for given in reviews.verdicts_by_row(tx, row_ids).values()
        for verdict in given
    ]


def homes(tx: Session, wiki: str, item_ids: Collection[str]) -> dict[str, str]:
    """On which page items stand; those on archived pages are left out, for these are not kept up to date.

    Args:
        tx: Any session of the database.
        wiki: Database name of the wiki that the pages are on.
        item_ids: Public ids, known or not.

    Returns:
        Full title by public id.
    """
    return {
        item_id: title
        for chunk in _chunks(item_ids)
        for item_id, title in tx.execute(
            select(ReviewItemRow.item_id, ReviewPageRow.title)
            .join(ReviewPageRow, ReviewPageRow.id == ReviewItemRow.page_id)
            .where(
                ReviewItemRow.item_id.in_(chunk),
                ReviewPageRow.wiki == wiki,
                ReviewPageRow.state == PageState.OPEN.value,
            )
        )
    }


def titles(tx: Session, wiki: str, after_row_id: int, limit: int) -> list[tuple[int, str]]:
    """The files of review items, page after page.

    Args:
        tx: Any session of the database.
        wiki: Database name of the files' wiki.
        after_row_id: The last row id of the page before.
        limit: At most so many.

    Returns:
        Row id of the item and present title of its file, empty where that is suppressed.
    """
    gone = export.suppressed(tx).upload_ids
    rows = tx.execute(
        select(ReviewItemRow.id, UploadRow.id, UploadRow.current_title)
        .join(UploadRow, UploadRow.id == ReviewItemRow.upload_id)
        .where(ReviewItemRow.id > after_row_id, UploadRow.wiki == wiki)
        .order_by(ReviewItemRow.id)
        .limit(limit)
    )
    return [(row_id, "" if upload_id in gone else title) for row_id, upload_id, title in rows]


def _row_ids(tx: Session, item_ids: Collection[str]) -> Iterator[Sequence[int]]:
    for chunk in _chunks(item_ids):
        yield tx.scalars(select(ReviewItemRow.id).where(ReviewItemRow.item_id.in_(chunk))).all()


def _chunks(item_ids: Collection[str]) -> Iterator[Sequence[str]]:
    ordered = sorted(set(item_ids))
    for start in range(0, len(ordered), _IDS_A_QUERY):
        yield ordered[start : start + _IDS_A_QUERY]
