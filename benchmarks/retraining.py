"""Does feedback make the model better? The whole way, with the commands that an operator gives.

A base model that never saw a picture taken by night is deployed; people review what it makes of a first
period of uploads, many of them by night (`benchmarks.retraining_world`); `retrain` makes candidates of their
verdicts: with base data replayed, without, and, at ten times the rate, one of shuffled labels. All score a
second period beside the deployed model, people review that too, and `models compare` and `models promote` say
what becomes of each. What the base model knew and no upload shows, drawings, tells what each has forgotten.

    python -m benchmarks.retraining [--keep FOLDER] [--base 3000 --period 3000 --budget 100]
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from typer.testing import CliRunner

from benchmarks.retraining_world import (
    Arrival,
    Scale,
    Spoil,
    World,
    arrivals,
    base_config,
    base_data,
    mislabelled,
    shuffled,
)
from bot.cli import app
from bot.retraining.evaluating import Scoring, on_base
from bot.settings import Settings, load_settings
from classifier.datasets.values import Dataset
from classifier.models import catalogue
from classifier.training.starting import start_or_go_on
from classifier.training.watching import hush
from storage.engine import Database
from storage.paired_estimates import Paired, compare

BASE, BETTER, BARE, WORSE = "base", "better", "bare", "worse"
CANDIDATES = (BETTER, BARE, WORSE)
REPLAY_SHARE = 0.3
MEASURES = ("precision", "recall", "f1")
Command = Callable[[Sequence[str]], tuple[int, str]]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it all.

    Attributes:
        compared: Of each candidate, what `models compare` says on the second period: candidate less base.
        truth: F1 of every model over all uploads of the second period, which only the benchmark knows.
        promoted: Whether `models promote` made each the active model, and what it said.
        on_base: Of each candidate, its figures less the base model's on drawings that it was not shown.
        reviewed: How many people were asked about in each period.
        told: What each `retrain` printed.
        seconds: Of the parts.
    """

    compared: Mapping[str, Mapping[str, Any]]
    truth: Mapping[str, float]
    promoted: Mapping[str, tuple[bool, str]]
    on_base: Mapping[str, Mapping[str, Any]]
    reviewed: tuple[int, int]
    told: Mapping[str, str]
    seconds: Mapping[str, float]


def configuration(folder: Path, scale: Scale) -> Path:
    """Write the bot's configuration, everything below one folder, and keys: equal ones draw equally."""
    for name in ("sampling.key", "export.key"):
        (folder / name).write_bytes(b"retraining" * 4)
    file = folder / "bot.toml"
    file.write_text(
        f"""[store]
url = "sqlite:///{folder / "bot.sqlite3"}"
[classifier]
model = "open_nsfw"
level = "balanced"
engine = "torch-fp32"
cache_directory = "{folder / "models"}"
[levels]
balanced = "precision 0.7"
[retention]
directory = "{folder / "copies"}"
[sampling]
enabled = true
daily_budget = {scale.daily_budget}
first_day_uploads = {scale.period // scale.days}
key_file = "{folder / "sampling.key"}"
[log]
level = "ERROR"
""",
        encoding="utf-8",
    )
    return file


def commands(config: Path) -> Command:
    """Commands as an operator gives them, but in this process: starting one takes longer than most do."""

    def give(words: Sequence[str]) -> tuple[int, str]:
        done = CliRunner().invoke(app, [*words, "--config", str(config)])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.output

    return give


