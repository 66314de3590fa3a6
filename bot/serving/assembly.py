"""The prediction API and the console put together from the settings: model, tokens, what is fetched."""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import cast

import psutil
from fastapi import FastAPI

from bot import preparing, shadowing
from bot.console.assembly import console_app
from bot.errors import ConfigError
from bot.scoring import Scorer
from bot.serving.access import TokenAccess
from bot.serving.fetching import WikiSources, open_sources
from bot.settings import ROOT, Settings
from classifier.service.app import create_app
from classifier.service.parts import ServiceLimits, ServiceParts
from classifier.values import Level
from storage.engine import Database

log = logging.getLogger(__name__)

_VERSION_CHARACTERS = 12


@contextmanager
def assembled(settings: Settings) -> Iterator[FastAPI]:
    """Load everything and put the application together.

    Args:
        settings: All of them.

    Yields:
        The application; `app.state.service` is the running `Service`.

    Raises:
        ConfigError: The folder for bodies cannot be written.
        ServiceDown: `media.directory` cannot be written.
        ModelError: The model cannot be loaded.
        StoreError: The database is away.
    """
    database = Database.open(settings.store.url, ROOT)
    try:
        database.migrate()
        scorer = _scorer(settings, database)
        try:
            with _folder(settings.serve.directory) as folder, _sources(settings) as sources:
                access = TokenAccess(database, settings.access)
                try:
                    parts = _parts(settings, scorer, access, sources, folder)
                    console = console_app(settings, database, access)
                    yield create_app(replace(parts, mounts={"/console": console}), limits(settings))
                finally:
                    access.close()
        finally:
            scorer.close()
    finally:
        database.close()


def limits(settings: Settings) -> ServiceLimits:
    """How much requests may use, as the service wants to know it.

    Args:
        settings: Section `[serve]`.

    Returns:
        The same numbers.
    """
    return ServiceLimits(**{one.name: getattr(settings.serve, one.name) for one in fields(ServiceLimits)})


def version_of(scorer: Scorer) -> str:
    """Name what the scores depend on: two services of one version give the same bytes the same answer.

    Args:
        scorer: A loaded model.

    Returns:
        Twelve hexadecimal digits, which change with weights, preprocessing, engine, decoding or thresholds.
    """
    card = scorer.classifier.card
    made_of = {
        "weights": card.weights_sha256,
        "preprocessing": card.preprocessing,
        "engine": scorer.classifier.engine,
        "provenance": scorer.provenance,
        "thresholds": dict(scorer.thresholds),
    }
    text = json.dumps(made_of, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_VERSION_CHARACTERS]


def _scorer(settings: Settings, database: Database) -> Scorer:
    """Load the model that the daemon flags with, with the same thresholds."""
    found = shadowing.roles(database, settings.classifier.model)
    chosen = settings.classifier.model_copy(update={"model": found.active})
    return Scorer.load(
        settings.model_copy(update={"classifier": chosen}),
        preparing.logged(),
        calibrated=found.thresholds,
    )


def _parts(
    settings: Settings, scorer: Scorer, access: TokenAccess, sources: WikiSources | None, folder: Path
) -> ServiceParts:
    return ServiceParts(
        decoder=scorer.pool,
        batcher=scorer.batcher,
        thresholds=cast("Mapping[Level, float]", scorer.thresholds),
        level=settings.classifier.level,
        model_version=version_of(scorer),
        directory=folder,
        stop_early=scorer.stop_early,
        access=access,
        sources=sources,
    )


@contextmanager
def _sources(settings: Settings) -> Iterator[WikiSources | None]:
    """What fetches files that are only named; nothing does without a contact, which Wikimedia demands."""
    if not settings.identity.contact.strip():
        log.warning("sources_not_offered", extra={"setting": "identity.contact"})
        yield None
        return
    wanted = settings.serve
    with open_sources(settings, max_bytes=wanted.file_bytes, processes=wanted.workers) as sources:
        yield sources


@contextmanager
def _folder(parent: Path) -> Iterator[Path]:
    """Have a folder of this process' own, and remove those of processes that were killed."""
    try:
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in parent.glob("serve-*"):
            pid = left.name.split("-")[1]
            if not (pid.isdigit() and psutil.pid_exists(int(pid))):
                shutil.rmtree(left, ignore_errors=True)
        own = Path(tempfile.mkdtemp(prefix=f"serve-{os.getpid()}-", dir=parent))
    except OSError as error:
        raise ConfigError(f"serve.directory: {parent} cannot be written: {error.strerror}") from error
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


__all__ = ["assembled", "limits", "version_of"]
