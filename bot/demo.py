"""The demo: the whole daemon on an embedded miniature Commons, checked against what was planted there.

Everything is real but the wiki: the event format, HTTP, the media files (generated, never copied), the
decoders, the model, the database. The check at the end compares every upload's recorded outcome with the
plan; any difference makes the demo fail.
"""

import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import platformdirs
from filelock import FileLock
from filelock import Timeout as LockTimeout
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from bot import logs
from bot.daemon import Daemon
from bot.errors import ConfigError
from bot.live import describe
from bot.minicommons.corpus import prepare_corpus
from bot.minicommons.plan import Plan
from bot.minicommons.process import MiniCommonsProcess
from bot.scoring import load_classifier
from bot.settings import ROOT, Settings, load_settings, merged
from classifier.models import catalogue
from storage.engine import Database
from storage.outcomes import RecordedOutcome, recorded
from storage.values import StoreStatus

DEFAULT_FOLDER = ROOT / "var" / "demo"
DEMO_CONFIG = ROOT / "config" / "demo.toml"
CORPUS = platformdirs.user_cache_path("commons-nsfw-bot") / "minicommons"
"""The generated media files; made once per user."""
PATIENCE_S = 90.0
"""Without a single new outcome for this long, the demo gives up."""
BURST = 120
BURST_PER_S = 6.0
NOISE_PER_S = 200.0
WITHHELD = ("jpeg-baseline",)
"""Specimens that stand in the upload log only, for the reconciliation to find."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An upload that did not end as planned.

    Attributes:
        title: The upload.
        planned: `scored-sfw`, `scored-nsfw` or `skip:<code>`.
        recorded: The same, or `nothing`.
    """

    title: str
    planned: str
    recorded: str


def run_demo(console: Console, directory: Path | None = None) -> bool:
    """Run the demo.

    Args:
        console: Where to show it.
        directory: Where it keeps its database and report; None: `var/demo`.

    Returns:
        Whether every upload ended as planned.

    Raises:
        ConfigError: Where another demo runs there, or the directory holds something else.
    """
    folder = (directory or DEFAULT_FOLDER).resolve()
    with _emptied(folder):
        return _run(console, folder)


def _run(console: Console, folder: Path) -> bool:
    _prepare(console, CORPUS)
    with MiniCommonsProcess(CORPUS) as commons:
        settings = _settings(folder, commons)
        _choose_engine(console, settings)
        _work(console, settings, commons)
        plan = commons.plan()
    outcomes = read_outcomes(settings)
    console.print(summary(plan, outcomes))
    report = settings.report.directory / "index.html"
    shown = report.relative_to(ROOT) if report.is_relative_to(ROOT) else report
    console.print(f"report: {shown}", soft_wrap=True, highlight=False)
    differences = compare(plan, outcomes)
    if differences:
        console.print(_differences_table(differences))
        console.print(f"[bold red]{len(differences)} uploads differ from the plan[/]")
        return False
    console.print(f"[bold green]all {len(plan.outcomes)} uploads ended as planned[/]")
    return True


def compare(plan: Plan, outcomes: Sequence[RecordedOutcome]) -> list[Difference]:
    """Hold what was recorded against what was planted.

    Args:
        plan: What should be recorded, exactly.
        outcomes: What is recorded.

    Returns:
        Every upload that is missing, additional, or ended otherwise.
    """
    planned = plan.by_log_id()
    found = {outcome.log_id: outcome for outcome in outcomes}
    differences = []
    for log_id in sorted(planned.keys() | found.keys()):
        want = planned[log_id].expected if log_id in planned else "nothing"
        got = described(found[log_id]) if log_id in found else "nothing"
        if got != want:
            title = planned[log_id].title if log_id in planned else found[log_id].title
            differences.append(Difference(title, want, got))
    if len(found) != len(outcomes):
        differences.append(Difference("(several)", "one outcome each", "an upload recorded twice"))
    return differences


def described(outcome: RecordedOutcome) -> str:
    """An outcome in the words of the plan: `scored-sfw`, `scored-nsfw` or `skip:<code>`."""
    return f"skip:{outcome.code}" if outcome.label is None else f"scored-{outcome.label}"


def read_outcomes(settings: Settings) -> list[RecordedOutcome]:
    """Read every recorded outcome.

    Args:
        settings: Where the store is.

    Returns:
        The outcomes in the order of their log ids.
    """
    database = Database.open(settings.store.url, ROOT)
    try:
        with database.read() as tx:
            return list(recorded(tx))
    finally:
        database.close()


