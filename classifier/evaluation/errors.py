"""What can go wrong between scores and a report.

EvaluationError       what was given cannot be measured; the message names which part and why
└── Unreachable       no threshold does what was asked; the message says what the best one does
"""

from classifier.errors import ClassifierError


class EvaluationError(ClassifierError):
    """Scores, truths or groups cannot be measured."""


class Unreachable(EvaluationError):
    """No threshold does what was asked."""
