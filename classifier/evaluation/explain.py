"""Where a network looks: Grad-CAM maps, laid over pictures that nobody has to see sharp.

Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391; captum computes it) weighs the last map of features by what
each of its channels does for a class. It shows which region spoke for that class, coarsely, and never why: a
map on the right spot is no proof that the decision rests on the right reason.

What speaks for one of two classes speaks against the other, so the map explains the difference of the logits,
not one logit, which alone may rise while the other one rises more.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from classifier.evaluation.errors import EvaluationError
from classifier.evaluation.explain_values import Explained, Heat
from classifier.evaluation.scored import Indexes
from classifier.values import Pixels

_MANY_CELLS = 2
"""A map with a single cell says where nothing is."""


def explain(
    network: nn.Module, pixels: Pixels, *, threshold: float, positive: bool | None = None
) -> tuple[Explained, ...]:
    """Explain decisions.

    Args:
        network: In eval mode; float32 (n, 3, h, w), 0..255, to logits (n, 2) of which the second is the
            positive class.
        pixels: uint8 (n, h, w, 3), n >= 1, as the network's preprocessing leaves them, a few at a time.
        threshold: Flagged is whatever scores it or more.
        positive: Explain this class; None: the one that was decided for.

    Returns:
        One for each picture.

    Raises:
        EvaluationError: The network is in training mode or makes no map that can be explained, or captum is
            not installed.
    """
    if network.training:
        raise EvaluationError("The network is in training mode: what it says would be drawn.")
    weight = next(network.parameters(), None)
    device = torch.device("cpu") if weight is None else weight.device
    whole = np.require(pixels, requirements=["C", "W"])
    inputs = torch.from_numpy(whole).permute(0, 3, 1, 2).to(device, torch.float32)
    layer, logits = last_map(network, inputs)
    scores = torch.softmax(logits, dim=1)[:, 1].tolist()
    wanted = [score >= threshold if positive is None else positive for score in scores]
    heats = _grad_cam(network, layer, inputs, wanted)
    return tuple(Explained(*one) for one in zip(scores, wanted, heats, strict=True))


def last_map(network: nn.Module, inputs: Tensor) -> tuple[nn.Module, Tensor]:
    """Find the layer that makes the last map of features, whatever the network is made of.

    Args:
        network: Which.
        inputs: float32 (n, 3, h, w), 0..255.

    Returns:
        The layer, whose output is (n, channels, rows, columns), and the network's logits (n, 2).

    Raises:
        EvaluationError: There is none: the last thing with places in it is not a map (transformers give a
            row of tokens), or is a single cell.
    """
    seen: list[tuple[nn.Module, tuple[int, ...]]] = []

    def note(layer: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim > 2 and layer is not network:
            seen.append((layer, tuple(output.shape)))

    with _watching(network, note), torch.no_grad():
        logits = network(inputs)
    # What pools to one place is behind the last map, whether it keeps the axes or not.
    with_places = [one for one in seen if _places(one[1]) >= _MANY_CELLS]
    if not with_places:
        raise EvaluationError(
            "The network makes no map of features with more than one cell: larger pictures?"
        )
    layer, shape = with_places[-1]
    if not _is_map(shape, inputs.shape):
        told = " x ".join(map(str, shape[1:]))
        raise EvaluationError(
            f"The network's last layer with places in it, {type(layer).__name__}, gives {told}, which is no "
            "map (channels x rows x columns): Grad-CAM explains convolutional networks."
        )
    return layer, cast(Tensor, logits)


def worst_errors(scores: ArrayLike, labels: ArrayLike, threshold: float, count: int) -> Indexes:
    """Choose the wrong decisions that the model was surest of.

    Args:
        scores: (n,), 0..1.
        labels: (n,), True for the positive class.
        threshold: Flagged is whatever scores it or more.
        count: Most that are wanted.

    Returns:
        Indexes, the worst first; equal ones in their order. The distance to the threshold counts, as share of
        what there is on that side, so that a strict threshold does not make misses the only errors.
    """
    known, truths = np.asarray(scores, np.float64), np.asarray(labels, np.bool_)
    flagged = known >= threshold
    room = np.where(flagged, 1 - threshold, threshold)
    sure = np.abs(known - threshold) / np.maximum(room, 1e-12)
    wrong = np.flatnonzero(flagged != truths)
    return wrong[np.argsort(-sure[wrong], kind="stable")][:count].astype(np.int64)


def _grad_cam(network: nn.Module, layer: nn.Module, inputs: Tensor, positive: Sequence[bool]) -> list[Heat]:
    def advantage(pictures: Tensor) -> Tensor:
        logits = network(pictures)
        return cast(Tensor, logits - logits.flip(1))

    try:
        from captum.attr import LayerGradCam  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise EvaluationError(
            f"Explanations need the package {error.name}: python -m pip install 'commons-nsfw-bot[train]'."
        ) from error
    target = [int(one) for one in positive]
    found = LayerGradCam(advantage, layer).attribute(inputs, target=target, relu_attributions=True)
    heats: NDArray[np.float32] = cast(Tensor, found).detach()[:, 0].cpu().numpy().astype(np.float32)
    peaks = heats.max((1, 2))
    return [heat / peak if peak > 0 else heat for heat, peak in zip(heats, peaks.tolist(), strict=True)]


@contextmanager
def _watching(network: nn.Module, note: Any) -> Iterator[None]:
    handles = [layer.register_forward_hook(note) for layer in network.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _places(shape: tuple[int, ...]) -> int:
    """How many places an output tells apart: cells of (n, channels, h, w), or tokens of (n, tokens, c)."""
    return shape[1] if len(shape) == 3 else int(np.prod(shape[2:]))


def _is_map(shape: tuple[int, ...], inputs: Sequence[int]) -> bool:
    """Whether the shape is (n, channels, rows, columns) with the picture's proportions."""
    if len(shape) != 4:
        return False
    rows, columns = shape[2:]
    height, width = inputs[2:]
    # As many rows a pixel as columns a pixel, but for what rounding leaves.
    return abs(rows * width - columns * height) <= max(height, width)


__all__ = ["explain", "last_map", "worst_errors"]
