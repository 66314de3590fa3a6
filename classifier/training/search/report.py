"""What a search says, for people (HTML, Markdown) and programs (JSON), and the best trial's configuration.

The page needs nothing but itself: no scripts, no requests. The best of many is always partly luck, so every
form says how to find out how much of it.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from classifier import atomic_file
from classifier.evaluation.markdown import escaped, table
from classifier.evaluation.report import stylesheet
from classifier.training import config as configs
from classifier.training import folder as folders
from classifier.training.search import drawings
from classifier.training.search.outcome import Outcome, Trial
from classifier.training.search.space import Parameter

HTML_NAME: Final = "report.html"
MARKDOWN_NAME: Final = "report.md"
JSON_NAME: Final = "report.json"
BEST_NAME: Final = "best.toml"
MOST_BEST: Final = 15
_MOST_OTHERS: Final = 200
_MISSING: Final = "–"
_TEMPLATE: Final = "report.html"

CAUTION: Final = (
    "The best of many trials is partly lucky, the more so the more there are: its figure on the validation "
    f"set flatters. Train {BEST_NAME} with several seeds, and evaluate on the sealed test set."
)


def write(outcome: Outcome, folder: Path) -> Path:
    """Write `report.html`, `report.md`, `report.json` and, with a complete trial, `best.toml`.

    Args:
        outcome: What to tell.
        folder: The search's.

    Returns:
        The page.
    """
    for name, text in (
        (JSON_NAME, as_json(outcome)),
        (MARKDOWN_NAME, render_markdown(outcome)),
        (HTML_NAME, render_html(outcome)),
    ):
        atomic_file.write(folder / name, text.encode(), atomic_file.SHARED)
    if (best := outcome.best) is not None:
        path = folder / best.folder / folders.CONFIG_NAME
        if path.exists():
            config = configs.load(path).model_copy(update={"name": f"{outcome.search.base.name}-best"})
            atomic_file.write(folder / BEST_NAME, configs.to_toml(config).encode(), atomic_file.SHARED)
    return folder / HTML_NAME


def as_json(outcome: Outcome) -> str:
    """Everything, for programs."""
    best = outcome.best
    values: dict[str, Any] = {
        "search": outcome.search.model_dump(mode="json"),
        "monitor": outcome.search.monitor,
        "maximises": outcome.search.maximises,
        "best": None if best is None else best.number,
        "importances": dict(outcome.importances),
        "trials": [dataclasses.asdict(trial) for trial in outcome.trials],
    }
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def render_markdown(outcome: Outcome) -> str:
    """The report without plots."""
    search = outcome.search
    keys = list(search.space)
    header = ("Trial", escaped(search.monitor), "Epochs", *map(escaped, keys))
    rows = [
        (str(trial.number), number(trial.value), str(trial.epochs or _MISSING), *_settings(trial, keys))
        for trial in outcome.ranked[:MOST_BEST]
    ]
    parts = [
        f"# {escaped(search.base.name)}\n",
        f"{escaped(summary(outcome))}\n",
        f"{escaped(CAUTION)}\n",
        "## Best trials\n",
        table(header, rows) if rows else "No trial is complete yet.\n",
    ]
    if outcome.importances:
        shares = [(escaped(key), f"{share * 100:.0f} %") for key, share in outcome.importances.items()]
        parts += ["## What mattered\n", table(("Key", "Share of the variance"), shares)]
    if others := _others(outcome):
        remarks = [(str(trial.number), trial.state, escaped(remark)) for trial, remark in others]
        parts += ["## Other trials\n", table(("Trial", "State", "Remark"), remarks)]
    space = [(escaped(key), escaped(told(parameter))) for key, parameter in search.space.items()]
    parts += ["## What was searched\n", table(("Key", "Values"), space)]
    return "\n".join((*parts, *(f"- {escaped(fact)}" for fact in _facts(outcome)))) + "\n"


def render_html(outcome: Outcome) -> str:
    """The report as a page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    has_figures = any(trial.state in ("complete", "pruned") for trial in outcome.trials)
    slices = drawings.slices(outcome) if has_figures else {}
    return environment.get_template(_TEMPLATE).render(
        o=outcome,
        css=stylesheet(),
        summary=summary(outcome),
        caution=CAUTION,
        figures=_tiles(outcome),
        monitor=outcome.search.monitor.replace("_", " "),
        keys=list(outcome.search.space),
        best=outcome.ranked[:MOST_BEST],
        others=_others(outcome),
        plots=_plots(outcome) if has_figures else [],
        slices={key: Markup(svg) for key, svg in slices.items()},  # noqa: S704 - our own, escaped by matplotlib
        space=[(key, told(parameter)) for key, parameter in outcome.search.space.items()],
        facts=_facts(outcome),
        number=number,
        setting=setting,
    )


