"""Days of a real store: uploads are scored and drawn for through the bot's own sampler, and people decide."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import select

from bot.feedback_settings import SamplingSettings
from bot.proposals import Proposer
from bot.sampling import Sampler, Write
from storage import models, reviews, uploads
from storage.engine import Database
from storage.review_values import VerdictCode
from storage.tables import ClassificationRow, ReviewItemRow
from tests.review_items import verdict
from tests.storage_database import NOW, classification, model_version, upload

KEY = b"k" * 32
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
THRESHOLD = 0.8
HARD = 0.08
"""So many of the harmless ones may score anything."""


@dataclass(frozen=True, slots=True)
class Day:
    """What happens on one day.

    Attributes:
        uploads: How many.
        model: Who scores them.
        sharp: How well it tells: the exponent that makes scores of explicit files high.
        answers: Whether people decide on an item with this score.
    """

    uploads: int = 150
    model: str = "open_nsfw"
    sharp: float = 3.0
    answers: Callable[[float], bool] = lambda _score: True


@dataclass(frozen=True, slots=True)
class Truth:
    """How it is, of all uploads.

    Attributes:
        precision: Share of the flagged ones that is explicit.
        recall: Share of the explicit ones that is flagged.
    """

    precision: float
    recall: float


def live(database: Database, settings: SamplingSettings, days: list[Day], seed: int = 5) -> Truth:
    """Let days go by: score, draw, decide, and propose.

    Args:
        database: Empty.
        settings: Budget and strata.
        days: One after the other, from the midnight of `NOW` on.
        seed: Of the uploads.

    Returns:
        The truth.
    """
    generator = np.random.default_rng(seed)
    hits = flags = explicit = 0
    is_explicit: dict[int, bool] = {}
    for number, day in enumerate(days):
        begin = MIDNIGHT + timedelta(days=number)
        truth = generator.random(day.uploads) < 0.12
        score = np.where(
            truth,
            generator.random(day.uploads) ** (1 / day.sharp),
            np.where(
                generator.random(day.uploads) < HARD,
                generator.random(day.uploads),
                generator.beta(0.3, 4, day.uploads),
            ),
        )
        ids = range(len(is_explicit) + 1, len(is_explicit) + 1 + day.uploads)
        is_explicit |= dict(zip(ids, truth.tolist(), strict=True))
        _score(database, settings, dict(zip(ids, score.tolist(), strict=True)), day, begin)
        noon = begin + timedelta(hours=12)
        Proposer(database, settings, KEY, lambda: noon).round()  # noqa: B023 - called at once
        with database.transaction() as tx:
            _decide(tx, day, is_explicit, noon)  # of today alone: nobody catches up on a day
        flagged = score >= THRESHOLD
        hits += int((truth & flagged).sum())
        flags += int(flagged.sum())
        explicit += int(truth.sum())
    return Truth(hits / flags, hits / explicit)


def _score(
    database: Database, settings: SamplingSettings, scores: dict[int, float], day: Day, begin: datetime
) -> None:
    """All in one transaction, for speed; the day's uploads come evenly."""
    now = [begin]
    sampler = Sampler(settings, KEY, lambda: now[0])
    with database.transaction() as tx:
        model = models.register(tx, model_version(day.model), begin)
        uploads.add(tx, [upload(log_id) for log_id in scores], begin)
        claimed = uploads.claim(tx, worker="w", limit=len(scores), now=begin, ttl_s=1e6)

        def commit(write: Write) -> bool:
            write(tx)
            return True

        for number, one in enumerate(claimed):
            now[0] = begin + timedelta(hours=11) * (number / len(claimed))
            value = scores[one.upload.log_id]
            label = "nsfw" if value >= THRESHOLD else "sfw"
            sampler.record(commit, one, replace(classification(model, value, frames=1), label=label))


def _decide(tx: uploads.Transaction, day: Day, is_explicit: dict[int, bool], now: datetime) -> None:
    open_items = tx.execute(
        select(ReviewItemRow.item_id, ClassificationRow.score)
        .join(ClassificationRow, ClassificationRow.id == ReviewItemRow.classification_id)
        .where(ReviewItemRow.state == "open", ReviewItemRow.created_at > now - timedelta(hours=13))
    ).all()
    for item_id, score in open_items:
        log_id = int(item_id.rsplit("-", 1)[1])
        if day.answers(score):
            code = VerdictCode.NSFW_DELETE if is_explicit[log_id] else VerdictCode.SFW
            reviews.add_verdict(tx, replace(verdict(log_id, code), given_at=now), now)
