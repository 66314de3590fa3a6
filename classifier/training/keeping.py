"""What a run leaves on the disk while it goes on: its history, its best weights, and where to go on.

Files are replaced as a whole, in an order that makes a kill harmless: best weights, history, checkpoint.
Whatever is newer than the checkpoint is simply made again, equal to what it was.

Lightning's own `ModelCheckpoint` and `CSVLogger` would not do: the one remembers absolute paths and copies
over the old file where the folder for temporary files is another disk, the other starts a new file at every
resume.
"""

import csv
import io
import time
from pathlib import Path
from typing import Any

from safetensors.torch import save as safetensors_bytes
from torch import nn

from classifier import atomic_file
from classifier.training.folder import BEST_NAME, LAST_NAME, METRICS_NAME, Row
from classifier.training.module import Run
from classifier.training.trainer import Checkpoint, EarlyStopping, pl


class Keeper(Checkpoint):
    """Writes history, best weights and checkpoints.

    Args:
        folder: The run's.
        monitor: The figure that decides which epoch is best.
        min_delta: What counts as better.
        every_steps: Steps between checkpoints within an epoch; 0: none.
    """

    def __init__(self, folder: Path, monitor: str, min_delta: float, every_steps: int) -> None:
        super().__init__()
        self._folder, self._monitor, self._min_delta, self._every = folder, monitor, min_delta, every_steps
        self._started_s = time.monotonic()
        self.history: list[Row] = []
        self.best_epoch: int | None = None

    @property
    def best(self) -> Row | None:
        """The row of the best epoch."""
        return None if self.best_epoch is None else self.history[self.best_epoch]

    def state_dict(self) -> dict[str, Any]:
        """What the checkpoint has to carry."""
        return {"history": self.history, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self.history, self.best_epoch = list(state_dict["history"]), state_dict["best_epoch"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A run that had decided to stop before it was killed does not go on after all."""
        del pl_module
        self._started_s = time.monotonic()
        for callback in trainer.early_stopping_callbacks:
            if isinstance(callback, EarlyStopping) and callback.wait_count >= callback.patience:
                trainer.should_stop = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a checkpoint where one is due; the epoch's last batch leaves that to its end."""
        del pl_module, outputs, batch, batch_idx
        if self._every and trainer.global_step % self._every == 0 and not trainer.is_last_batch:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write all there is after an epoch."""
        assert isinstance(pl_module, Run)
        row: Row = {"epoch": trainer.current_epoch + 1, "step": trainer.global_step}
        row["rate"] = pl_module.rate
        metrics = trainer.callback_metrics
        row |= {name: float(value) for name, value in sorted(metrics.items())}
        now_s = time.monotonic()
        row["seconds"], self._started_s = round(now_s - self._started_s, 3), now_s
        self.history.append(row)
        if self._is_best(row):
            self.best_epoch = len(self.history) - 1
            if trainer.is_global_zero:
                atomic_file.write(
                    self._folder / BEST_NAME, weights_bytes(pl_module.result), atomic_file.SHARED
                )
        if trainer.is_global_zero:
            atomic_file.write(self._folder / METRICS_NAME, _csv(self.history), atomic_file.SHARED)
        self._save(trainer)

    def _is_best(self, row: Row) -> bool:
        if self.best is None:
            return True
        gain = row[self._monitor] - self.best[self._monitor]
        return (-gain if lower_is_better(self._monitor) else gain) > self._min_delta

    def _save(self, trainer: pl.Trainer) -> None:
        beside = self._folder / f".new-{LAST_NAME}"
        trainer.save_checkpoint(beside)  # all processes take part
        if trainer.is_global_zero:
            beside.replace(self._folder / LAST_NAME)


def lower_is_better(monitor: str) -> bool:
    """Whether a figure is to be made small."""
    return monitor.endswith("loss")


def weights_bytes(network: nn.Module) -> bytes:
    """A network's state as safetensors; equal states give equal bytes.

    Args:
        network: The network.

    Returns:
        The file's content, names as in the state.
    """
    state = network.state_dict()
    return safetensors_bytes(
        {name: state[name].detach().cpu().contiguous().clone() for name in sorted(state)}
    )


def _csv(rows: list[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


__all__ = ["Keeper", "lower_is_better", "weights_bytes"]
