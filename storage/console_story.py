"""Reads everything the store knows of one upload, from its log entry to the removal of its picture."""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage import hints
from storage.console_story_values import (
    CopyStory,
    ReviewStory,
    StoredDraw,
    StoredScore,
    Story,
    UploadStory,
    is_suppressed,
)
from storage.feedback_tables import KeptCopyRow, PurgeRow, SampleDrawRow, ShadowScoreRow
from storage.kept_copies import Purge, PurgeReason
from storage.review_values import NO_HINT, ReviewState
from storage.reviews import frame, verdicts_by_row
from storage.standing import standing_of
from storage.tables import (
    ClassificationRow,
    FileChangeRow,
    FileChangeUploadRow,
    ModelVersionRow,
    ReviewItemRow,
    ReviewPageRow,
    UploadRow,
)
from storage.values import ChangeKind, FileChange, ReviewReason


def story(tx: Session, wiki: str, log_id: int) -> Story | None:
    """Read the story of an upload.

    Args:
        tx: A session of `Database.read()`.
        wiki: Database name of the wiki.
        log_id: Log id of the upload.

    Returns:
        The story; None where no such upload is stored.
    """
    row = tx.scalars(
        select(UploadRow).where(UploadRow.wiki == wiki, UploadRow.log_id == log_id)
    ).one_or_none()
    if row is None:
        return None
    item = tx.scalars(select(ReviewItemRow).where(ReviewItemRow.upload_id == row.id)).one_or_none()
    draw = tx.get(SampleDrawRow, row.id)
    deciding = item.classification_id if item else draw.classification_id if draw else None
    return Story(
        upload=_upload(row),
        scores=[*_scores(tx, row.id, deciding), *_shadow_scores(tx, row.id)],
        draw=None
        if draw is None
        else StoredDraw(draw.stratum, draw.probability, draw.draw, draw.chosen, draw.drawn_at),
        review=None if item is None else _review(tx, item),
        changes=_changes(tx, row.id),
        hint=NO_HINT if item is None else hints.of_items(tx, [item.item_id]).get(item.item_id, NO_HINT),
        copies=_copies(tx, row.id),
        purges=_purges(tx, row),
    )


def picture_of(tx: Session, wiki: str, log_id: int, now: datetime, days: float) -> str | None:
    """The kept picture of an upload that may be shown.

    Args:
        tx: A session of `Database.read()`.
        wiki: Database name of the wiki.
        log_id: Log id of the upload.
        now: The present.
        days: How long pictures are kept by the present settings; older ones are not shown any more.

    Returns:
        SHA-256 of the latest one; None where none is kept, its time is over or the wiki hides the file.
    """
    upload_id = tx.scalar(select(UploadRow.id).where(UploadRow.wiki == wiki, UploadRow.log_id == log_id))
    if upload_id is None or is_suppressed(_changes(tx, upload_id)):
        return None
    return tx.scalar(
        select(KeptCopyRow.sha256)
        .where(
            KeptCopyRow.upload_id == upload_id,
            KeptCopyRow.purged_at.is_(None),
            KeptCopyRow.expires_at > now,
            KeptCopyRow.kept_at > now - timedelta(days=days),
        )
        .order_by(KeptCopyRow.id.desc())
        .limit(1)
    )


def _upload(row: UploadRow) -> UploadStory:
    return UploadStory(
        wiki=row.wiki,
        log_id=row.log_id,
        action=row.action,
        title=row.current_title,
        uploaded_as=row.title,
        user=row.user,
        sha1=row.sha1,
        logged_at=row.logged_at,
        source=row.source,
        received_at=row.received_at,
        state=row.state,
        attempts=row.attempts,
        crashes=row.crashes,
        last_code=row.last_code,
        last_message=row.last_message,
        next_attempt_at=row.next_attempt_at,
        outcome=row.outcome,
        outcome_code=row.outcome_code,
        outcome_message=row.outcome_message,
        finished_at=row.finished_at,
    )


