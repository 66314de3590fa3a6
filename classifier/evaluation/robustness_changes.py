"""What is done to pictures to see whether decisions hold: the usual fates of files, and attacks.

Each change is planned before anything is computed, so that progress knows its end.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from classifier.evaluation.attacks import Attack, fgsm
from classifier.evaluation.robustness_values import ChangeKind, Options
from classifier.models.defence import Jpeg
from classifier.preprocess import ChannelOrder
from classifier.values import Pixels

Apply = Callable[[Image.Image], Image.Image]
"""Changes a picture, mode RGB; the size stays."""


@dataclass(frozen=True, slots=True)
class UsualChange:
    """What may happen to any file.

    Attributes:
        kind: See `robustness_values.Change`, like the next two.
        strength: How much of it.
        name: For people.
        apply: Does it.
    """

    kind: ChangeKind
    strength: float
    name: str
    apply: Apply


@dataclass(frozen=True, slots=True)
class PlannedAttack:
    """What somebody does on purpose.

    Attributes:
        kind: `fgsm` or `pgd`.
        attack: How.
    """

    kind: ChangeKind
    attack: Attack

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.kind.upper()}, {self.attack.epsilon}/255"


def usual(options: Options) -> Iterator[UsualChange]:
    """What may happen to any file, in the order of the report."""
    for quality in options.jpeg_qualities:
        yield UsualChange("jpeg", quality, f"JPEG, quality {quality}", _jpeg(quality))
    for factor in options.resize_factors:
        yield UsualChange("resize", factor, f"Shrunk to {_percent(factor)} and back", _resized(factor))
    for share in options.crop_shares:
        yield UsualChange("crop", share, f"Cropped to the middle {_percent(share)}", _cropped(share))
    for share in options.blur_shares:
        yield UsualChange("blur", share, f"Blurred by {_percent(share)} of the side", _blurred(share))
    if options.flips:
        yield UsualChange("flip", 0, "Mirrored", ImageOps.mirror)
        yield UsualChange("flip", 1, "Upside down", ImageOps.flip)


def planned_attacks(options: Options) -> Iterator[PlannedAttack]:
    """The attacks, weakest first."""
    for epsilon in options.epsilons:
        yield PlannedAttack("fgsm", fgsm(epsilon))
        steps, restarts = options.pgd_steps, options.pgd_restarts
        yield PlannedAttack("pgd", Attack(epsilon, steps=steps, restarts=restarts, seed=options.seed))


def changed(pixels: Pixels, apply: Apply, order: ChannelOrder) -> Pixels:
    """Change pictures one by one: uint8 (n, h, w, 3) in and out, channels in this order."""
    step = 1 if order == "rgb" else -1
    pictures = [np.asarray(apply(Image.fromarray(np.ascontiguousarray(one[:, :, ::step])))) for one in pixels]
    return np.ascontiguousarray(np.stack(pictures)[:, :, :, ::step])


def _percent(share: float) -> str:
    return f"{share * 100:.4g} %"


def _jpeg(quality: int) -> Apply:
    step, nothing = Jpeg(quality), np.random.default_rng(0)
    return lambda picture: step.apply(picture, nothing)


def _resized(factor: float) -> Apply:
    def apply(picture: Image.Image) -> Image.Image:
        width, height = (max(1, round(side * factor)) for side in picture.size)
        small = picture.resize((width, height), Image.Resampling.BILINEAR)
        return small.resize(picture.size, Image.Resampling.BILINEAR)

    return apply


def _cropped(share: float) -> Apply:
    def apply(picture: Image.Image) -> Image.Image:
        left, top = (side * (1 - share) / 2 for side in picture.size)
        box = (left, top, picture.width - left, picture.height - top)
        return picture.resize(picture.size, Image.Resampling.BILINEAR, box=box)

    return apply


def _blurred(share: float) -> Apply:
    return lambda picture: picture.filter(ImageFilter.GaussianBlur(share * min(picture.size)))


__all__ = ["Apply", "PlannedAttack", "UsualChange", "changed", "planned_attacks", "usual"]
