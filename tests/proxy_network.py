"""A small network that has really learnt the drawn task, in seconds, so that its gradients mean something."""

import io
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import nn

from classifier.datasets import proxy

PX, STEPS = 32, 120
_SETTINGS = proxy.ProxySettings(sizes_px=((PX, PX),), copy_share=0, noise_share=0, clutter=0, decoy_share=0)


class ProxyNetwork(nn.Module):
    """Three convolutions, pictures 0..255 in, two logits out; any size goes in."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(3, 16, 5, padding=2),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 24, 3, padding=1),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.Conv2d(24, 24, 3, padding=1),
            nn.BatchNorm2d(24),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Linear(48, 2)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features = self.trunk(pixels / 64 - 2)
        return self.head(torch.cat((features.mean((2, 3)), features.amax((2, 3))), 1))


@lru_cache(maxsize=4)
def drawn(first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 (count, 32, 32, 3), RGB, and labels (count,)."""
    made = [proxy.draw(index, _SETTINGS) for index in range(first, first + count)]
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(one.content)).convert("RGB")) for one in made])
    return pixels, np.array([one.true_label == proxy.CLASSES[1] for one in made])


@lru_cache(maxsize=1)
def trained() -> nn.Module:
    """The network in eval mode; its test pictures begin at 1000.

    Trained in double precision, so that how a processor rounds sums does not decide what it learns.
    """
    pixels, labels = drawn(0, 500)
    inputs, targets = torch.tensor(pixels).permute(0, 3, 1, 2).double(), torch.tensor(labels).long()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ProxyNetwork().double()
        optimizer = torch.optim.Adam(network.parameters())
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.005, STEPS)
        for _ in range(STEPS):
            chosen = torch.randint(len(inputs), (32,))
            loss = nn.functional.cross_entropy(network(inputs[chosen]), targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.float().eval().requires_grad_(False)
