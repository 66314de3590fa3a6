"""What is minimised and how: loss, optimizer and learning rate, plain functions of the configuration."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD, Adam, AdamW, Optimizer

from classifier.training.config import LossConfig, OptimizerConfig
from classifier.training.errors import TrainingError

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits float32 (n, 2) and targets int64 (n,) to a scalar."""


def loss_of(config: LossConfig, targets: Sequence[int]) -> Loss:
    """The training loss.

    Args:
        config: Which.
        targets: Of all training items, for the classes' weights.

    Returns:
        The loss, a mean in which the classes' weights cancel out on average.
    """
    weights = class_weights(targets) if config.class_weights == "balanced" else None

    def smoothed(logits: Tensor, expected: Tensor) -> Tensor:
        weight = None if weights is None else weights.to(logits)
        return cross_entropy(logits, expected, weight, label_smoothing=config.label_smoothing)

    def margin(logits: Tensor, expected: Tensor) -> Tensor:
        shortfalls = _shortfalls(logits, expected)
        if config.kind == "squared_hinge":
            shortfalls = shortfalls.square()
        if weights is None:
            return shortfalls.mean()
        each = weights.to(logits)[expected]
        return (shortfalls * each).sum() / each.sum()

    return smoothed if config.kind == "cross_entropy" else margin


def plain_loss_of(config: LossConfig) -> Loss:
    """The loss to compare epochs by: without smoothing and weights, which are means of training."""
    return loss_of(LossConfig(kind=config.kind), ())


def class_weights(targets: Sequence[int]) -> Tensor:
    """Weights that make both classes count alike.

    Args:
        targets: 0 and 1, both there.

    Returns:
        float32 (2,); their mean over all items is 1.
    """
    counts = torch.bincount(torch.tensor(targets), minlength=2)
    return len(targets) / (2 * counts.to(torch.float32))


def optimizer_of(config: OptimizerConfig, network: nn.Module) -> Optimizer:
    """The optimizer; vectors (biases, normalisation) do not decay, they do not overfit.

    Args:
        config: Which.
        network: Whose parameters; all of them, those that are frozen for now too.
    """
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise TrainingError("the network has no parameters")
    if config.name == "sgd":
        return SGD(groups, lr=config.rate, momentum=config.momentum)
    return (Adam if config.name == "adam" else AdamW)(groups, lr=config.rate)


def rate_share(config: OptimizerConfig, step: int, steps: int) -> float:
    """The learning rate of a step, as a share of the configured one.

    Args:
        config: The schedule.
        step: From 0.
        steps: Of the whole run.

    Returns:
        Above 0 while warming up, then 1, or falling to `final_share` at the last step.
    """
    if step < config.warmup_steps:
        return (step + 1) / (config.warmup_steps + 1)
    if config.schedule == "constant":
        return 1.0
    done = (step - config.warmup_steps) / max(1, steps - 1 - config.warmup_steps)
    return config.final_share + (1 - config.final_share) * (1 + math.cos(math.pi * min(1.0, done))) / 2


def _shortfalls(logits: Tensor, expected: Tensor) -> Tensor:
    """By how much the expected class does not lead by 1: float32 (n,), at least 0."""
    lead = (logits[:, 1] - logits[:, 0]) * (2 * expected - 1)
    return (1 - lead).clamp_min(0)


__all__ = [
    "Loss",
    "class_weights",
    "loss_of",
    "optimizer_of",
    "plain_loss_of",
    "rate_share",
]