def run(
    folder: Path,
    scale: Scale,
    give: Command,
    say: Say,
    candidates: Sequence[str] = CANDIDATES,
    spoil: Spoil = shuffled,
) -> Outcome:
    """Go the whole way.

    Args:
        folder: Everything goes there.
        scale: How large the world is.
        give: Gives a command of the bot's, and gets its exit code and what it printed.
        say: Told what is being done.
        candidates: Which of them are made; `BETTER` and `WORSE` are needed.
        spoil: Makes the labels that `WORSE` is trained on.

    Returns:
        What came of it.
    """
    hush()
    settings = load_settings(folder / "bot.toml")
    clock = _Clock(say)
    base = base_data(folder / "base", scale)
    config = base_config(scale, folder / "base" / "base.csv")
    start_or_go_on(config, _visible(base), folder / "base-run")
    clock.done("base model")
    deploy(folder, give)
    everything = arrivals(folder / "uploads", scale)
    first, second = everything[: scale.period], everything[scale.period :]
    database = Database.open(settings.store.url, folder)
    database.migrate()
    try:
        world = World(folder / "uploads", settings, database)
        asked = world.score(first, BASE)
        world.review(first)
        clock.done("first period")
        told = retrained(folder, scale, give, candidates, spoil)
        clock.done("retrainings")
        _ok(give(["models", "shadow", BETTER]))
        asked_again = world.score(second, BASE, keep=False)
        for name in candidates:
            world.watch(second, name)
        world.review(second)
        clock.done("second period")
        since = ("--since", second[0].at.isoformat(timespec="seconds").removesuffix("+00:00"))
        compared = {
            name: _json(give(["models", "compare", BASE, name, *since, "--json"])) for name in candidates
        }
        truth = {name: _true_f1(world, second, name, _threshold(settings)) for name in (BASE, *candidates)}
        promoted = {name: _promoted(give(["models", "promote", name])) for name in (WORSE, BETTER)}
        forgotten = {name: _on_base(folder, base, name, settings) for name in candidates}
        clock.done("decisions")
    finally:
        database.close()
    return Outcome(compared, truth, promoted, forgotten, (asked, asked_again), told, clock.seconds)


def deploy(folder: Path, give: Command) -> None:
    """Add the base model and put it in charge; nothing is known of it yet that it could be compared by."""
    _ok(give(["models", "add", str(folder / "base-run"), "--name", BASE, "--threshold", "balanced=0.5"]))
    _ok(give(["models", "candidate", BASE]))
    _ok(give(["models", "shadow", BASE]))
    _ok(give(["models", "promote", BASE, "--force"]))


def retrained(
    folder: Path, scale: Scale, give: Command, candidates: Sequence[str], spoil: Spoil
) -> dict[str, str]:
    """Retrain: on an export of its own, on the same without base data, and on wrong labels."""
    more = ["--key-file", str(folder / "export.key"), "--by", "benchmark"]
    for setting in ("data.workers=0", "training.threads=1", "training.accelerator=cpu"):
        more += ["--set", setting]
    more += ["--set", f"training.epochs={scale.epochs}"] if scale.epochs else []
    base = ["--replay", str(folder / "base" / "base.csv"), "--replay-share", str(REPLAY_SHARE)]

    def retrain(name: str, *words: str) -> str:
        return _ok(give(["retrain", *words, "--name", name, "--out", str(folder / name), *more]))

    told = {BETTER: retrain(BETTER, *base)}
    export = folder / BETTER / "export"
    if BARE in candidates:
        told[BARE] = retrain(BARE, str(export))
    nonsense = mislabelled(export / "0001", folder / "nonsense", spoil)
    # Two mistakes at once: on nonsense alone a model that starts so well hardly gets worse.
    told[WORSE] = retrain(WORSE, str(nonsense), "--set", "optimizer.rate=0.003")
    return told


class _Clock:
    """Says what is done, and how long it took."""

    def __init__(self, say: Say) -> None:
        self._say, self._since_s = say, time.monotonic()
        self.seconds: dict[str, float] = {}

    def done(self, what: str) -> None:
        now_s = time.monotonic()
        self.seconds[what] = round(now_s - self._since_s, 1)
        self._since_s = now_s
        self._say(f"{what}: {self.seconds[what]:.0f} s")


def _visible(base: Dataset) -> Dataset:
    return base.with_items(item for item in base.items if item.split != "test")


def _on_base(folder: Path, base: Dataset, name: str, settings: Settings) -> dict[str, Any]:
    """On drawings that neither base model nor candidate was trained on."""
    drawings = [item for item in base.part("test").items if item.groups["medium"] == "drawing"]
    means = Scoring(folder, cache_directory=settings.classifier.cache_directory)
    return asdict(on_base(base.with_items(drawings), (BASE, name), _threshold(settings), means))


def _threshold(settings: Settings) -> float:
    return catalogue.card(BASE, settings.classifier.cache_directory).thresholds[settings.classifier.level]


