"""A shadow: a second model that scores what the active one scores, without flagging anything.

It decodes the same local files again with its own preprocessing, in a worker of its own, because the active
model may stop at a film's first hit, where the shadow may still have to look on. Everything it does, decoding
included, runs at a low priority: it gets what the active model leaves.
"""

import hashlib
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil

from bot import preparing
from bot.makers import model_version
from bot.recording import classified
from bot.scoring import Scorer, call_threads, memory_limit_bytes
from bot.settings import Settings
from classifier.engines import verification
from classifier.errors import ModelError
from classifier.models import catalogue
from classifier.values import Level, MediaPart, MediaScore
from storage import models
from storage.engine import Database
from storage.model_registry import ModelStanding, RegisteredModel, holder
from storage.values import Classification, Upload

log = logging.getLogger(__name__)

NICENESS = 10
_MIB = 1024**2
_WORKER_BYTES = 64 * _MIB

Score = Callable[[Sequence[MediaPart]], MediaScore]


@dataclass(frozen=True, slots=True)
class Roles:
    """Which models the registry names.

    Attributes:
        active: Name of the model that flags.
        weights_sha256: Of its weights; None where the configuration names it.
        thresholds: Calibrated ones of it by level, over those of its card.
        shadow: The model that watches; None where there is none.
    """

    active: str
    weights_sha256: str | None
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
        return Roles(configured, None, {}, shadow)
    return Roles(active.name, active.weights_sha256, active.thresholds, shadow)


@dataclass(frozen=True, slots=True)
class Shadow:
    """The model that watches, loaded.

    Attributes:
        score: Decodes and scores local files with it.
        model_version_id: Its row in the store.
        set_level: Told the level in use.
        close: Ends what belongs to it; a score under way fails.
    """

    score: Score
    model_version_id: int
    set_level: Callable[[Level], None] = lambda _level: None
    close: Callable[[], None] = lambda: None

    def classify(
        self, parts: Sequence[MediaPart], rendition: Mapping[str, str | int | float | None]
    ) -> Classification:
        """Score one upload.

        Args:
            parts: Its local files, which are still there.
            rendition: What was downloaded.

        Returns:
            The score, for `storage.shadow_scores.add`.

        Raises:
            ClassifierError: Where it cannot be scored.
            BotError: Where bytes that have to be fetched yet cannot be had.
        """
        scored = self.score(parts)
        return classified(scored, self.model_version_id, rendition, dict(scored.timings_s))


def open_shadow(settings: Settings, database: Database, wanted: RegisteredModel) -> Shadow:
    """Load a shadow beside the active model, which is loaded already and so has the first claim to memory.

    It gets one call at a time, one decode worker, and for `engine = "auto"` an engine that fits the memory
    which is left. Call it in a thread that gives way (`give_way`): threads and workers inherit that.

    Args:
        settings: Everything; engine, level and limits are those of the active model.
        database: Where its version is registered.
        wanted: The model.

    Returns:
        The shadow; close it.

    Raises:
        ModelError: Where it cannot be loaded, or is not what was registered.
        ClassifierError: Where its decode worker does not start.
        StoreError: Where the store is away.
    """
    card = catalogue.card(wanted.name, settings.classifier.cache_directory)
    if card.weights_sha256 != wanted.weights_sha256:
        raise ModelError(
            f"{wanted.name} has other weights than were registered: models candidate {wanted.name}"
        )
    own = settings_beside(settings, wanted.name, psutil.Process().memory_info().rss)
    scorer = Scorer.load(own, preparing.logged(), calibrated=wanted.thresholds)
    try:
        with database.transaction() as tx:
            version_id = models.register(tx, model_version(scorer), datetime.now(UTC), decides=False)
    except BaseException:
        scorer.close()
        raise
    return Shadow(scorer.score, version_id, scorer.set_level, scorer.close)


def settings_beside(settings: Settings, name: str, used_bytes: int) -> Settings:
    """The settings that a shadow is loaded with.

    Args:
        settings: Those of the daemon.
        name: The model.
        used_bytes: Memory of this process, the active model included.

    Returns:
        The same but for the model, one call at a time, one decode worker, and the memory that is left. A call
        has as many threads as one of the active model's: to torch, their number is the whole process's.
    """
    limit = memory_limit_bytes(settings) or verification.process_limit_bytes()
    left_mb = max(1, (limit - used_bytes - _WORKER_BYTES) // _MIB)
    chosen = {"model": name, "threads": call_threads(settings), "memory_mb": left_mb}
    return settings.model_copy(
        update={
            "classifier": settings.classifier.model_copy(update=chosen),
            "decode": settings.decode.model_copy(update={"workers": 1}),
        }
    )


def give_way() -> None:
    """Let everybody else go first who wants the processor; what this thread starts inherits it (on Linux)."""
    with suppress(AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def in_share(upload: Upload, share: float) -> bool:
    """Whether chance gives an upload to the shadow: by a hash of its id, so that it can be checked later.

    Args:
        upload: The upload.
        share: Of all uploads, 0..1.

    Returns:
        The same for the same upload, whatever its score, the load or the daemon.
    """
    digest = hashlib.sha256(f"shadow {upload.wiki} {upload.log_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share


__all__ = ["Roles", "Shadow", "give_way", "in_share", "open_shadow", "roles", "settings_beside"]
