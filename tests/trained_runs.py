"""A finished run of a named network on small drawn pictures; takes a second or two."""

from pathlib import Path
from typing import Any

from classifier.datasets.values import Dataset
from classifier.training.run import train
from tests.training_runs import PX, config, pictures

PREPROCESSING = f"imagenet-v1@{PX}"


def finished(folder: Path, **sections: dict[str, Any]) -> Dataset:
    """Train one epoch of the smallest network.

    Args:
        folder: Where `pictures` and `run` are put.
        sections: Of the configuration, over those of `tests.training_runs.config`.

    Returns:
        What it was trained on.
    """
    data = pictures(folder / "pictures")
    train(settings(**sections), data, folder / "run")
    return data


def settings(**sections: dict[str, Any]) -> Any:
    """The configuration of that run."""
    table: dict[str, dict[str, Any]] = {
        "model": {"name": "squeezenet1_1"},
        "training": {"epochs": 1, "batch": 12, "ema_decay": 0.0, "checkpoint_every_steps": 0},
        "optimizer": {"rate": 0.003},
    }
    merged = {name: {**table.get(name, {}), **values} for name, values in sections.items()}
    return config(**{**table, **merged})
