"""What a measurement of robustness asks and says, as frozen values that are plain JSON.

No torch here: a report is made of a result wherever that was measured.
"""

from dataclasses import dataclass
from typing import Final, Literal

from pydantic import TypeAdapter, ValidationError

from classifier.evaluation.compare import McNemar
from classifier.evaluation.errors import EvaluationError
from classifier.evaluation.proportions import CONFIDENCE, Estimate

FORMAT: Final = 1
ChangeKind = Literal["none", "jpeg", "resize", "crop", "blur", "flip", "fgsm", "pgd"]
ATTACKS: Final = frozenset({"fgsm", "pgd"})


@dataclass(frozen=True, slots=True)
class Options:
    """What to try.

    Attributes:
        defence: As `defence.parse` reads it; empty: there is none, and only the network is measured.
        threshold: Flagged is whatever scores it or more.
        jpeg_qualities: Pillow's, 1 to 95.
        resize_factors: Shrunk by so much and enlarged again, 0 to 1.
        crop_shares: Share of each side that is kept, from the middle, and enlarged again, 0 to 1.
        blur_shares: Standard deviation of a Gaussian blur, as share of the side.
        flips: Whether to mirror, left to right and upside down.
        epsilons: Largest changes of attacks, in steps of 1/255; each is tried with FGSM and with PGD.
        pgd_steps: Gradient steps of PGD.
        pgd_restarts: How often PGD begins anew.
        seed: Of attacks and of the choice of pictures.
        limit: Most pictures, chosen by chance, the shares of the classes kept; None: all.
        batch: Pictures that go through the network at once.
        confidence: Of all intervals.
    """

    defence: str = "jpeg:75+median:3"
    threshold: float = 0.5
    jpeg_qualities: tuple[int, ...] = (90, 50, 20)
    resize_factors: tuple[float, ...] = (0.5, 0.25)
    crop_shares: tuple[float, ...] = (0.9, 0.75)
    blur_shares: tuple[float, ...] = (0.005, 0.01, 0.02)
    flips: bool = True
    epsilons: tuple[int, ...] = (1, 2, 4, 8)
    pgd_steps: int = 20
    pgd_restarts: int = 1
    seed: int = 0
    limit: int | None = 200
    batch: int = 32
    confidence: float = CONFIDENCE

    def __post_init__(self) -> None:
        shares = (*self.resize_factors, *self.crop_shares, *self.blur_shares)
        if not all(0 < share <= 1 for share in shares):
            raise EvaluationError("Robustness: factors and shares have to lie between 0 and 1.")
        if not all(1 <= quality <= 95 for quality in self.jpeg_qualities):
            raise EvaluationError("Robustness: JPEG qualities have to be 1 to 95.")
        if not 0 < self.threshold < 1:
            raise EvaluationError(f"Robustness: the threshold {self.threshold:g} is not between 0 and 1.")
        for what, number in (("limit", self.limit), ("batch", self.batch)):
            if number is not None and number < 1:
                raise EvaluationError(f"Robustness: the {what} has to be at least 1, not {number}.")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How decisions fare.

    Attributes:
        accuracy: Share of the pictures that are decided rightly.
        turned: Of those that were decided rightly before the change, with the same defence or none, the
            share that is decided wrongly after it; of an attack, how often it succeeds.
    """

    accuracy: Estimate
    turned: Estimate


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that was done to the pictures.

    Attributes:
        kind: What; `none` for the pictures as they are.
        strength: Quality, factor, share, or epsilon in steps of 1/255; 0 where there is no such thing.
        name: For people.
        undefended: The network alone. An attack was made for it.
        defended: The network behind the defence. An attack was made for the network alone, by somebody who
            does not know the defence (transfer); None without a defence.
        informed: The network behind the defence, and an attack by somebody who knows it: a picture counts as
            right only if neither an attack through the defence nor the one before turns it (adaptive); None
            where nobody attacks, and without a defence.
        through_alone: As `informed`, by the attack through the defence alone. Less successful than transfer,
            it says that this attack, not the defence, is what is weak.
    """

    kind: ChangeKind
    strength: float
    name: str
    undefended: Outcome
    defended: Outcome | None = None
    informed: Outcome | None = None
    through_alone: Outcome | None = None


@dataclass(frozen=True, slots=True)
class DefencePrice:
    """What a defence costs where nobody attacks.

    Attributes:
        decisions: The same clean pictures without (first) and with it (second).
        cpu_ms: Processor time a picture in milliseconds, on the machine that measured.
        mean_change: Mean absolute change of a sample in levels of 0..255.
    """

    decisions: McNemar
    cpu_ms: float
    mean_change: float


@dataclass(frozen=True, slots=True)
class Robustness:
    """Everything a report says about one model's robustness.

    Attributes:
        model: Its name.
        pictures: How many were changed.
        positives: How many of them are positive.
        available: Of how many they were chosen.
        options: What was tried.
        changes: The pictures as they are first.
        price: Of the defence; None without one.
        format: Version of this shape.
    """

    model: str
    pictures: int
    positives: int
    available: int
    options: Options
    changes: tuple[Change, ...]
    price: DefencePrice | None
    format: int = FORMAT

    @property
    def clean(self) -> Change:
        """The pictures as they are."""
        return self.changes[0]

    def attack(self, kind: ChangeKind, epsilon: int) -> Change | None:
        """An attack of this kind and strength, None where it was not tried."""
        for change in self.changes:
            if change.kind == kind and change.strength == epsilon:
                return change
        return None


_ADAPTER: TypeAdapter[Robustness] = TypeAdapter(Robustness)


def to_json(robustness: Robustness) -> bytes:
    """As JSON, UTF-8, indented; infinities and NaN do not occur."""
    return _ADAPTER.dump_json(robustness, indent=2) + b"\n"


def from_json(content: bytes | str, what: str = "the robustness") -> Robustness:
    """What `to_json` wrote.

    Raises:
        EvaluationError: It is something else; the message names the first wrong field.
    """
    try:
        robustness = _ADAPTER.validate_json(content, extra="forbid")
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise EvaluationError(f"Cannot read {what}: {field}: {first['msg']}.") from error
    if robustness.format != FORMAT or not robustness.changes:
        raise EvaluationError(f"Cannot read {what}: format {robustness.format}, expected {FORMAT}.")
    return robustness


__all__ = [
    "ATTACKS",
    "FORMAT",
    "Change",
    "ChangeKind",
    "DefencePrice",
    "Options",
    "Outcome",
    "Robustness",
    "from_json",
    "to_json",
]
