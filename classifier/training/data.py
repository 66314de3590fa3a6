"""Labelled pictures as torch wants them: decoded, brought to a shape, varied, and put together to batches."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad
from torch.utils import data as torch_data

from classifier import preprocess
from classifier.datasets.values import Dataset, DatasetError
from classifier.decode.limits import DecodeLimits
from classifier.training.augment import vary
from classifier.training.config import AugmentConfig, DataConfig
from classifier.training.decoding import read_picture, read_size
from classifier.training.order import Draw, Order, Shape, buckets_of, fitted, in_order, seed_of
from classifier.values import Pixels

_PADDING = 124
_SPARE = 2
"""A picture is at most so many times larger than the network's input before it is varied."""

Position = Callable[[], tuple[int, int]]
"""Tells epoch and batch to go on from."""


class Batch(NamedTuple):
    """Pictures that the network sees at once.

    Attributes:
        pixels: uint8 (n, 3, h, w), in the configured order of channels.
        targets: int64 (n,), 0 or 1.
    """

    pixels: Tensor
    targets: Tensor


class Pictures(torch_data.Dataset[tuple[Tensor, int]]):
    """The items of one split.

    Args:
        dataset: The items.
        config: What a picture looks like in the end.
        augment: How pictures are varied; None: not at all.
        seed: Of what is drawn.

    Raises:
        DatasetError: Where an item is a URL, is not verified, or has an unknown label; with `buckets` also
            where a picture cannot be read.
    """

    def __init__(
        self, dataset: Dataset, config: DataConfig, augment: AugmentConfig | None = None, seed: int = 0
    ) -> None:
        self._augment, self._seed = augment, seed
        self._limits = DecodeLimits(
            max_pixels=config.max_pixels, reduced_jpeg_px=config.reduced_jpeg_px or None
        )
        self._paths = [dataset.path_of(item) for item in dataset.items]
        self._hashes = [item.sha256 for item in dataset.items]
        self.targets = tuple(dataset.target_of(item) for item in dataset.items)
        self.weights = tuple(item.weight for item in dataset.items)
        if config.require_verified and "" in self._hashes:
            path = dataset.items[self._hashes.index("")].path
            message = f"{path} was never verified; run `dataset build`, or set data.require_verified = false"
            raise DatasetError(message, dataset.name, None, "sha256")
        self._preprocess = preprocess.get(config.preprocessing)
        self._shapes: list[Shape] | None = None
        if config.shapes == "buckets":
            side = config.area_px or self._preprocess.input_px
            self._shapes = [fitted(*read_size(path, self._limits), side) for path in self._paths]

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def buckets(self) -> tuple[int, ...] | None:
        """Bucket of each item; None where all pictures get one shape."""
        return None if self._shapes is None else buckets_of(self._shapes)

    def __getitem__(self, draw: Draw) -> tuple[Tensor, int]:
        """One picture.

        Args:
            draw: Which, and as the how-manyth.

        Returns:
            uint8 (3, h, w), and 0 or 1.

        Raises:
            DatasetError: Where the file is not what was verified.
        """
        image = read_picture(self._paths[draw.item], self._hashes[draw.item], self._limits)
        pixels = self._plain(image, draw.item) if self._augment is None else self._varied(image, draw)
        return pixels, self.targets[draw.item]

    def _varied(self, image: Image.Image, draw: Draw) -> Tensor:
        """In the order of channels that the network wants, as all that follows."""
        assert self._augment is not None
        if self._augment.crop_min_share < 1:
            image = _shrunk(image, self._preprocess.input_px * _SPARE)
        else:
            # torchvision's colours are RGB.
            plain = self._ordered(self._plain(image, draw.item))
            image = Image.fromarray(plain.permute(1, 2, 0).numpy())
        seed = seed_of(self._seed, draw.epoch, draw.number)
        side = self._preprocess.input_px
        shape = self._shapes[draw.item] if self._shapes else (side, side)
        return self._ordered(vary(image, self._augment, shape, seed))

    def _plain(self, image: Image.Image, index: int) -> Tensor:
        """As it will be scored."""
        if self._shapes is None:
            return _tensor(self._preprocess.prepare(image))
        height, width = self._shapes[index]
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return self._ordered(_tensor(np.array(image)))

    def _ordered(self, pixels: Tensor) -> Tensor:
        """From RGB to what the network wants, or back."""
        return pixels.flip(0) if self._preprocess.channels == "bgr" else pixels


def collate(pictures: Sequence[tuple[Tensor, int]]) -> Batch:
    """Put pictures together; smaller ones are padded to the right and below with grey."""
    height = max(pixels.shape[1] for pixels, _ in pictures)
    width = max(pixels.shape[2] for pixels, _ in pictures)
    padded = [
        pad(pixels, (0, width - pixels.shape[2], 0, height - pixels.shape[1]), value=_PADDING)
        for pixels, _ in pictures
    ]
    return Batch(torch.stack(padded), torch.tensor([target for _, target in pictures]))


class _Batches(torch_data.Sampler[list[Draw]]):
    """The batches of the epoch that is due, from the one that is due."""

    def __init__(self, order: Order, position: Position) -> None:
        self._order, self._position = order, position

    def __len__(self) -> int:
        return self._order.batches

    def __iter__(self) -> Iterator[list[Draw]]:
        return self._order.epoch(*self._position())


Loader = torch_data.DataLoader[tuple[Tensor, int]]


def training_loader(pictures: Pictures, order: Order, position: Position, workers: int) -> Loader:
    """What training iterates over, once an epoch.

    Args:
        pictures: The pictures.
        order: Their order.
        position: Asked at the start of each iteration.
        workers: Processes that decode.

    Returns:
        A loader of `Batch`; its length is that of a whole epoch.
    """
    return _loader(pictures, _Batches(order, position), workers)


def plain_loader(pictures: Pictures, batch: int, workers: int) -> Loader:
    """What validation iterates over: every picture once, always in the same order."""
    return _loader(pictures, in_order(len(pictures), batch, pictures.buckets), workers)


def _loader(pictures: Pictures, batches: Iterable[list[Draw]], workers: int) -> Loader:
    return torch_data.DataLoader(
        pictures,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def _shrunk(image: Image.Image, shorter_px: int) -> Image.Image:
    scale = shorter_px / min(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _tensor(pixels: Pixels) -> Tensor:
    """From (h, w, 3) to (3, h, w)."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


__all__ = ["Batch", "Loader", "Pictures", "Position", "collate", "plain_loader", "training_loader"]
