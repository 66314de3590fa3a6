"""The pictures that int8 is calibrated with and that every engine's scores are compared on; none is explicit.

Harmless pictures alone would leave the upper half of the scores untested, so harmless adversarial positives
(`classifier.training.adversarial`) are added, each in many variants: the pattern faded in and out, which
gives scores all over 0..1, then darkened, rescaled, compressed and mirrored. Faded patterns lie on the
steepest part of the network, so they are a hard test: scores of ordinary pictures move less.

Everything follows from fixed seeds: equal weights on one machine give equal sets. Calibration and evaluation
share neither pictures nor positives.
"""

import io
import logging
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from classifier import preprocess
from classifier.engines import procedural
from classifier.engines.values import OnStep, VerificationSet
from classifier.errors import ModelError
from classifier.training import adversarial
from classifier.values import Pixels

_log = logging.getLogger(__name__)

_CALIBRATION_SEED, _EVALUATION_SEED = 41, 42
_ADVERSARIAL_PREPROCESSING = "open_nsfw-v1"
"""The input convention that `make_positive` was written for."""
_STEPS = 40
_BATCH = 16


@dataclass(frozen=True, slots=True)
class SetSize:
    """How many pictures a set gets.

    Attributes:
        harmless: Procedural pictures as they are.
        positives: Adversarial positives.
        variants: Of each positive.
    """

    harmless: int
    positives: int
    variants: int


CALIBRATION_SIZE = SetSize(harmless=112, positives=4, variants=16)
EVALUATION_SIZE = SetSize(harmless=400, positives=6, variants=20)
VERIFICATION_PICTURES = 48


@dataclass(frozen=True, slots=True)
class CalibrationSets:
    """The three sets of one model.

    Attributes:
        calibration: uint8 array (n, input_px, input_px, 3), for the ranges of activations.
        evaluation: The large set that drift is measured on.
        verification: A part of it, spread over the scores, small enough to travel with the graph.
    """

    calibration: Pixels
    evaluation: VerificationSet
    verification: VerificationSet


def make_sets(
    network: nn.Module,
    preprocessing: str,
    input_px: int,
    progress: OnStep | None = None,
    *,
    calibration_size: SetSize = CALIBRATION_SIZE,
    evaluation_size: SetSize = EVALUATION_SIZE,
) -> CalibrationSets:
    """Make the pictures for one model, through its real preprocessing, and have them scored by it.

    Adversarial positives need a network that takes its pictures as open_nsfw does, and one that can be
    convinced at all (random weights cannot). Without them more harmless pictures take their place; the number
    of high scores is then whatever the network makes of those.

    Args:
        network: The reference: maps float32 (n, 3, input_px, input_px), 0..255, channels as the preprocessing
            leaves them, to logits (n, 2); in eval mode.
        preprocessing: Its id in `classifier.preprocess`.
        input_px: Side of its input in pixels.
        progress: Told how far it is.
        calibration_size: How many pictures to calibrate with.
        evaluation_size: How many to measure with.

    Returns:
        The sets. About half a minute on one core with open_nsfw.

    Raises:
        ModelError: Where there is no such preprocessing, or its pictures have another size.
    """
    prepare = preprocess.get(preprocessing)
    if prepare.input_px != input_px:
        raise ModelError(f"{preprocessing} makes {prepare.input_px} px pictures, the model takes {input_px}")
    tell: OnStep = progress if progress is not None else lambda _what, _done, _total: None
    calibration = _pictures(network, prepare, _CALIBRATION_SEED, calibration_size, tell, "calibration")
    pixels = _pictures(network, prepare, _EVALUATION_SEED, evaluation_size, tell, "evaluation")
    reference = _scores(network, pixels, tell)
    chosen = spread(reference, VERIFICATION_PICTURES)
    return CalibrationSets(
        calibration=calibration,
        evaluation=VerificationSet(pixels, reference),
        verification=VerificationSet(pixels[chosen], reference[chosen]),
    )


