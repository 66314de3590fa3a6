"""A fresh, migrated database for a test: an SQLite file, or what STORAGE_TEST_DATABASE_URL names.

The variable reruns the storage tests on a server, whose tables are dropped and made anew for every test:
name a database that holds nothing else.
"""

import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import create_engine, text

from storage.engine import Database
from storage.tables import Base
from storage.values import (
    Classification,
    FrameScore,
    ModelVersion,
    Upload,
    UploadAction,
)

SERVER_URL = os.environ.get("STORAGE_TEST_DATABASE_URL")
NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
WIKI = "commonswiki"


def after(seconds: float) -> datetime:
    """NOW and some seconds."""
    return NOW + timedelta(seconds=seconds)


def database_url(folder: Path) -> str:
    """URL of the test's database; an SQLite one is migrated already, by copying."""
    if SERVER_URL is not None:
        return SERVER_URL
    path = folder / "bot.sqlite3"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(_migrated_sqlite(), path)
    return f"sqlite:///{path}"


@contextmanager
def fresh_database(folder: Path) -> Iterator[Database]:
    """An open database with all tables and no rows."""
    if SERVER_URL is not None:
        empty_server(SERVER_URL)
    database = Database.open(database_url(folder), folder)
    try:
        database.migrate()
        yield database
    finally:
        database.close()


def empty_server(url: str) -> None:
    """Drop all of our tables."""
    engine = create_engine(url)
    with engine.begin() as connection:
        Base.metadata.drop_all(connection)
        connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    engine.dispose()


@functools.cache
def _migrated_sqlite() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="storage-template-"))
    database = Database.open("sqlite:///template.sqlite3", folder)
    database.migrate()
    database.close()
    return folder / "template.sqlite3"


def upload(log_id: int, *, title: str | None = None, logged_s: float = 0, wiki: str = WIKI) -> Upload:
    """An upload that differs from others in what is given."""
    return Upload(
        wiki=wiki,
        log_id=log_id,
        action=UploadAction.UPLOAD,
        title=title or f"File:Photo {log_id}.jpg",
        user="Example",
        sha1="k" * 31,
        file_timestamp=after(logged_s),
        logged_at=after(logged_s),
    )


def model_version(name: str = "open_nsfw") -> ModelVersion:
    """A model version with a card that holds what real ones hold."""
    return ModelVersion(
        name=name,
        architecture="resnet50-thin",
        weights_sha256="ab" * 32,
        preprocessing="open_nsfw-v1",
        engine="torch-fp32",
        libraries={"torch": "2.13.0"},
        card={"thresholds": {"balanced": 0.8}, "failure_modes": ["art", "sculpture"]},
    )


def classification(model_version_id: int, score: float = 0.9, frames: int = 1) -> Classification:
    """A score over the threshold of 0.8, or under it."""
    scored = tuple(FrameScore(score if i == 0 else score / 2, at_s=float(i)) for i in range(frames))
    return Classification(
        model_version_id=model_version_id,
        score=score,
        label="nsfw" if score >= 0.8 else "sfw",
        threshold=0.8,
        frames=scored,
        worst=scored[0],
        rendition={"url": "https://upload.wikimedia.org/x.jpg", "kind": "thumbnail", "width_px": 330},
        decoder="pillow",
        timings_s={"locate": 0.1, "total": 0.5},
    )
