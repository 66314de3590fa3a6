"""Is the new model better? Both score the same held-out pictures; figures are weighted as every estimate is.

Both see what the export holds: reduced copies, of moving pictures the frame that gave the deployed model's
score; of a film, a model might have flagged another frame, which only a shadow that scores the same uploads
can tell. How far the copies are from what the daemon saw is told by the deployed model's own scores of both.

Disputed items count as unknown, and again as all explicit and as all harmless: what a promotion looks at is
the least favourable of the three.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bot.retraining.feedback import Feedback, HeldOut
from classifier.datasets.values import Dataset, DatasetError
from classifier.decode.limits import DecodeLimits
from classifier.evaluation import scoring
from classifier.models import catalogue
from storage.equal_load import flags_at_load
from storage.paired_estimates import Bools, Comparison, Difference, Floats, Paired, compare

OnStep = Callable[[str, int, int], None]
Scores = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Scoring:
    """What scoring takes.

    Attributes:
        folder: Where scores are kept, so that a run that was killed goes on.
        workers: Processes that decode.
        cache_directory: Where models are kept; None: the user's cache folder.
        on_step: Told how far it is.
    """

    folder: Path
    workers: int = 2
    cache_directory: Path | None = None
    on_step: OnStep | None = None

    def scores(self, dataset: Dataset, model: str, what: str) -> Scores:
        """Score pictures.

        Args:
            dataset: The pictures.
            model: Name of the model.
            what: Names the file of scores.

        Returns:
            Scores by path; what cannot be decoded has none.
        """
        limits, cache, tell = DecodeLimits(), self.cache_directory, self.on_step
        found = scoring.score(
            dataset,
            scoring.Maker.of(catalogue.card(model, cache), "torch-fp32", 1, limits),
            scoring.Means(lambda: catalogue.load(model, cache, 1), limits, self.workers),
            self.folder / f"scores-{what}-{model}.jsonl",
            None if tell is None else lambda done, total: tell(f"scoring with {model}", done, total),
        )
        return {item.path: value for item, value in zip(found.dataset.items, found.values, strict=True)}


@dataclass(frozen=True, slots=True)
class Copies:
    """The deployed model's scores of the exported copies, against those that the daemon recorded.

    Attributes:
        compared: How many pictures have both.
        mean_difference: Mean of the absolute differences.
        turned: How many lie on the other side of the threshold.
    """

    compared: int
    mean_difference: float
    turned: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the held-out feedback says.

    Attributes:
        comparison: The new model's figures less the old, disputed items unknown.
        least: The differences that a promotion looks at, each with disputed items counted in the way that is
            least favourable to the new model: `f1`, `recall`, and `recall_at_equal_load`, where the new model
            flags as many uploads as the old one.
        threshold: Of both models.
        disputed: How many are.
        without_score: Held-out uploads without a picture that can be scored; those of their stratum stand
            for them.
        copies: How scores of copies differ; None where no score of the deployed model was recorded.
    """

    comparison: Comparison
    least: Mapping[str, Difference]
    threshold: float
    disputed: int
    without_score: int
    copies: Copies | None

    def evidence(self) -> dict[str, Any]:
        """Plain values for the registry; those of `least` under their names."""
        told = {**asdict(self.comparison), "threshold": self.threshold, "disputed": self.disputed}
        told |= {name: asdict(difference) for name, difference in self.least.items()}
        return told | {"f1_without_disputed": asdict(self.comparison.f1)}


def evaluate(
    feedback: Feedback, models: tuple[str, str], threshold: float, base_sha256: str, means: Scoring
) -> Evaluation:
    """Compare two models on held-out feedback.

    Args:
        feedback: The export.
        models: The old one and the new one, by name.
        threshold: Of both: the new one is not calibrated yet.
        base_sha256: Of the old one's weights, to find its recorded scores.
        means: How to score.

    Returns:
        What it says.

    Raises:
        DatasetError: Where nothing is left to evaluate on.
    """
    first, second = (means.scores(feedback.evaluation, name, "feedback") for name in models)
    items = feedback.held_out
    scored = [one.item is not None and one.item.path in first and one.item.path in second for one in items]
    decided = [one.label is not None and there for one, there in zip(items, scored, strict=True)]
    if not any(decided):
        raise DatasetError(
            "no held-out picture (split test) has a verdict and can be scored: nothing to evaluate on",
            feedback.name,
        )
    labels = np.array(
        [one.label if there else np.nan for one, there in zip(items, decided, strict=True)], float
    )
    open_questions = np.array([one.disputed and there for one, there in zip(items, scored, strict=True)])

    old, new = _scores_of(items, first), _scores_of(items, second)
    probabilities = np.array([one.probability for one in items])
    strata = np.array([one.stratum for one in items])
    flagged, flags = old >= threshold, new >= threshold
    fair = flags_at_load(new, probabilities, float((1 / probabilities)[flagged].sum()))

    def compared(counted_as: float, answers: Bools | Floats) -> Comparison:
        known = np.where(open_questions, counted_as, labels)
        return compare(Paired(flagged, answers, known, probabilities, strata))

    ways = (float("nan"), 0.0, 1.0) if open_questions.any() else (float("nan"),)
    at_threshold, at_load = ([compared(way, answers) for way in ways] for answers in (flags, fair))
    return Evaluation(
        at_threshold[0],
        {
            "f1": min((one.f1 for one in at_threshold), key=lambda one: one.low),
            "recall": min((one.recall for one in at_threshold), key=lambda one: one.low),
            "recall_at_equal_load": min((one.recall_at_load for one in at_load), key=lambda one: one.low),
        },
        threshold,
        int(open_questions.sum()),
        len(items) - sum(scored),
        _copies(items, first, threshold, base_sha256),
    )


def on_base(base: Dataset, models: tuple[str, str], threshold: float, means: Scoring) -> Comparison:
    """What the new model has forgotten, or not: both on base data that retraining did not see.

    Args:
        base: Pictures of the base data, each standing for itself.
        models: The old one and the new one, by name.
        threshold: Of both.
        means: How to score.

    Returns:
        The new model's figures less the old.
    """
    first, second = (means.scores(base, name, "base") for name in models)
    items = [item for item in base.items if item.path in first and item.path in second]
    return compare(
        Paired(
            np.array([first[item.path] >= threshold for item in items], np.bool_),
            np.array([second[item.path] >= threshold for item in items], np.bool_),
            np.array([base.target_of(item) for item in items], np.float64),
            np.ones(len(items)),
        )
    )


def _scores_of(items: Sequence[HeldOut], scores: Scores) -> Floats:
    """What has no score has no label either, so that its answer does not count."""
    return np.array([0.0 if one.item is None else scores.get(one.item.path, 0.0) for one in items])


def _copies(items: Sequence[HeldOut], scores: Scores, threshold: float, sha256: str) -> Copies | None:
    pairs = [
        (one.recorded, scores[one.item.path])
        for one in items
        if one.recorded is not None
        and one.weights_sha256 == sha256
        and one.item is not None
        and one.item.path in scores
    ]
    if not pairs:
        return None
    differences = [abs(before - now) for before, now in pairs]
    turned = sum((before >= threshold) != (now >= threshold) for before, now in pairs)
    return Copies(len(pairs), sum(differences) / len(pairs), turned)


__all__ = ["Copies", "Evaluation", "Scoring", "evaluate", "on_base"]
