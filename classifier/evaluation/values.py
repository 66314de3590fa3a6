"""What an evaluation says, as frozen values that are plain JSON; reports and cards are made of them.

Nothing here is a picture, a path or a score of a single item, so an evaluation can be published.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import TypeAdapter, ValidationError

from classifier import atomic_file
from classifier.evaluation.calibration import Bin, Temperature
from classifier.evaluation.errors import EvaluationError
from classifier.evaluation.groups import GroupTable
from classifier.evaluation.metrics import Confusion
from classifier.evaluation.prevalence import AtPrevalence
from classifier.evaluation.proportions import Estimate

FORMAT: Final = 1
IntervalMethod = Literal["wilson", "bootstrap", "cluster_bootstrap"]
PointKind = Literal["given", "precision", "budget"]


@dataclass(frozen=True, slots=True)
class Subject:
    """What was measured with what.

    Attributes:
        model: The model's name.
        dataset: The set's name.
        data_hash: The set's content hash, "" where there is none.
        classes: Names of the negative and the positive class.
    """

    model: str
    dataset: str
    data_hash: str = ""
    classes: tuple[str, str] = ("safe", "nsfw")


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of the test set.

    Attributes:
        name: One of `metrics.MEASURES`.
        value: None where it is undefined.
        low: Lower end of the interval; None where there is none.
        high: Upper end.
        method: Where the interval comes from.
    """

    name: str
    value: float | None
    low: float | None
    high: float | None
    method: IntervalMethod


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One threshold of the curves; precision at any prevalence follows from it.

    Attributes:
        threshold: Flagged is whatever reaches it.
        recall: Share of the positives that are flagged.
        false_positive_rate: Share of the negatives that are flagged.
    """

    threshold: float
    recall: float
    false_positive_rate: float


@dataclass(frozen=True, slots=True)
class Histogram:
    """Scores in bins of equal width over 0..1.

    Attributes:
        negatives: Items of the negative class a bin.
        positives: Items of the positive class a bin.
    """

    negatives: tuple[int, ...]
    positives: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether scores mean what they say.

    Attributes:
        temperature: Fitted on the validation set.
        before: Reliability of the scores as they are.
        after: With the temperature; empty where none was fitted.
        ece_before: Expected calibration error, as `before`.
        ece_after: As `after`, else None.
        log_loss_before: As `before`.
        log_loss_after: As `after`, else None.
    """

    temperature: Temperature
    before: tuple[Bin, ...]
    after: tuple[Bin, ...]
    ece_before: float
    ece_after: float | None
    log_loss_before: float
    log_loss_after: float | None


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold for a purpose: chosen on the validation set, measured on the test set.

    Attributes:
        kind: Given from outside, or chosen for a precision or a review budget.
        asked: The precision, or the reviews a day; of a given threshold, itself.
        threshold: None where nothing does what was asked.
        note: Why not, else "".
        counts: On the test set, like all that follows; None without a threshold.
        recall: Share of the positives that are flagged.
        false_positive_rate: Share of the negatives that are flagged.
        outside: What to expect at the expected prevalence.
        flags_per_day: There, at the expected uploads per day; None where these are not known.
    """

    kind: PointKind
    asked: float
    threshold: float | None
    note: str
    counts: Confusion | None
    recall: Estimate
    false_positive_rate: Estimate
    outside: AtPrevalence | None
    flags_per_day: float | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything a report says about one model on one test set.

    Attributes:
        subject: What was measured.
        items: Size of the test set.
        positives: How many of them are positive.
        clusters: How many clusters they come in; None where items stand for themselves.
        confidence: Of every interval.
        expected_prevalence: Share of positives among real uploads that thresholds were chosen for.
        uploads_per_day: As expected; None where not known.
        threshold: From which score on `measures`, `counts`, `groups` and `prevalences` flag.
        counts: At it.
        measures: In the order of `metrics.MEASURES`.
        prevalences: Precision where positives are as rare as there, rising.
        points: The given threshold first, then the chosen ones.
        curve: By falling threshold, thinned to what a plot can show.
        histogram: Of the scores.
        calibration: Whether they mean what they say.
        groups: A table per column.
        format: Version of this shape.
    """

    subject: Subject
    items: int
    positives: int
    clusters: int | None
    confidence: float
    expected_prevalence: float
    uploads_per_day: float | None
    threshold: float
    counts: Confusion
    measures: tuple[Measure, ...]
    prevalences: tuple[AtPrevalence, ...]
    points: tuple[OperatingPoint, ...]
    curve: tuple[CurvePoint, ...]
    histogram: Histogram
    calibration: Calibration
    groups: tuple[GroupTable, ...]
    format: int = FORMAT

    def measure(self, name: str) -> Measure:
        """One of the measures.

        Raises:
            EvaluationError: There is none of that name.
        """
        for measure in self.measures:
            if measure.name == name:
                return measure
        known = ", ".join(measure.name for measure in self.measures)
        raise EvaluationError(f"Unknown measure {name!r}; known: {known}.")


_ADAPTER: TypeAdapter[Evaluation] = TypeAdapter(Evaluation)


def to_json(evaluation: Evaluation) -> bytes:
    """As JSON, UTF-8, indented; infinities and NaN do not occur."""
    return _ADAPTER.dump_json(evaluation, indent=2) + b"\n"


def from_json(content: bytes | str, what: str = "the evaluation") -> Evaluation:
    """What `to_json` wrote.

    Raises:
        EvaluationError: It is something else; the message names the first wrong field.
    """
    try:
        evaluation = _ADAPTER.validate_json(content, extra="forbid")
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise EvaluationError(f"Cannot read {what}: {field}: {first['msg']}.") from error
    if evaluation.format != FORMAT:
        raise EvaluationError(f"Cannot read {what}: format {evaluation.format}, expected {FORMAT}.")
    return evaluation


def write(evaluation: Evaluation, path: Path) -> None:
    """Write `to_json` to a file, as a whole.

    Raises:
        EvaluationError: It cannot be written.
    """
    try:
        atomic_file.write(path, to_json(evaluation), atomic_file.SHARED)
    except OSError as error:
        raise EvaluationError(f"Cannot write {path}: {error.strerror}.") from error


def read(path: Path) -> Evaluation:
    """Read a file that `write` wrote.

    Raises:
        EvaluationError: It cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EvaluationError(f"Cannot read {path}: {error.strerror}.") from error
    return from_json(content, str(path))


__all__ = [
    "FORMAT",
    "Calibration",
    "CurvePoint",
    "Evaluation",
    "Histogram",
    "IntervalMethod",
    "Measure",
    "OperatingPoint",
    "PointKind",
    "Subject",
    "from_json",
    "read",
    "to_json",
    "write",
]
