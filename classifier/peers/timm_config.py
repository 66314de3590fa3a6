"""What a repository of timm says about its model: read from `config.json`, and refused where it is not clear.

A wrong guess would not fail, it would score wrongly: a swapped label turns the score round, another crop or
filter moves it. So nothing is guessed that the file does not say or that timm does not define.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from classifier.errors import ModelError
from classifier.peers import preparing

NSFW_LABELS = frozenset({"nsfw", "unsafe", "porn", "pornography", "pornographic", "hentai", "explicit"})
SAFE_LABELS = frozenset({"sfw", "safe", "normal", "neutral", "drawing", "drawings"})
"""Labels that leave no doubt; others, such as "sexy", are refused."""
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CROP_SHARE = 0.875
"""timm's defaults (`resolve_data_config`)."""


@dataclass(frozen=True, slots=True)
class TimmConfig:
    """A model of timm, as its repository describes it.

    Attributes:
        architecture: timm's name of the network.
        labels: Of its classes, in the order of its output.
        scored: Numbers of those that count as NSFW.
        preprocessing: Id of the preparation that is the same as timm's.
        input_px: Side of the square input in pixels.
        mean: Of each channel, in 0..1.
        deviation: Of each channel.
        arguments: What the network is built with beyond its name.
        is_fixed_size: Whether the network is built for that very input size.
    """

    architecture: str
    labels: tuple[str, ...]
    scored: tuple[int, ...]
    preprocessing: str
    input_px: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    is_fixed_size: bool = False


def parse(content: bytes, where: str) -> TimmConfig:
    """Read a `config.json`.

    Args:
        content: The file.
        where: What to call it in messages.

    Returns:
        What it says.

    Raises:
        ModelError: Where it is not one of timm, lacks something, or leaves open what has to be known.
    """
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{where}: not JSON: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("pretrained_cfg"), dict):
        raise ModelError(f"{where}: has no pretrained_cfg; only repositories of timm's form can be read")
    settings = config["pretrained_cfg"]
    architecture = config.get("architecture")
    if not isinstance(architecture, str):
        raise ModelError(f"{where}: architecture is {architecture!r}, not the name of a network")
    labels = _labels(config, where)
    arguments = config.get("model_args", {})
    if not isinstance(arguments, dict):
        raise ModelError(f"{where}: model_args is {arguments!r}, not an object")
    if isinstance(pool := config.get("global_pool"), str):
        arguments = {"global_pool": pool, **arguments}
    input_px = _input_px(settings, where)
    return TimmConfig(
        architecture=architecture,
        labels=labels,
        scored=_scored(labels, where),
        preprocessing=_preprocessing(settings, input_px, where),
        input_px=input_px,
        mean=_channels(settings, "mean", _MEAN, where),
        deviation=_channels(settings, "std", _DEVIATION, where),
        arguments=arguments,
        is_fixed_size=settings.get("fixed_input_size") is True,
    )


def _labels(config: Mapping[str, Any], where: str) -> tuple[str, ...]:
    settings = config["pretrained_cfg"]
    found = config.get("label_names", settings.get("label_names"))
    if found is None and isinstance(numbered := config.get("id2label"), dict):
        found = [numbered.get(str(number)) for number in range(len(numbered))]
    if not isinstance(found, list) or not all(isinstance(label, str) for label in found):
        raise ModelError(f"{where}: label_names is {found!r}; which class is NSFW cannot be known")
    classes = config.get("num_classes", len(found))
    if classes != len(found):
        raise ModelError(f"{where}: num_classes is {classes!r}, but there are {len(found)} label_names")
    return tuple(found)


def _scored(labels: tuple[str, ...], where: str) -> tuple[int, ...]:
    plain = [label.strip().lower() for label in labels]
    unclear = [
        label for label, name in zip(labels, plain, strict=True) if name not in NSFW_LABELS | SAFE_LABELS
    ]
    scored = tuple(number for number, name in enumerate(plain) if name in NSFW_LABELS)
    if unclear or not 0 < len(scored) < len(labels) or len(set(plain)) != len(plain):
        raise ModelError(
            f"{where}: which of the label_names {list(labels)} are NSFW is not clear; "
            f"known: {', '.join(sorted(NSFW_LABELS))}, and harmless: {', '.join(sorted(SAFE_LABELS))}"
        )
    return scored


def _input_px(settings: Mapping[str, Any], where: str) -> int:
    match settings.get("input_size", [3, 224, 224]):
        case [3, int(height), int(width)] if height == width and not isinstance(height, bool):
            return height
        case other:
            raise ModelError(f"{where}: input_size is {other!r}; only [3, SIDE, SIDE] is supported")


def _preprocessing(settings: Mapping[str, Any], input_px: int, where: str) -> str:
    share = settings.get("crop_pct") or _CROP_SHARE
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0.1 <= share <= 1:
        raise ModelError(f"{where}: crop_pct is {share!r}, not a share from 0.1 to 1")
    name = settings.get("interpolation") or "bicubic"
    if not isinstance(name, str) or name not in preparing.FILTERS:
        raise ModelError(f"{where}: interpolation is {name!r}; supported: {', '.join(preparing.FILTERS)}")
    mode = settings.get("crop_mode") or "center"
    ways = {"center": preparing.CentreCropV1.NAME, "squash": preparing.SquashV1.NAME}
    if not isinstance(mode, str) or mode not in ways:
        raise ModelError(f"{where}: crop_mode is {mode!r}; supported: {', '.join(ways)}")
    identifier = f"{ways[mode]}@{input_px}:{math.floor(input_px / share)}:{name}"
    if preparing.find(identifier) is None:
        raise ModelError(f"{where}: input_size and crop_pct give {identifier}, which cannot be prepared")
    return identifier


def _channels(
    settings: Mapping[str, Any], key: str, usual: tuple[float, float, float], where: str
) -> tuple[float, float, float]:
    found = settings.get(key) or usual
    try:
        red, green, blue = (float(value) for value in found)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{where}: {key} is {found!r}, not three numbers") from error
    values = (red, green, blue)
    if not all(math.isfinite(value) for value in values) or (key == "std" and min(values) <= 0):
        raise ModelError(f"{where}: {key} is {found!r}, not three usable numbers")
    return values


__all__ = ["NSFW_LABELS", "SAFE_LABELS", "TimmConfig", "parse"]
