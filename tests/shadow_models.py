"""Three small trained networks and pictures on which they differ, for daemons with a shadow."""

from pathlib import Path
from typing import Any

from classifier.models import catalogue
from tests import trained_runs

ACTIVE, BETTER, WORSE = "net-3", "net-2", "net-4"
"""Of what is called explicit here, the first misses one picture in four, the second none; the last errs."""
EXPLICIT = ("jpeg-portrait", "png-alpha", "png-palette", "jpeg-narrow")
HARMLESS = ("jpeg-progressive", "jpeg-baseline", "positive", "png-16bit")
PREPROCESSING = "imagenet-v1@48"


def add_all(folder: Path) -> Path:
    """Train them, which takes a second or two.

    Args:
        folder: Where the runs go.

    Returns:
        The cache folder that they were added to.
    """
    cache = folder / "models"
    for name in (ACTIVE, BETTER, WORSE):
        trained_runs.finished(
            folder / name,
            training={"seed": int(name.rpartition("-")[2])},
            data={"preprocessing": PREPROCESSING},
        )
        thresholds: Any = {"cautious": 0.9, "balanced": 0.6, "sensitive": 0.5}
        catalogue.add(folder / name / "run", name=name, thresholds=thresholds, cache_directory=cache)
    return cache


def chosen(cache: Path) -> dict[str, object]:
    """Section `[classifier]` of a daemon that starts with the first of them; one thread: equal scores."""
    return {"model": ACTIVE, "engine": "torch-fp32", "cache_directory": str(cache), "threads": 1}
