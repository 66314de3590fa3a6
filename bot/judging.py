"""What a promotion is judged by: three paired differences, each of which has to hold by itself. Pure.

F1 at the level in use has to be at least as good; two guards beside it may not get worse by more than a
margin: recall at the level in use, so that no better precision is bought with missed files, and recall where
both models flag equally many files, so that no better recall is bought with more work. Each is looked at by
the lower end of its own 95 % interval. All have to hold, so that looking at several makes no mistake likelier
(an intersection-union test: Berger 1982, Technometrics 24:295-300).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from storage.paired_estimates import Difference

F1, RECALL, EQUAL_LOAD = "F1", "recall", "recall at equal review load"
Basis = Literal["feedback", "evaluation", "none"]


@dataclass(frozen=True, slots=True)
class Margins:
    """How much worse a candidate may be, at the lower end of each interval.

    Attributes:
        f1: For F1; 0: it has to be shown to be no worse.
        recall: For both recalls.
    """

    f1: float = 0.0
    recall: float = 0.1

    def of(self, name: str) -> float:
        """The margin of a figure."""
        return self.f1 if name == F1 else self.recall


@dataclass(frozen=True, slots=True)
class Figure:
    """One difference, candidate less active model, and what it has to reach.

    Attributes:
        name: Of the measure.
        value: The difference; None where it is not known.
        low: Lower end of its interval.
        high: Upper end.
        margin: The lower end may be this far below 0.
    """

    name: str
    value: float | None
    low: float
    high: float
    margin: float

    @property
    def holds(self) -> bool:
        """Whether it speaks for the candidate."""
        return self.value is not None and self.low >= -self.margin

    @property
    def room(self) -> float:
        """How far the lower end is from failing; below 0 where it fails."""
        return self.low + self.margin if self.value is not None else -1.0

    def __str__(self) -> str:
        """The figure, for a person."""
        value = "unknown" if self.value is None else f"{self.value:+.3f}"
        return f"{self.name} {value} ({self.low:+.3f} to {self.high:+.3f}, allowed {0 - self.margin:+.3f})"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a promotion rests on.

    Attributes:
        basis: `feedback` (both scored it), `evaluation` (on held-out feedback, by `retrain`), or `none`.
        figures: The differences; none with `none`.
        labelled: Labelled items behind them.
        level: The level at which the models are compared.
        thresholds: Of the active model and of the candidate there; None with `none`.
        recalibrated: Whether each of them follows from what the level asks, on the same feedback.
        objection: Why it is not promoted, whatever the figures say; or empty.
        needed: Labelled items that are needed.
    """

    basis: Basis
    figures: tuple[Figure, ...]
    labelled: int
    level: str
    thresholds: tuple[float, float] | None = None
    recalibrated: tuple[bool, bool] = (False, False)
    objection: str = ""
    needed: int = 0

    @property
    def accepts(self) -> bool:
        """Whether the candidate is shown to be good enough."""
        return bool(self.figures) and all(one.holds for one in self.figures) and not self.objection

    def sentence(self, name: str, against: str) -> str:
        """All figures with their intervals, and which of them decided, for a person.

        Args:
            name: Of the candidate.
            against: Of the active model.
        """
        if not self.figures:
            return (
                f"{name} and {against} have {self.labelled} labelled uploads in common, {self.needed} "
                "are needed, and there is no evaluation of it against that model"
            )
        figures = ", ".join(str(one) for one in self.figures)
        return (
            f"{name} less {against}{self._where()}: {figures}; 95 %, {self.labelled} labelled items, from "
            f"{self.basis}. {self._decided()}"
        )

    def _where(self) -> str:
        if self.thresholds is None:
            return ""
        first, second = (
            f"{threshold:.4g}, {'as the level asks' if found else 'as it stands'}"
            for threshold, found in zip(self.thresholds, self.recalibrated, strict=True)
        )
        return f" at level {self.level} (flagging from {second}; and from {first})"

    def _decided(self) -> str:
        if self.objection:
            return f"What decided: {self.objection}"
        closest = min(self.figures, key=lambda one: one.room)
        if closest.holds:
            return f"All of them hold; the closest was {closest.name}"
        return f"What decided: {closest.name}, {closest.low:+.3f} at its lower end"


def figures_of(
    f1: Difference, recall: Difference, equal_load: Difference, margins: Margins
) -> tuple[Figure, ...]:
    """The figures of a comparison.

    Args:
        f1: At the level in use.
        recall: There, too.
        equal_load: Recall where both flag equally many files.
        margins: What is allowed.
    """
    named = ((F1, f1), (RECALL, recall), (EQUAL_LOAD, equal_load))
    return tuple(Figure(name, one.value, one.low, one.high, margins.of(name)) for name, one in named)


def figures_told(evaluation: Mapping[str, Any], margins: Margins) -> tuple[Figure, ...]:
    """The figures of an evaluation as `retrain` kept it; one that is missing there is unknown.

    Args:
        evaluation: Its plain values.
        margins: What is allowed.
    """
    unknown = {"value": None, "low": -1.0, "high": 1.0}
    found = []
    for name, key in ((F1, "f1"), (RECALL, "recall"), (EQUAL_LOAD, "recall_at_equal_load")):
        told = evaluation.get(key, unknown)
        found.append(Figure(name, told["value"], told["low"], told["high"], margins.of(name)))
    return tuple(found)


__all__ = [
    "EQUAL_LOAD",
    "F1",
    "RECALL",
    "Basis",
    "Figure",
    "Judgement",
    "Margins",
    "figures_of",
    "figures_told",
]