def summary(outcome: Outcome) -> str:
    """One sentence."""
    search, best = outcome.search, outcome.best
    goal = "largest" if search.maximises else "smallest"
    figure = search.monitor.replace("_", " ")
    begun = len(outcome.trials) - outcome.count("killed") - outcome.count("waiting")
    trials = f"{begun} of {search.trials} {'trials' if search.trials > 1 else 'trial'}"
    start = f"{trials} for the {goal} {figure}"
    if best is None:
        return f"{start}; none is complete."
    return f"{start}; the best is trial {best.number} with {number(best.value)}."


def told(parameter: Parameter) -> str:
    """The values of a parameter in words."""
    if parameter.choices is not None:
        return "one of " + ", ".join(map(setting, parameter.choices))
    how = {"log": ", even in its logarithm", "int": ", whole numbers", "float": ""}[parameter.kind]
    step = f", in steps of {parameter.step:g}" if parameter.step else ""
    points = f", {parameter.points} points in a grid" if parameter.points else ""
    return f"{setting(parameter.low)} to {setting(parameter.high)}{how}{step}{points}"


def number(value: float | None) -> str:
    """A figure."""
    return _MISSING if value is None else f"{value:.4f}"


def setting(value: object) -> str:
    """A value of a key."""
    if value is None:
        return _MISSING
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _settings(trial: Trial, keys: list[str]) -> list[str]:
    return [escaped(setting(trial.params.get(key))) for key in keys]


def _tiles(outcome: Outcome) -> list[tuple[str, str, str]]:
    best = outcome.best
    seconds = sum(trial.seconds or 0.0 for trial in outcome.trials)
    tiles = [
        ("Best figure", number(best.value if best else None), outcome.search.monitor.replace("_", " ")),
        ("Complete", str(outcome.count("complete")), f"of {outcome.search.trials} trials"),
        ("Given up early", str(outcome.count("pruned")), f"by {outcome.search.pruner}"),
        ("Failed", str(outcome.count("failed")), f"{outcome.count('killed')} killed and tried again"),
        ("Training", f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds:.0f} s", "in all trials"),
    ]
    return tiles if outcome.count("failed") or outcome.count("killed") else [*tiles[:3], tiles[4]]


def _plots(outcome: Outcome) -> list[tuple[str, Markup, str]]:
    drawn = [
        (
            "Trial by trial",
            drawings.history(outcome),
            "Points: each trial; on the edge: beyond it. Line: the best so far.",
        ),
        (
            "Epoch by epoch",
            drawings.curves(outcome),
            "Each line is a trial; those with a cross were given up, the thick one is the best.",
        ),
    ]
    if outcome.importances:
        caption = "By random forests over the complete trials (fANOVA); with few trials mostly chance."
        drawn.append(("What mattered", drawings.importances(outcome), caption))
    return [(heading, Markup(svg), caption) for heading, svg, caption in drawn]  # noqa: S704 - as above


def _others(outcome: Outcome) -> list[tuple[Trial, str]]:
    others = []
    for trial in outcome.trials:
        remark = trial.error
        if trial.state == "killed":
            remark = "its process ended; it was tried again"
        elif trial.state == "pruned":
            remark = f"given up after epoch {trial.reported[-1][0] if trial.reported else 0}"
        elif trial.state == "failed" and not remark:
            remark = "its process ended, as it did before"
        if trial.state != "complete":
            others.append((trial, remark))
    return others[:_MOST_OTHERS]


def _facts(outcome: Outcome) -> list[str]:
    search = outcome.search
    return [
        f"Sampler: {search.sampler}, seed {search.seed}. Pruner: {search.pruner}.",
        "Each trial has a seed and a folder of its own, with the configuration it can be repeated with.",
    ]


__all__ = [
    "BEST_NAME",
    "CAUTION",
    "HTML_NAME",
    "JSON_NAME",
    "MARKDOWN_NAME",
    "as_json",
    "number",
    "render_html",
    "render_markdown",
    "setting",
    "summary",
    "told",
    "write",
]
