"""Tells whoever waits how far a run is, without them having to know Lightning."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from classifier.training.module import Run
from classifier.training.trainer import Callback, pl

_EVERY_S = 0.2
"""Reading the loss waits for the GPU, so it is not read at every step."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a run is.

    Attributes:
        epoch: The current one, counted from 1.
        epochs: At most.
        batch: Batches of it that are done.
        batches: Batches of an epoch.
        loss: Mean training loss of the epoch so far.
        figures: On the validation set, of the latest epoch; empty before its end.
        is_epoch_end: Whether the epoch was just finished and validated.
    """

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    figures: Mapping[str, float] = field(default_factory=dict)
    is_epoch_end: bool = False


OnStanding = Callable[[Standing], None]


class Watcher(Callback):
    """Tells about the process it is in; with several, the first one's.

    Args:
        tell: Is told a few times a second at most, and after every epoch.
    """

    def __init__(self, tell: OnStanding) -> None:
        super().__init__()
        self._tell = tell
        self._told_s = -math.inf

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Tell about a batch, if the last time is a while ago."""
        del outputs, batch, batch_idx
        if time.monotonic() - self._told_s >= _EVERY_S:
            self._say(trainer, pl_module, is_epoch_end=False)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell about an epoch."""
        self._say(trainer, pl_module, is_epoch_end=True)

    def _say(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *, is_epoch_end: bool) -> None:
        assert isinstance(pl_module, Run)
        if not trainer.is_global_zero:
            return
        batches = int(trainer.num_training_batches)
        _, done = pl_module.position()
        figures = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith("validation_")
        }
        # After the last batch the position is the next epoch's first one.
        at = Standing(
            epoch=trainer.current_epoch + 1,
            epochs=int(trainer.max_epochs or 0),
            batch=done or batches,
            batches=batches,
            loss=pl_module.train_loss,
            figures=figures,
            is_epoch_end=is_epoch_end,
        )
        self._told_s = time.monotonic()
        self._tell(at)


def hush() -> None:
    """Keep Lightning's advice about devices and products off the terminal; its warnings stay.

    Lightning sets its own level when it is imported, which it is by now.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)


__all__ = ["OnStanding", "Standing", "Watcher", "hush"]
