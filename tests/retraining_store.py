"""A store with reviewed uploads, their kept pictures and a small deployed model, for tests of retraining."""

from collections.abc import Sequence
from pathlib import Path

from typer.testing import CliRunner

from bot.cli import app
from classifier.models import catalogue
from storage.engine import Database
from storage.review_values import VerdictCode
from tests.export_store import fill
from tests.trained_runs import finished

FIRST = "first"
COUNT = 60


def deployed(folder: Path) -> Path:
    """A small network that was trained for a moment, added as `first`; returns the folder of weights."""
    finished(folder / "first")
    catalogue.add(folder / "first" / "run", name=FIRST, cache_directory=folder / "models")
    return folder / "models"


def reviewed(database: Database, folder: Path, without_picture: frozenset[int] = frozenset()) -> None:
    """Every third of 60 uploads is said to be explicit; pictures are noise."""
    codes = (VerdictCode.NSFW_DELETE, VerdictCode.SFW, VerdictCode.SFW)
    labels = {number: codes[number % 3] for number in range(1, COUNT + 1)}
    fill(database, folder / "copies", labels, without_picture=without_picture)


def configuration(folder: Path) -> Path:
    """The bot's, with everything below one folder and `first` as the configured model."""
    file = folder / "bot.toml"
    file.write_text(
        f"""[store]
url = "sqlite:///{folder / "bot.sqlite3"}"
[classifier]
model = "{FIRST}"
cache_directory = "{folder / "models"}"
[retention]
directory = "{folder / "copies"}"
[log]
level = "ERROR"
"""
    )
    return file


def words(folder: Path, name: str = "second", *more: str) -> list[str]:
    """`retrain` for a moment, with everything below the folder."""
    quick = ("training.epochs=2", "training.threads=1", "training.accelerator=cpu", "data.workers=0")
    settings = [word for setting in quick for word in ("--set", setting)]
    places = [
        "--out",
        str(folder / name),
        "--key-file",
        str(folder / "key"),
        "--config",
        str(folder / "bot.toml"),
    ]
    return ["retrain", *more, "--name", name, *places, *settings]


def give(command: Sequence[str]) -> str:
    """Run a command in this process; what it printed, its exit code being 0."""
    done = CliRunner().invoke(app, list(command))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())
