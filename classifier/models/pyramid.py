"""Spatial pyramid pooling: from a feature map of any size to a vector of one length.

After He, Zhang, Ren and Sun, "Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition"
(arXiv:1406.4729). With it the network has no input size: a picture of any size and aspect ratio goes in
whole, neither cropped nor warped, and what is at its left edge stays apart from what is in the middle.
"""

import torch
from torch import Tensor, nn

from classifier.errors import ModelError

DEFAULT_LEVELS = (1, 2, 4)


class SpatialPyramidPooling(nn.Module):
    """The maximum of each cell of a few grids laid over the map.

    The cells are He's: cell i of n goes from floor(i * side / n) to ceil((i + 1) * side / n), so that they
    cover the map, and a map smaller than the grid still fills every cell. Written with slices: torch's own
    adaptive pooling cannot be exported where a grid does not divide the map, and has no deterministic
    gradient on a GPU.

    Args:
        levels: Cells a side of each grid, each at least 1, rising.

    Raises:
        ModelError: Where the levels are others.
    """

    def __init__(self, levels: tuple[int, ...] = DEFAULT_LEVELS) -> None:
        super().__init__()
        check_levels(levels)
        self.levels = levels

    @property
    def cells(self) -> int:
        """Vectors of the map's channels that the result is made of."""
        return sum(level**2 for level in self.levels)

    def forward(self, features: Tensor) -> Tensor:
        """Pool: (n, channels, h, w), h and w at least 1, to (n, channels * cells), cell by cell."""
        height, width = int(features.shape[2]), int(features.shape[3])
        pooled = [
            features[:, :, top:bottom, left:right].amax((2, 3))
            for level in self.levels
            for top, bottom in _cells(height, level)
            for left, right in _cells(width, level)
        ]
        return torch.cat(pooled, 1)

    def extra_repr(self) -> str:
        """What `print` says of it."""
        return f"levels={self.levels}"


def check_levels(levels: tuple[int, ...]) -> None:
    """Refuse what is no pyramid.

    Raises:
        ModelError: Where a level is below 1, they do not rise, or there is none.
    """
    if not levels or levels[0] < 1 or list(levels) != sorted(set(levels)):
        raise ModelError(f"a pyramid needs rising levels of at least 1, such as (1, 2, 4), not {levels}")


def _cells(side: int, count: int) -> list[tuple[int, int]]:
    return [(index * side // count, -(-(index + 1) * side // count)) for index in range(count)]


__all__ = ["DEFAULT_LEVELS", "SpatialPyramidPooling", "check_levels"]
