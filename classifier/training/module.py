"""One run as Lightning sees it: what happens in a step, and what has to be remembered to go on exactly.

All that is drawn in a step (dropout) depends on seed and number of the batch, and which pictures it holds
does too (see `order`), so the number of batches seen is the whole state beside weights and optimizer.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from classifier.evaluation.metrics import confusion, pr_auc, roc_auc
from classifier.training.config import TrainConfig
from classifier.training.data import Batch
from classifier.training.ema import MovingAverage
from classifier.training.errors import TrainingError
from classifier.training.objective import (
    loss_of,
    optimizer_of,
    plain_loss_of,
    rate_share,
)
from classifier.training.order import Order, seed_of
from classifier.training.trainer import LightningOptimizer, OptimizerLRScheduler, pl

Prepare = Callable[[nn.Module, int], None]

_STATE = "progress"
_DROPOUT = 1
"""Keeps the seeds of steps apart from those of pictures."""


class Run(pl.LightningModule):
    """A network being trained.

    Args:
        network: Takes float32 (n, 3, h, w), 0..255, gives logits (n, 2).
        config: The run.
        order: Of the training pictures.
        prepare: Called before the first batch of each epoch, and of a resumed one, with network and epoch
            (from 0): decides what is trained in it. None: everything always is.
    """

    def __init__(
        self, network: nn.Module, config: TrainConfig, order: Order, prepare: Prepare | None = None
    ) -> None:
        super().__init__()
        # Networks are built ready to score; Lightning leaves modes as it finds them. Channels last: depthwise
        # convolutions train in two thirds of the CPU time (MobileNet, EfficientNet), no network in more.
        self.network = network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        decay = config.training.ema_decay
        self.average = MovingAverage(network, decay) if decay else None
        self._config, self._order, self._prepare = config, order, prepare
        self._loss = loss_of(config.loss, order.targets)
        self._plain_loss = plain_loss_of(config.loss)
        self._batches_seen = 0
        self._loss_sum: Tensor | float = 0.0
        self._shown = 0
        self.rate = 0.0
        """Learning rate of the latest step."""
        self._prepared: int | None = None
        self._validated: list[tuple[Tensor, Tensor]] = []

    @property
    def result(self) -> nn.Module:
        """The network that is validated and kept: the averaged one where there is one."""
        return self.network if self.average is None else self.average.network

    @property
    def train_loss(self) -> float:
        """Mean loss over the pictures of the current epoch so far."""
        return float(self._loss_sum) / max(1, self._shown)

    @property
    def steps(self) -> int:
        """Steps of the optimizer in the whole run."""
        training = self._config.training
        return math.ceil(self._order.batches / training.accumulate) * training.epochs

    def position(self) -> tuple[int, int]:
        """Epoch and batch that are due."""
        return divmod(self._batches_seen, self._order.batches)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of the network that is kept: uint8 (n, 3, h, w) to float32 (n, 2)."""
        logits: Tensor = self.result(_input(pixels))
        return logits

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Settle what this batch draws, and what is trained in this epoch."""
        del batch, batch_idx
        training = self._config.training
        epoch, first = self.position()
        torch.manual_seed(seed_of(training.seed, _DROPOUT, self._batches_seen, self._order.rank))
        if first == 0:
            self._loss_sum, self._shown = 0.0, 0
        if self._prepare is not None and self._prepared != epoch:
            self._prepare(self.network, epoch)
            self._prepared = epoch

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a batch."""
        del batch_idx
        pixels, targets = batch
        loss = self._loss(self.network(_input(pixels)).float(), targets)
        self._loss_sum = self._loss_sum + loss.detach() * len(targets)
        self._shown += len(targets)
        self.rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        self._batches_seen += 1
        return loss

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """A step; checkpoints are written before `on_train_batch_end`, so the average follows right here."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if self.average is not None:
            self.average.update(self.network)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Note what the network says."""
        del batch_idx
        pixels, targets = batch
        self._validated.append((self(pixels).float().cpu(), targets.cpu()))

    def on_validation_epoch_end(self) -> None:
        """The figures of an epoch; every process validates everything, so they are the same in each."""
        logits = torch.cat([part for part, _ in self._validated])
        targets = torch.cat([part for _, part in self._validated])
        self._validated.clear()
        if not (bool(logits.isfinite().all()) and math.isfinite(self.train_loss)):
            epoch = self.current_epoch + 1
            raise TrainingError(
                f"{self._config.name}: the loss is not finite in epoch {epoch}; lower optimizer.rate, "
                "or set optimizer.gradient_clip or optimizer.warmup_steps"
            )
        figures = {"validation_loss": float(self._plain_loss(logits, targets))}
        scores: NDArray[np.float32] = logits.softmax(1)[:, 1].numpy()
        figures |= validation_figures(scores, targets.numpy())
        self.log_dict(figures, prog_bar=True)
        self.log("train_loss", self.train_loss)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimizer and schedule."""
        optimizer = optimizer_of(self._config.optimizer, self.network)
        schedule = LambdaLR(optimizer, lambda step: rate_share(self._config.optimizer, step, self.steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning does not know of."""
        checkpoint[_STATE] = {
            "batches_seen": self._batches_seen,
            "loss_sum": float(self._loss_sum),
            "shown": self._shown,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it back."""
        state = checkpoint[_STATE]
        self._batches_seen, self._shown = state["batches_seen"], state["shown"]
        self._loss_sum = state["loss_sum"]


def _input(pixels: Tensor) -> Tensor:
    return pixels.to(torch.float32, memory_format=torch.channels_last)


def validation_figures(scores: NDArray[np.float32], targets: NDArray[np.int64]) -> dict[str, float]:
    """What is told of each epoch; what is defined for no flags is 0, for it is to be maximised.

    Args:
        scores: (n,), 0..1.
        targets: (n,), 0 and 1, both there.

    Returns:
        Accuracy, precision, recall and F1 at 0.5, and the areas under both curves.
    """
    counts = confusion(scores, targets, 0.5)
    hits = counts.true_positives
    return {
        "validation_accuracy": (hits + counts.true_negatives) / counts.total,
        "validation_precision": hits / counts.flagged if counts.flagged else 0.0,
        "validation_recall": hits / counts.positives,
        "validation_f1": 2 * hits / (counts.flagged + counts.positives),
        "validation_pr_auc": pr_auc(scores, targets),
        "validation_roc_auc": roc_auc(scores, targets),
    }


__all__ = ["Prepare", "Run", "validation_figures"]
