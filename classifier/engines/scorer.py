"""A network with everything around it: prepared pictures in, scores out; what is run, exported and quantised.

One module for the reference, the ONNX graph and TorchScript, so that they cannot differ in the casting, the
order of axes or which class is the score.
"""

import torch
from torch import Tensor, nn


class Scorer(nn.Module):
    """Cast, transpose, network, softmax.

    Args:
        network: Maps float32 (n, 3, px, px), 0..255, to logits (n, 2) of which the second class is the score.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Score a batch: uint8 (n, px, px, 3) in, float32 (n,) in 0..1 out."""
        batch = pixels.permute(0, 3, 1, 2).to(torch.float32)
        return torch.softmax(self.network(batch), dim=1)[:, 1]
