"""Pre-processing that takes the ground from under adversarial changes: named steps, each on uint8 pictures.

An attack tunes changes that nobody sees to the exact pixels that a network gets. Each of these steps throws
away detail of that size and leaves what people recognise. None is a proof: who knows the defence can attack
through it, and every step costs some accuracy on clean pictures. So `measure` belongs to it, and robustness
reports have to show both sides.

A defence has a name that says all about it, such as `jpeg:75+median:3+jitter:0.85@7` (7 is the seed); as
`imagenet-v1+jpeg:75` it is part of a preprocessing, hence of the model card and of every score. The same
bytes give the same score (design, promise 6): what is random is drawn from the seed and the picture itself.

Decode workers import this module: numpy and Pillow alone, no torch.
"""

import hashlib
import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import PIL
from PIL import Image, ImageFilter, features

from classifier.errors import ModelError
from classifier.values import Pixels

if TYPE_CHECKING:
    from classifier.preprocess import ChannelOrder

Provenance = Mapping[str, str | int | float]


class Step(Protocol):
    """One step of a defence; equal pictures and equal random numbers give equal results."""

    @property
    def name(self) -> str:
        """As `parse` reads it."""
        ...

    @property
    def provenance(self) -> Provenance:
        """What it is, as plain values: kind, parameters with their units, source, library."""
        ...

    def apply(self, picture: Image.Image, random: np.random.Generator, /) -> Image.Image:
        """Change a picture.

        Args:
            picture: Mode RGB.
            random: Where chance comes from, if it plays a part.

        Returns:
            Mode RGB, same size.
        """
        ...


@dataclass(frozen=True, slots=True)
class Jpeg:
    """Compress and decompress: Dziugaite et al. 2016, Guo et al. 2018.

    Attributes:
        quality: Pillow's, 1 to 95.
    """

    quality: int

    def __post_init__(self) -> None:
        _within("jpeg", "quality", self.quality, 1, 95)

    @property
    def name(self) -> str:
        """See `Step.name`."""
        return f"jpeg:{self.quality}"

    @property
    def provenance(self) -> Provenance:
        """See `Step.provenance`."""
        return {
            "kind": "jpeg",
            "quality": self.quality,
            "subsampling": "4:2:0",
            "source": "arXiv:1608.00853, arXiv:1711.00117",
            "library": f"Pillow {PIL.__version__}, libjpeg {features.version('jpg') or 'unknown'}",
        }

    def apply(self, picture: Image.Image, _random: np.random.Generator, /) -> Image.Image:
        """See `Step.apply`."""
        with io.BytesIO() as buffer:
            picture.save(buffer, format="JPEG", quality=self.quality, subsampling="4:2:0")
            with Image.open(buffer) as compressed:
                return compressed.convert("RGB")


@dataclass(frozen=True, slots=True)
class ResizeJitter:
    """Shrink by a drawn factor, and lay the picture at a drawn place on its own mean colour: Xie et al. 2018.

    Attributes:
        smallest: The smallest factor, 0.5 to below 1; the largest is 1.
    """

    smallest: float

    def __post_init__(self) -> None:
        _within("jitter", "smallest factor", self.smallest, 0.5, 0.99)

    @property
    def name(self) -> str:
        """See `Step.name`."""
        return f"jitter:{self.smallest:g}"

    @property
    def provenance(self) -> Provenance:
        """See `Step.provenance`."""
        return {
            "kind": "jitter",
            "smallest_factor": self.smallest,
            "filter": "bilinear",
            "padding": "mean colour",
            "source": "arXiv:1711.01991",
            "library": f"Pillow {PIL.__version__}, numpy {np.__version__}",
        }

    def apply(self, picture: Image.Image, random: np.random.Generator, /) -> Image.Image:
        """See `Step.apply`."""
        factor = random.uniform(self.smallest, 1.0)
        width, height = (max(1, round(side * factor)) for side in picture.size)
        left = int(random.integers(0, picture.width - width + 1))
        top = int(random.integers(0, picture.height - height + 1))
        red, green, blue = (round(value) for value in np.asarray(picture).mean((0, 1)).tolist())
        canvas = Image.new("RGB", picture.size, (red, green, blue))
        canvas.paste(picture.resize((width, height), Image.Resampling.BILINEAR), (left, top))
        return canvas


