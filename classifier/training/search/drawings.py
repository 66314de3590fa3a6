"""A search's plots, in the style of an evaluation's: how it went, what mattered, which values did well."""

from collections.abc import Callable, Sequence

from classifier.evaluation.plots import CARD, MARK, NEGATIVE, POSITIVE, QUIET, Axes, draw
from classifier.training.search.outcome import Outcome, Trial
from classifier.training.search.space import Value

_MOST_CURVES = 200
_ROOM = 0.25
"""What is left free around the complete trials; one that ran away must not squeeze them into a line."""
_SPREAD = 0.12
"""How far trials of one choice are moved apart, of the distance to the next choice."""


def history(outcome: Outcome) -> str:
    """Draw every trial's figure and the best one so far: an `<svg>` element."""
    return draw("Figure of each trial, and the best so far", "history", _history, outcome)


def curves(outcome: Outcome) -> str:
    """Draw every trial's figure by epoch, the best and the pruned ones marked: an `<svg>` element."""
    return draw("Figure of each trial by epoch", "curves", _curves, outcome)


def importances(outcome: Outcome) -> str:
    """Draw which keys mattered: an `<svg>` element."""
    return draw("Share of the variance by key", "importances", _importances, outcome)


def slices(outcome: Outcome) -> dict[str, str]:
    """Draw the figure by value of each key: `<svg>` elements by key."""
    return {
        key: draw("Figure of each trial by value", f"slice{place}", _slice_of(key), outcome)
        for place, key in enumerate(outcome.search.space)
    }


def _figure(outcome: Outcome) -> str:
    return outcome.search.monitor.replace("_", " ")


def _points(axes: Axes, across: Sequence[float], trials: Sequence[Trial], outcome: Outcome) -> None:
    """Draw trials that have a figure; the complete ones full, the pruned ones hollow."""
    low, high = _window(outcome)
    axes.set_ylim(low, high)
    for state, label, face, edge in (
        ("complete", "complete", NEGATIVE, NEGATIVE),
        ("pruned", "given up", "none", POSITIVE),
    ):
        chosen = [
            (x, min(max(trial.value or 0.0, low), high))
            for x, trial in zip(across, trials, strict=True)
            if trial.state == state
        ]
        if chosen:
            xs, ys = zip(*chosen, strict=True)
            axes.plot(xs, ys, "o", ms=5.5, mfc=face, mec=edge, mew=1.3, ls="none", clip_on=False, label=label)
    best = outcome.best
    if best is not None and best in trials:
        at = across[list(trials).index(best)]
        axes.plot(
            at, best.value or 0.0, "D", ms=8, mfc=MARK, mec=CARD, mew=1.5, ls="none", zorder=5, label="best"
        )


def _window(outcome: Outcome) -> tuple[float, float]:
    """The figures worth showing: those of the complete trials, and as far beyond as they are apart."""
    trials = _shown(outcome)
    of_interest = [trial.value or 0.0 for trial in trials if trial.state == "complete"]
    values = of_interest or [trial.value or 0.0 for trial in trials] or [0.0]
    room = (max(values) - min(values)) * _ROOM or abs(values[0]) * 0.05 or 0.5
    low, high = min(values) - room, max(values) + room
    every = [trial.value or 0.0 for trial in trials]
    # What fits nearly anyway is shown whole.
    if max(every, default=high) - min(every, default=low) < 4 * (high - low):
        low, high = min(low, *every, high), max(high, *every, low)
    return low, high


def _shown(outcome: Outcome) -> list[Trial]:
    return [
        trial for trial in outcome.trials if trial.state in ("complete", "pruned") and trial.value is not None
    ]


