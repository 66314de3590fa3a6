"""Scores of a model that watches: kept beside those of the active one, and nobody is asked about them."""

from dataclasses import asdict
from datetime import datetime

from sqlalchemy.orm import Session

from storage.insertion import insert_new
from storage.tables import ClassificationRow
from storage.values import Classification


def add(tx: Session, upload_id: int, classification: Classification, now: datetime) -> bool:
    """Keep a score of another model; neither the upload's outcome nor its review is touched.

    Args:
        tx: A session of `Database.transaction()`.
        upload_id: Row id of the upload.
        classification: The score.
        now: The present.

    Returns:
        Whether it is new; one upload has one score of each model version.
    """
    row = {
        "upload_id": upload_id,
        "model_version_id": classification.model_version_id,
        "score": classification.score,
        "label": classification.label,
        "threshold": classification.threshold,
        "worst": asdict(classification.worst),
        "frame_count": len(classification.frames),
        "frames": [asdict(frame) for frame in classification.frames],
        "rendition": dict(classification.rendition),
        "decoder": classification.decoder,
        "timings_s": dict(classification.timings_s),
        "coverage": None if classification.coverage is None else dict(classification.coverage),
        "created_at": now,
    }
    return insert_new(tx, ClassificationRow, [row]) == 1


__all__ = ["add"]
