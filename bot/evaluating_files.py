"""What `evaluate` writes: a page, figures and a card for each model, and a table of all of them."""

from collections.abc import Iterator, Sequence
from pathlib import PurePath

from rich.markup import escape
from rich.table import Table

from bot.evaluating import Judged, Laboratory, put
from bot.evaluating_extras import explained_section, robustness_section, suspicious_section
from classifier.datasets.sources import VIDEO_SUFFIXES
from classifier.evaluation import card, comparison, report, sections, values, wording
from classifier.evaluation.compare import Pairing
from classifier.evaluation.comparison import Quoted, Run
from classifier.evaluation.markdown import escaped
from classifier.evaluation.pairs import Pair
from classifier.evaluation.report import Section

REPORT_NAME, EVALUATION_NAME, CARD_NAME = "report.html", "evaluation.json", "card.md"
COMPARISON_NAME = "comparison"


def write_model(lab: Laboratory, one: Judged, judged: Sequence[Judged]) -> None:
    """Write a model's page, figures and card.

    Args:
        lab: What all models share.
        one: The model.
        judged: All of them.

    Raises:
        ConfigError: Where a file cannot be written.
        ClassifierError: Where what was asked for beside the figures cannot be done.
    """
    measured, evaluation = one.measured, one.evaluation
    known = notices(lab, judged)
    page = report.render(
        evaluation, pairings=_rivals(one, judged), sections=list(_sections(lab, one)), notices=known
    )
    parameters = None if measured.speed is None else measured.speed.parameters
    text = card.render(measured.candidate.facts(parameters), evaluation)
    if known:
        text += "\n## Before these figures are used\n\n" + "".join(f"- {escaped(one)}\n" for one in known)
    put(measured.folder / REPORT_NAME, page.encode())
    put(measured.folder / EVALUATION_NAME, values.to_json(evaluation))
    put(measured.folder / CARD_NAME, text.encode())


def write_comparison(lab: Laboratory, judged: Sequence[Judged]) -> None:
    """Write the table of all models as a page, Markdown and JSON.

    Args:
        lab: What they share.
        judged: Two or more.

    Raises:
        ConfigError: Where a file cannot be written.
    """
    runs, known, limits = [_run(one) for one in judged], notices(lab, judged), _limits(lab)
    pairs = [
        Pair(judged[0].title, one.title, one.from_first) for one in judged[1:] if one.from_first is not None
    ]
    quoted = [
        Quoted(one.title, f"{number.what}, on {number.measured_on}", number.source)
        for one in judged
        for number in one.measured.candidate.published
    ]
    first = judged[0].evaluation
    title = f"Models on {lab.test.name}"
    note = (
        f"{first.items:,} items of the test set, {first.positives:,} of them {lab.classes[1]}. "
        f"{_thresholds(judged)} Latency and memory are those of this machine, in a process of its own "
        "with a picture at a time. These figures hold for this set and for nothing else."
    )
    folder = lab.request.out
    page = comparison.render_html(
        runs, title=title, note=note, quoted=quoted, pairs=pairs, limits=limits, notices=known
    )
    text = comparison.render_markdown(
        runs, title=title, note=note, quoted=quoted, pairs=pairs, limits=limits, notices=known
    )
    put(folder / f"{COMPARISON_NAME}.html", page.encode())
    put(folder / f"{COMPARISON_NAME}.md", text.encode())
    put(
        folder / f"{COMPARISON_NAME}.json",
        comparison.to_json(runs, pairs=pairs, limits=limits, notices=known),
    )


def notices(lab: Laboratory, judged: Sequence[Judged]) -> tuple[str, ...]:
    """What has to be known before any figure is read.

    Args:
        lab: What the models share.
        judged: All of them.
    """
    return tuple(_notices(lab, judged))


def summary(judged: Sequence[Judged]) -> Table:
    """The most important figures for the terminal.

    Args:
        judged: The models.

    Returns:
        A row a model.
    """
    shown = ("accuracy", "precision", "recall", "f1", "pr_auc")
    table = Table("Model", box=None, header_style="bold")
    for title in (*(wording.TITLES[name] for name in shown), "ms", "MB"):
        table.add_column(title, no_wrap=True, justify="right")
    for one in judged:
        found = one.measured.speed
        table.add_row(
            escape(one.title),
            *(wording.measure_value(one.evaluation.measure(name)) for name in shown),
            wording.MISSING if found is None else f"{found.latency_ms:.1f}",
            wording.MISSING if found is None else f"{found.peak_bytes / 1e6:,.0f}",
        )
    return table