def _history(axes: Axes, outcome: Outcome) -> None:
    trials = _shown(outcome)
    axes.set(xlabel="Trial", ylabel=_figure(outcome))
    axes.grid(visible=True)
    done = [trial for trial in trials if trial.state == "complete"]
    better = max if outcome.search.maximises else min
    so_far = [better(one.value or 0.0 for one in done[: place + 1]) for place in range(len(done))]
    if done:
        axes.step(
            [trial.number for trial in done], so_far, where="post", color=QUIET, lw=1.2, label="best so far"
        )
    _points(axes, [trial.number for trial in trials], trials, outcome)
    _whole_numbers(axes)
    if trials:
        axes.legend(loc="best")


def _curves(axes: Axes, outcome: Outcome) -> None:
    axes.set(xlabel="Epoch", ylabel=_figure(outcome), ylim=_epochs_window(outcome))
    axes.grid(visible=True)
    for trial in _shown(outcome)[-_MOST_CURVES:]:
        if not trial.reported:
            continue
        epochs, values = zip(*trial.reported, strict=True)
        is_pruned, is_best = trial.state == "pruned", trial == outcome.best
        colour = MARK if is_best else POSITIVE if is_pruned else NEGATIVE
        axes.plot(
            epochs,
            values,
            color=colour,
            lw=2.2 if is_best else 1,
            alpha=1 if is_best else 0.55,
            zorder=4 if is_best else 2,
            marker="x" if is_pruned else None,
            markevery=[-1],
            ms=5,
        )
    _whole_numbers(axes)


def _epochs_window(outcome: Outcome) -> tuple[float, float]:
    """The complete trials' epochs, but for the worst tenth: first epochs often are far off."""
    values = sorted(
        value for trial in outcome.trials if trial.state == "complete" for _, value in trial.reported
    )
    if not values:
        return _window(outcome)
    cut = len(values) // 10
    inner = values[cut:] if outcome.search.maximises else values[: len(values) - cut]
    room = (inner[-1] - inner[0]) * 0.1 or abs(inner[0]) * 0.05 or 0.5
    return inner[0] - room, inner[-1] + room


def _importances(axes: Axes, outcome: Outcome) -> None:
    keys = list(outcome.importances)[::-1]
    shares = [outcome.importances[key] for key in keys]
    axes.barh(keys, shares, 0.6, color=NEGATIVE)
    axes.set(xlabel="Share of the figure's variance", xlim=(0, max([*shares, 0.01]) * 1.18))
    axes.xaxis.set_major_formatter(lambda share, _: f"{share * 100:g} %")
    axes.grid(visible=True, axis="x")
    for key, share in zip(keys, shares, strict=True):
        axes.annotate(
            f"{share * 100:.0f} %", (share, key), xytext=(4, 0), textcoords="offset points", va="center"
        )
    axes.tick_params(axis="y", length=0)


def _slice_of(key: str) -> Callable[[Axes, Outcome], None]:
    def drawn(axes: Axes, outcome: Outcome) -> None:
        parameter = outcome.search.space[key]
        trials = [trial for trial in _shown(outcome) if key in trial.params]
        axes.set(xlabel=key, ylabel=_figure(outcome))
        axes.grid(visible=True)
        if parameter.choices is None:
            across = [float(str(trial.params[key])) for trial in trials]
            if parameter.kind == "log":
                axes.set_xscale("log")
                axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
                axes.xaxis.set_minor_formatter(lambda *_: "")
            if parameter.kind == "int":
                _whole_numbers(axes)
        else:
            choices: list[Value] = list(parameter.choices)
            # Side by side in their order, so that equal ones do not hide each other.
            across = [
                choices.index(trial.params[key]) + _SPREAD * ((place % 5) - 2) / 2
                for place, trial in enumerate(trials)
            ]
            axes.set_xticks(range(len(choices)), [str(choice) for choice in choices])
            axes.set_xlim(-0.5, len(choices) - 0.5)
        _points(axes, across, trials, outcome)

    return drawn


def _whole_numbers(axes: Axes) -> None:
    axes.locator_params(axis="x", integer=True)


__all__ = ["curves", "history", "importances", "slices"]