def summary(plan: Plan, outcomes: Sequence[RecordedOutcome]) -> Table:
    """Lay out what happened.

    Args:
        plan: What was published.
        outcomes: What is recorded.

    Returns:
        A table of two columns.
    """
    codes = Counter(outcome.code for outcome in outcomes if outcome.code is not None)
    labels = Counter(outcome.label for outcome in outcomes if outcome.label is not None)
    missed = sum(outcome.source != "stream" for outcome in outcomes)
    first_try = [
        (outcome.finished_at - outcome.received_at).total_seconds()
        for outcome in outcomes
        if outcome.attempts == 1
    ]
    table = Table(title="what the daemon recorded", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    table.add_row("seen", f"{len(plan.outcomes)} uploads, {missed} of them only in the upload log")
    table.add_row("scored", f"{labels.total()}: {labels['sfw']} sfw, {labels['nsfw']} nsfw")
    table.add_row("flagged", f"{labels['nsfw']} (harmless pictures, made to score high)")
    table.add_row("skipped", ", ".join(f"{count} {code}" for code, count in sorted(codes.items())) or "none")
    if len(first_try) > 1:
        began = min(outcome.received_at for outcome in outcomes)
        seconds = (max(outcome.finished_at for outcome in outcomes) - began).total_seconds()
        table.add_row("uploads per second", f"{len(outcomes) / seconds:.1f} over {seconds:.0f} s")
        cuts = quantiles(first_try, n=20, method="inclusive")
        table.add_row("event to score", f"p50 {cuts[9]:.2f} s, p95 {cuts[18]:.2f} s (first attempts)")
    return table


@contextmanager
def _emptied(folder: Path) -> Iterator[None]:
    """Take the folder for this demo alone, and remove what an earlier demo left; never anything else."""
    mark, lock = folder / ".demo", FileLock(folder / ".demo.lock", timeout=0)
    try:
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        if folder != DEFAULT_FOLDER and any(folder.iterdir()) and not mark.exists():
            raise ConfigError(f"--directory: {folder} is not empty and no demo made it; choose another one")
        mark.touch()
        lock.acquire()
    except LockTimeout:
        raise ConfigError(f"{folder}: another demo runs there; wait for it, or choose --directory") from None
    except OSError as error:
        raise ConfigError(f"--directory: {folder} cannot be used: {error}") from error
    with lock:
        for left in folder.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            elif not left.name.startswith(mark.name):
                left.unlink()
        yield


def _settings(folder: Path, commons: MiniCommonsProcess) -> Settings:
    places = {
        "store": {"url": f"sqlite:///{folder / 'bot.sqlite3'}"},
        "report": {"directory": str(folder / "report")},
        "media": {"directory": str(folder / "media")},
        "retention": {"directory": str(folder / "copies")},
    }
    settings = load_settings(DEMO_CONFIG, merged(places, commons.overrides()))
    logs.configure(settings.log)
    return settings


def _bars(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[remark]}"),
        console=console,
    )


def _prepare(console: Console, corpus: Path) -> None:
    """Fetch the weights and generate the media files; both are kept for the next time."""
    with _bars(console) as bars:
        weights = bars.add_task("fetching the model", total=1, remark="")
        catalogue.fetch(catalogue.DEFAULT_MODEL)
        bars.update(weights, completed=1)
        files = bars.add_task("making the media files", total=None, remark="")
        prepare_corpus(
            corpus,
            progress=lambda done, total, name: bars.update(files, completed=done, total=total, remark=name),
        )
        bars.update(files, remark="")


def _choose_engine(console: Console, settings: Settings) -> None:
    """Export the model and try the engines, which takes a minute or two the first time."""
    with _bars(console) as bars:
        bar = bars.add_task("choosing an engine", total=None, remark="")
        classifier = load_classifier(
            settings,
            lambda what, done, total: bars.update(bar, completed=done, total=total, remark=what),
        )
        bars.update(bar, completed=1, total=1, remark=classifier.engine)


def _work(console: Console, settings: Settings, commons: MiniCommonsProcess) -> None:
    """Run the daemon until every planned upload has its outcome, or nothing moves any more."""
    latest: list[StoreStatus] = []
    daemon = Daemon(settings, on_status=latest.append)
    with ThreadPoolExecutor(1, thread_name_prefix="demo") as executor, _bars(console) as bars:
        bar = bars.add_task("following the stream", total=None, remark="starting")
        running = executor.submit(daemon.run)
        try:
            commons.wait_for_stream()
            commons.publish_noise(-1, rate_per_s=NOISE_PER_S)
            commons.publish_corpus(rate_per_s=BURST_PER_S, withhold=WITHHELD)
            commons.publish_many(BURST, rate_per_s=BURST_PER_S)
            moved_at, done = time.monotonic(), -1
            while not running.done() and time.monotonic() - moved_at < PATIENCE_S:
                time.sleep(0.2)
                if not latest:
                    continue
                status = latest[-1]
                del latest[:-1]
                finished = status.scored + sum(status.skipped.values())
                if finished != done:
                    moved_at, done = time.monotonic(), finished
                total = len(commons.plan().outcomes)
                bars.update(bar, completed=finished, total=total, remark=describe(status))
                if finished == total and not commons.publishing():
                    break
        finally:
            daemon.stop()
        running.result()
        bars.update(bar, remark="")


def _differences_table(differences: Sequence[Difference]) -> Table:
    table = Table("Upload", "Planned", "Recorded", title="not as planned", title_justify="left")
    for difference in differences:
        table.add_row(difference.title, difference.planned, difference.recorded)
    return table
