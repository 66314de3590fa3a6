"""Attacks on a network: the smallest changes that turn its decisions, found by following its own gradient.

FGSM (Goodfellow et al. 2015, arXiv:1412.6572) takes one step, PGD (Madry et al. 2018, arXiv:1706.06083) many
small ones; both change no sample of a picture by more than epsilon. What they give are pictures that can be
saved, uint8, and every step is judged by such a picture, not by a tensor between two levels.

A defence has to be attacked through the defence: one that is measured only with attackers who do not know it
looks better than it is (Athalye et al. 2018, arXiv:1802.00420). Its steps have no useful gradient, so the
network's gradient at the defended picture is taken for that at the picture itself (BPDA, straight through).
That is a good guess for JPEG, medians and bit depth, and a poor one for steps that move pixels.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from classifier.evaluation.errors import EvaluationError
from classifier.evaluation.scored import Flags, Vector
from classifier.models.defence import Defence
from classifier.preprocess import ChannelOrder
from classifier.values import Pixels

OnPictures = Callable[[int], None]
"""Told how many more pictures have gone through the network."""

_STRIDE = 2.5
"""PGD's steps reach so many times epsilon together, as in Madry et al.: enough to cross and to settle."""


@dataclass(frozen=True, slots=True)
class Attack:
    """How a picture may be changed, and how hard to try.

    Attributes:
        epsilon: Largest change of a sample, in levels of 0..255 (steps of 1/255), at least 1.
        steps: Gradient steps, at least 1.
        step_size: Length of one in levels; None: 2.5 * epsilon / steps.
        restarts: How often to begin anew; the best picture of all counts. At least 1.
        random_start: Whether to begin at a drawn place within epsilon instead of at the picture.
        seed: With the picture decides where that is.

    Raises:
        EvaluationError: A number is outside of that.
    """

    epsilon: int
    steps: int = 20
    step_size: float | None = None
    restarts: int = 1
    random_start: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for what, value, low, high in (
            ("epsilon", self.epsilon, 1, 255),
            ("the number of steps", self.steps, 1, 10_000),
            ("the number of restarts", self.restarts, 1, 1000),
            ("the seed", self.seed, 0, 2**63 - 1),
        ):
            if not low <= value <= high:
                raise EvaluationError(f"An attack: {what} has to be {low} to {high}, not {value}.")
        if not self.stride > 0:
            raise EvaluationError(f"An attack: the step size has to be above 0, not {self.step_size}.")

    @property
    def stride(self) -> float:
        """Length of one step in levels."""
        return _STRIDE * self.epsilon / self.steps if self.step_size is None else self.step_size

    @property
    def passes(self) -> int:
        """How often a picture goes through the network."""
        return self.restarts * (self.steps + 1)


def fgsm(epsilon: int) -> Attack:
    """The fast gradient sign method: one step of full length from the picture itself."""
    return Attack(epsilon, steps=1, step_size=epsilon, random_start=False)


def perturb(
    network: nn.Module,
    pixels: Pixels,
    labels: Flags,
    attack: Attack,
    *,
    defence: Defence | None = None,
    order: ChannelOrder = "rgb",
    batch: int = 32,
    progress: OnPictures | None = None,
) -> Pixels:
    """Change pictures until the network decides against their labels, or as far as it goes.

    Args:
        network: In eval mode; float32 (n, 3, h, w), 0..255, to logits (n, 2) of which the second is the
            positive class.
        pixels: uint8 (n, h, w, 3), n >= 1, as the network's preprocessing leaves them; not changed.
        labels: (n,), True for the positive class: what the decision should be.
        attack: How.
        defence: Stands before the network, and the attacker knows it; None: the network alone is attacked.
        order: The pictures' channel order, which matters to the defence.
        batch: How many pictures go through the network at once.
        progress: See `OnPictures`.

    Returns:
        uint8 (n, h, w, 3), no sample further than epsilon from `pixels`. On the CPU, equal arguments give
        equal pictures, and a picture's start does not depend on the others.

    Raises:
        EvaluationError: The network is in training mode, or shapes do not fit.
    """
    _check(network, pixels, labels)
    changed = np.empty_like(pixels)
    for first in range(0, len(pixels), batch):
        part = slice(first, first + batch)
        target = _Target(network, labels[part], defence, order, progress)
        changed[part] = _perturb_batch(target, np.ascontiguousarray(pixels[part]), attack)
    return changed


