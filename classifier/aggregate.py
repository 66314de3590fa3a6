"""From the scores of a file's frames to one score: the maximum decides, the others are there to be evaluated.

Whoever moderates takes the maximum ("it only takes one frame": max pooling, as for any bag of which one is
enough), but the more frames, the higher the maximum of harmless ones: were frames independent, and each taken
for something with a chance of 0.1 %, a harmless film of 360 would be flagged with one of 30 %. A mean of the
highest few wants more than one witness, which loses the film with one such frame; what is learned from
verdicts may weigh both, and knows how many frames there were.

Pure, and without torch. A file is the frames that were scored of it, in any order. To compare aggregates,
score files to their end: after an early stop, the frames are missing that a mean would be made of.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Final, Protocol, Self

import numpy as np

from classifier import logistic
from classifier.errors import ModelError
from classifier.values import FrameResult

FEATURES: Final = ("maximum", "top3_mean", "mean", "share_over_half", "log_run", "log_frames")
"""What `LearnedAggregate` looks at: the highest score, means, how much of the file is at 0.5 or more, and the
natural logarithms of 1 + the seconds of the longest run of such frames and of the number of frames."""

_VERSION: Final = 1
_RISING: Final = np.array([name != "log_frames" for name in FEATURES])
"""Which weights may not be negative: a frame that scores higher must never make its file look better."""
_TOP_K_NAME: Final = re.compile(r"top([1-9][0-9]{0,3})-mean")
_OVER: Final = 0.5
_SAME: Final = 1e-9
"""A smaller deviation is rounding's, of a feature that is the same everywhere; it would be blown up."""


class Aggregate(Protocol):
    """Makes one score of a file's frames."""

    @property
    def name(self) -> str:
        """What it is called, such as `top3-mean`."""
        ...

    def score(self, frames: Sequence[FrameResult]) -> float:
        """Score a file.

        Args:
            frames: Its frames, at least one, in any order.

        Returns:
            0..1.

        Raises:
            ValueError: Where there is no frame, or a score is not within 0..1.
        """
        ...

    def provenance(self) -> Mapping[str, object]:
        """All that decides its scores, as plain values to be stored beside them."""
        ...


@dataclass(frozen=True, slots=True)
class Maximum:
    """The highest score; what flags go by."""

    @property
    def name(self) -> str:
        """See `Aggregate.name`."""
        return "maximum"

    def score(self, frames: Sequence[FrameResult]) -> float:
        """See `Aggregate.score`."""
        return _descending(frames)[0]

    def provenance(self) -> Mapping[str, object]:
        """See `Aggregate.provenance`."""
        return {"name": self.name}


@dataclass(frozen=True, slots=True)
class TopKMean:
    """The mean of the highest scores, of all of them where there are fewer.

    Attributes:
        k: How many, at least 1.
    """

    k: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"a mean of the highest {self.k} scores")

    @property
    def name(self) -> str:
        """See `Aggregate.name`."""
        return f"top{self.k}-mean"

    def score(self, frames: Sequence[FrameResult]) -> float:
        """See `Aggregate.score`."""
        return _mean(_descending(frames)[: self.k])

    def provenance(self) -> Mapping[str, object]:
        """See `Aggregate.provenance`."""
        return {"name": self.name, "k": self.k}


BUILT_IN: Final[tuple[Aggregate, ...]] = (Maximum(), TopKMean(3), TopKMean(5))
"""Those that need no data; `classify --json --keep-going` tells all of them."""


def by_name(name: str) -> Aggregate:
    """Find an aggregate that needs no data.

    Args:
        name: `maximum`, or `top3-mean` with any number.

    Returns:
        The aggregate.

    Raises:
        ValueError: There is none of that name.
    """
    if name == Maximum().name:
        return Maximum()
    found = _TOP_K_NAME.fullmatch(name)
    if found is None:
        raise ValueError(f"{name!r} is no aggregate: it is maximum or, for example, top3-mean")
    return TopKMean(int(found[1]))


