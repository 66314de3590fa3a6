"""What every command shares: where it prints, its exit codes, and errors turned into sentences.

Exit codes: 0 done · 1 done, but something failed or differs · 2 wrong usage · 3 configuration or data ·
4 network · 5 the database is in use or away · 70 a fault of ours.
"""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

from bot import logs
from bot.errors import BotError, ConfigError, ServiceDown
from bot.settings import Settings, load_settings

if TYPE_CHECKING:
    from classifier.datasets.values import Classes

EXIT_FAILED = 1
EXIT_CONFIG = 3
EXIT_NETWORK = 4
EXIT_STORE = 5
EXIT_INTERNAL = 70

out = Console()
err = Console(stderr=True)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="A TOML file laid over config/default.toml.")
]


def fail(code: int, message: object) -> NoReturn:
    """Print an error and end with this exit code."""
    err.print(f"error: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(code)


@contextmanager
def explained() -> Iterator[None]:
    """Turn the errors we raise on purpose into a sentence and an exit code."""
    # Imported late: `--help` and a typo in a setting must not wait for SQLAlchemy and the decoders.
    from classifier.errors import ClassifierError, ModelUnreachable
    from storage.errors import StoreError

    try:
        yield
    except ConfigError as error:
        fail(EXIT_CONFIG, error)
    except ServiceDown as error:
        fail(EXIT_NETWORK, f"{error}. Is the network up? It can simply be tried again")
    except ModelUnreachable as error:
        fail(EXIT_NETWORK, error)
    except ClassifierError as error:
        fail(EXIT_CONFIG, error)
    except StoreError as error:
        fail(EXIT_STORE, error)
    except BotError as error:
        fail(EXIT_INTERNAL, error)


def configured(config: Path | None) -> Settings:
    """Read the settings, and start logging as they say."""
    settings = load_settings(config)
    logs.configure(settings.log)
    return settings


def end_quickly() -> None:
    """Spare a command that only read the search for garbage at its end, which takes longer than reading.

    Python looks through everything that was imported for cycles before it exits. A command that holds files
    or processes must not ask for this: what closes itself when it is collected would stay open.
    """
    atexit.register(gc.freeze)


def read_classes(text: str | None) -> "Classes | None":
    """Read `--classes`.

    Raises:
        BadParameter: It is not two labels.
    """
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise typer.BadParameter(f"{text!r} are not two labels divided by a comma", param_hint="--classes")
    return names[0], names[1]


def as_utc(at: datetime | None) -> datetime | None:
    """A time from the command line, which is UTC unless it says otherwise."""
    return None if at is None else at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


__all__ = [
    "EXIT_CONFIG",
    "EXIT_FAILED",
    "EXIT_INTERNAL",
    "EXIT_NETWORK",
    "EXIT_STORE",
    "ConfigOption",
    "as_utc",
    "configured",
    "end_quickly",
    "err",
    "explained",
    "fail",
    "out",
    "read_classes",
]
