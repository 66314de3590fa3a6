"""Asks after every epoch whether a trial is worth going on with; one that is not ends like any other run."""

from collections.abc import Callable
from typing import Protocol

from classifier.training.trainer import Callback, pl


class Judge(Protocol):
    """Whoever decides; Optuna's trial is one."""

    def report(self, value: float, step: int) -> None:
        """Take note of the figure after an epoch."""

    def should_prune(self) -> bool:
        """Whether to give up, by what was noted."""


class GiveUp(Callback):
    """Stops a run after an epoch whose figure is hopeless; its folder then is that of a short run.

    Args:
        judge: Decides.
        monitor: The figure it is told.
        note: Is told the epoch, from 1, after which it is stopped: at once, because the process may be
            killed before the run is over.
    """

    def __init__(self, judge: Judge, monitor: str, note: Callable[[int], None]) -> None:
        super().__init__()
        self._judge, self._monitor, self._note = judge, monitor, note

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report, and ask; the last epoch is over anyway."""
        del pl_module
        epoch = trainer.current_epoch + 1
        self._judge.report(float(trainer.callback_metrics[self._monitor]), epoch)
        if epoch < (trainer.max_epochs or 0) and self._judge.should_prune():
            self._note(epoch)
            trainer.should_stop = True


__all__ = ["GiveUp", "Judge"]
