"""The bot on a running sandbox wiki, set up and started with an operator's commands, for people to look at.

What is shown is real from end to end: `setup-wiki`, `run`, harmless generated uploads, and the rows that come
of them. The bot is a process of its own with a configuration file that one can read, so that nothing here
works in a way that an operator's installation would not.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from bot.demo import CORPUS
from bot.minicommons.corpus import prepare_corpus
from bot.minicommons.plan import SCORED_NSFW, Specimen
from bot.review.messages import load_messages
from bot.review.rows import FoundRow, parse_rows
from bot.review.templates import subpage
from bot.settings import ROOT, merged
from classifier.models import catalogue
from storage.engine import Database
from tests.daemon_process import SHORT_WAITS, read_store, write_config
from tests.review_bot import password_file
from tests.sandbox_wiki.accounts import ADMIN, NEWCOMER, REVIEW_BOT, REVIEWER, UPLOADER
from tests.sandbox_wiki.errors import SandboxError
from tests.sandbox_wiki.server import free_port
from tests.sandbox_wiki.wiki import SandboxWiki

PATIENCE_S = 120.0
"""Without a single new score or row for this long, something is wrong."""
_SETUP_TIMEOUT_S = 120
_STOP_TIMEOUT_S = 30
_POLL_S = 0.5
_LOG_LINES = 15
_OPEN = load_messages("en").text("index.open")
_CONNECTIONS = "commonsbot_stream_connections"


@dataclass(frozen=True, slots=True)
class Sample:
    """An upload of the showcase.

    Attributes:
        specimen: Name in the miniature Commons' corpus; all are harmless and generated.
        title: Name on the wiki, without namespace.
        uploader: Account.
        used_on: A page that shows it; None for none.
    """

    specimen: str
    title: str
    uploader: str = UPLOADER.name
    used_on: str | None = None


SAMPLES = (
    Sample("positive", "Sand dunes at noon.jpg", used_on="Dunes"),
    Sample("positive-large", "Beach at dusk.jpg"),
    Sample("jpeg-baseline", "Hills at noon.jpg"),
    Sample("positive-small", "IMG 0042.jpg", NEWCOMER.name),
    Sample("positive-png", "Sculpture garden, east wing (2).png"),
    Sample("positive-webm", "Dance rehearsal.webm", NEWCOMER.name),
    Sample("jpeg-portrait", "Portrait hills.jpg", NEWCOMER.name),
    Sample("positive-webp", "Anatomischer Atlas – Tafeln 1–9.webp"),
    Sample("png-alpha", "Fading hills.png"),
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the bot is.

    Attributes:
        uploads: Samples on the wiki.
        scored: Uploads with an outcome.
        listed: Samples that stand on a report page.
        to_list: Samples that will stand there.
        counted: Whether the overview counts all rows.
    """

    uploads: int
    scored: int
    listed: int
    to_list: int
    counted: bool

    @property
    def complete(self) -> bool:
        """Whether everything is there to be looked at."""
        return self.scored >= self.uploads and self.listed >= self.to_list and self.counted