def spread(scores: NDArray[np.float32], count: int, bins: int = 12) -> NDArray[np.intp]:
    """Choose pictures whose scores lie all over 0..1.

    Args:
        scores: float32 array (n,), 0..1.
        count: How many to choose; all if there are fewer.
        bins: Equal ranges of scores, from which the pictures are drawn in turn, first come first served.

    Returns:
        Their indices, ascending.
    """
    bin_of = np.minimum((scores * bins).astype(int), bins - 1)
    turn = np.empty(len(scores), dtype=int)
    for number in range(bins):
        members = np.flatnonzero(bin_of == number)
        turn[members] = np.arange(len(members))
    return np.sort(np.argsort(turn, kind="stable")[:count])


def _pictures(
    network: nn.Module, prepare: preprocess.Preprocess, seed: int, size: SetSize, tell: OnStep, what: str
) -> Pixels:
    """Draw one set: uint8 (n, input_px, input_px, 3); n does not depend on whether positives can be had."""
    pairs = _positives(network, prepare, seed, size.positives, tell)
    total = size.harmless + size.positives * size.variants
    harmless = total - len(pairs) * size.variants
    prepared = np.empty((total, prepare.input_px, prepare.input_px, 3), dtype=np.uint8)
    for index in range(total):
        if index < harmless:
            drawn = procedural.picture(seed, index)
        else:
            number, variant = divmod(index - harmless, size.variants)
            drawn = _variant(*pairs[number], variant / max(1, size.variants - 1), (seed, index))
        prepared[index] = prepare.prepare_array(drawn, "rgb")
        tell(f"{what} pictures", index + 1, total)
    return prepared


def _positives(
    network: nn.Module, prepare: preprocess.Preprocess, seed: int, count: int, tell: OnStep
) -> list[tuple[Pixels, Pixels]]:
    """Make (harmless, positive) pairs of uint8 (height, width, 3), RGB; gives up at the first that fails."""
    if prepare.id != _ADVERSARIAL_PREPROCESSING:
        return []
    pairs = []
    for index in range(count):
        plain = procedural.smooth_picture(seed, index)
        try:
            positive = adversarial.make_positive(network, plain, steps=_STEPS, seed=seed + index)
        except ModelError as error:
            _log.info("no_adversarial_positives", extra={"made": index, "reason": str(error)})
            break
        pairs.append((plain, positive))
        tell("adversarial positives", index + 1, count)
    return pairs


def _variant(plain: Pixels, positive: Pixels, strength: float, seed: tuple[int, int]) -> Pixels:
    """Fade the pattern to a strength of 0..1, then treat the picture as files are treated on their way."""
    rng = np.random.default_rng(seed)
    mixed = plain + (positive.astype(np.float64) - plain) * strength
    mixed = mixed * rng.uniform(0.85, 1.1) + rng.uniform(-8, 8)
    image = Image.fromarray(np.rint(mixed).clip(0, 255).astype(np.uint8))
    if rng.random() < 0.5:
        width = int(rng.integers(220, 500))
        image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.BICUBIC)
    if rng.random() < 0.25:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    with io.BytesIO() as buffer:
        image.save(buffer, format="JPEG", quality=int(rng.integers(60, 96)))
        with Image.open(buffer) as reloaded:
            return np.array(reloaded)


def _scores(network: nn.Module, pixels: Pixels, tell: OnStep) -> NDArray[np.float32]:
    """Score as `torch-fp32` does: float32 (n,)."""
    scores = np.empty(len(pixels), dtype=np.float32)
    for start in range(0, len(pixels), _BATCH):
        stop = min(start + _BATCH, len(pixels))
        with torch.inference_mode():
            batch = torch.from_numpy(pixels[start:stop]).permute(0, 3, 1, 2).to(torch.float32)
            scores[start:stop] = torch.softmax(network(batch), dim=1)[:, 1].numpy()
        tell("reference scores", stop, len(pixels))
    return scores
