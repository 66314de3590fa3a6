"""Draws for every scored upload in the transaction that stores its score, and plans each day anew.

Draws are made one at a time, for each follows from the one before it (see `storage.sampling`). What is
remembered between them is given up after any failure and read again from the store, which has the last word.
"""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from bot.feedback_settings import SamplingSettings
from bot.secret_file import load_secret
from storage import draws, uploads
from storage.allocation import Evidence, allocate
from storage.sampling import Drawn, Lane, Ledger, Media, Plan, decide, opened, strata_between
from storage.values import ClaimedUpload, Classification, ReviewDraw, ReviewReason

Write = Callable[[uploads.Transaction], object]


@dataclass(frozen=True, slots=True)
class _Day:
    begin: datetime
    plan: Plan
    ledgers: dict[Lane, Ledger]


class Sampler:
    """Decides who is asked about, within the day's budget.

    Args:
        settings: Budget and strata.
        key: The secret that the draws follow from.
        clock: Tells the present; for tests.
    """

    def __init__(
        self, settings: SamplingSettings, key: bytes, clock: Callable[[], datetime] | None = None
    ) -> None:
        self._settings = settings
        self._key = key
        self._clock = clock or (lambda: datetime.now(UTC))
        self._fingerprint = fingerprint(key)
        self._lock = threading.Lock()
        self._day: _Day | None = None

    def record(
        self, commit: Callable[[Write], bool], claimed: ClaimedUpload, classification: Classification
    ) -> bool | None:
        """Draw for an upload, and store its score, its draw and, where it was chosen, its review item.

        Args:
            commit: Runs its argument in a transaction, perhaps several times until one stands, and says
                whether one does.
            claimed: The upload.
            classification: Its score.

        Returns:
            Whether people are asked about it; None where `commit` says that nothing was stored.
        """
        with self._lock:
            stored: list[tuple[_Day, bool]] = []

            def write(tx: uploads.Transaction) -> None:
                now = self._clock()
                day = self._today(tx, now)
                lane = Lane.FLAGGED if classification.label == "nsfw" else Lane.UNFLAGGED
                drawn, ledger = decide(
                    day.plan,
                    day.ledgers[lane],
                    lane=lane,
                    score=classification.score,
                    media=media_of(classification),
                    second=(now - day.begin).total_seconds(),
                )
                uploads.score(tx, claimed, classification, now, review=_review(lane, drawn))
                draws.record(tx, claimed.id, drawn, day.plan, now)
                stored.append((replace(day, ledgers=day.ledgers | {lane: ledger}), drawn.chosen))

            done = False
            try:
                done = commit(write)
            finally:
                self._day = stored[-1][0] if done else None
            return stored[-1][1] if done else None

    def _today(self, tx: uploads.Transaction, now: datetime) -> _Day:
        begin = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if self._day is not None and self._day.begin == begin:
            return self._day
        date = begin.date().isoformat()
        ledgers = {lane: draws.ledger(tx, lane, begin) or opened(self._key, date, lane) for lane in Lane}
        return _Day(begin, self._plan(tx, begin, now), ledgers)

    def _plan(self, tx: uploads.Transaction, begin: datetime, now: datetime) -> Plan:
        """The day's plan, made if the day has none yet, or none for these settings."""
        wanted = self._settings
        strata = strata_between(wanted.edges)
        stored = draws.load_plan(tx, now)
        of_today = stored is not None and stored.effective_at >= begin
        if (
            stored is not None
            and of_today
            and stored.plan.strata == strata
            and stored.plan.daily_budget == first_budget(wanted)
            and stored.key_fingerprint == self._fingerprint
        ):
            return stored.plan
        evidence = draws.evidence_before(tx, strata, begin) or self._assumed()
        plan = allocate(evidence, daily_budget=first_budget(wanted), audit_share=wanted.audit_share)
        since = now if of_today else begin
        return draws.store_plan(
            tx, plan, evidence, key_fingerprint=self._fingerprint, effective_at=since, now=now
        )

    def _assumed(self) -> list[Evidence]:
        """For the very first day: uploads as the settings expect them, nearly all of them with low scores."""
        bounds = (0.0, *self._settings.edges, 1.0)
        strata = strata_between(self._settings.edges)
        lows = [low for low, _high in pairwise(bounds)]
        parts = {low: 0.5 ** (index + 1) for index, low in enumerate(lows)}
        whole = len(Media) * sum(parts.values())
        return [
            Evidence(
                stratum,
                0.0
                if stratum.lane is Lane.FLAGGED
                else self._settings.first_day_uploads * parts[stratum.low] / whole,
            )
            for stratum in strata
        ]


def open_sampler(settings: SamplingSettings) -> Sampler | None:
    """The sampler of a daemon.

    Args:
        settings: Budget, strata and where the key is.

    Returns:
        The sampler; None where sampling is off.

    Raises:
        ConfigError: Where the key cannot be had.
    """
    return Sampler(settings, load_key(settings.key_file)) if settings.enabled else None


def fingerprint(key: bytes) -> str:
    """What tells keys apart and betrays none: kept with every plan."""
    return hashlib.sha256(key).hexdigest()[:16]


def proposals_a_day(settings: SamplingSettings) -> int:
    """How many items of the day's budget the second draw has (`bot.proposals`); the first one needs two."""
    return min(int(settings.uncertainty_share * settings.daily_budget), settings.daily_budget - 2)


def first_budget(settings: SamplingSettings) -> int:
    """How many the first draw has."""
    return settings.daily_budget - proposals_a_day(settings)


def media_of(classification: Classification) -> Media:
    """Whether it moves, which pictures with a time tell.

    Args:
        classification: The score.

    Returns:
        What it is.
    """
    moving = any(frame.at_s is not None for frame in classification.frames)
    return Media.MOVING if moving else Media.STILL


def load_key(path: Path) -> bytes:
    """Read the secret that draws follow from, and make one where there is none.

    Args:
        path: Where it is kept, readable for nobody else.

    Returns:
        The secret.

    Raises:
        ConfigError: Where it cannot be read or made, or is too short to be one.
    """
    return load_secret(path, "sampling.key_file")


def _review(lane: Lane, drawn: Drawn) -> ReviewDraw | None:
    if not drawn.chosen:
        return None
    reason = ReviewReason.FLAGGED if lane is Lane.FLAGGED else ReviewReason.AUDIT
    return ReviewDraw(reason, drawn.probability, drawn.stratum)
