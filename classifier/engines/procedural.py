"""Pictures of nothing, drawn from a seed: what activations are calibrated and engines are compared with.

No photograph has to be stored, fetched or licensed, and no explicit one looked at. The kinds are chosen for
what they do to a network rather than for their looks: smooth fields, edges, textures with the spectrum of
photographs (amplitude falling as 1/f), fine noise, writing, strong and pale colours, high and low contrast.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from classifier.values import Pixels

_WIDTH_PX = 330
"""The step of Wikimedia's thumbnails that the daemon asks for by default."""
_HEIGHTS_PX = (186, 220, 248, 330, 412)
_SKIN_RGB = np.array([[240, 208, 186], [224, 176, 144], [198, 142, 108], [150, 100, 72], [92, 60, 44]], float)
"""Colours of skin from pale to dark, as fields without any form."""
_LETTERS = np.array(list("ABCDEFGHIKLMNOPRSTUVWXYZabcdefghiklmnoprstuvwxyz0123456789 .,:"))

Draw = Callable[[np.random.Generator, int, int], NDArray[np.float64]]


def picture(seed: int, index: int) -> Pixels:
    """Draw a picture; the kinds take turns.

    Args:
        seed: Of the whole set: sets of different seeds share no picture.
        index: Number in the set, from 0.

    Returns:
        uint8 array (height, 330, 3), RGB, height 186 to 412. Equal arguments give equal pictures.
    """
    rng = np.random.default_rng((seed, index))
    height = int(rng.choice(_HEIGHTS_PX))
    field = _KINDS[index % len(_KINDS)](rng, height, _WIDTH_PX)
    # Cameras' grain: without it smooth fields fall on very few values of the first layer.
    field = field + rng.normal(0, rng.choice((0.0, 1.0, 4.0)), field.shape)
    return np.asarray(np.rint(field).clip(0, 255), dtype=np.uint8)


def smooth_picture(seed: int, index: int) -> Pixels:
    """Draw a picture of low contrast, away from black and white, on which a weak pattern can go both ways.

    Args:
        seed: As for `picture`.
        index: As for `picture`.

    Returns:
        As `picture`.
    """
    rng = np.random.default_rng((seed, index))
    draw = (_gradient, _texture, _skin)[index % 3]
    field = draw(rng, int(rng.choice(_HEIGHTS_PX)), _WIDTH_PX)
    return np.asarray(np.rint(64 + field / 2), dtype=np.uint8)


def _spectrum(rng: np.random.Generator, height: int, width: int, slope: float) -> NDArray[np.float64]:
    """Noise (height, width) whose amplitude falls as 1 / frequency^slope, scaled to 0..1."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = np.inf
    phase = rng.normal(size=frequency.shape) + 1j * rng.normal(size=frequency.shape)
    noise = np.fft.irfft2(phase / frequency**slope, s=(height, width))
    low, high = np.percentile(noise, (1, 99))
    return np.asarray(((noise - low) / (high - low)).clip(0, 1))


def _gradient(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    corners = rng.uniform(0, 255, (2, 2, 3))
    y, x = np.linspace(0, 1, height)[:, None, None], np.linspace(0, 1, width)[None, :, None]
    top, bottom = (corners[row, 0] * (1 - x) + corners[row, 1] * x for row in (0, 1))
    return np.asarray(top * (1 - y) + bottom * y)


def _texture(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """The spectrum of photographs: light and shade shared by the channels, weaker changes of colour."""
    slope = rng.uniform(0.9, 1.8)
    shade = _spectrum(rng, height, width, slope)
    colour = np.stack([_spectrum(rng, height, width, slope + 0.4) for _ in range(3)], axis=2) - 0.5
    tint = rng.uniform(0.4, 1.0, 3)
    contrast = rng.uniform(80, 255)
    return np.asarray(
        (shade[:, :, None] * contrast + colour * rng.uniform(10, 120)) * tint + rng.uniform(0, 40)
    )


def _skin(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """A smooth field in the colours of skin: many wrong flags come from them, so they must be calibrated."""
    first, second = _SKIN_RGB[rng.choice(len(_SKIN_RGB), 2, replace=False)]
    mixed = _spectrum(rng, height, width, rng.uniform(1.6, 2.6))[:, :, None]
    return np.asarray(first * mixed + second * (1 - mixed))


def _noise(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    slope = rng.choice((0.0, 0.4, 0.8))
    channels = [_spectrum(rng, height, width, slope) for _ in range(int(rng.choice((1, 3))))]
    return np.asarray(np.stack(channels * (3 // len(channels)), axis=2) * rng.uniform(60, 255))


def _shapes(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    canvas = _canvas(rng, height, width)
    draw = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(3, 25))):
        colour = _colour(rng)
        left, right = sorted(int(v) for v in rng.integers(-40, width + 40, 2))
        top, bottom = sorted(int(v) for v in rng.integers(-40, height + 40, 2))
        form = int(rng.integers(3))
        if form == 0:
            draw.ellipse((left, top, right, bottom), fill=colour)
        elif form == 1:
            draw.rectangle((left, top, right, bottom), fill=colour)
        else:
            points = rng.integers(0, (width, height), (3, 2))
            draw.polygon([(int(x), int(y)) for x, y in points], fill=colour)
    return np.asarray(canvas, dtype=float)


def _blobs(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    shapes = Image.fromarray(_shapes(rng, height, width).astype(np.uint8))
    return np.asarray(shapes.filter(ImageFilter.GaussianBlur(float(rng.uniform(3, 25)))), dtype=float)


def _stripes(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    angle, period_px = rng.uniform(0, np.pi), rng.uniform(3, 60)
    y, x = np.arange(height)[:, None], np.arange(width)[None, :]
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period_px)
    if rng.random() < 0.5:
        wave = wave * np.sin((y * np.cos(angle) - x * np.sin(angle)) * 2 * np.pi / period_px)
    if rng.random() < 0.5:
        wave = np.sign(wave)
    first, second = rng.uniform(0, 255, (2, 3))
    return np.asarray(first + (second - first) * (wave[:, :, None] + 1) / 2)


def _text(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    canvas = _canvas(rng, height, width)
    draw = ImageDraw.Draw(canvas)
    size_px = int(rng.integers(9, 40))
    font = ImageFont.load_default(size=size_px)
    colour = _colour(rng)
    for top in range(4, height, round(size_px * 1.3)):
        line = "".join(rng.choice(_LETTERS, int(rng.integers(4, 60))))
        draw.text((int(rng.integers(0, 40)), top), line, fill=colour, font=font)
    return np.asarray(canvas, dtype=float)


def _collage(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """Two other kinds, divided by a soft edge of any shape, as things stand before a background."""
    kinds = _KINDS[:-1]
    first, second = (kinds[int(rng.integers(len(kinds)))](rng, height, width) for _ in range(2))
    mask = (_spectrum(rng, height, width, 2.5)[:, :, None] - 0.5) * rng.uniform(4, 60) + 0.5
    return np.asarray(first + (second - first) * mask.clip(0, 1))


_KINDS: tuple[Draw, ...] = (
    _gradient, _texture, _skin, _noise, _shapes, _texture, _blobs, _stripes, _text, _collage
)  # fmt: skip


def _canvas(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    if rng.random() < 0.5:
        return Image.new("RGB", (width, height), _colour(rng))
    return Image.fromarray(_texture(rng, height, width).clip(0, 255).astype(np.uint8))


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
    return red, green, blue
