"""A run's folder: what lies in it, and what it says about itself. No torch, so that tables of runs are cheap.

config.toml          resolved, to be used again as it is
run.json             data, code, libraries, seeds, and when finished the result
metrics.csv          a row an epoch, before a support vector machine takes the place of the head
tensorboard/         the same to look at
last.ckpt            where to go on
best.safetensors     of the best epoch so far
weights.safetensors  the result
card.md              what the result is
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from classifier import atomic_file
from classifier.training.errors import TrainingError

CONFIG_NAME: Final = "config.toml"
RUN_NAME: Final = "run.json"
WEIGHTS_NAME: Final = "weights.safetensors"
CARD_NAME: Final = "card.md"
LAST_NAME: Final = "last.ckpt"
BEST_NAME: Final = "best.safetensors"
METRICS_NAME: Final = "metrics.csv"

Row = dict[str, float]


@dataclass(frozen=True, slots=True)
class Result:
    """What came out.

    Attributes:
        weights_sha256: Of `weights.safetensors`.
        weights_bytes: Its size.
        parameters: Numbers in the network that were found by training, or could have been.
        epochs: How many were trained.
        steps: How many steps.
        kept_epoch: Whose weights are kept, counted from 1; 0 where nothing was trained before the head was
            fitted.
        figures: Of that epoch, or of the network with its fitted head, on the validation set.
        seconds: Spent in training and fitting, validation included, breaks left out.
    """

    weights_sha256: str
    weights_bytes: int
    parameters: int
    epochs: int
    steps: int
    kept_epoch: int
    figures: Row
    seconds: float


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What `run.json` holds.

    Attributes:
        name: The run's.
        started: ISO 8601, UTC.
        data: Name, hash, classes and counts of what it was trained on.
        provenance: Code, libraries and machine, see `classifier.training.provenance`.
        seed: Of everything that was drawn.
        threads: Of torch on the CPU; another number may round differently.
        resumed: When and where it was gone on with after a break: time, step, and provenance if different.
        result: None until it is finished.
    """

    name: str
    started: str
    data: dict[str, Any]
    provenance: dict[str, Any]
    seed: int
    threads: int
    resumed: list[dict[str, Any]] = field(default_factory=list)
    result: Result | None = None


def write(folder: Path, record: RunRecord) -> None:
    """Write `run.json`, replacing a former one."""
    text = json.dumps(asdict(record), indent=2, ensure_ascii=False) + "\n"
    atomic_file.write(folder / RUN_NAME, text.encode(), atomic_file.SHARED)


def read(folder: Path) -> RunRecord:
    """Read `run.json`.

    Args:
        folder: A run's.

    Returns:
        What it says.

    Raises:
        TrainingError: Where it is missing or not ours.
    """
    path = folder / RUN_NAME
    try:
        values = json.loads(path.read_bytes())
        result = values.pop("result")
        return RunRecord(**values, result=None if result is None else Result(**result))
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TrainingError(f"{path}: is not a run's record: {error}") from error


__all__ = [
    "BEST_NAME",
    "CARD_NAME",
    "CONFIG_NAME",
    "LAST_NAME",
    "METRICS_NAME",
    "RUN_NAME",
    "WEIGHTS_NAME",
    "Result",
    "Row",
    "RunRecord",
    "read",
    "write",
]
