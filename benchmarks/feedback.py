"""How long `metrics` and `status` take on a store of a million uploads and 50,000 verdicts.

The store is made up: 60 days of uploads in SQLite with scores as an imperfect model gives them, a stratified
audit sample, and reviewers who are right most of the time. It is written with SQLite's own interface, since
a million uploads through the daemon's doors would take an hour; the measured commands are the real ones, from
the creation of their process to its end. `cold` is once, after the kernel was asked to forget the store's
pages; the rest are medians with the pages at hand. On a busy machine CPU seconds tell more than the clock.

    python -m benchmarks.feedback [--uploads 1000000] [--verdicts 50000] [--rounds 3] [--keep FOLDER]
"""

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bot.settings import ROOT
from storage.engine import Database

DAYS = 60
START = datetime(2026, 3, 1, tzinfo=UTC)
THRESHOLD = 0.8
PREVALENCE = 0.02
SKIPPED = 0.08
BOUNDS = (0.0, 0.05, 0.2, 0.5, THRESHOLD)
BATCH = 50_000
WANTED_S = {"status": 1.0, "metrics": 5.0, "metrics, 60 days": 5.0, "metrics, 60 days, --by model": 5.0}
REVIEWERS = 40


@dataclass(frozen=True, slots=True)
class Timing:
    """One command.

    Attributes:
        command: Its words.
        wall_s: From the creation of the process to its end, the median of the rounds.
        cpu_s: Of the process, likewise.
        cold_wall_s: The first round, with the store on the disk alone.
        peak_mb: The most memory that a round held, in 10^6 bytes.
        wanted_s: What it may take; None where nothing is promised.
    """

    command: str
    wall_s: float
    cpu_s: float
    cold_wall_s: float
    peak_mb: float
    wanted_s: float | None


def build(folder: Path, uploads: int, verdicts: int, seed: int = 20_261_123) -> Path:
    """Write the store.

    Args:
        folder: Where; must exist.
        uploads: How many.
        verdicts: How many at least, where there are enough items to review.
        seed: Of all that is drawn.

    Returns:
        The SQLite file.
    """
    path = folder / "bot.sqlite3"
    database = Database.open(f"sqlite:///{path}", folder)
    database.migrate()
    database.close()
    generator = np.random.default_rng(seed)
    truth = generator.random(uploads) < PREVALENCE
    score = np.where(truth, generator.beta(4, 0.7, uploads), generator.beta(0.5, 12, uploads))
    stratum = np.searchsorted(BOUNDS, score, side="right") - 1
    flagged = score >= THRESHOLD
    scored = generator.random(uploads) >= SKIPPED
    probability = _probabilities(stratum, scored, verdicts, len(BOUNDS) - 1)
    draw = generator.random(uploads)
    chosen = scored & (draw < probability)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous = OFF")
    with connection:
        _models(connection)
        _many(connection, "upload", _uploads(scored))
        _many(connection, "classification", _classifications(scored, score, flagged))
        _many(connection, "sample_draw", _draws(scored, stratum, probability, draw, chosen))
        _many(connection, "review_item", _items(chosen, flagged, probability, stratum))
        _many(connection, "verdict", _verdicts(chosen, truth, generator))
    connection.execute("ANALYZE")
    connection.close()
    return path


