"""A shadow scores what the active model scores, without flagging: what a comparison is made of later.

A shadow never costs an upload its outcome: whatever it fails at is counted and told, and the upload goes its
way without that score. It decodes the same local files again with its own preprocessing, because the active
model may stop at a film's first hit, where the shadow may still have to look on.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from classifier.errors import ClassifierError
from classifier.values import MediaPart, MediaScore
from storage.engine import Database
from storage.model_registry import ModelStanding, RegisteredModel, holder
from storage.values import Classification, FrameScore

log = logging.getLogger(__name__)

Score = Callable[[Sequence[MediaPart]], MediaScore]


@dataclass(frozen=True, slots=True)
class Roles:
    """Which models a daemon runs, read once at its start.

    Attributes:
        active: Name of the model that flags.
        thresholds: Calibrated ones of it by level, over those of its card.
        shadow: The model that watches; None where there is none.
    """

    active: str
    thresholds: Mapping[str, float]
    shadow: RegisteredModel | None


def roles(database: Database, configured: str) -> Roles:
    """Who is active and who is a shadow.

    Args:
        database: The store.
        configured: The configuration's model, which is active where the registry names none.

    Returns:
        The roles.
    """
    with database.read() as tx:
        active, shadow = holder(tx, ModelStanding.ACTIVE), holder(tx, ModelStanding.SHADOW)
    if active is None:
        return Roles(configured, {}, shadow)
    return Roles(active.name, active.thresholds, shadow)


@dataclass(frozen=True, slots=True)
class Shadow:
    """The model that watches.

    Attributes:
        score: Decodes and scores local files with it.
        model_version_id: Its row in the store.
        failed: Told the kind of every failure, for the metrics.
    """

    score: Score
    model_version_id: int
    failed: Callable[[str], None] = lambda _kind: None

    def classify(
        self, parts: Sequence[MediaPart], rendition: Mapping[str, str | int | float | None]
    ) -> Classification | None:
        """Score one upload.

        Args:
            parts: Its local files, which are still there.
            rendition: What was downloaded.

        Returns:
            The score, for `storage.shadow_scores.add`; None where it failed, which is told in the log.
        """
        try:
            scored = self.score(parts)
        except ClassifierError as error:
            self.failed(type(error).__name__)
            log.warning("shadow_failed", extra={"reason": str(error)})
            return None
        return Classification(
            model_version_id=self.model_version_id,
            score=scored.score,
            label=scored.label,
            threshold=scored.threshold,
            frames=tuple(FrameScore(f.score, f.at_s, f.page) for f in scored.frames),
            worst=FrameScore(scored.worst.score, scored.worst.at_s, scored.worst.page),
            rendition=rendition,
            decoder=scored.summary.decoder,
            timings_s=dict(scored.timings_s),
        )


__all__ = ["Roles", "Shadow", "roles"]