class Showcase:
    """The bot's account, configuration, process and uploads on one wiki.

    Args:
        wiki: Running.
        folder: Gets the store, the configuration and the log.
    """

    def __init__(self, wiki: SandboxWiki, folder: Path) -> None:
        self._wiki = wiki
        self._process: subprocess.Popen[bytes] | None = None
        self._uploaded: list[Specimen] = []
        self._store = f"sqlite:///{folder / 'bot.sqlite3'}"
        self._passwords = password_file(folder)
        self._monitoring_port = free_port()
        self.log = folder / "bot.log"
        self.config = write_config(folder / "bot.toml", self._settings(folder))

    def _settings(self, folder: Path) -> dict[str, Any]:
        wiki = self._wiki
        places = {
            "wiki": {"api_url": wiki.api_url, "page_url": wiki.base_url + "/wiki/{title}"},
            # A wiki with one visitor is silent for long; Commons never is.
            "stream": {"url": wiki.stream_url, "read_timeout_s": 600},
            "backfill": {"settle_s": 0.5, "reconcile_every_s": 60},
            "store": {"url": self._store},
            "report": {"directory": str(folder / "report")},
            "media": {"directory": str(folder / "media"), "allowed_hosts": [wiki.media_host]},
            # Most samples are alike: decide one, and the others tell of it.
            "retention": {
                "directory": str(folder / "copies"),
                "near_duplicates": True,
                "reuploads": True,
            },
            "review": {
                "enabled": True,
                "dry_run": False,
                "user": REVIEW_BOT.name,
                "edit_interval_s": 10,  # the least that the settings page allows
                "control_interval_s": 2,
                "poll_interval_s": 10,
            },
            "monitoring": {"port": self._monitoring_port, "unhealthy_after_s": 86400},
        }
        return merged(SHORT_WAITS, places)

    @property
    def monitoring_url(self) -> str:
        """Base address of `/metrics` and `/healthz`."""
        return f"http://127.0.0.1:{self._monitoring_port}"

    def set_up(self) -> None:
        """Write the review's pages as the bot, and load the user script for the reviewer.

        Raises:
            SandboxError: `setup-wiki` failed; the message holds what it said.
        """
        try:
            ended = subprocess.run(
                self._command("setup-wiki", "--yes"),
                env=self._environment(),
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=_SETUP_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SandboxError(f"setup-wiki did not end within {_SETUP_TIMEOUT_S} s") from error
        if ended.returncode:
            raise SandboxError(f"setup-wiki ended with {ended.returncode}:\n{ended.stderr[-2000:]}")
        script = f"importScript( '{subpage(REVIEW_BOT.name, 'gadget.js')}' );"
        self._wiki.edit(ADMIN.name, f"User:{REVIEWER.name}/common.js", script)

    def start(self) -> None:
        """Start `python -m bot run`, in a session of its own so that Ctrl-C reaches only us.

        Returns when it follows the stream, so that it hears of every upload.

        Raises:
            SandboxError: It ended or stayed silent; the message holds its log's end.
        """
        database = Database.open(self._store, ROOT)
        try:
            database.migrate()  # so that `progress` never meets a store that is only half there
        finally:
            database.close()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command("run"),
                env=self._environment(),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE_S
        while not self._follows_the_stream():
            self.require_running()
            if time.monotonic() > deadline:
                raise SandboxError(f"the bot follows no stream after {PATIENCE_S:.0f} s\n{self._log_end()}")
            time.sleep(_POLL_S)

    def _follows_the_stream(self) -> bool:
        try:
            answer = requests.get(f"{self.monitoring_url}/metrics", timeout=10)
        except requests.ConnectionError:
            return False
        return f"\n{_CONNECTIONS} 1.0" in answer.text

    def upload(self, specimen: Specimen, sample: Sample) -> None:
        """Upload one sample.

        Args:
            specimen: Its file.
            sample: Its name and uploader.
        """
        text = f"{{{{Information|description=A generated sample: {specimen.note}|source={{{{own}}}}}}}}"
        self._wiki.upload(CORPUS / specimen.file.path, sample.title, sample.uploader, text)
        if sample.used_on is not None:
            self._wiki.edit(sample.uploader, sample.used_on, f"[[File:{sample.title}|thumb]]")
        self._uploaded.append(specimen)

    def progress(self) -> Progress:
        """Look at the store and the wiki.

        Returns:
            How far the bot is.

        Raises:
            SandboxError: The bot has ended.
        """
        self.require_running()
        status, _ = read_store(self._store)
        files = [row.parameters.get("file") for page in self.report_pages() for row in self._rows(page)]
        return Progress(
            uploads=len(self._uploaded),
            scored=status.scored + sum(status.skipped.values()),
            listed=len({sample.title for sample in SAMPLES}.intersection(files)),
            to_list=sum(specimen.expected == SCORED_NSFW for specimen in self._uploaded),
            counted=f"* {_OPEN}: {len(files)}\n" in self._text(subpage(REVIEW_BOT.name)),
        )

    def wait(self, show: Callable[[Progress], None]) -> None:
        """Wait until everything is listed.

        Args:
            show: Told how far it is.

        Raises:
            SandboxError: The bot ended, or nothing moves any more; the message holds its log's end.
        """
        moved_at, last = time.monotonic(), None
        while True:
            now = self.progress()
            show(now)
            if now.complete:
                self._wiki.run_jobs()  # else links to pages that were made since stay red
                return
            if now != last:
                moved_at, last = time.monotonic(), now
            if time.monotonic() - moved_at > PATIENCE_S:
                raise SandboxError(f"nothing moved for {PATIENCE_S:.0f} s: {now}\n{self._log_end()}")
            time.sleep(_POLL_S)

    def report_pages(self) -> list[str]:
        """Full titles of the pages with rows."""
        found = self._wiki.client(None).query(
            list="allpages", apnamespace=2, apprefix=subpage(REVIEW_BOT.name, "2").removeprefix("User:")
        )
        return [str(page["title"]) for page in found["allpages"]]

    def require_running(self) -> None:
        """Make sure that the bot has not ended by itself.

        Raises:
            SandboxError: It has; the message holds its log's end.
        """
        if self._process is not None and self._process.poll() is not None:
            raise SandboxError(f"the bot ended with {self._process.returncode}:\n{self._log_end()}")

    def stop(self) -> None:
        """End the bot in order, by force only if it does not obey. May be called twice."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        # The bot's cookies for an address that is about to vanish.
        shutil.rmtree(ROOT / "var/pywikibot" / self._wiki.media_host.replace(":", "_"), ignore_errors=True)

    def _rows(self, title: str) -> list[FoundRow]:
        return parse_rows(self._text(title), REVIEW_BOT.name)

    def _text(self, title: str) -> str:
        page = self._wiki.client(None).query(
            titles=title, prop="revisions", rvprop="content", rvslots="main"
        )["pages"][0]
        return "" if page.get("missing") else str(page["revisions"][0]["slots"]["main"]["content"])

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "bot", *arguments, "--config", str(self.config)]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PWB_PASSWORD_FILE": str(self._passwords)}

    def _log_end(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(["the last lines of its log:", *lines[-_LOG_LINES:]])


def prepare(show: Callable[[int, int, str], None]) -> list[tuple[Specimen, Sample]]:
    """Fetch the model and generate the samples' files; both are kept for the next time.

    Args:
        show: Told how many files are there, how many there will be, and which one is made.

    Returns:
        The samples with their files.
    """
    catalogue.fetch(catalogue.DEFAULT_MODEL)
    corpus = prepare_corpus(CORPUS, [sample.specimen for sample in SAMPLES], progress=show)
    made = {specimen.name: specimen for specimen in corpus.specimens}
    return [(made[sample.specimen], sample) for sample in SAMPLES]


@contextmanager
def showcase_on(wiki: SandboxWiki) -> Iterator[Showcase]:
    """A showcase whose bot and folder go with the block.

    Args:
        wiki: Running.

    Yields:
        The showcase, before its first step.
    """
    with tempfile.TemporaryDirectory(prefix="sandbox-bot-") as folder:
        showcase = Showcase(wiki, Path(folder))
        try:
            yield showcase
        finally:
            showcase.stop()


__all__ = ["SAMPLES", "Progress", "Sample", "Showcase", "prepare", "showcase_on"]