def _scores(tx: Session, upload_id: int, deciding: int | None) -> list[StoredScore]:
    rows = tx.execute(
        select(ClassificationRow, ModelVersionRow)
        .join(ModelVersionRow, ModelVersionRow.id == ClassificationRow.model_version_id)
        .where(ClassificationRow.upload_id == upload_id)
        .order_by(ClassificationRow.id)
    ).all()
    # What was neither drawn nor put up for review has one score, or was scored again after a break.
    decided = deciding if deciding is not None else min((row.id for row, _ in rows), default=None)
    found = [
        StoredScore(
            model=version.name,
            weights_sha256=version.weights_sha256,
            preprocessing=version.preprocessing,
            engine=version.engine,
            score=row.score,
            label=row.label,
            threshold=row.threshold,
            frames=tuple(frame(one) for one in row.frames),
            worst=frame(row.worst),
            rendition=row.rendition,
            decoder=row.decoder,
            timings_s=row.timings_s,
            coverage=row.coverage,
            created_at=row.created_at,
            decided=row.id == decided,
        )
        for row, version in rows
    ]
    return sorted(found, key=lambda one: not one.decided)


def _shadow_scores(tx: Session, upload_id: int) -> list[StoredScore]:
    """Scores of models that watched; they keep the worst frame alone."""
    rows = tx.execute(
        select(ShadowScoreRow, ModelVersionRow)
        .join(ModelVersionRow, ModelVersionRow.id == ShadowScoreRow.model_version_id)
        .where(ShadowScoreRow.upload_id == upload_id)
        .order_by(ShadowScoreRow.id)
    )
    return [
        StoredScore(
            model=version.name,
            weights_sha256=version.weights_sha256,
            preprocessing=version.preprocessing,
            engine=version.engine,
            score=row.score,
            label=row.label,
            threshold=row.threshold,
            frames=(frame(row.worst),),
            worst=frame(row.worst),
            rendition={},
            decoder=row.decoder,
            timings_s=row.timings_s,
            coverage=row.coverage,
            created_at=row.created_at,
            decided=False,
        )
        for row, version in rows
    ]


def _review(tx: Session, item: ReviewItemRow) -> ReviewStory:
    verdicts = verdicts_by_row(tx, [item.id]).get(item.id, [])
    page = tx.get(ReviewPageRow, item.page_id) if item.page_id is not None else None
    return ReviewStory(
        item_id=item.item_id,
        reason=ReviewReason(item.reason),
        probability=item.inclusion_probability,
        stratum=item.stratum,
        state=ReviewState(item.state),
        created_at=item.created_at,
        state_changed_at=item.state_changed_at,
        page_title=page.title if page else None,
        page_written_at=page.last_written_at if page else None,
        page_revision_id=page.last_written_revision_id if page else None,
        verdicts=verdicts,
        standing=standing_of(verdicts),
    )


def _changes(tx: Session, upload_id: int) -> list[FileChange]:
    rows = tx.scalars(
        select(FileChangeRow)
        .join(FileChangeUploadRow, FileChangeUploadRow.file_change_id == FileChangeRow.id)
        .where(FileChangeUploadRow.upload_id == upload_id)
        .order_by(FileChangeRow.logged_at, FileChangeRow.log_id)
    )
    return [
        FileChange(
            row.wiki, row.log_id, ChangeKind(row.kind), row.title, row.target_title, row.user, row.logged_at
        )
        for row in rows
    ]


def _copies(tx: Session, upload_id: int) -> list[CopyStory]:
    rows = tx.scalars(select(KeptCopyRow).where(KeptCopyRow.upload_id == upload_id).order_by(KeptCopyRow.id))
    return [
        CopyStory(row.sha256, row.size_bytes, row.at_s, row.kept_at, row.expires_at, row.purged_at)
        for row in rows
    ]


def _purges(tx: Session, upload: UploadRow) -> list[Purge]:
    rows = tx.scalars(select(PurgeRow).where(PurgeRow.upload_id == upload.id).order_by(PurgeRow.id))
    return [
        Purge(
            upload.id,
            upload.current_title,
            row.sha256,
            PurgeReason(row.reason),
            row.purged_by,
            row.purged_at,
        )
        for row in rows
    ]


__all__ = ["picture_of", "story"]