def _true_f1(world: World, uploads: Sequence[Arrival], name: str, threshold: float) -> float:
    """Over every upload and with the truth: what the estimates are estimates of."""
    scores = world.scores(uploads, name)
    flags = np.array([scores[one.number] >= threshold for one in uploads])
    labels = np.array([float(one.label == "nsfw") for one in uploads])
    return compare(Paired(flags, flags, labels, np.ones(len(uploads))), resamples=10).f1.first or 0.0


def _ok(answer: tuple[int, str]) -> str:
    code, printed = answer
    if code:
        raise SystemExit(f"exit code {code}: {printed}")
    return printed


def _json(answer: tuple[int, str]) -> dict[str, Any]:
    return dict(json.loads(_ok(answer).strip().splitlines()[-1]))


def _promoted(answer: tuple[int, str]) -> tuple[bool, str]:
    code, printed = answer
    return code == 0, " ".join(printed.split())


def tables(found: Outcome) -> list[Table]:
    """Lay out what came of it."""
    first = Table("second period, weighted", BASE, *CANDIDATES, title_justify="left")
    for name in MEASURES:
        cells = [_figure(found.compared[BETTER][name]["first"])]
        cells += [_figure(found.compared[one][name]["second"]) for one in CANDIDATES]
        first.add_row(name, *cells)
        first.add_row(
            f"{name} less base", "", *(_difference(found.compared[one][name]) for one in CANDIDATES)
        )
    first.add_row("true F1, all uploads", *(f"{found.truth[one]:.3f}" for one in (BASE, *CANDIDATES)))
    first.add_section()
    first.add_row(
        "F1 on drawings",
        _figure(found.on_base[BETTER]["f1"]["first"]),
        *(_figure(found.on_base[one]["f1"]["second"]) for one in CANDIDATES),
    )
    first.add_row("less base", "", *(_difference(found.on_base[one]["f1"]) for one in CANDIDATES))
    decisions = Table("promote", "", "says", title_justify="left")
    for name, (accepted, said) in found.promoted.items():
        decisions.add_row(name, "accepted" if accepted else "refused", said)
    return [first, decisions]


def figures(found: Outcome) -> dict[str, Any]:
    """The same as plain values."""

    def rounded(one: Mapping[str, Any]) -> dict[str, Any]:
        return {key: None if value is None else round(value, 4) for key, value in one.items()}

    return {
        "reviewed": list(found.reviewed),
        "labelled": found.compared[BETTER]["labelled"],
        "compared": {name: {m: rounded(found.compared[name][m]) for m in MEASURES} for name in CANDIDATES},
        "true_f1": rounded(found.truth),
        "promoted": {name: accepted for name, (accepted, _) in found.promoted.items()},
        "drawings_f1": {name: rounded(found.on_base[name]["f1"]) for name in CANDIDATES},
        "seconds": dict(found.seconds),
    }


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _difference(one: Mapping[str, float | None]) -> str:
    if one["value"] is None:
        return "unknown"
    return f"{one['value']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f})"


def main() -> None:
    """Run it; the exit code is 1 where feedback did not help, or the wrong candidate was promoted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    usual = Scale()
    parser.add_argument("--base", type=int, default=usual.base, help="pictures of the base data")
    parser.add_argument("--period", type=int, default=usual.period, help="uploads of each period")
    parser.add_argument("--budget", type=int, default=usual.daily_budget, help="items asked about a day")
    parser.add_argument("--epochs", type=int, default=usual.base_epochs, help="of the base model")
    parser.add_argument("--keep", type=Path, help="leave everything here")
    options = parser.parse_args()
    scale = Scale(
        base=options.base, period=options.period, daily_budget=options.budget, base_epochs=options.epochs
    )
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="retraining-") as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        give = commands(configuration(folder, scale))
        found = run(folder, scale, give, lambda what: console.print(what, highlight=False))
    out = Console(width=None if sys.stdout.isatty() else 120)
    for name, told in found.told.items():
        out.print(f"[bold]retrain --name {name}[/]")
        out.print(told, highlight=False, markup=False)
    for table in tables(found):
        out.print(table)
    print(json.dumps({"benchmark": "retraining", "figures": figures(found)}))
    gain = found.compared[BETTER]["f1"]["low"]
    right = {name: accepted for name, (accepted, _) in found.promoted.items()} == {WORSE: False, BETTER: True}
    if gain <= 0 or not right:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
