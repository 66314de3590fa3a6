"""What can go wrong with a training run."""

from classifier.errors import ClassifierError


class TrainingError(ClassifierError):
    """A run cannot be started, continued or finished; the message names the file, key or step."""
