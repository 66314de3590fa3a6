"""What a measurement of robustness says, in words, a table and plots, for the report of an evaluation.

The words depend on the figures, so that no report praises a defence that did not help. Accuracy under an
attack is always an upper bound: it says what this attack found, not what a better one would.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from markupsafe import Markup

from classifier.evaluation import wording
from classifier.evaluation.plots import (
    MARK,
    NEGATIVE,
    POSITIVE,
    QUIET,
    Axes,
    draw,
    percent_axes,
)
from classifier.evaluation.proportions import Estimate
from classifier.evaluation.report import Section, plot
from classifier.evaluation.robustness_values import ATTACKS, Change, Outcome, Robustness

_TOLD_EPSILON = 4
"""Of the attacks the text speaks of this one, if it was tried: a change of 4/255 is hardly seen."""


def section(result: Robustness) -> Section:
    """Put a result into words, a table and plots.

    Args:
        result: What was measured.

    Returns:
        For `report.render`.
    """
    header, rows = _table(result)
    return Section("Robustness", tuple(_paragraphs(result)), header, rows, tuple(_figures(result)))


def _table(result: Robustness) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    header = ["Change", "Right", "Turned wrong"]
    if result.options.defence:
        header += ["Right, defended", "Turned wrong", "Right, defended, attacker knows", "Turned wrong"]
    sides = (len(header) - 1) // 2
    rows = []
    for change in result.changes:
        outcomes = (change.undefended, change.defended, change.informed)[:sides]
        cells = [cell for outcome in outcomes for cell in _cells(outcome, change)]
        rows.append((change.name, *cells))
    return tuple(header), tuple(rows)


def _cells(outcome: Outcome | None, change: Change) -> tuple[str, str]:
    if outcome is None:
        return "", ""
    turned = "" if change.kind == "none" else wording.percent(outcome.turned.value)
    return wording.estimate(outcome.accuracy), turned


def _paragraphs(result: Robustness) -> Iterator[str]:
    chosen = f"{result.pictures:,} pictures ({result.positives:,} positive)"
    if result.pictures < result.available:
        chosen += f", chosen by chance from {result.available:,}"
    yield (
        f"Measured on {chosen}, at the threshold {result.options.threshold:.4g}. Every change is made to "
        "what the network sees, after the preprocessing. “Turned wrong” is the share of the pictures that "
        "were decided rightly as they are and are decided wrongly after the change; of an attack, how often "
        "it succeeds."
    )
    told = _told(result)
    if told is not None:
        yield _on_attack(told, result)
        if told.defended is not None and told.informed is not None:
            yield _on_defence(told, result)
    if result.price is not None:
        yield _on_price(result)
    if told is not None:
        yield (
            "Accuracy under an attack is an upper bound: it says what these attacks found, with so many "
            "steps and restarts, and a better one may find more. The attacker here knows the network and "
            "changes its very input; a file that is rescaled and compressed on its way is harder to attack, "
            "but not safe."
        )
        yield from _doubts(result)


def _told(result: Robustness) -> Change | None:
    """The attack that the text speaks of."""
    tried = [change for change in result.changes if change.kind == "pgd"]
    tried = tried or [change for change in result.changes if change.kind == "fgsm"]
    return min(tried, key=lambda change: abs(change.strength - _TOLD_EPSILON), default=None)


def _on_attack(attack: Change, result: Robustness) -> str:
    turned = attack.undefended.turned
    share = turned.value
    measured = (
        f"On the network alone, {attack.name} turns {_estimate(turned)} of the right decisions, by changing "
        f"no sample by more than {attack.strength:g} of 255 levels, and leaves an accuracy of "
        f"{wording.percent(attack.undefended.accuracy.value)} where it was "
        f"{wording.percent(result.clean.undefended.accuracy.value)}."
    )
    if share is not None and turned.low > 0.5:
        return (
            f"{measured} It succeeds on most pictures: without a defence, who wants to evade this model can."
        )
    if share is not None and turned.high < 0.5:
        return f"{measured} It fails on most pictures."
    return f"{measured} Whether it succeeds on most pictures, so few of them do not tell."


def _on_defence(attack: Change, result: Robustness) -> str:
    assert attack.defended is not None and attack.informed is not None
    before, unaware, knowing = (
        outcome.accuracy for outcome in (attack.undefended, attack.defended, attack.informed)
    )
    lost = attack.informed.turned
    told = (
        f"The defence {result.options.defence} brings accuracy under that attack from {_estimate(before)} to "
        f"{_estimate(unaware)}, as long as the attacker does not know of it. An attacker who does, and "
        f"attacks through it, leaves {_estimate(knowing)} and turns {_estimate(lost)} of the right "
        "decisions. "
    )
    if _is_blind(result):
        kept = (
            "But with it this model is hardly better than one that always gives the same answer: decisions "
            "that do not depend on the picture cannot be attacked, and are worth nothing. This defence does "
            "not suit this model."
        )
    elif knowing.low > before.high:
        kept = "The defence makes such attacks harder, and does not stop them."
    else:
        kept = (
            "Against that attacker no gain is certain here: what the defence restores rests on its being "
            "unknown, and this software is public."
        )
    if unaware.low <= before.high and not _is_blind(result):
        kept = "Not even for the attacker who does not know it is a gain certain. " + kept
    return f"{told}{kept} The second figure is the one to rely on; the first alone would mislead."


def _is_blind(result: Robustness) -> bool:
    """Whether the defended model may as well not look."""
    assert result.clean.defended is not None
    return result.clean.defended.accuracy.low <= _always_the_same(result)


def _always_the_same(result: Robustness) -> float:
    """Accuracy of one who always gives the more frequent answer."""
    return max(result.positives, result.pictures - result.positives) / result.pictures


def _on_price(result: Robustness) -> str:
    price, clean = result.price, result.clean
    assert price is not None and clean.defended is not None
    lost, won = price.decisions.only_first, price.decisions.only_second
    certain = (
        "more than chance explains"
        if price.decisions.p_value < 1 - result.options.confidence
        else "which chance may explain, in either direction"
    )
    return (
        f"On pictures that nobody attacked, accuracy is {_estimate(clean.undefended.accuracy)} without the "
        f"defence and {_estimate(clean.defended.accuracy)} with it: {lost:,} decisions right only without "
        f"it, {won:,} only with it (McNemar’s exact test: p = {price.decisions.p_value:.3g}), {certain}. It "
        f"changes a sample by {price.mean_change:.2g} of 255 levels on average and takes {price.cpu_ms:.2g} "
        "ms of processor time a picture on the machine that measured."
    )


def _doubts(result: Robustness) -> Iterator[str]:
    """Signs that an attack, not the network or its defence, is what failed."""
    attacks = [change for change in result.changes if change.kind in ATTACKS]
    weak = [
        change.name
        for change in attacks
        if change.defended and change.through_alone and _more(change.defended, change.through_alone)
    ]
    if weak:
        yield (
            f"With {', '.join(weak)}, the attack through the defence turns fewer decisions than the one that "
            "does not know it. So that attack is weak here, and the figures for an attacker who knows are "
            "too good."
        )
    if "jitter" in result.options.defence:
        yield (
            "The defence moves pixels by chance. The attack through it does not average over that, so what "
            "it leaves is too good a figure."
        )
    single = {change.strength: change.undefended for change in attacks if change.kind == "fgsm"}
    many = {change.strength: change.undefended for change in attacks if change.kind == "pgd"}
    masked = [
        epsilon for epsilon, outcome in single.items() if epsilon in many and _more(outcome, many[epsilon])
    ]
    if masked:
        strengths = ", ".join(f"{epsilon:g}/255" for epsilon in masked)
        yield (
            f"At {strengths} a single step (FGSM) succeeds more often than many small ones (PGD): the "
            "gradient is of little use there, or steps are too few, and accuracy under attack is lower than "
            "it looks."
        )


def _more(one: Outcome, other: Outcome) -> bool:
    return (one.turned.value or 0) > (other.turned.value or 0)


def _estimate(found: Estimate) -> str:
    return wording.estimate(found)


def _figures(result: Robustness) -> Iterator[Markup]:
    if any(change.kind == "pgd" for change in result.changes):
        svg = draw("Accuracy by the strength of an attack", "robustness-attack", _by_epsilon, result)
        yield plot(
            svg,
            "Under attack (PGD)",
            "Accuracy by how far each sample may be changed; bands are intervals. Between the two lines of "
            "the defended model lies what secrecy is worth."
            if result.options.defence
            else "Accuracy by how far each sample may be changed; the band is the interval.",
        )
    if any(change.kind not in ATTACKS for change in result.changes[1:]):
        svg = draw("Accuracy after changes that nobody means badly", "robustness-usual", _by_change, result)
        yield plot(
            svg, "Without an attacker", "Accuracy after what may happen to any file; bars are intervals."
        )


def _by_epsilon(axes: Axes, result: Robustness) -> None:
    attacks = [change for change in result.changes if change.kind == "pgd"]
    axes.set(xlabel="Largest change of a sample, of 255 levels", ylabel="Accuracy", ylim=(0, 1.02))
    axes.grid(visible=True)
    percent_axes(axes, "yaxis")
    across = [0.0, *(change.strength for change in attacks)]
    axes.set_xlim(0, max(across))
    axes.set_xticks(sorted(set(across)))
    clean = result.clean
    axes.axhline(_always_the_same(result), color=QUIET, lw=1, ls=(0, (4, 4)), label="always the same answer")
    _curve(axes, across, [c.undefended for c in (clean, *attacks)], POSITIVE, "-", "no defence")
    if clean.defended is None:
        axes.legend(loc="best")
        return
    defended = [change.defended for change in (clean, *attacks)]
    informed = [clean.defended, *(change.informed for change in attacks)]
    _curve(axes, across, defended, NEGATIVE, (0, (4, 3)), "defended, attacker does not know")
    _curve(axes, across, informed, NEGATIVE, "-", "defended, attacker knows")
    axes.legend(loc="best")


def _curve(
    axes: Axes,
    across: Sequence[float],
    outcomes: Sequence[Outcome | None],
    colour: str,
    style: object,
    label: str,
) -> None:
    known = [
        (x, outcome.accuracy) for x, outcome in zip(across, outcomes, strict=True) if outcome is not None
    ]
    xs, found = [x for x, _ in known], [accuracy for _, accuracy in known]
    axes.fill_between(
        xs, [one.low for one in found], [one.high for one in found], color=colour, alpha=0.12, lw=0
    )
    values = [one.value or 0.0 for one in found]
    axes.plot(xs, values, color=colour, ls=style, lw=1.8, marker="o", ms=4, label=label, clip_on=False)


def _by_change(axes: Axes, result: Robustness) -> None:
    shown = [change for change in result.changes if change.kind not in ATTACKS]
    places = np.arange(len(shown))[::-1].astype(float)
    apart = 0.17 if result.options.defence else 0.0
    sides = [("no defence", POSITIVE, apart, [change.undefended for change in shown])]
    if apart:
        defended = [change.defended for change in shown if change.defended is not None]
        sides.append((f"with {result.options.defence}", NEGATIVE, -apart, defended))
    for label, colour, offset, outcomes in sides:
        found = [outcome.accuracy for outcome in outcomes]
        values = np.array([one.value or 0.0 for one in found])
        reach = np.array([[v - one.low, one.high - v] for v, one in zip(values, found, strict=True)]).T
        axes.errorbar(
            values, places + offset, xerr=reach, color=colour, fmt="o", ms=4.5, elinewidth=1.2, label=label
        )
    axes.axvline(result.clean.undefended.accuracy.value or 0.0, color=MARK, lw=1.2, ls=(0, (5, 4)))
    axes.set_yticks(places, [change.name for change in shown])
    axes.tick_params(axis="y", length=0, labelsize=9)
    axes.set(xlabel="Accuracy", xlim=(0, 1.01), ylim=(-0.6, len(shown) - 0.4))
    axes.grid(visible=True, axis="x")
    percent_axes(axes, "xaxis")
    axes.legend(loc="lower left")


__all__ = ["section"]
