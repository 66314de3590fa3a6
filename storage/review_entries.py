"""Everything that a row on a report page shows, gathered for many items with a handful of queries.

How many queries it takes does not depend on how many items are asked for, and each goes by an index: a page
of 100 rows is read as quickly beside a million uploads as beside a thousand.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, aliased

from storage import file_changes, hints, reviews
from storage.review_values import NO_HINT, ReviewEntry, Standing
from storage.standing import standing_of
from storage.tables import (
    ClassificationRow,
    ReviewItemRow,
    ReviewPageRow,
    UploadRow,
)
from storage.values import ChangeKind, ReviewReason


def load(tx: Session, row_ids: Sequence[int]) -> list[ReviewEntry]:
    """Gather entries.

    Args:
        tx: Any session of the database.
        row_ids: Row ids of review items.

    Returns:
        One entry per id, in the order of the ids; ids of no item are passed over.
    """
    chosen = ReviewItemRow.id.in_(row_ids)
    verdicts = reviews.verdicts_by_row(tx, row_ids)
    changes = file_changes.latest(tx, chosen)
    found_hints = hints.load(tx, chosen)
    overwritten = _overwritten(tx, chosen)
    flagged = _flagged_by_uploader(tx, chosen)
    found = {
        item.id: ReviewEntry(
            item_id=item.item_id,
            wiki=upload.wiki,
            title=upload.current_title,
            uploaded_as=upload.title,
            uploader=item.uploader,
            score=score,
            reason=ReviewReason(item.reason),
            worst=reviews.frame(worst),
            logged_at=upload.logged_at,
            scored_at=scored_at,
            standing=standing_of(verdicts[item.id]) if item.id in verdicts else Standing(),
            # Itself is left out in a way that does not tell whether it was flagged.
            other_flagged=flagged.get((upload.wiki, item.uploader), 0)
            - (item.uploader is not None and item.reason == ReviewReason.FLAGGED),
            deleted=changes.get((upload.id, False)) is ChangeKind.DELETE,
            suppressed=changes.get((upload.id, True)) is ChangeKind.SUPPRESS,
            overwritten=upload.id in overwritten,
            page_title=page_title,
            sha1=upload.sha1,
            hint=found_hints.get(upload.id, NO_HINT),
        )
        for item, upload, score, worst, scored_at, page_title in tx.execute(
            select(
                ReviewItemRow,
                UploadRow,
                ClassificationRow.score,
                ClassificationRow.worst,
                ClassificationRow.created_at,
                ReviewPageRow.title,
            )
            .join_from(ReviewItemRow, UploadRow, UploadRow.id == ReviewItemRow.upload_id)
            .join(ClassificationRow, ClassificationRow.id == ReviewItemRow.classification_id)
            .outerjoin(ReviewPageRow, ReviewPageRow.id == ReviewItemRow.page_id)
            .where(chosen)
        )
    }
    return [found[row_id] for row_id in row_ids if row_id in found]


def _overwritten(tx: Session, chosen: ColumnElement[bool]) -> set[int]:
    """Uploads whose title shows other bytes now; a revert to that version makes it the current one again."""
    version = aliased(UploadRow)
    rows = tx.execute(
        select(UploadRow.id, UploadRow.sha1, version.sha1, version.log_id > UploadRow.log_id)
        .join_from(ReviewItemRow, UploadRow, UploadRow.id == ReviewItemRow.upload_id)
        # By title alone: with a condition on log_id, SQLite walks through the wiki's whole later log.
        .join(version, (version.wiki == UploadRow.wiki) & (version.current_title == UploadRow.current_title))
        .where(chosen)
        .order_by(version.log_id)
    )
    other_bytes = {
        upload_id: sha1 is None or sha1 != latest for upload_id, sha1, latest, later in rows if later
    }
    return {upload_id for upload_id, differs in other_bytes.items() if differs}


def _flagged_by_uploader(tx: Session, chosen: ColumnElement[bool]) -> dict[tuple[str, str | None], int]:
    uploaders = tx.scalars(
        select(ReviewItemRow.uploader).where(chosen, ReviewItemRow.uploader.is_not(None)).distinct()
    ).all()
    rows = tx.execute(
        select(UploadRow.wiki, ReviewItemRow.uploader, func.count())
        .join_from(ReviewItemRow, UploadRow, UploadRow.id == ReviewItemRow.upload_id)
        .where(ReviewItemRow.uploader.in_(uploaders), ReviewItemRow.reason == ReviewReason.FLAGGED.value)
        .group_by(UploadRow.wiki, ReviewItemRow.uploader)
    )
    return {(wiki, uploader): count for wiki, uploader, count in rows}