def remarks(lab: Laboratory, judged: Sequence[Judged]) -> Iterator[str]:
    """What to say below the figures: notices, and who is over a limit."""
    yield from notices(lab, judged)
    for one in judged:
        if one.measured.speed is not None:
            yield from (f"{one.title}: {over}" for over in lab.request.limits.over(one.measured.speed))


def _notices(lab: Laboratory, judged: Sequence[Judged]) -> Iterator[str]:
    if lab.leaks:
        leaks = f"{len(lab.leaks)} leak{'s' * (len(lab.leaks) != 1)}"
        yield (
            f"{leaks}: files of the test set are also in what a model was trained, or a threshold chosen on. "
            "These figures flatter the models."
        )
    left_out = len(lab.test) - judged[0].evaluation.items
    if left_out:
        yield (
            f"{left_out} of {len(lab.test)} files of the test set could not be scored"
            + (" by every model" if len(judged) > 1 else "")
            + ", and are in no figure."
        )
    films = sum(PurePath(item.path).suffix.lower() in VIDEO_SUFFIXES for item in lab.test.items)
    if films:
        yield (
            f"{films} of {len(lab.test)} files are films. A film scores the highest of all its frames at "
            "the moments that the daemon looks at, without its early stop."
        )
    unverified = sum(not item.sha256 for item in lab.test.items)
    if unverified:
        yield (
            f"{unverified} of {len(lab.test)} files were never verified (dataset build), so their near "
            "duplicates and leaks are not known, and intervals may be too narrow."
        )


def _sections(lab: Laboratory, one: Judged) -> Iterator[Section]:
    measured, request = one.measured, lab.request
    if lab.leaks:
        yield sections.leaks(lab.leaks)
    if measured.test.failures:
        yield sections.failures(measured.test.failures)
    if measured.speed is not None:
        yield sections.speed(measured.speed, request.limits)
    if request.robustness:
        yield robustness_section(lab, one)
    if request.explain:
        yield explained_section(lab, one)
    if request.suspicious:
        yield suspicious_section(lab, one)


def _rivals(one: Judged, judged: Sequence[Judged]) -> list[tuple[str, Pairing]]:
    if one.against_first is not None:
        return [(judged[0].title, one.against_first)]
    return [(other.title, other.from_first) for other in judged[1:] if other.from_first is not None]


def _run(one: Judged) -> Run:
    candidate, found = one.measured.candidate, one.measured.speed
    figures = {name: one.evaluation.measure(name).value for name in ("accuracy", "precision", "recall", "f1")}
    result = candidate.run.result if candidate.run else None
    return Run(
        candidate.name,
        candidate.seed,
        **figures,
        size_bytes=candidate.weights_bytes,
        parameters=found.parameters if found else None,
        latency_ms=found.latency_ms if found else None,
        memory_bytes=found.peak_bytes if found else None,
        epochs=result.kept_epoch if result else None,
    )


def _limits(lab: Laboratory) -> dict[str, float]:
    wanted = lab.request.limits
    limits = {
        "latency_ms": wanted.latency_ms,
        "memory_bytes": None if wanted.memory_mb is None else wanted.memory_mb * 1e6,
    }
    return {name: limit for name, limit in limits.items() if limit is not None}


def _thresholds(judged: Sequence[Judged]) -> str:
    by_threshold: dict[float, list[str]] = {}
    for one in judged:
        by_threshold.setdefault(one.evaluation.threshold, []).append(one.title)
    if len(by_threshold) == 1:
        return f"Flagged from {next(iter(by_threshold)):.4g} up."
    told = "; ".join(f"{', '.join(of)} from {threshold:.4g} up" for threshold, of in by_threshold.items())
    return f"Thresholds differ, and figures with them: {told}."


__all__ = ["COMPARISON_NAME", "notices", "remarks", "summary", "write_comparison", "write_model"]
