"""Is everything there that the daemon needs? Each probe answers with one row for `check-config`.

The daemon runs the same probes at start, so whatever would fail in the middle of the night fails at once,
with the same words.
"""

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import requests

from bot.api import Api
from bot.errors import BotError, ConfigError
from bot.settings import ROOT, Settings
from classifier.decode.probe import probe as probe_decoders
from classifier.errors import ClassifierError
from classifier.models import catalogue
from storage.engine import Database
from storage.errors import StoreError

LOW_DISK_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of `check-config`.

    Attributes:
        what: What was looked at.
        ok: False where the daemon could not work.
        detail: What was found, or what is wrong and what to do.
    """

    what: str
    ok: bool
    detail: str


def probe_user_agent(settings: Settings) -> Finding:
    """Is there a contact in the User-Agent?"""
    return Finding("user agent", True, settings.user_agent)


def probe_wiki(settings: Settings, stop: threading.Event | None = None) -> Finding:
    """Is the wiki behind the API the one whose events are followed?

    Args:
        settings: Which wiki it should be.
        stop: Ends the waiting for an answer when it is set.

    Raises:
        ConfigError: Where it is another one.
        ServiceDown: Where it does not answer.
    """
    found = Api(settings.api, settings.wiki.api_url, settings.user_agent, stop).siteinfo()
    if found.wiki_id != settings.wiki.id:
        raise ConfigError(
            f"wiki.api_url: {settings.wiki.api_url} is the wiki {found.wiki_id!r}, but wiki.id says "
            f"{settings.wiki.id!r}: change one of them"
        )
    return Finding("wiki", True, f"{found.wiki_id} at {settings.wiki.api_url} ({found.generator})")


def probe_stream(settings: Settings) -> Finding:
    """Does the stream answer with events?

    Raises:
        ConfigError: Where it does not.
    """
    timeout = (settings.stream.connect_timeout_s, settings.stream.read_timeout_s)
    headers = {"User-Agent": settings.user_agent, "Accept": "text/event-stream"}
    try:
        with requests.get(settings.stream.url, headers=headers, stream=True, timeout=timeout) as response:
            kind = response.headers.get("Content-Type", "")
            if response.status_code != 200 or not kind.startswith("text/event-stream"):
                raise ConfigError(
                    f"stream.url: {settings.stream.url} answers {response.status_code} {kind!r}, not events"
                )
    except requests.RequestException as error:
        raise ConfigError(f"stream.url: {settings.stream.url}: {error}") from error
    return Finding("stream", True, f"{settings.stream.url} sends events")


def probe_store(settings: Settings) -> Finding:
    """Can the database be written?"""
    database = Database.open(settings.store.url, ROOT)
    try:
        database.migrate()
        return Finding("database", True, database.probe())
    finally:
        database.close()


def probe_model(settings: Settings) -> Finding:
    """Are the weights there, are they the right ones, and do they score?"""
    catalogue.fetch(settings.classifier.model, settings.classifier.cache_directory)
    classifier = catalogue.load(
        settings.classifier.model, settings.classifier.cache_directory, settings.classifier.threads
    )
    card = classifier.card
    threshold = card.thresholds[settings.classifier.level]
    return Finding(
        "model",
        True,
        f"{card.name} ({classifier.engine}), weights {card.weights_sha256[:12]}…, "
        f"flags from {threshold} ({settings.classifier.level})",
    )


def probe_folders(settings: Settings) -> Finding:
    """Can media and reports be written, and is there room?

    Raises:
        ConfigError: Where a folder cannot be made.
    """
    for key, folder in (
        ("media.directory", settings.media.directory),
        ("report.directory", settings.report.directory),
    ):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            (folder / ".probe").touch()
            (folder / ".probe").unlink()
        except OSError as error:
            raise ConfigError(f"{key}: {folder} cannot be written: {error.strerror}") from error
    free = shutil.disk_usage(settings.media.directory).free
    return Finding("folders", free > LOW_DISK_BYTES, f"writable, {free / 1e9:.1f} GB free")


OFFLINE_PROBES: tuple[tuple[str, Callable[[Settings], Finding]], ...] = (
    ("folders", probe_folders),
    ("database", probe_store),
    ("model", probe_model),
)
ONLINE_PROBES: tuple[tuple[str, Callable[[Settings], Finding]], ...] = (
    ("user agent", probe_user_agent),
    ("wiki", probe_wiki),
    ("stream", probe_stream),
)


def check(settings: Settings, *, online: bool = True) -> Iterator[Finding]:
    """Probe everything, one row after the other; a failure does not end the check.

    Args:
        settings: What to check.
        online: False leaves out what needs the network.

    Yields:
        A row per probe, and a row per decoder.
    """
    for what, probe in OFFLINE_PROBES + (ONLINE_PROBES if online else ()):
        try:
            yield probe(settings)
        except (BotError, ClassifierError, StoreError) as error:
            yield Finding(what, False, str(error))
    for row in probe_decoders():
        yield Finding(f"decoder {row.format}", row.ok, f"{row.decoder}: {row.detail}")
