"""Which labels are probably wrong: confident learning, by cleanlab, on what a model says out of sample.

A model that was trained on a picture has seen its label, so what it says of that picture proves nothing.
Probabilities have to come from a model that has not: a test set's own scores, or folds. The cheap way to
folds are a network's frozen features, on which a logistic regression takes a second; pictures that belong
together stay in one fold, or a copy with the same wrong label would vouch for it. The network must not have
been trained on these labels either.

Northcutt, Jiang and Chuang, "Confident learning", JAIR 70, 2021.
"""

import importlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from classifier.datasets.values import Dataset, Item
from classifier.evaluation.errors import EvaluationError
from classifier.evaluation.scored import Vector, scored

FOLDS: Final = 5
_STRENGTH: Final = 0.1
"""Of the regression: features are hundreds, pictures often not many more."""
_MAX_ITERATIONS: Final = 5000


@dataclass(frozen=True, slots=True)
class Suspect:
    """A picture and how much its label can be doubted.

    Attributes:
        item: The picture.
        suggested: The label that the model would give.
        confidence: The probability of the label that it has, 0..1; the lower, the more suspicious.
        is_issue: Whether confident learning calls the label wrong; False where it is merely the next one to
            look at.
    """

    item: Item
    suggested: str
    confidence: float
    is_issue: bool


def suspicious(dataset: Dataset, probabilities: ArrayLike) -> tuple[Suspect, ...]:
    """Rank a dataset's labels, the most suspicious first.

    Args:
        dataset: The pictures with their labels.
        probabilities: (n,), 0..1, of the positive class, out of sample.

    Returns:
        All pictures: first those whose label is probably wrong, then the others; each by rising confidence.

    Raises:
        EvaluationError: Not one probability a picture, one class alone, or cleanlab is missing.
        DatasetError: Where a label is neither of the classes.
    """
    labels = [dataset.target_of(item) for item in dataset.items]
    known = scored(probabilities, labels, what=dataset.name)
    cleanlab = _imported("cleanlab", "filter", "rank")
    both = np.stack([1 - known.scores, known.scores], axis=1)
    truths = known.labels.astype(np.int64)
    issues = cleanlab.filter.find_label_issues(truths, both, n_jobs=1)
    quality = cleanlab.rank.get_label_quality_scores(truths, both, method="self_confidence")
    # The path decides between equals, so that equal data gives an equal list.
    order = sorted(
        range(len(truths)), key=lambda index: (not issues[index], quality[index], dataset.items[index].path)
    )
    negative, positive = dataset.classes
    return tuple(
        Suspect(
            dataset.items[index],
            positive if known.scores[index] >= 0.5 else negative,
            float(quality[index]),
            bool(issues[index]),
        )
        for index in order
    )


def out_of_fold(
    features: NDArray[Any],
    labels: ArrayLike,
    *,
    clusters: Sequence[str] | None = None,
    folds: int = FOLDS,
    seed: int = 0,
    what: str = "the set",
) -> Vector:
    """Probabilities by logistic regressions that have not seen the pictures they judge.

    Args:
        features: float (n, features), finite, of a network that was not trained on these labels.
        labels: (n,), 0 or 1.
        clusters: n names: pictures of one name are never on both sides.
        folds: How many parts, each judged by a regression on the others.
        seed: Decides the parts; equal input gives equal probabilities.
        what: What to call the set in messages.

    Returns:
        float64 (n,), of the positive class.

    Raises:
        EvaluationError: Too few pictures or clusters of a class for the folds, features that are not finite,
            or scikit-learn is missing.
    """
    values, truths = np.asarray(features, np.float64), np.asarray(labels, np.int64)
    groups = np.asarray(clusters if clusters is not None else [str(i) for i in range(len(truths))])
    _check(values, truths, groups, folds, what)
    sklearn = _imported("sklearn", "linear_model", "model_selection", "pipeline", "preprocessing")
    splits = sklearn.model_selection.StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    found = np.full(len(truths), np.nan)
    for train, held_out in splits.split(values, truths, groups):
        if len(np.unique(truths[train])) < 2:
            raise EvaluationError(
                f"One cluster holds a whole class of {what}: nothing is left to learn from."
            )
        machine = sklearn.pipeline.make_pipeline(
            sklearn.preprocessing.StandardScaler(),
            sklearn.linear_model.LogisticRegression(C=_STRENGTH, max_iter=_MAX_ITERATIONS),
        )
        found[held_out] = machine.fit(values[train], truths[train]).predict_proba(values[held_out])[:, 1]
    return found


def _check(
    features: NDArray[np.float64], labels: NDArray[np.int64], groups: NDArray[Any], folds: int, what: str
) -> None:
    if features.ndim != 2 or not len(features) == len(labels) == len(groups):
        raise EvaluationError(
            f"Features {features.shape}, {len(labels)} labels and {len(groups)} clusters of {what} do not go "
            "together."
        )
    if not np.isfinite(features).all():
        raise EvaluationError(f"A feature of {what} is not finite: the network's weights are broken.")
    for label in (0, 1):
        if (count := len(np.unique(groups[labels == label]))) < folds:
            raise EvaluationError(
                f"{what} has {count} independent pictures of a class, column 'label': {folds} folds need at "
                "least one each."
            )


def _imported(package: str, *modules: str) -> ModuleType:
    """Import parts of a library that only the laboratory has; slow, so as late as possible."""
    try:
        with warnings.catch_warnings():
            # Announcements of optional parts that are not installed.
            warnings.simplefilter("ignore")
            for module in modules:
                importlib.import_module(f"{package}.{module}")
            return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise EvaluationError(
            f"Finding suspicious labels needs the package {error.name}: "
            "python -m pip install 'commons-nsfw-bot[train]'"
        ) from error


__all__ = ["FOLDS", "Suspect", "out_of_fold", "suspicious"]