@dataclass(frozen=True, slots=True)
class BitDepth:
    """Fewer levels a channel, spread over 0..255 again: Xu et al. 2018, "feature squeezing".

    Attributes:
        bits: 1 to 7.
    """

    bits: int

    def __post_init__(self) -> None:
        _within("bits", "number", self.bits, 1, 7)

    @property
    def name(self) -> str:
        """See `Step.name`."""
        return f"bits:{self.bits}"

    @property
    def provenance(self) -> Provenance:
        """See `Step.provenance`."""
        return {
            "kind": "bits",
            "bits": self.bits,
            "rounding": "nearest",
            "source": "arXiv:1704.01155",
            "library": f"Pillow {PIL.__version__}",
        }

    def apply(self, picture: Image.Image, _random: np.random.Generator, /) -> Image.Image:
        """See `Step.apply`."""
        highest = 2**self.bits - 1
        return picture.point(
            [round(round(value * highest / 255) * 255 / highest) for value in range(256)] * 3
        )


@dataclass(frozen=True, slots=True)
class Median:
    """The median of each pixel's neighbourhood, a channel at a time: Xu et al. 2018.

    Attributes:
        size_px: Side of the neighbourhood in pixels, odd, 3 to 9.
    """

    size_px: int

    def __post_init__(self) -> None:
        _within("median", "side", self.size_px, 3, 9)
        if self.size_px % 2 == 0:
            raise ModelError(f"median: the side has to be odd, not {self.size_px}")

    @property
    def name(self) -> str:
        """See `Step.name`."""
        return f"median:{self.size_px}"

    @property
    def provenance(self) -> Provenance:
        """See `Step.provenance`."""
        return {
            "kind": "median",
            "size_px": self.size_px,
            "edges": "repeated",
            "source": "arXiv:1704.01155",
            "library": f"Pillow {PIL.__version__}",
        }

    def apply(self, picture: Image.Image, _random: np.random.Generator, /) -> Image.Image:
        """See `Step.apply`."""
        return picture.filter(ImageFilter.MedianFilter(self.size_px))


