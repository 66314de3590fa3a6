"""The frozen values of `storage.metrics`: how good the model is, and what cannot be known about it.

Shares are in 0..1, durations are seconds, times are aware UTC. A share that cannot be estimated has the value
None and the interval of what is still possible, and a sentence says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from storage.estimates import Estimate


class MediaKind(StrEnum):
    """What an upload is, by its title's extension, which the wiki checks."""

    PHOTOGRAPH = "picture"
    GRAPHIC = "graphic"
    MOVING = "moving"
    DOCUMENT = "document"
    OTHER = "other"


class Experience(StrEnum):
    """How many uploads of that account the bot had seen by then, this one included."""

    FIRST = "first upload"
    FEW = "2 to 10 uploads"
    MANY = "over 10 uploads"


class Grouping(StrEnum):
    """What the measures are told apart by."""

    PERIOD = "period"
    MEDIA = "media"
    EXPERIENCE = "experience"
    MODEL = "model"


class Alert(StrEnum):
    """How loudly a change is told."""

    NONE = "none"
    WATCH = "watch"
    ALARM = "alarm"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which uploads the measures are about.

    Attributes:
        since: Scored from then on.
        until: Scored before then.
        model: Name of a model: uploads that it decided about. None takes all of them.
        threshold: Flag from this score on instead of as the bot did; None takes what the bot did.
        media: Only these; None takes all.
        by: What the measures are told apart by; None tells only the whole.
    """

    since: datetime
    until: datetime
    model: str | None = None
    threshold: float | None = None
    media: MediaKind | None = None
    by: Grouping | None = None


@dataclass(frozen=True, slots=True)
class Measures:
    """The measures of one set of uploads.

    Attributes:
        name: Of the set.
        scored: How many were scored.
        flagged: How many of them are flagged.
        chosen: How many people were asked about.
        labelled: On how many of those people agree.
        unresolved: How many were looked at and left unsure or disputed.
        precision: Share of the flagged ones that is explicit.
        recall: Share of the explicit ones that is flagged.
        f1: Harmonic mean of the two.
        prevalence: Share of all that is explicit.
        precision_bounds: Precision with all unresolved ones harmless, and all explicit.
        recall_bounds: Recall likewise, the lower first.
        blind: Precision by the verdicts of those who did not see the score.
        unblinded: Precision by the others'.
        caveats: What the numbers cannot say, one sentence each.
    """

    name: str
    scored: int
    flagged: int
    chosen: int
    labelled: int
    unresolved: int
    precision: Estimate
    recall: Estimate
    f1: Estimate
    prevalence: Estimate
    precision_bounds: tuple[float | None, float | None]
    recall_bounds: tuple[float | None, float | None]
    blind: Estimate
    unblinded: Estimate
    caveats: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What would be if files were flagged from another score on.

    Attributes:
        threshold: That score.
        precision: Precision there.
        recall: Recall there.
        flagged_per_day: How many files a day would be flagged.
    """

    threshold: float
    precision: Estimate
    recall: Estimate
    flagged_per_day: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far reviewers agree on whether files are explicit.

    Attributes:
        alpha: Krippendorff's; 1 is perfect, 0 what chance gives; None where it cannot be said.
        items: Items on which at least two people decided.
        verdicts: Their decisions on these.
        agreeing: Share of these items on which all said the same; None without any.
        reason: Why alpha is None; empty where it is not.
    """

    alpha: float | None
    items: int
    verdicts: int
    agreeing: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long items wait for their first decision; Kaplan and Meier's estimate, open items censored.

    Attributes:
        decided: Items with a decision.
        open: Items without one: they count as waiting for at least as long as they have waited.
        median_s: After so long half of the items are decided; None where that is not reached.
        p75_s: Likewise three quarters.
        p90_s: Likewise nine tenths.
    """

    decided: int
    open: int
    median_s: float | None
    p75_s: float | None
    p90_s: float | None


@dataclass(frozen=True, slots=True)
class Change:
    """Something compared with the period before.

    Attributes:
        what: Its name: `scores`, `skipped` or `flagged`.
        before: The share before; None for scores.
        now: The share now; None for scores.
        index: Population stability index; None but for scores.
        alert: How loudly to tell.
        sentence: What it means, for people.
    """

    what: str
    before: float | None
    now: float | None
    index: float | None
    alert: Alert
    sentence: str


@dataclass(frozen=True, slots=True)
class Load:
    """What the review costs people.

    Attributes:
        flagged_per_day: Files flagged a day.
        asked_per_day: Files put up for review a day, the audit sample included.
        verdicts_per_day: Trusted decisions given a day.
    """

    flagged_per_day: float
    asked_per_day: float
    verdicts_per_day: float


@dataclass(frozen=True, slots=True)
class FeedbackMetrics:
    """Everything that `metrics` tells.

    Attributes:
        selection: What was asked for.
        whole: The measures of all selected uploads.
        groups: The same per group, in their natural order; empty where none was asked for.
        curve: Precision and recall by threshold, rising.
        agreement: Among reviewers.
        waiting: For the first decision.
        load: Of the reviewers.
        drift: What changed since the period before, which is as long.
        caveats: Why the whole may not be trusted, one sentence each.
    """

    selection: Selection
    whole: Measures
    groups: Sequence[Measures]
    curve: Sequence[CurvePoint]
    agreement: Agreement
    waiting: Waiting
    load: Load
    drift: Sequence[Change]
    caveats: Sequence[str]
