"""The review on a real MediaWiki: how soon an upload is a row, and a person's edit a stored verdict.

A sandbox wiki from Debian's packages (see tests/sandbox_wiki) and the daemon run on this machine. Uploads are
made through the wiki's API. A row counts when the page's wikitext has it, a verdict when the store has it.
Then 500 items are put on 5 pages, and the requests of a reading and of a writing pass are counted.

    python -m benchmarks.review [--uploads 5]
"""

import argparse
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import requests
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bot.api import Api
from bot.daemon import Daemon
from bot.demo import CORPUS
from bot.minicommons.corpus import prepare_corpus
from bot.monitoring import Metrics
from bot.review import assembly
from bot.review.control import ConfigReading, WikiConfig
from bot.review.messages import load_messages
from bot.review.report import Publisher
from bot.review.setup import apply_setup, plan_setup
from bot.review.verdicts import VerdictReader
from bot.settings import ROOT, Settings, load_settings, merged
from storage import review_pages
from storage.engine import Database
from storage.review_values import ReviewEntry, ReviewState
from tests.daemon_process import SHORT_WAITS
from tests.review_bot import password_file
from tests.review_items import put_up
from tests.sandbox_wiki import SandboxWiki
from tests.sandbox_wiki.accounts import REVIEW_BOT, REVIEWER, UPLOADER

PATIENCE_S = 150.0
PAUSE = threading.Event()


def make_settings(wiki: SandboxWiki, folder: Path, edit_interval_s: float) -> Settings:
    """Settings for a daemon on the sandbox wiki that keeps everything in one folder."""
    places: dict[str, Any] = {
        "wiki": {"api_url": wiki.api_url},
        "stream": {"url": wiki.stream_url, "read_timeout_s": 300},
        "backfill": {"reconcile_every_s": 3600},
        "store": {"url": f"sqlite:///{folder / 'bot.sqlite3'}"},
        "report": {"directory": str(folder / "report")},
        "media": {"directory": str(folder / "media"), "allowed_hosts": [wiki.media_host]},
        "review": {
            "enabled": True,
            "dry_run": False,
            "user": REVIEW_BOT.name,
            "edit_interval_s": edit_interval_s,
        },
        "log": {"level": "ERROR"},
    }
    return load_settings(overrides=merged(SHORT_WAITS, places))


@contextmanager
def running(settings: Settings) -> Iterator[Database]:
    """The daemon in threads of this process, and a second door to its store."""
    daemon = Daemon(settings)
    with ThreadPoolExecutor(1) as executor:
        ended = executor.submit(daemon.run)
        database = Database.open(settings.store.url, ROOT)
        database.migrate()
        try:
            yield database
        finally:
            daemon.stop()
            database.close()
        ended.result()


def wait_for(found: Callable[[], Any], what: str) -> Any:
    """Ask until there is an answer."""
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        answer = found()
        if answer:
            return answer
        PAUSE.wait(0.05)
    raise SystemExit(f"{what} did not happen within {PATIENCE_S:.0f} s")


def text_of(wiki: SandboxWiki, title: str) -> str:
    """A page's newest wikitext, empty where there is none."""
    pages = wiki.client(None).query(titles=title, prop="revisions", rvprop="content", rvslots="main")["pages"]
    return "" if pages[0].get("missing") else str(pages[0]["revisions"][0]["slots"]["main"]["content"])


class Rows:
    """The report as the store and the wiki have it."""

    def __init__(self, wiki: SandboxWiki, database: Database, settings: Settings) -> None:
        self._wiki = wiki
        self._database = database
        self._wiki_id = settings.wiki.id

    def entry(self, title: str) -> ReviewEntry | None:
        """The item of a file, once it has a page."""
        with self._database.read() as tx:
            for page in review_pages.pages(tx, self._wiki_id):
                for entry in review_pages.rows_of(tx, self._wiki_id, page.title):
                    if entry.title == title:
                        return entry
        return None

    def written(self, title: str) -> ReviewEntry | None:
        """The item of a file, once its row stands on the wiki."""
        entry = self.entry(title)
        if entry is None or entry.page_title is None:
            return None
        return entry if entry.item_id in text_of(self._wiki, entry.page_title) else None

    def decided(self, title: str) -> bool:
        """Whether a verdict stands on a file."""
        entry = self.entry(title)
        return entry is not None and entry.state is ReviewState.CLOSED


def upload(wiki: SandboxWiki, folder: Path, name: str) -> None:
    """Upload a harmless picture that scores high; a suffix makes its bytes unique."""
    specimen = prepare_corpus(CORPUS, ["positive"]).specimens[0]
    path = folder / "upload.jpg"
    path.write_bytes((CORPUS / specimen.file.path).read_bytes() + name.encode())
    wiki.upload(path, name, UPLOADER.name)


def measure_rows(
    wiki: SandboxWiki, folder: Path, interval_s: float, count: int, bars: Progress
) -> tuple[list[float], list[float]]:
    """Seconds from each upload to its row, and from each verdict's edit to the store."""
    rows, verdicts = [], []
    settings = make_settings(wiki, folder, interval_s)
    task = bars.add_task(f"edit interval {interval_s:g} s", total=2 * count)
    with running(settings) as database:
        report = Rows(wiki, database, settings)
        time.sleep(8)  # model loading and connecting are not what is measured
        for number in range(count):
            name = f"Benchmark {interval_s:g} {number}.jpg"
            began = time.monotonic()
            upload(wiki, folder, name)
            entry = wait_for(partial(report.written, f"File:{name}"), "a row")
            rows.append(time.monotonic() - began)
            bars.advance(task)
            text = text_of(wiki, entry.page_title)
            line = next(line for line in text.split("\n") if f"|id={entry.item_id}|" in line)
            given = re.sub(r"\|verdict=\|", "|verdict=sfw|", line)
            wiki.edit(REVIEWER.name, entry.page_title, text.replace(line, given))
            began = time.monotonic()
            wait_for(partial(report.decided, f"File:{name}"), "a verdict")
            verdicts.append(time.monotonic() - began)
            bars.advance(task)
    return rows, verdicts


