"""Is everything there that the daemon needs? Each probe answers with one row for `check-config`.

The daemon runs the same probes at start, so whatever would fail in the middle of the night fails at once,
with the same words.
"""

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import requests

from bot.api import Api
from bot.errors import BotError, ConfigError
from bot.scoring import load_classifier, memory_limit_bytes
from bot.settings import ROOT, Settings
from classifier import pdq, predict
from classifier.engines import verification
from classifier.engines.values import OnStep
from classifier.engines.verification import EngineRow
from classifier.errors import ClassifierError
from storage.engine import Database
from storage.errors import StoreError

LOW_DISK_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of `check-config`.

    Attributes:
        what: What was looked at.
        ok: False where the daemon could not work; None where something is missing that it can do without.
        detail: What was found, or what is wrong and what to do.
    """

    what: str
    ok: bool | None
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


def probe_model(settings: Settings, on_step: OnStep | None = None) -> Finding:
    """Are the weights there, are they the right ones, and does an engine score with them?

    Args:
        settings: Section `[classifier]`.
        on_step: Told what takes time, which is only the first time.
    """
    classifier = load_classifier(settings, on_step)
    card = classifier.card
    threshold = card.thresholds[settings.classifier.level]
    why = " by auto" if settings.classifier.engine == predict.AUTO else ""
    return Finding(
        "model",
        True,
        f"{card.name} on {classifier.engine}{why}, weights {card.weights_sha256[:12]}…, "
        f"flags from {threshold} ({settings.classifier.level})",
    )


def engines(settings: Settings) -> Iterator[Finding]:
    """What is known of every engine, after `probe_model` has tried what `auto` may take.

    Args:
        settings: Which model, and how much memory it may use.

    Yields:
        A row per engine. One that cannot be used is no fault as long as another one can.
    """
    wanted = settings.classifier
    for row in verification.describe(
        wanted.model,
        cache_directory=wanted.cache_directory,
        memory_limit_bytes=memory_limit_bytes(settings),
    ):
        yield Finding(f"engine {row.engine}", row.verified or None, _known_of(row))


def _known_of(row: EngineRow) -> str:
    if row.trial is None or row.trial.refused:
        return row.reason
    trial = row.trial
    measured = (
        f"{trial.picture_s * 1000:.1f} ms a picture on one core, {trial.resident_bytes / 1e6:.0f} MB, "
        f"scores differ by {trial.drift.mean:.1e} on average, {trial.drift.max:.1e} at most"
    )
    return f"{measured}; taken by auto" if row.chosen else f"{measured}; not taken by auto: {row.reason}"


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


def probe_hints(settings: Settings) -> Finding:
    """Can rows tell what a picture looks like?

    Args:
        settings: Section `[retention]`.
    """
    if not settings.retention.near_duplicates:
        return Finding("look-alikes", None, "off: retention.near_duplicates is false")
    if not pdq.is_installed():
        return Finding("look-alikes", None, "off: `pip install '.[duplicates]'` has the library for them")
    return Finding("look-alikes", True, "scored pictures are compared with reviewed ones")


ONLINE_PROBES: tuple[tuple[str, Callable[[Settings], Finding]], ...] = (
    ("user agent", probe_user_agent),
    ("wiki", probe_wiki),
    ("stream", probe_stream),
)


def check(settings: Settings, *, online: bool = True, on_step: OnStep | None = None) -> Iterator[Finding]:
    """Probe everything, one row after the other; a failure does not end the check.

    Args:
        settings: What to check.
        online: False leaves out what needs the network.
        on_step: Told what takes time.

    Yields:
        A row per probe, per engine and per decoder.
    """
    yield _tried("folders", lambda: probe_folders(settings))
    yield _tried("database", lambda: probe_store(settings))
    model = _tried("model", lambda: probe_model(settings, on_step))
    yield model
    if model.ok:
        yield from engines(settings)
    yield probe_hints(settings)
    for what, probe in ONLINE_PROBES if online else ():
        yield _tried(what, partial(probe, settings))
    # Loads every decoder there is, which a daemon leaves to its workers.
    from classifier.decode.probe import probe as probe_decoders

    for row in probe_decoders():
        yield Finding(f"decoder {row.format}", row.ok, f"{row.decoder}: {row.detail}")


def _tried(what: str, probe: Callable[[], Finding]) -> Finding:
    try:
        return probe()
    except (BotError, ClassifierError, StoreError) as error:
        return Finding(what, False, str(error))