def scores(
    network: nn.Module,
    pixels: Pixels,
    *,
    defence: Defence | None = None,
    order: ChannelOrder = "rgb",
    batch: int = 32,
    progress: OnPictures | None = None,
) -> Vector:
    """Score pictures; arguments as for `perturb`.

    Returns:
        (n,), 0..1.
    """
    found: list[Vector] = []
    for first in range(0, len(pixels), batch):
        part = pixels[first : first + batch]
        seen = part if defence is None else defence.apply_batch(part, order)
        with torch.inference_mode():
            positive = torch.softmax(network(_tensor(seen, network)), dim=1)[:, 1]
        found.append(positive.cpu().numpy().astype(np.float64))
        if progress:
            progress(len(part))
    return np.concatenate(found)


@dataclass(frozen=True, slots=True)
class _Target:
    """What is attacked, and in which direction.

    Attributes:
        network: See `perturb`.
        labels: Of this batch.
        defence: See `perturb`.
        order: See `perturb`.
        progress: See `perturb`.
    """

    network: nn.Module
    labels: Flags
    defence: Defence | None
    order: ChannelOrder
    progress: OnPictures | None

    def margin(self, candidate: Tensor) -> tuple[Tensor, Tensor]:
        """How far the network leans to the wrong class, (n,), and the gradient of that.

        Of two classes the difference of logits, which follows the same way as the cross-entropy but does not
        vanish where the network is sure.
        """
        seen = candidate
        if self.defence is not None:
            seen = _tensor(self.defence.apply_batch(_pixels(candidate), self.order), self.network)
        seen = seen.detach().requires_grad_()
        logits = self.network(seen)
        wrong = torch.from_numpy(np.where(self.labels, -1.0, 1.0).astype(np.float32)).to(logits.device)
        margin = wrong * (logits[:, 1] - logits[:, 0])
        (gradient,) = torch.autograd.grad(margin.sum(), seen)
        if self.progress:
            self.progress(len(candidate))
        return margin.detach(), gradient


def _perturb_batch(target: _Target, pixels: Pixels, attack: Attack) -> Pixels:
    clean = _tensor(pixels, target.network)
    low, high = (clean - attack.epsilon).clamp_min(0), (clean + attack.epsilon).clamp_max(255)
    best, best_margin = clean, torch.full((len(clean),), -torch.inf, device=clean.device)
    for restart in range(attack.restarts):
        position = clean
        if attack.random_start:
            position = (clean + _start(pixels, attack, restart).to(clean.device)).clamp(low, high)
        for step in range(attack.steps + 1):
            # The bounds are whole levels, so rounding never leaves them.
            candidate = position.round()
            margin, gradient = target.margin(candidate)
            is_better = margin > best_margin
            best = torch.where(is_better[:, None, None, None], candidate, best)
            best_margin = torch.where(is_better, margin, best_margin)
            if step < attack.steps:
                position = (position + attack.stride * gradient.sign()).clamp(low, high)
    return _pixels(best)


def _start(pixels: Pixels, attack: Attack, restart: int) -> Tensor:
    drawn = []
    for picture in pixels:
        digest = hashlib.sha256(f"{attack.seed}:{restart}:".encode() + picture.tobytes()).digest()
        random = np.random.default_rng(np.frombuffer(digest, np.uint32))
        drawn.append(random.uniform(-attack.epsilon, attack.epsilon, picture.shape).astype(np.float32))
    return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2)


def _tensor(pixels: Pixels, network: nn.Module) -> Tensor:
    """To float32 (n, 3, h, w) where the network is."""
    weight = next(network.parameters(), None)
    device = torch.device("cpu") if weight is None else weight.device
    # torch knows neither read-only memory nor negative strides.
    whole = torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
    return whole.permute(0, 3, 1, 2).to(device, torch.float32)


def _pixels(pictures: Tensor) -> Pixels:
    """From whole levels to uint8 (n, h, w, 3)."""
    return cast(Pixels, pictures.detach().to("cpu", torch.uint8).permute(0, 2, 3, 1).contiguous().numpy())


def _check(network: nn.Module, pixels: Pixels, labels: Flags) -> None:
    if network.training:
        raise EvaluationError("The network is in training mode: its decisions would be drawn, not made.")
    if pixels.ndim != 4 or pixels.shape[3] != 3 or pixels.dtype != np.uint8 or not len(pixels):
        raise EvaluationError(f"Pictures to attack have to be uint8 (n, h, w, 3), not {pixels.shape}.")
    if labels.shape != (len(pixels),):
        raise EvaluationError(f"{len(pixels)} pictures have {len(labels)} labels.")


__all__ = ["Attack", "OnPictures", "fgsm", "perturb", "scores"]
