"""The commands, thin: parse, call, print; see `bot.commands.edges` for exit codes and errors."""

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bot import ROOT_CHECK_MESSAGE, foreign_packages
from bot.commands import (
    dataset,
    draws,
    evaluate,
    explain,
    export,
    lab,
    metrics,
    models,
    purge,
    retrain,
    search,
    serve,
    suspicious,
    tokens,
    training,
)
from bot.commands.edges import (
    EXIT_CONFIG,
    EXIT_FAILED,
    EXIT_INTERNAL,
    EXIT_NETWORK,
    ConfigOption,
    configured,
    end_quickly,
    err,
    explained,
    fail,
    out,
)

LAST_RESORT_S = 2.0
"""Seconds after `pipeline.shutdown_s` after which the daemon's process ends in any case."""

log = logging.getLogger(__name__)

app = typer.Typer(
    name="python -m bot",
    help="Scores new Wikimedia Commons uploads and lists what moderators may look at. It only advises.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(models.app, name="models")
app.add_typer(dataset.app, name="dataset")
app.add_typer(tokens.app, name="tokens")
_PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Other programs": (serve.serve,),
    "Feedback": (metrics.metrics, draws.draws, export.export, purge.purge, retrain.retrain),
    "Laboratory": (
        training.train,
        search.search,
        evaluate.evaluate,
        explain.explain,
        suspicious.suspicious,
        lab.lab,
    ),
}
for panel, commands in _PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)


def _leave_after(seconds: float) -> None:
    """End the process if it has not ended by then, whatever it hangs in: a name look-up, pip, a disk.

    That is what `kill -9` does, and loses no more: what is claimed is free at the next start.
    """

    def leave() -> None:
        log.error("end_overdue", extra={"after_s": seconds})
        logging.shutdown()
        os._exit(EXIT_FAILED)

    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()


@app.command()
def run(config: ConfigOption = None) -> None:
    """Follow the stream and score uploads until stopped (dry-run: nothing is written on any wiki)."""
    from bot.daemon import Daemon
    from bot.live import StatusLine

    with explained():
        settings = configured(config)
        with StatusLine(err) as line:
            daemon = Daemon(settings, on_status=line.show)

            def end(*_: object) -> None:
                daemon.stop()
                _leave_after(settings.pipeline.shutdown_s + LAST_RESORT_S)

            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, end)
            daemon.run()


@app.command()
def demo(
    directory: Annotated[
        Path | None, typer.Option(help="Where the demo keeps its files; default: var/demo.")
    ] = None,
    svg: Annotated[Path | None, typer.Option(help="Also save what is printed as a picture.")] = None,
) -> None:
    """Run the daemon on an embedded miniature Commons and check what it recorded against what was planted."""
    from bot.demo import run_demo

    with explained():
        console = Console(record=True, width=92) if svg else out
        succeeded = run_demo(console, directory)
        if svg:
            console.save_svg(str(svg), title="make demo")
        if not succeeded:
            raise SystemExit(EXIT_FAILED)


@app.command()
def status(
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show what is stored: the queue, the outcomes, the position in the stream."""
    from bot.status import read_status, status_table

    with explained():
        current, registry = read_status(configured(config))
        if as_json:
            typer.echo(json.dumps(asdict(current) | {"registry": asdict(registry)}, default=str))
        else:
            out.print(status_table(current, registry))
    end_quickly()


@app.command("check-config")
def check_config(
    config: ConfigOption = None,
    offline: Annotated[bool, typer.Option("--offline", help="Leave out what needs the network.")] = False,
) -> None:
    """Check everything the daemon needs and print a table."""
    from bot.preparing import shown
    from bot.probes import check
    from bot.status import findings_table

    with explained():
        settings = configured(config)
        with shown(err, "checking") as on_step:
            findings = list(check(settings, online=not offline, on_step=on_step))
        out.print(findings_table(findings))
        if any(finding.ok is False for finding in findings):
            fail(EXIT_CONFIG, "see the rows marked 'no' above")


@app.command()
def classify(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE_OR_TITLE...",
            help="Pictures and videos; titles of the wiki (File:Name.webm) or addresses of its file pages.",
            show_default=False,
        ),
    ],
    config: ConfigOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, in the order given.")
    ] = False,
    timeline: Annotated[
        Path | None,
        typer.Option(help="Of one file: write its scores over time and blurred frames as .html or .png."),
    ] = None,
    keep_going: Annotated[
        bool | None,
        typer.Option(
            "--keep-going/--stop-early",
            help="Score all frames, or stop at the first one over the threshold; with --json, the former "
            "also tells other aggregates of the scores.",
            show_default="stop early; with --timeline, keep going",
        ),
    ] = None,
) -> None:
    """Score local files, or files of the wiki by their titles.

    A bad file never stops the others. The exit code is 1 if any failed, 4 if the wiki was out of reach.
    """
    from bot.classify import SERVICE_DOWN, classify_files, print_table

    if timeline is not None:
        from bot.timeline import refusal, write_timeline

        if problem := refusal(timeline, files):
            raise typer.BadParameter(problem, param_hint="--timeline")
    with explained():
        results = []
        for result in classify_files(
            configured(config),
            files,
            keep_going=timeline is not None if keep_going is None else keep_going,
            with_strip=timeline is not None,
            progress=err if sys.stderr.isatty() else None,
        ):
            if as_json:
                typer.echo(json.dumps(result.as_json(), ensure_ascii=False))
            results.append(result)
        if not as_json:
            print_table(out, results)
        if timeline is not None and results[0].scored is not None and results[0].strip is not None:
            try:
                write_timeline(timeline, results[0].scored, results[0].strip.thumbnails())
            except OSError as error:
                fail(EXIT_FAILED, f"--timeline cannot be written: {error}")
            err.print(f"timeline: {timeline}", soft_wrap=True, highlight=False, markup=False)
        codes = {result.code for result in results if result.code is not None}
        if codes:
            raise SystemExit(EXIT_NETWORK if SERVICE_DOWN in codes else EXIT_FAILED)


@app.command("setup-wiki")
def setup_wiki(
    config: ConfigOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Write without asking.")] = False,
) -> None:
    """Create or update the review's pages on the wiki: shows the differences first, then asks."""
    from bot.review import assembly
    from bot.review.messages import load_messages
    from bot.review.setup import apply_setup, plan_setup
    from bot.status import print_diff

    with explained():
        settings = configured(config)
        messages = load_messages(settings.review.language)
        wiki = assembly.connect(settings, log_in=not settings.review.dry_run)
        changes = plan_setup(wiki, messages, settings.review, settings.classifier.level)
        for change in changes:
            print_diff(out, change.diff())
        if not changes:
            out.print("every page is as it should be")
        elif settings.review.dry_run:
            out.print(f"{len(changes)} pages would be written; set review.dry_run = false to write them")
        elif yes or typer.confirm(f"Write these {len(changes)} pages to {settings.wiki.domain}?"):
            for title, revision in apply_setup(wiki, changes, messages):
                out.print(f"{title}: revision {revision}", soft_wrap=True, highlight=False)


def main() -> None:
    """Run the command line; an unforeseen error is shown with its traceback and ends in exit code 70."""
    if foreign := foreign_packages():
        fail(EXIT_CONFIG, ROOT_CHECK_MESSAGE.format(names=", ".join(foreign)))
    try:
        app()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception:  # the process's edge: a fault of ours must not look like "some failed"
        log.exception("internal_error")
        fail(EXIT_INTERNAL, "this is a fault of the bot; please report it with the lines above")
