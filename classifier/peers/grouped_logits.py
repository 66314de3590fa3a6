"""Other people's classes as this project's two: every network here gives a pair, of which one is the score.

The softmax of two sums of exponentials is the sum of the classes' own probabilities, so nothing is lost, and
whatever works on our own networks (engines, attacks, explanations) works on theirs.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn


class GroupedLogits(nn.Module):
    """Normalise, run, and group the classes into "the others" and "scored".

    Args:
        network: Maps normalised float32 (n, 3, h, w) to logits (n, classes).
        classes: How many it gives.
        scored: Which of them count, at least one and not all.
        mean: Of each channel, in 0..1; subtracted after dividing by 255.
        deviation: Of each channel; divided by afterwards.
    """

    def __init__(
        self,
        network: nn.Module,
        classes: int,
        scored: Sequence[int],
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        deviation: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> None:
        super().__init__()
        self.network = network
        self._scored = list(scored)
        self._others = [index for index in range(classes) if index not in scored]
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(1, 3, 1, 1), persistent=False)

    def logits(self, pictures: Tensor) -> Tensor:
        """The network's own classes: float32 (n, 3, h, w), 0..255, to logits (n, classes)."""
        normal = (pictures / 255 - cast(Tensor, self.mean)) / cast(Tensor, self.deviation)
        return cast(Tensor, self.network(normal))

    def forward(self, pictures: Tensor) -> Tensor:
        """Map float32 (n, 3, h, w), 0..255, to logits (n, 2), of which the second is the scored classes'."""
        logits = self.logits(pictures)
        pair = [logits[:, group].logsumexp(dim=1) for group in (self._others, self._scored)]
        return torch.stack(pair, dim=1)


__all__ = ["GroupedLogits"]
