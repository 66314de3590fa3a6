"""How training pictures are varied, by torchvision's transforms; what is drawn depends on the seed alone."""

import importlib
from functools import lru_cache
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor

from classifier.torch_compat import import_torchvision
from classifier.training.config import AugmentConfig
from classifier.training.order import Shape

_GREY = 124
"""About ImageNet's mean: what a turned picture leaves free says nothing to the network."""
_CROP_RATIOS = (3 / 4, 4 / 3)
_ERASED_SHARES = (0.02, 0.2)


def vary(image: Image.Image, config: AugmentConfig, shape: Shape, seed: int) -> Tensor:
    """Vary a picture.

    Args:
        image: RGB, of any size where a random crop is configured, else of the wanted shape.
        config: How.
        shape: What the result must be.
        seed: Equal seeds vary equal pictures equally, whichever process does it.

    Returns:
        uint8 (3, height, width), RGB.
    """
    # The generators of the process are others' too.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return cast(Tensor, _pipeline(config, shape)(image))


@lru_cache(maxsize=256)
def _pipeline(config: AugmentConfig, shape: Shape) -> Any:
    import_torchvision()
    v2 = importlib.import_module("torchvision.transforms.v2")
    bilinear = v2.InterpolationMode.BILINEAR
    steps: list[Any] = []
    if config.crop_min_share < 1:
        scale = (config.crop_min_share, 1.0)
        steps.append(v2.RandomResizedCrop(shape, scale=scale, ratio=_CROP_RATIOS, antialias=True))
    if config.flip:
        steps.append(v2.RandomHorizontalFlip(config.flip))
    if config.flip_vertical:
        steps.append(v2.RandomVerticalFlip(config.flip_vertical))
    if config.rotate_deg or config.shift or config.shear_deg:
        shift, shear = (config.shift, config.shift) if config.shift else None, config.shear_deg or None
        steps.append(v2.RandomAffine(config.rotate_deg, shift, None, shear, bilinear, fill=_GREY))
    if config.brightness or config.contrast or config.saturation or config.hue:
        strengths = (config.brightness, config.contrast, config.saturation, config.hue)
        steps.append(v2.ColorJitter(*strengths))
    if config.greyscale:
        steps.append(v2.RandomGrayscale(config.greyscale))
    if config.blur:
        steps.append(v2.RandomApply([v2.GaussianBlur(5, (0.1, 1.5))], p=config.blur))
    steps.append(v2.PILToTensor())
    if config.erase:
        steps.append(v2.RandomErasing(config.erase, scale=_ERASED_SHARES, value=_GREY))
    return v2.Compose(steps)


__all__ = ["vary"]
