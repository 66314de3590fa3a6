"""A run that takes a second: a tiny network on small drawn pictures; started as a program it kills itself."""

import dataclasses
import hashlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from classifier.datasets import manifest, proxy
from classifier.datasets.values import Dataset
from classifier.training import config as configs
from classifier.training.config import TrainConfig
from classifier.training.run import train
from classifier.training.trainer import Callback, pl

PX = 32


class TinyNetwork(nn.Module):
    """Everything that has to be remembered: weights, normalisation statistics, dropout; any size goes in."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(6, 2)
        self.seen: set[tuple[int, ...]] = set()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.seen.add((pixels.shape[2], pixels.shape[3]))
        features = torch.relu(self.norm(self.stem(pixels / 128 - 1)))
        return self.head(self.dropout(features.mean((2, 3))))


def pictures(folder: Path, count: int = 40, sizes: tuple[tuple[int, int], ...] = ((PX, PX),)) -> Dataset:
    """Drawn pictures with their hashes, every fifth for validation; the manifest is `divided.csv`."""
    settings = proxy.ProxySettings(count=count, sizes_px=sizes, copy_share=0, noise_share=0)
    drawn = proxy.write(folder, settings)
    items = [
        dataclasses.replace(
            item,
            split="validation" if index % 5 < 2 else "train",
            sha256=hashlib.sha256((folder / item.path).read_bytes()).hexdigest(),
        )
        for index, item in enumerate(drawn.items)
    ]
    manifest.write(drawn.with_items(items), folder / "divided.csv")
    return manifest.read(folder / "divided.csv", proxy.CLASSES)


def config(**sections: dict[str, Any]) -> TrainConfig:
    """Two epochs of six steps with everything switched on that draws or remembers."""
    table: dict[str, Any] = {
        "name": "tiny",
        "data": {"classes": list(proxy.CLASSES), "preprocessing": f"imagenet-v1@{PX}"},
        "augment": {"flip": 0.5, "rotate_deg": 10, "crop_min_share": 0.6, "brightness": 0.2, "erase": 0.3},
        "optimizer": {"rate": 0.01, "warmup_steps": 2, "schedule": "cosine", "gradient_clip": 1.0},
        "training": {
            "epochs": 2,
            "batch": 4,
            "ema_decay": 0.9,
            "checkpoint_every_steps": 2,
            "accelerator": "cpu",
            "threads": 1,
        },
    }
    for name, values in sections.items():
        table[name] = {**table.get(name, {}), **values}
    return configs.parse(table, "tests")


class KillAt(Callback):
    """Ends the process at a step as a power cut would."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self._step:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    data, run_folder, kill_at = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    dataset = manifest.read(data / "divided.csv", proxy.CLASSES)
    train(config(), dataset, run_folder, build=TinyNetwork, callbacks=[KillAt(kill_at)])
