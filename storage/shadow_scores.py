"""Scores of a model that watches, in a table of their own: who asks what was decided cannot meet them."""

from dataclasses import asdict
from datetime import datetime

from sqlalchemy.orm import Session

from storage.feedback_tables import ShadowScoreRow
from storage.insertion import insert_new
from storage.values import Classification


def add(
    tx: Session, upload_id: int, classification: Classification, now: datetime, *, representative: bool
) -> bool:
    """Keep a score of a shadow; neither the upload's outcome nor its review is touched.

    Args:
        tx: A session of `Database.transaction()`.
        upload_id: Row id of the upload.
        classification: The score.
        now: The present.
        representative: Whether chance alone chose this upload for the shadow; False where it was scored
            because people are asked about it.

    Returns:
        Whether it is new; one upload has one score of each model version.
    """
    row = {
        "upload_id": upload_id,
        "model_version_id": classification.model_version_id,
        "score": classification.score,
        "label": classification.label,
        "threshold": classification.threshold,
        "representative": representative,
        "worst": asdict(classification.worst),
        "frame_count": len(classification.frames),
        "decoder": classification.decoder,
        "timings_s": dict(classification.timings_s),
        "coverage": None if classification.coverage is None else dict(classification.coverage),
        "created_at": now,
    }
    return insert_new(tx, ShadowScoreRow, [row]) == 1


__all__ = ["add"]