@dataclass(frozen=True, slots=True)
class LearnedAggregate:
    """Logistic regression on `FEATURES`; its score is the chance that a person would call the file NSFW.

    That chance is the one among the files it was fitted to: where these were chosen (flagged files are
    reviewed most), the order of its scores means more than their height. A frame that scores higher never
    lowers it.

    Attributes:
        weights: One for each feature, of the standardised values.
        intercept: What is added.
        means: Of the features among the files it was fitted to.
        scales: Their standard deviations; 1 where a feature was the same everywhere.
        l2: The penalty it was fitted with.
        files: How many files it was fitted to.
        positives: How many of them were NSFW.
    """

    weights: tuple[float, ...]
    intercept: float
    means: tuple[float, ...]
    scales: tuple[float, ...]
    l2: float
    files: int
    positives: int

    @classmethod
    def fit(
        cls, files: Sequence[Sequence[FrameResult]], labels: Sequence[bool], *, l2: float = 1.0
    ) -> "LearnedAggregate":
        """Learn from files that people have judged.

        Args:
            files: The frames of each, scored to its end.
            labels: Whether each is NSFW.
            l2: Penalty on half the sum of the squared weights, over 0; the intercept has none.

        Returns:
            What minimises the log loss and the penalty.

        Raises:
            ModelError: There are no files, or only NSFW ones, or none of them.
            ValueError: A file has no frame or a score outside of 0..1, there is not one label for each file,
                or the penalty is not over 0.
        """
        if len(files) != len(labels):
            raise ValueError(f"{len(labels)} labels for {len(files)} files")
        if not (l2 > 0 and math.isfinite(l2)):
            raise ValueError(f"a penalty of {l2}")
        truths = np.array([bool(label) for label in labels], np.float64)
        positives = int(truths.sum())
        if not 0 < positives < len(files):
            raise ModelError(
                f"An aggregate can't be learned from {positives} NSFW and {len(files) - positives} other "
                "files: it takes some of both, better dozens."
            )
        values = np.array([features(frames) for frames in files], np.float64)
        means, deviations = values.mean(axis=0), values.std(axis=0)
        scales = np.where(deviations > _SAME, deviations, 1.0)
        *weights, intercept = logistic.fit((values - means) / scales, truths, l2, _RISING).tolist()
        return cls(
            tuple(weights),
            intercept,
            tuple(means.tolist()),
            tuple(scales.tolist()),
            float(l2),
            len(files),
            positives,
        )

    @property
    def name(self) -> str:
        """See `Aggregate.name`; two that were fitted differently have different names."""
        return f"learned-{hashlib.sha256(self.to_json().encode()).hexdigest()[:8]}"

    def score(self, frames: Sequence[FrameResult]) -> float:
        """See `Aggregate.score`."""
        parts = zip(self.weights, features(frames), self.means, self.scales, strict=True)
        logit = math.fsum([self.intercept, *(w * (value - mean) / scale for w, value, mean, scale in parts)])
        if logit >= 0:
            return 1 / (1 + math.exp(-logit))
        return math.exp(logit) / (1 + math.exp(logit))  # where exp(-logit) may be too large a number

    def provenance(self) -> Mapping[str, object]:
        """See `Aggregate.provenance`."""
        return {"name": self.name, **self._plain()}

    def to_json(self) -> str:
        """All of it as JSON, for `from_json`."""
        return json.dumps(self._plain(), sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Args:
            text: JSON.

        Returns:
            An aggregate that gives exactly the same scores.

        Raises:
            ModelError: It is damaged, or of another version of this program.
        """
        try:
            found = cls._of(json.loads(text))
            sound = found._is_sound()
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise ModelError(f"The learned aggregate can't be read: {error!r}.") from error
        if not sound:
            raise ModelError("The learned aggregate can't be used: its numbers do not fit together.")
        return found

    @classmethod
    def _of(cls, told: Mapping[str, Any]) -> Self:
        if (told["version"], tuple(told["features"])) != (_VERSION, FEATURES):
            raise ModelError("The learned aggregate is of another version of this program: fit it again.")
        if set(told) != {"version", "features", *cls.__slots__}:
            raise ValueError(f"it has {sorted(told)}")
        intercept, l2 = _numbers([told["intercept"], told["l2"]])
        weights, means, scales = (_numbers(told[name]) for name in ("weights", "means", "scales"))
        return cls(weights, intercept, means, scales, l2, told["files"], told["positives"])

    def _is_sound(self) -> bool:
        vectors = (self.weights, self.means, self.scales)
        return (
            all(len(vector) == len(FEATURES) for vector in vectors)
            and all(scale > 0 for scale in self.scales)
            and all(weight >= 0 for weight, rises in zip(self.weights, _RISING, strict=True) if rises)
            and isinstance(self.files, int)
            and isinstance(self.positives, int)
            and 0 < self.positives < self.files
        )

    def _plain(self) -> dict[str, object]:
        values = {name: list(one) if isinstance(one, tuple) else one for name, one in asdict(self).items()}
        return {"version": _VERSION, "features": list(FEATURES), **values}


def features(frames: Sequence[FrameResult]) -> tuple[float, ...]:
    """Describe a file by numbers that do not depend on the order of its frames.

    Args:
        frames: Its frames, at least one.

    Returns:
        One number for each of `FEATURES`, none negative.

    Raises:
        ValueError: As for `Aggregate.score`.
    """
    scores = _descending(frames)
    over = sum(score >= _OVER for score in scores)
    return (
        scores[0],
        _mean(scores[:3]),
        _mean(scores),
        over / len(scores),
        math.log1p(_longest_run_s(frames)),
        math.log1p(len(scores)),
    )


def _longest_run_s(frames: Sequence[FrameResult]) -> float:
    """From the first to the last of neighbours that are all over; 0 for one alone, and without times."""
    timed = sorted((frame.at_s, frame.score >= _OVER) for frame in frames if frame.at_s is not None)
    runs = [[at_s for at_s, _ in run] for is_over, run in groupby(timed, lambda one: one[1]) if is_over]
    return max((run[-1] - run[0] for run in runs), default=0.0)


def _descending(frames: Sequence[FrameResult]) -> list[float]:
    scores = sorted((frame.score for frame in frames), reverse=True)
    if not scores:
        raise ValueError("no frame: what was not scored has no score")
    if not all(0 <= score <= 1 for score in scores):
        raise ValueError("a score that is not within 0..1")
    return scores


def _mean(descending: Sequence[float]) -> float:
    """Exact but for one rounding, so that neither the order counts nor how many are the same."""
    mean = math.fsum(descending) / len(descending)
    return min(max(mean, descending[-1]), descending[0])


def _numbers(values: Sequence[object]) -> tuple[float, ...]:
    if not all(isinstance(one, int | float) and math.isfinite(one) for one in values):
        raise ValueError("numbers that are none")
    return tuple(float(one) for one in values if isinstance(one, int | float))


__all__ = [
    "BUILT_IN",
    "FEATURES",
    "Aggregate",
    "LearnedAggregate",
    "Maximum",
    "TopKMean",
    "by_name",
    "features",
]
