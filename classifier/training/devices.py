"""Which ways of using one device or several work here, and what to use instead of the others. No torch."""

from typing import Protocol

STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false")
"""How several devices work together: one process each, started by Lightning with the same command."""


def checked_strategy(strategy: str) -> str:
    """Refuse what Lightning knows and a run cannot do.

    Args:
        strategy: Lightning's name.

    Returns:
        The same.

    Raises:
        ValueError: It is none of `STRATEGIES`; the message says why, and what to use.
    """
    if strategy in STRATEGIES:
        return strategy
    why = "is unknown here"
    if any(way in strategy for way in ("spawn", "fork", "notebook")):
        # The copies would come back without what was measured and kept in them.
        why = "copies this process instead of starting the command once for each device"
    elif strategy.startswith(("fsdp", "deepspeed", "ddp")):
        why = "is not supported: weights that lie in parts on several devices cannot be kept"
    raise ValueError(f"{strategy!r} {why}; use ddp, or another of {', '.join(STRATEGIES)}")


class _Devices(Protocol):
    """What `TrainingConfig` says of them."""

    @property
    def devices(self) -> int: ...

    @property
    def strategy(self) -> str: ...

    @property
    def freezing(self) -> str: ...

    @property
    def precision(self) -> str: ...

    @property
    def accelerator(self) -> str: ...


def check_fit(training: _Devices) -> None:
    """Refuse what does not go together.

    Args:
        training: The section `[training]`.

    Raises:
        ValueError: The message names the key and what to use.
    """
    if training.freezing and training.devices > 1 and training.strategy in ("auto", "ddp"):
        raise ValueError(
            "training.strategy: with training.freezing on several devices use "
            "'ddp_find_unused_parameters_true'"
        )
    if training.precision == "16-mixed" and training.accelerator == "cpu":
        raise ValueError("training.precision: '16-mixed' is for GPUs; on a CPU use 'bf16-mixed' or '32-true'")


__all__ = ["STRATEGIES", "check_fit", "checked_strategy"]
