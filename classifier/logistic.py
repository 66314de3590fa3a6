"""Logistic regression with a ridge penalty and weights that may be kept from being negative; small and exact.

For a handful of columns scikit-learn would be a large dependency, and it cannot hold weights at their sign.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifier.errors import ModelError

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

_MAX_STEPS: Final = 200
_MAX_HALVINGS: Final = 60
_TOLERANCE: Final = 1e-9
"""How far the gradient, divided by the number of rows, may be from that of a minimum."""
_NEAR_BOUND: Final = 1e-3
_SUFFICIENT_DECREASE: Final = 1e-4
_ROUNDING: Final = 1e-13


def fit(columns: Vector, truths: Vector, l2: float, rising: Mask) -> Vector:
    """Minimise the log loss plus half the squared weights times the penalty.

    Newton's method, projected onto the weights that are allowed (D. P. Bertsekas, "Projected Newton methods
    for optimization problems with simple constraints", 1982).

    Args:
        columns: (rows, columns), standardised; an intercept is added, which is neither bounded nor penalised.
        truths: (rows,), 0 or 1; without some of both there is no minimum.
        l2: The penalty, over 0: it makes the minimum the only one.
        rising: (columns,), which weights may not be negative.

    Returns:
        (columns + 1,), the intercept last.

    Raises:
        ModelError: It does not converge.
    """
    problem = _Problem(columns, truths, l2, rising)
    weights = np.zeros(columns.shape[1] + 1)
    for _ in range(_MAX_STEPS):
        gradient, curvature = problem.derivatives(weights)
        distance = float(np.abs(weights - problem.allowed(weights - gradient)).max())
        if distance <= _TOLERANCE * len(truths):
            return weights
        # Those that their bound is about to stop go down by themselves: they must not steer the others.
        held = problem.bounded & (weights <= min(_NEAR_BOUND, distance)) & (gradient > 0)
        step = gradient / np.diag(curvature)
        step[~held] = np.linalg.solve(curvature[np.ix_(~held, ~held)], gradient[~held])
        weights = problem.walked(weights, step, gradient)
    raise ModelError("The regression does not converge: raise the penalty.")


class _Problem:
    """What is minimised, where, and how far a step may go."""

    def __init__(self, columns: Vector, truths: Vector, l2: float, rising: Mask) -> None:
        self._columns = np.column_stack([columns, np.ones(len(truths))])
        self._truths = truths
        self._penalty = np.append(np.full(columns.shape[1], l2), 0.0)
        self.bounded = np.append(rising, False)

    def allowed(self, weights: Vector) -> Vector:
        """The nearest weights that may be."""
        return np.where(self.bounded, np.maximum(weights, 0.0), weights)

    def loss(self, weights: Vector) -> float:
        logits = self._columns @ weights
        return float((np.logaddexp(0, logits) - self._truths * logits).sum() + self._penalty @ weights**2 / 2)

    def derivatives(self, weights: Vector) -> tuple[Vector, Vector]:
        """Gradient (n,) and Hessian (n, n)."""
        chances = (1 + np.tanh(self._columns @ weights / 2)) / 2
        gradient = self._columns.T @ (chances - self._truths) + self._penalty * weights
        spread = chances * (1 - chances)
        return gradient, (self._columns.T * spread) @ self._columns + np.diag(self._penalty)

    def walked(self, weights: Vector, step: Vector, gradient: Vector) -> Vector:
        """Go as much of the step as makes the loss smaller; near the minimum, rounding hides by how much."""
        before = self.loss(weights)
        for halvings in range(_MAX_HALVINGS):
            there = self.allowed(weights - step * 0.5**halvings)
            enough = before - _SUFFICIENT_DECREASE * float(gradient @ (weights - there))
            if self.loss(there) <= enough + _ROUNDING * abs(before):
                return there
        raise ModelError("The regression does not converge: raise the penalty.")


__all__ = ["Mask", "Vector", "fit"]
