"""Harmless positives: pictures of nothing that the model scores near 1; no explicit material is ever needed.

Projected gradient descent adds a weak, coarse pattern to a harmless picture until the network is sure. The
pattern is found through everything that happens to a file on its way (rescaling to a thumbnail, the model's
own resizing, compression), so it survives that way; what comes out looks like noise on a gradient. The result
is always checked through the real preprocessing after really saving and rescaling it.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, pad

from classifier import preprocess
from classifier.errors import ModelError
from classifier.values import Pixels

Robustness = Literal["picture", "video"]
OnStep = Callable[[int, float], None]

ENOUGH = 0.99
"""Score that a result reaches at least."""
_PREPROCESS = preprocess.get("open_nsfw-v1")
_RESIZED_PX = 256
_THUMBNAIL_WIDTH_PX = 330
"""The step of Wikimedia's thumbnails that the daemon asks for by default."""
_CHECK_EVERY = 5
_MOMENTUM = 0.8


@dataclass(frozen=True, slots=True)
class _Plan:
    """How strong the pattern is and what it has to survive.

    Attributes:
        epsilon: Largest change of a channel, 0..1.
        grid_px: Cells per side of the pattern before it is stretched over the picture; coarse patterns
            survive rescaling and compression.
        qualities: JPEG qualities to draw from on the way.
        blur_px: Largest standard deviation of a random blur.
    """

    epsilon: float
    grid_px: int
    qualities: tuple[int, ...]
    blur_px: float


_PLANS: dict[Robustness, _Plan] = {
    "picture": _Plan(epsilon=8 / 255, grid_px=128, qualities=(95, 85, 75), blur_px=0.0),
    # Video codecs take away more than JPEG does: fine detail first, and most of it in moving parts.
    "video": _Plan(epsilon=16 / 255, grid_px=64, qualities=(75, 60, 45), blur_px=1.5),
}


def gradient_picture(width: int, height: int, seed: int) -> Pixels:
    """Draw a smooth colour gradient.

    Args:
        width: Pixels, at least 2.
        height: Pixels, at least 2.
        seed: Chooses direction and colours.

    Returns:
        uint8 array (height, width, 3), RGB.
    """
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.linspace(0, np.sin(angle), height)[:, None], np.linspace(0, np.cos(angle), width)[None, :]
    ramp = x + y
    ramp = (ramp - ramp.min()) / np.ptp(ramp)
    # Away from black and white, so that a pattern can go both ways.
    start, end = rng.uniform(48, 208, (2, 3))
    return np.asarray(np.rint(start + ramp[:, :, None] * (end - start)), dtype=np.uint8)


