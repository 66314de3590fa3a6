"""Which engine `auto` takes: the fastest that is verified on this machine and fits its memory; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from classifier.engines.values import EngineId, Trial
from classifier.errors import ModelError

NOISE = 0.10
"""Two engines whose times differ by no more than this share are equally fast: trials repeat no better."""
_MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and why nothing else was.

    Attributes:
        trial: Of the engine that was chosen.
        passed_over: Why each other engine was not taken, in a few words.
    """

    trial: Trial
    passed_over: Mapping[EngineId, str]

    @property
    def engine(self) -> EngineId:
        """The engine that was chosen."""
        return self.trial.engine


def choose(
    trials: Sequence[Trial],
    memory_limit_bytes: int | None = None,
    untried: Mapping[EngineId, str] | None = None,
) -> Choice:
    """Choose an engine.

    Of those that are as fast as the fastest, within `NOISE`, the one that needs the least memory is taken, so
    that the choice does not change from one start to the next for a millisecond's sake.

    Args:
        trials: What was tried on this machine, one per engine; their order does not matter.
        memory_limit_bytes: What the process with the model may use; None: as much as it likes.
        untried: Engines that could not even be tried, and why; for the message.

    Returns:
        The choice.

    Raises:
        ModelError: Where no engine can be used; the message gives each one's reason, and what to do.
    """
    reasons = dict(untried or {})
    fit: list[Trial] = []
    for trial in trials:
        if reason := objection(trial, memory_limit_bytes):
            reasons[trial.engine] = reason
        else:
            fit.append(trial)
    if not fit:
        raise ModelError(_nothing_fits(reasons, memory_limit_bytes))
    fastest_s = min(trial.picture_s for trial in fit)
    equals = [trial for trial in fit if trial.picture_s <= fastest_s * (1 + NOISE)]
    chosen = min(equals, key=lambda trial: (trial.resident_bytes, trial.picture_s, trial.engine))
    for trial in fit:
        if trial is not chosen:
            faster = trial in equals
            reasons[trial.engine] = f"as fast as {chosen.engine}, no smaller" if faster else "slower"
    return Choice(chosen, dict(sorted(reasons.items())))


def objection(trial: Trial, memory_limit_bytes: int | None) -> str:
    """Why an engine cannot be used at all.

    Args:
        trial: Its trial.
        memory_limit_bytes: As for `choose`.

    Returns:
        A few words; empty where it can be used.
    """
    if trial.refused:
        return f"refused: {trial.refused}"
    if not 0 < trial.picture_s < float("inf"):
        return "refused: its trial has no time"
    if memory_limit_bytes is not None and trial.resident_bytes > memory_limit_bytes:
        return f"needs {_mib(trial.resident_bytes)} MiB, {_mib(memory_limit_bytes)} MiB are allowed"
    return ""


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / _MIB:.0f}"


def _nothing_fits(reasons: Mapping[EngineId, str], memory_limit_bytes: int | None) -> str:
    if not reasons:
        return "no engine can be used: none is installed; install onnxruntime, openvino or torch"
    listed = "; ".join(f"{engine}: {reason}" for engine, reason in sorted(reasons.items()))
    advice = "install another engine (onnxruntime, openvino or torch), or name one in the settings"
    if memory_limit_bytes is not None:
        advice = f"allow more memory, {advice}"
    return f"no engine can be used ({listed}): {advice}"