@dataclass(frozen=True, slots=True)
class Defence:
    """Steps, one after the other.

    Attributes:
        steps: At least one.
        seed: With the picture decides what is random.
    """

    steps: tuple[Step, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.steps:
            raise ModelError("a defence needs a step")
        if not 0 <= self.seed < 2**63:
            raise ModelError(f"a defence's seed has to be 0 to 2**63 - 1, not {self.seed}")

    @property
    def name(self) -> str:
        """All that makes it, as `parse` reads it; the seed is left out where it is 0."""
        steps = "+".join(step.name for step in self.steps)
        return f"{steps}@{self.seed}" if self.seed else steps

    @property
    def provenance(self) -> dict[str, str | int | list[dict[str, str | int | float]]]:
        """Everything about it in values that JSON and TOML know, for model cards and reports."""
        return {
            "name": self.name,
            "seed": self.seed,
            "steps": [dict(step.provenance) for step in self.steps],
        }

    def apply(self, pixels: Pixels, order: "ChannelOrder" = "rgb") -> Pixels:
        """Defend one picture.

        Args:
            pixels: uint8 array (height, width, 3), not changed.
            order: Its channel order. It matters: JPEG treats brightness and colour differently.

        Returns:
            As `pixels`, another array, C-contiguous.
        """
        rgb = np.ascontiguousarray(pixels if order == "rgb" else pixels[:, :, ::-1])
        picture = Image.fromarray(rgb)
        random = _random(self.seed, rgb)
        for step in self.steps:
            picture = step.apply(picture, random)
        defended = np.array(picture)
        return defended if order == "rgb" else np.ascontiguousarray(defended[:, :, ::-1])

    def apply_batch(self, pixels: Pixels, order: "ChannelOrder" = "rgb") -> Pixels:
        """Defend pictures of one size, each on its own: uint8 (n, height, width, 3) in and out, n >= 1."""
        return np.stack([self.apply(one, order) for one in pixels])


@dataclass(frozen=True, slots=True)
class DefenceCost:
    """What a defence does to clean pictures and how long it takes.

    Attributes:
        name: Of the defence.
        pictures: How many were measured.
        cpu_ms: Mean processor time a picture in milliseconds, on this machine.
        mean_change: Mean absolute difference of a sample, in levels of 0..255.
        psnr_db: Peak signal-to-noise ratio over all samples in decibels; infinite where nothing changed.
    """

    name: str
    pictures: int
    cpu_ms: float
    mean_change: float
    psnr_db: float


def measure(defence: Defence, pictures: Sequence[Pixels], order: "ChannelOrder" = "rgb") -> DefenceCost:
    """Measure a defence on pictures; what it restores under attack is for the robustness report.

    Args:
        defence: What to measure.
        pictures: At least one, each uint8 (height, width, 3).
        order: Their channel order.

    Returns:
        Its cost.

    Raises:
        ValueError: Where there are no pictures.
    """
    if not pictures:
        raise ValueError("there are no pictures to measure the defence on")
    absolute = squared = samples = 0.0
    began_s = time.process_time()
    defended = [defence.apply(pixels, order) for pixels in pictures]
    cpu_s = time.process_time() - began_s
    for before, after in zip(pictures, defended, strict=True):
        difference = after.astype(np.float64) - before
        absolute += float(np.abs(difference).sum())
        squared += float((difference**2).sum())
        samples += difference.size
    psnr_db = 10 * np.log10(255**2 * samples / squared) if squared else np.inf
    return DefenceCost(
        defence.name, len(pictures), 1000 * cpu_s / len(pictures), absolute / samples, float(psnr_db)
    )


_KINDS: Mapping[str, Callable[[str], Step]] = {
    "jpeg": lambda value: Jpeg(int(value)),
    "jitter": lambda value: ResizeJitter(float(value)),
    "bits": lambda value: BitDepth(int(value)),
    "median": lambda value: Median(int(value)),
}


def parse(name: str) -> Defence:
    """Make a defence of its name.

    Args:
        name: Steps joined by `+`, each a kind and its parameter (`jpeg:75`, `jitter:0.85`, `bits:5`,
            `median:3`), and at the end perhaps `@` and the seed.

    Returns:
        The defence.

    Raises:
        ModelError: Where the name is of none; it says which part.
    """
    steps, at, seed = name.partition("@")
    if at and not seed.isdecimal():
        raise ModelError(f"{name!r}: the seed of a defence has to be a whole number, not {seed!r}")
    return Defence(tuple(_step(step) for step in steps.split("+")), int(seed) if at else 0)


def _step(text: str) -> Step:
    kind, _, value = text.partition(":")
    if kind not in _KINDS:
        raise ModelError(f"unknown step {text!r} of a defence; known: {', '.join(_KINDS)}")
    try:
        return _KINDS[kind](value)
    except ValueError as error:
        raise ModelError(f"{text!r}: {value!r} is not a number that {kind} takes") from error


def _within(kind: str, what: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # refuses what is not a number as well
        raise ModelError(f"{kind}: the {what} has to be {low} to {high}, not {value}")


def _random(seed: int, rgb: Pixels) -> np.random.Generator:
    digest = hashlib.sha256(seed.to_bytes(8, "little") + rgb.tobytes()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


__all__ = [
    "BitDepth",
    "Defence",
    "DefenceCost",
    "Jpeg",
    "Median",
    "Provenance",
    "ResizeJitter",
    "Step",
    "measure",
    "parse",
]
