"""How long the console's pages take on a store of a million uploads and 50,000 verdicts.

The store is that of `benchmarks.feedback`; the pages are asked for as a browser does, each once with nothing
remembered (cold) and some more times (warm). CPU seconds of this process, which other programs do not move.

    python -m benchmarks.console [--uploads 1000000] [--verdicts 50000] [--keep FOLDER]
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fastapi import FastAPI
from rich.console import Console
from rich.table import Table
from starlette.testclient import TestClient

from benchmarks.feedback import DAYS, START, build
from bot.console.assembly import console_app
from bot.serving.access import TokenAccess
from bot.settings import Settings, load_settings
from storage import api_tokens
from storage.api_tokens import Scope
from storage.engine import Database

NOW = START + timedelta(days=DAYS)
"""The present of the made-up store."""
PAGES: Mapping[str, str] = {
    "overview": "",
    "queue": "queue",
    "queue, highest score first": "queue?order=highest",
    "queue, hundredth page": "queue?after=500000",
    "queue, title that is nowhere": "queue?title=nowhere+at+all",
    "queue, five filters": "queue?state=closed&label=nsfw&medium=picture&low=0.9&title=number+9",
    "one item": "items/commonswiki-330500000",
    "scores, 7 days": "scores?hours=168",
    "scores, 90 days": "scores?hours=2160",
    "quality, 30 days": "quality?days=30",
    "quality, 60 days": "quality?days=60",
    "models": "models",
    "purge log": "purges",
    "review": "review",
}
WANTED_S = 1.0
SLOW = frozenset({"quality, 30 days", "quality, 60 days", "scores, 90 days"})
"""Counted every ten minutes at most, and told from memory in between."""


@dataclass(frozen=True, slots=True)
class Timing:
    """One page.

    Attributes:
        cold_s: CPU seconds of the first time.
        warm_s: Median of the others.
    """

    cold_s: float
    warm_s: float


def measure(path: Path, rounds: int) -> dict[str, Timing]:
    """Ask for every page.

    Args:
        path: The SQLite file.
        rounds: How often each is asked for again.

    Returns:
        Timings by name.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(overrides={"console": {"key_file": f"{folder}/key"}})
        database = Database.open(f"sqlite:///{path}", path.parent)
        database.migrate()
        clients = {
            name: _client(settings, database, scopes)
            for name, scopes in (("review", (Scope.CONSOLE, Scope.REVIEW)), ("", (Scope.CONSOLE,)))
        }
        found = {}
        for name, address in PAGES.items():
            client = clients["review" if name == "review" else ""]
            cold_s, *warm_s = (_seconds(client, address) for _ in range(rounds + 1))
            found[name] = Timing(cold_s, statistics.median(warm_s))
        database.close()
    return found


def _client(settings: Settings, database: Database, scopes: Sequence[Scope]) -> TestClient:
    with database.transaction() as tx:
        token = api_tokens.add(tx, account="Bench", scopes=scopes, now=datetime.now(UTC)).secret
    app = FastAPI()
    access = TokenAccess(database, settings.access)
    app.mount("/console", console_app(settings, database, access, lambda: NOW))
    client = TestClient(app, follow_redirects=False)
    form = client.get("/console/login").text.split('name="form_token" value="')[1].split('"')[0]
    client.post("/console/login", data={"form_token": form, "token": token})
    return client


def _seconds(client: TestClient, address: str) -> float:
    started = time.process_time()
    answer = client.get(f"/console/{address}")
    seconds = time.process_time() - started
    if answer.status_code != 200:
        raise SystemExit(f"{address}: status {answer.status_code}")
    return seconds


def main() -> None:
    """Build, measure, print; the exit code is 1 where a page takes longer than it may."""
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
            build(folder, options.uploads, options.verdicts)
        found = measure(path, options.rounds)
    table = Table("Page", "First time, s", "Again, s", "May take, s")
    for name, timing in found.items():
        may_take = "-" if name in SLOW else f"{WANTED_S:g}"
        table.add_row(name, f"{timing.cold_s:.2f}", f"{timing.warm_s:.3f}", may_take)
    console.print(table)
    figures = {name: {"cold_s": timing.cold_s, "warm_s": timing.warm_s} for name, timing in found.items()}
    sys.stdout.write(json.dumps({"benchmark": "console", "figures": figures}) + "\n")
    if any(timing.cold_s > WANTED_S for name, timing in found.items() if name not in SLOW):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