def make_positive(
    network: nn.Module,
    image: Pixels,
    *,
    robust: Robustness = "picture",
    epsilon: float | None = None,
    steps: int = 80,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Pixels:
    """Change a harmless picture a little, until the model scores it near 1 however it is saved and rescaled.

    Args:
        network: `OpenNsfw` in eval mode, such as `TorchEngine.network`.
        image: uint8 array (height, width, 3), RGB.
        robust: What the score survives: `picture` saving as PNG or JPEG (quality 90) and rescaling to a
            thumbnail; `video` also the blur and losses of a video codec, with a stronger pattern.
        epsilon: Largest change of a channel, 0..1; None: 8/255, for video 16/255.
        steps: Gradient steps at most; usually 10 to 20 are needed, of about 0.1 s each on one core.
        seed: Chooses the random ways. Equal arguments on one machine give equal pictures.
        on_step: Called after each step with its number (from 1) and the score within the loop.

    Returns:
        uint8 array (height, width, 3), RGB, no channel further than epsilon from the image.

    Raises:
        ModelError: Where the score stays below 0.99.
    """
    plan = _PLANS[robust]
    bound = plan.epsilon if epsilon is None else epsilon
    rng = np.random.default_rng(seed)
    original = _to_tensor(image)
    pattern = torch.zeros(1, 3, plan.grid_px, plan.grid_px, requires_grad=True)
    velocity = torch.zeros_like(pattern)
    best, best_score = image, 0.0
    for step in range(1, steps + 1):
        logits = network(_way(_applied(original, pattern), plan, rng))
        margin = logits[0, 1] - logits[0, 0]
        (gradient,) = torch.autograd.grad(margin, pattern)
        velocity = _MOMENTUM * velocity + gradient / gradient.abs().mean().clamp_min(1e-12)
        with torch.no_grad():
            pattern += bound / 4 * (1 - 0.7 * step / steps) * velocity.sign()
            pattern.clamp_(-bound, bound)
        if on_step is not None:
            on_step(step, torch.sigmoid(margin).item())
        if step % _CHECK_EVERY == 0 or step == steps:
            candidate = _to_pixels(_applied(original, pattern))
            score = _lowest_score(network, candidate, robust)
            if score > best_score:
                best, best_score = candidate, score
            # Some more than enough, because other encoders than the checked ones come later.
            if best_score > 1 - (1 - ENOUGH) / 5:
                break
    if best_score < ENOUGH:
        raise ModelError(
            f"the score only reached {best_score:.3f} in {steps} steps; try more steps or epsilon"
        )
    return best


def _applied(original: Tensor, pattern: Tensor) -> Tensor:
    """Stretch the pattern over the picture; bilinear, so that it stays within its bounds."""
    height, width = original.shape[2:]
    return (original + interpolate(pattern, size=(height, width), mode="bilinear")).clamp(0, 1)


def _way(picture: Tensor, plan: _Plan, rng: np.random.Generator) -> Tensor:
    """Take a picture (1, 3, h, w), RGB 0..1, a random way to the network's input (BGR 0..255)."""
    height, width = picture.shape[2:]
    if width > _THUMBNAIL_WIDTH_PX and rng.random() < 0.5:
        size = (max(1, round(height * _THUMBNAIL_WIDTH_PX / width)), _THUMBNAIL_WIDTH_PX)
        picture = interpolate(picture, size=size, mode="bilinear", antialias=True)
    picture = _blurred(picture, rng.uniform(0, plan.blur_px))
    picture = _compressed(picture, int(rng.choice(plan.qualities)))
    picture = interpolate(picture, size=(_RESIZED_PX, _RESIZED_PX), mode="bilinear", antialias=True)
    margin = (_RESIZED_PX - _PREPROCESS.input_px) // 2
    picture = _compressed(picture[:, :, margin:-margin, margin:-margin], quality=75)
    return picture.flip(1) * 255


def _blurred(picture: Tensor, sigma_px: float, reach_px: int = 4) -> Tensor:
    if sigma_px < 0.3:
        return picture
    kernel = torch.exp(-0.5 * (torch.arange(-reach_px, reach_px + 1) / sigma_px) ** 2)
    row = (kernel / kernel.sum()).view(1, 1, 1, -1).expand(3, 1, 1, -1)
    padded = pad(picture, (reach_px,) * 4, mode="replicate")
    return conv2d(conv2d(padded, row, groups=3), row.transpose(2, 3), groups=3)


def _compressed(picture: Tensor, quality: int) -> Tensor:
    """Really compress as JPEG, and let the gradient pass as if nothing had happened (straight through)."""
    loss = _to_tensor(_saved(_to_pixels(picture), "JPEG", quality)) - picture.detach()
    return picture + loss


def _lowest_score(network: nn.Module, picture: Pixels, robust: Robustness) -> float:
    """Score a picture by the real preprocessing after the ways it must survive; the lowest counts."""
    jpeg, png = _saved(picture, "JPEG", 90), _saved(picture, "PNG")
    ways = [png, jpeg, _thumbnail(png), _thumbnail(jpeg)]
    if robust == "video":
        blurred = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(1.5)))
        ways.append(_saved(blurred, "JPEG", 45))
    prepared = np.stack([_PREPROCESS.prepare_array(way, "rgb") for way in ways])
    with torch.inference_mode():
        logits = network(torch.from_numpy(prepared).permute(0, 3, 1, 2).to(torch.float32))
        return torch.softmax(logits, dim=1)[:, 1].min().item()


def _thumbnail(picture: Pixels) -> Pixels:
    height, width = picture.shape[:2]
    if width <= _THUMBNAIL_WIDTH_PX:
        return picture
    size = (_THUMBNAIL_WIDTH_PX, max(1, round(height * _THUMBNAIL_WIDTH_PX / width)))
    return _saved(np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)), "JPEG", 80)


def _saved(picture: Pixels, file_format: str, quality: int = 75) -> Pixels:
    """Save a picture and read it back; the quality is that of JPEG."""
    with io.BytesIO() as buffer:
        Image.fromarray(picture).save(buffer, format=file_format, quality=quality)
        with Image.open(buffer) as reloaded:
            return np.array(reloaded)


def _to_tensor(picture: Pixels) -> Tensor:
    return torch.tensor(picture).permute(2, 0, 1)[None].to(torch.float32) / 255


def _to_pixels(picture: Tensor) -> Pixels:
    scaled = (picture.detach()[0] * 255).round().clamp(0, 255).to(torch.uint8)
    pixels: Pixels = scaled.permute(1, 2, 0).contiguous().numpy()
    return pixels