def _probabilities(stratum: Any, scored: Any, verdicts: int, strata: int) -> Any:
    """All flagged ones, and what is left of the budget in equal parts from the other strata."""
    left = max(verdicts - int((scored & (stratum == strata)).sum()), verdicts // 2)
    sizes = [max(1, int((scored & (stratum == one)).sum())) for one in range(strata)]
    shares = np.array([*(min(1.0, left / strata / size) for size in sizes), 1.0])
    return shares[stratum]


def _when(index: int, total: int, later_s: float = 0) -> str:
    moment = START + timedelta(days=DAYS) * (index / total) + timedelta(seconds=later_s)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


def _models(connection: sqlite3.Connection) -> None:
    first = _when(0, 1)
    rows: Iterator[dict[str, Any]] = (
        {
            "id": number,
            "content_sha256": f"{number:064x}",
            "name": name,
            "architecture": "resnet50-thin",
            "weights_sha256": f"{number:064x}",
            "preprocessing": "open_nsfw-v1",
            "engine": "torch-fp32",
            "libraries": "{}",
            "card": "{}",
            "created_at": first,
            "last_used_at": first,
        }
        for number, name in ((1, "open_nsfw"), (2, "second"))
    )
    _many(connection, "model_version", rows)


def _uploads(scored: Any) -> Iterator[dict[str, Any]]:
    total = len(scored)
    for index in range(total):
        at = _when(index, total)
        extension = ("jpg", "jpg", "jpg", "jpg", "png", "webm", "pdf", "svg")[index % 8]
        yield {
            "id": index + 1,
            "wiki": "commonswiki",
            "log_id": 330_000_000 + index,
            "action": "upload",
            "title": f"File:A photograph of something with a name, number {index}.{extension}",
            "current_title": f"File:A photograph of something with a name, number {index}.{extension}",
            "user": f"Uploader {int(index**0.7)}",
            "sha1": f"{index:031x}",
            "file_timestamp": at,
            "logged_at": at,
            "source": "stream",
            "received_at": at,
            "state": "done",
            "lane": 0,
            "attempts": 1,
            "crashes": 0,
            "next_attempt_at": at,
            "outcome": "scored" if scored[index] else "skipped",
            "outcome_code": None if scored[index] else "audio",
            "finished_at": at,
        }


def _classifications(scored: Any, score: Any, flagged: Any) -> Iterator[dict[str, Any]]:
    total = len(scored)
    rendition = json.dumps({"url": "https://upload.wikimedia.org/" + "x" * 120, "width_px": 330})
    timings = json.dumps({"locate": 0.12, "download": 0.3, "decode": 0.02, "classify": 0.1, "total": 0.6})
    for index in np.flatnonzero(scored).tolist():
        frame = {"score": float(score[index]), "at_s": None, "page": None}
        yield {
            "id": index + 1,
            "upload_id": index + 1,
            "model_version_id": 1 if index < total * 0.7 else 2,
            "score": float(score[index]),
            "label": "nsfw" if flagged[index] else "sfw",
            "threshold": THRESHOLD,
            "worst": json.dumps(frame),
            "frame_count": 1,
            "frames": json.dumps([frame]),
            "rendition": rendition,
            "decoder": "simplejpeg",
            "timings_s": timings,
            "created_at": _when(index, total, 2),
        }


def _draws(scored: Any, stratum: Any, probability: Any, draw: Any, chosen: Any) -> Iterator[dict[str, Any]]:
    for index in np.flatnonzero(scored).tolist():
        yield {
            "upload_id": index + 1,
            "classification_id": index + 1,
            "stratum": f"s{stratum[index]}",
            "probability": float(probability[index]),
            "draw": float(draw[index]),
            "chosen": bool(chosen[index]),
            "drawn_at": _when(index, len(scored), 2),
        }


def _items(chosen: Any, flagged: Any, probability: Any, stratum: Any) -> Iterator[dict[str, Any]]:
    for index in np.flatnonzero(chosen).tolist():
        yield {
            "id": index + 1,
            "item_id": f"commonswiki-{330_000_000 + index}",
            "upload_id": index + 1,
            "classification_id": index + 1,
            "reason": "flagged" if flagged[index] else "audit",
            "inclusion_probability": float(probability[index]),
            "stratum": f"s{stratum[index]}",
            "state": "closed",
            "uploader": f"Uploader {int(index**0.7)}",
            "created_at": _when(index, len(chosen), 2),
        }


def _verdicts(chosen: Any, truth: Any, generator: np.random.Generator) -> Iterator[dict[str, Any]]:
    """One by somebody who is right in 97 of 100 cases; every tenth item has a second opinion."""
    number = 0
    for index in np.flatnonzero(chosen).tolist():
        for turn in range(2 if index % 10 == 0 else 1):
            number += 1
            person = int(generator.integers(REVIEWERS))
            says_nsfw = bool(truth[index]) == bool(generator.random() < 0.97)
            at = _when(index, len(chosen), 3600.0 * (1 + turn) * float(generator.exponential(4)))
            yield {
                "id": number,
                "review_item_id": index + 1,
                "code": "nsfw-delete" if says_nsfw else "sfw",
                "comment": "",
                "author": f"Reviewer {person}",
                "author_id": person,
                "author_groups": '["patroller"]',
                "trusted": True,
                "blind": turn == 0,
                "revision_id": number,
                "given_at": at,
                "recorded_at": at,
                "source": "wiki",
            }


def _many(connection: sqlite3.Connection, table: str, rows: Iterator[dict[str, Any]]) -> None:
    first = next(rows)
    columns = ", ".join(f'"{name}"' for name in first)
    marks = ", ".join("?" for _ in first)
    statement = f"INSERT INTO {table} ({columns}) VALUES ({marks})"
    connection.execute(statement, list(first.values()))
    connection.executemany(statement, (list(row.values()) for row in rows))


def measure(database: Path, rounds: int) -> list[Timing]:
    """Run the commands as their users do.

    Args:
        database: The SQLite file.
        rounds: How often each, after one that is cold.

    Returns:
        One timing a command.
    """
    config = database.with_suffix(".toml")
    config.write_text(f'[store]\nurl = "sqlite:///{database}"\n', encoding="utf-8")
    until = (START + timedelta(days=DAYS + 1)).date().isoformat()
    period = ("--since", START.date().isoformat(), "--until", until)
    month = ("--since", (START + timedelta(days=DAYS // 2)).date().isoformat(), *period[2:])
    wholes: dict[str, Sequence[str]] = {
        "status": ("status",),
        "metrics": ("metrics", *month),
        "metrics, 60 days": ("metrics", *period),
        **{
            f"metrics, 60 days, --by {by}": ("metrics", *period, "--by", by)
            for by in ("model", "media", "period", "experience")
        },
    }
    found = []
    for name, words in wholes.items():
        command = [*words, "--json", "--config", str(config)]
        _forget(database)
        cold = _run(command)
        warm = [_run(command) for _ in range(rounds)]
        found.append(
            Timing(
                name,
                statistics.median(wall_s for wall_s, _, _ in warm),
                statistics.median(cpu_s for _, cpu_s, _ in warm),
                cold[0],
                max(peak_mb for _, _, peak_mb in (cold, *warm)),
                WANTED_S.get(name),
            )
        )
    return found


def _forget(database: Path) -> None:
    """Ask the kernel to drop what it holds of the file in memory."""
    with database.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _run(words: Sequence[str]) -> tuple[float, float, float]:
    """Wall clock and CPU seconds of a command, and its peak memory in MB."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "bot", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended in {process.returncode}")
    return wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6


def main() -> None:
    """Build, measure, print; the exit code is 1 where a command takes longer than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--uploads", type=int, default=1_000_000)
    parser.add_argument("--verdicts", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="build here, or measure the store that lies here")
    options = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "bot.sqlite3"
        if not path.exists():
            with console.status("writing the store; about a minute and a half"):
                build(folder, options.uploads, options.verdicts)
        console.print(f"{path.stat().st_size / 1e6:.0f} MB")
        with console.status("measuring"):
            timings = measure(path, options.rounds)
    table = Table("Command", "CPU s", "Wall s", "Cold, wall s", "Peak MB", "May take s")
    for timing in timings:
        seconds = (timing.cpu_s, timing.wall_s, timing.cold_wall_s)
        may_take = f"{timing.wanted_s or '-'}"
        table.add_row(timing.command, *(f"{one:.2f}" for one in seconds), f"{timing.peak_mb:.0f}", may_take)
    console.print(table)
    print(json.dumps({"benchmark": "feedback", "figures": [asdict(timing) for timing in timings]}))
    if any(timing.wanted_s is not None and timing.wall_s > timing.wanted_s for timing in timings):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
