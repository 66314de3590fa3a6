"""A linear support vector machine as the last layer: found by scikit-learn, run like any other.

It is fitted on frozen features. Its decision is a line through standardised features, and Platt's
calibration a sigmoid of that decision: put together, one line and one sigmoid over the plain features. That
is the softmax of a linear layer of two outputs, so the head is written into the network and exported with it;
scikit-learn is not needed to run it. The sigmoid is fitted on decisions that are cross-validated, because
those on the training features themselves are too sure.
"""

import importlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from classifier.errors import ModelError

if TYPE_CHECKING:
    from classifier.models.configured import ConfiguredNetwork

_MAX_ITERATIONS = 20_000


@dataclass(frozen=True, slots=True)
class FittedSvm:
    """A calibrated linear support vector machine.

    Attributes:
        weight: float64 (features,); with `bias` gives the log-odds of the second class.
        bias: Likewise.
        estimator: scikit-learn's own, for whoever wants to compare.
    """

    weight: NDArray[np.float64]
    bias: float
    estimator: Any

    def scores(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """Score features, float (n, features), by the folded line: float64 (n,) in 0..1."""
        log_odds = features.astype(np.float64) @ self.weight + self.bias
        # Written so that neither end overflows.
        return np.exp(-np.logaddexp(0.0, -log_odds))


def fit(
    features: NDArray[Any],
    labels: ArrayLike,
    *,
    groups: Sequence[str] | None = None,
    c: float = 1.0,
    balanced: bool = False,
    folds: int = 5,
    seed: int = 0,
) -> FittedSvm:
    """Fit the machine and its calibration.

    Args:
        features: float (n, features), finite, of training pictures alone.
        labels: (n,), 0 or 1.
        groups: Of each picture, those that belong together, such as near-duplicates or one source: they are
            kept in one fold, else the calibration sees decisions on pictures that it trained on.
        c: How much a picture on the wrong side counts against a wide margin.
        balanced: Whether both classes count alike, however many pictures they have.
        folds: Of the cross-validation.
        seed: Decides the folds; equal input gives an equal machine.

    Returns:
        The machine.

    Raises:
        ModelError: Where scikit-learn is missing, or the features cannot be fitted: too few pictures of a
            class, not finite, or no convergence.
    """
    features, labels = np.asarray(features, np.float64), np.asarray(labels)
    _check(features, labels, groups, folds)
    estimator = _estimator(features, labels, groups, c, balanced, folds, seed)
    calibrated = estimator.calibrated_classifiers_[0]
    scaler, machine = calibrated.estimator[0], calibrated.estimator[1]
    sigmoid = calibrated.calibrators[0]
    # p = 1 / (1 + exp(a * decision + b)), so the log-odds are -(a * decision + b).
    weight = machine.coef_[0] / scaler.scale_
    bias = float(machine.intercept_[0] - scaler.mean_ @ weight)
    return FittedSvm(-sigmoid.a_ * weight, float(-(sigmoid.a_ * bias + sigmoid.b_)), estimator)


def install(network: "ConfiguredNetwork", fitted: FittedSvm) -> None:
    """Write a machine into a network as its head, in place.

    Args:
        network: Whose `features` it was fitted on.
        fitted: The machine.

    Raises:
        ModelError: Where it has another number of features.
    """
    import torch

    head = network.head
    if head.in_features != len(fitted.weight):
        raise ModelError(f"the machine has {len(fitted.weight)} features, the network {head.in_features}")
    with torch.no_grad():
        head.weight.zero_()
        head.bias.zero_()
        # The first logit stays 0, so the second is the log-odds.
        head.weight[1] = torch.from_numpy(fitted.weight).to(head.weight)
        head.bias[1] = fitted.bias


def _estimator(
    features: NDArray[np.float64],
    labels: NDArray[Any],
    groups: Sequence[str] | None,
    c: float,
    balanced: bool,
    folds: int,
    seed: int,
) -> Any:
    sklearn = _import_sklearn()
    weight = "balanced" if balanced else None
    machine = sklearn.svm.LinearSVC(
        C=c, class_weight=weight, dual="auto", max_iter=_MAX_ITERATIONS, random_state=seed
    )
    selection = sklearn.model_selection
    kind = selection.StratifiedKFold if groups is None else selection.StratifiedGroupKFold
    splits = list(kind(folds, shuffle=True, random_state=seed).split(features, labels, groups))
    if any(len(np.unique(labels[train])) < 2 for train, _ in splits):
        raise ModelError("one group holds a whole class: nothing is left of it to calibrate with")
    estimator = sklearn.calibration.CalibratedClassifierCV(
        sklearn.pipeline.make_pipeline(sklearn.preprocessing.StandardScaler(), machine),
        method="sigmoid",
        cv=splits,
        ensemble=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", sklearn.exceptions.ConvergenceWarning)
        try:
            return estimator.fit(features, labels)
        except sklearn.exceptions.ConvergenceWarning as error:
            raise ModelError(
                f"the support vector machine found no end within {_MAX_ITERATIONS} steps: a smaller c "
                f"than {c:g} may help"
            ) from error


def require_sklearn() -> None:
    """Find out early whether machines can be fitted here.

    Raises:
        ModelError: Where scikit-learn is missing.
    """
    _import_sklearn()


def _import_sklearn() -> ModuleType:
    """Import what is needed of scikit-learn, which only the laboratory has; slow, so as late as possible."""
    try:
        for part in ("calibration", "exceptions", "model_selection", "pipeline", "preprocessing", "svm"):
            importlib.import_module(f"sklearn.{part}")
        return importlib.import_module("sklearn")
    except ModuleNotFoundError as error:
        raise ModelError(
            f"a support vector machine needs the package {error.name}: "
            "python -m pip install 'commons-nsfw-bot[train]' (or: python -m pip install scikit-learn)"
        ) from error


def _check(
    features: NDArray[np.float64], labels: NDArray[Any], groups: Sequence[str] | None, folds: int
) -> None:
    if features.ndim != 2 or len(features) != len(labels):
        raise ModelError(f"features {features.shape} and labels {labels.shape} do not go together")
    if groups is not None and len(groups) != len(labels):
        raise ModelError(f"there are {len(groups)} groups for {len(labels)} pictures")
    if groups is not None and len(set(groups)) < folds:
        raise ModelError(f"there are {len(set(groups))} groups, and {folds} folds need at least one each")
    if not np.isfinite(features).all():
        raise ModelError("the network gives features that are not finite: its weights are broken")
    if not np.isin(labels, (0, 1)).all():
        raise ModelError("the labels have to be 0 and 1")
    fewest = min(int((labels == label).sum()) for label in (0, 1))
    if fewest < folds:
        raise ModelError(f"a class has {fewest} pictures, and {folds} folds need at least one each")


__all__ = ["FittedSvm", "fit", "install", "require_sklearn"]
