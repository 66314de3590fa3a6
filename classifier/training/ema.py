"""An exponential moving average of a network's weights, which is often better than any single step's."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class MovingAverage(nn.Module):
    """Follows a network; what normalisation layers have counted is copied, not averaged.

    Everything it remembers is in its state, so a checkpoint of whoever holds it is complete.

    Args:
        network: Whom to follow.
        decay: Share of the average that stays at each step. Early on less stays, min(decay, (1 + n) /
            (10 + n)) at step n, or the random start would weigh for long.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()

        def blend(averages: Sequence[Tensor], currents: Sequence[Tensor], step: Tensor | int) -> None:
            count = int(step)
            share = 1 - min(decay, (1 + count) / (10 + count))
            with torch.no_grad():
                for average, current in zip(averages, currents, strict=True):
                    average.lerp_(current, share)

        self._model = AveragedModel(network, multi_avg_fn=blend)
        self._model.requires_grad_(False)
        self._model.eval()

    @property
    def network(self) -> nn.Module:
        """The network with the averaged weights."""
        return self._model.module

    def update(self, network: nn.Module) -> None:
        """Take a step's weights in.

        Args:
            network: The followed network.
        """
        self._model.update_parameters(network)

    def train(self, mode: bool = True) -> "MovingAverage":
        """Never: it is only ever looked at."""
        del mode
        return super().train(False)


__all__ = ["MovingAverage"]
