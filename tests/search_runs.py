"""A search that takes seconds: dark and bright pictures, a tiny network, rates that learn or do not.

Started as a program it searches in a folder and is killed in the middle of its second trial.
"""

import hashlib
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from classifier.datasets import manifest
from classifier.datasets.values import Dataset, Item
from classifier.training import config as configs
from classifier.training.search.processes import search
from classifier.training.search.space import Parameter, Sampler, SearchConfig
from tests.training_runs import PX, TinyNetwork

CLASSES = ("dark", "bright")
GOOD, HOPELESS = 0.05, 1e-9
_STEPS_OF_A_TRIAL = 9


def pictures(folder: Path) -> Dataset:
    """So easy that whatever learns is right."""
    rng = np.random.default_rng(0)
    items = []
    for index in range(20):
        label = CLASSES[index % 2]
        path = folder / f"{index}.png"
        folder.mkdir(exist_ok=True)
        level = 60 if label == "dark" else 190
        Image.fromarray(rng.integers(level - 40, level + 40, (PX, PX, 3)).astype(np.uint8)).save(path)
        split = "validation" if index >= 12 else "train"
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        items.append(Item(path.name, label, split=split, sha256=sha256))
    manifest.write(Dataset(tuple(items), folder, "easy", CLASSES), folder / "easy.csv")
    return manifest.read(folder / "easy.csv", CLASSES)


def wanted(
    *rates: float, trials: int = 3, sampler: Sampler = "grid", pruner: str = "none", **search_options: int
) -> SearchConfig:
    """Three epochs of three steps a trial."""
    base = configs.parse(
        {
            "name": "tiny",
            "data": {"classes": list(CLASSES), "preprocessing": f"imagenet-v1@{PX}"},
            "training": {"epochs": 3, "batch": 4, "accelerator": "cpu", "threads": 1},
        },
        "tests",
    )
    grid, line = {"kind": "categorical", "choices": rates}, {"kind": "log", "low": 1e-4, "high": 1e-1}
    space = {"optimizer.rate": Parameter.model_validate(grid if sampler == "grid" else line)}
    return SearchConfig.model_validate(
        {"base": base, "space": space, "trials": trials, "sampler": sampler, "pruner": pruner}
        | search_options
    )


class Deadly(TinyNetwork):
    """Ends its process like a power cut, in the second epoch of the second trial."""

    steps = 0

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if self.training:
            Deadly.steps += 1
            if Deadly.steps == _STEPS_OF_A_TRIAL + 5:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(pixels)


if __name__ == "__main__":
    data, folder = Path(sys.argv[1]), Path(sys.argv[2])
    dataset = manifest.read(data, CLASSES)
    search(wanted(sampler="random"), dataset, folder, build=Deadly)
