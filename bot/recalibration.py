"""The thresholds of a model by what each level asks, from the weighted verdicts on what it scored."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from bot.level_settings import Target
from classifier.values import Level
from storage import model_comparison, threshold_choice
from storage.model_comparison import Maker, Reviewed
from storage.threshold_choice import Choice, TooLittleFeedback, Unreachable
from storage.uploads import Transaction

LEVELS: tuple[Level, ...] = ("cautious", "balanced", "sensitive")
BUDGET_DAYS = 28.0


@dataclass(frozen=True, slots=True)
class Recalibrated:
    """Thresholds, and where they come from.

    Attributes:
        thresholds: By level: what the target asks, or what held before where that cannot be told yet. They
            never rise from a cautious level to a sensitive one.
        choices: What is known of those that were found.
        missing: Why the others were not, by level.
        unreachable: Of these, the levels that enough labels show no threshold to reach.
    """

    thresholds: Mapping[str, float]
    choices: Mapping[str, Choice]
    missing: Mapping[str, str]
    unreachable: frozenset[str]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one model's scores, read once.

    Attributes:
        reviewed: Its scores of reviewed uploads.
        highest: Its highest scores of all uploads.
        days: How many days' uploads they are out of.
    """

    reviewed: Reviewed
    highest: list[float]
    days: float


def evidence_of(tx: Transaction, maker: Maker, now: datetime, per_day: float) -> Evidence:
    """Read what thresholds are found from.

    Args:
        tx: A session of `Database.read()`.
        maker: The model.
        now: The present.
        per_day: The largest budget that will be asked for; 0: none.

    Returns:
        The evidence.
    """
    reviewed = model_comparison.reviewed(tx, maker)
    if not per_day:
        return Evidence(reviewed, [], 0.0)
    limit = int(per_day * BUDGET_DAYS) + 1000
    highest, days = model_comparison.highest_scores(tx, maker, now, BUDGET_DAYS, limit)
    return Evidence(reviewed, highest, days)


def choose(evidence: Evidence, target: Target) -> Choice:
    """The threshold that does what is asked.

    Args:
        evidence: Of the model.
        target: What is asked.

    Returns:
        It, and what is known of it.

    Raises:
        TooLittleFeedback: Where that cannot be told.
        Unreachable: Where no threshold does it.
    """
    rows = evidence.reviewed
    feedback = (rows.scores, rows.labels, rows.probabilities)
    if target.precision is not None:
        return threshold_choice.for_precision(*feedback, target.precision, rows.strata)
    assert target.per_day is not None
    return threshold_choice.for_budget(
        *feedback, evidence.highest, evidence.days, target.per_day, rows.strata
    )


def recalibrate(
    tx: Transaction,
    maker: Maker,
    own: Mapping[str, float],
    targets: Mapping[str, Target],
    level: Level,
    now: datetime,
) -> Recalibrated:
    """Find the thresholds of all levels.

    Args:
        tx: A session of `Database.read()`.
        maker: The model.
        own: What holds for levels that nothing can be told of yet.
        targets: What is asked, by level.
        level: The level in use: where two levels contradict each other, it is the other one that gives way.
        now: The present.

    Returns:
        The thresholds.
    """
    evidence = evidence_of(tx, maker, now, max((one.per_day or 0.0 for one in targets.values()), default=0.0))
    choices: dict[str, Choice] = {}
    missing: dict[str, str] = {}
    unreachable = set()
    for name, target in targets.items():
        try:
            choices[name] = choose(evidence, target)
        except TooLittleFeedback as error:
            missing[name] = str(error)
            if isinstance(error, Unreachable):
                unreachable.add(name)
    thresholds = dict(own)
    for name in sorted(choices, key=lambda one: one == level):
        thresholds = threshold_choice.levels_with(thresholds, name, choices[name].threshold, LEVELS)
    return Recalibrated(thresholds, choices, missing, frozenset(unreachable))


__all__ = ["BUDGET_DAYS", "LEVELS", "Evidence", "Recalibrated", "choose", "evidence_of", "recalibrate"]