def count_requests(wiki: SandboxWiki, folder: Path, bars: Progress) -> dict[str, int]:
    """Requests that reach the wiki in passes over 500 items on 5 pages."""
    settings = make_settings(wiki, folder, 0)
    task = bars.add_task("500 items on 5 pages", total=None)
    database = Database.open(settings.store.url, ROOT)
    database.migrate()
    put_up(database, dict.fromkeys(range(1_000_001, 1_000_501), 0.9), now=datetime.now(UTC))
    session = assembly.connect(settings, log_in=True)
    api = Api(settings.api, settings.wiki.api_url, settings.user_agent, min_interval_s=0)
    metrics = Metrics()
    publisher = Publisher(
        session, api, database, settings.wiki.id, settings.review, load_messages("en"), metrics
    )
    reader = VerdictReader(session, database, settings.wiki.id, settings.review.trusted_groups, metrics)
    reading = ConfigReading(WikiConfig(edit_interval_s=0))

    def requests_of(action: Callable[[], object]) -> int:
        with counted_requests() as sent:
            action()
        return len(sent)

    def edits() -> float:
        return metrics.registry.get_sample_value("commonsbot_wiki_edits_total", {"fate": "saved"}) or 0

    counts = {"first_write_requests": requests_of(lambda: publisher.publish(reading, lambda: True))}
    counts["first_write_edits"] = int(edits())
    counts["idle_read_requests"] = requests_of(reader.read)
    counts["idle_write_requests"] = requests_of(lambda: publisher.publish(reading, lambda: True))
    with database.read() as tx:
        first = next(page.title for page in review_pages.pages(tx, settings.wiki.id) if page.rows)
    wiki.edit(REVIEWER.name, first, text_of(wiki, first).replace("|verdict=|", "|verdict=sfw|", 1))
    counts["one_change_read_requests"] = requests_of(reader.read)
    before = edits()
    counts["one_change_write_requests"] = requests_of(lambda: publisher.publish(reading, lambda: True))
    counts["one_change_write_edits"] = int(edits() - before)
    database.close()
    bars.remove_task(task)
    return counts


@contextmanager
def counted_requests() -> Iterator[list[str]]:
    """Note the address of every HTTP request that this process sends, pywikibot's too."""
    sent: list[str] = []
    original = requests.Session.send

    def send(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        sent.append(str(request.url))
        return original(self, request, **options)

    requests.Session.send = send  # type: ignore[method-assign]
    try:
        yield sent
    finally:
        requests.Session.send = original  # type: ignore[method-assign]


def main() -> None:
    """Run the benchmark and print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--uploads", type=int, default=5)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as scratch,
        Progress(console=Console(stderr=True), transient=True) as bars,
        SandboxWiki() as wiki,
    ):
        folders = [Path(scratch) / name for name in ("instant", "default", "many")]
        for folder in folders:
            folder.mkdir()
        os.environ["PWB_PASSWORD_FILE"] = str(password_file(Path(scratch)))
        settings = make_settings(wiki, folders[0], 0)
        session, messages = assembly.connect(settings, log_in=True), load_messages("en")
        for _ in apply_setup(session, plan_setup(session, messages, settings.review, "balanced"), messages):
            pass
        # The configuration page allows no interval under 10 s; without the page the local setting holds.
        wiki.delete(f"User:{REVIEW_BOT.name}/Review/Config.json")
        instant = measure_rows(wiki, folders[0], 0, arguments.uploads, bars)
        default = measure_rows(wiki, folders[1], 60, max(2, arguments.uploads // 2), bars)
        counts = count_requests(wiki, folders[2], bars)
    figures = {
        "upload_to_row_instant_median_s": round(median(instant[0]), 2),
        "upload_to_row_instant_max_s": round(max(instant[0]), 2),
        "upload_to_row_default_max_s": round(max(default[0]), 2),
        "edit_to_verdict_median_s": round(median(instant[1] + default[1]), 2),
        "edit_to_verdict_max_s": round(max(instant[1] + default[1]), 2),
        **counts,
    }
    table = Table("", "measured", "wanted", title="the review on a real MediaWiki", title_justify="left")
    table.add_row("upload to row, edit interval 0", f"{max(instant[0]):.1f} s at most", "10 s")
    table.add_row("upload to row, default settings", f"{max(default[0]):.1f} s at most", "90 s")
    table.add_row("edit to stored verdict", f"{max(instant[1] + default[1]):.1f} s at most", "10 s")
    table.add_row("500 items: reading, nothing changed", f"{counts['idle_read_requests']} requests", "10")
    table.add_row("500 items: writing, nothing changed", f"{counts['idle_write_requests']} requests", "")
    table.add_row("500 items: first writing", f"{counts['first_write_edits']} edits (5 pages, index)", "6")
    table.add_row("one verdict: writing", f"{counts['one_change_write_edits']} edits (page, index)", "2")
    Console().print(table)
    print(json.dumps({"benchmark": "review", "figures": figures}))


if __name__ == "__main__":
    main()
