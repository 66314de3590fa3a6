"""What every command shares: where it prints, its exit codes, and errors turned into sentences.

Exit codes: 0 done · 1 done, but something failed or differs · 2 wrong usage · 3 configuration or data ·
4 network · 5 the database is in use or away · 70 a fault of ours.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from bot import logs
from bot.errors import BotError, ConfigError, ServiceDown
from bot.settings import Settings, load_settings

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


__all__ = [
    "EXIT_CONFIG",
    "EXIT_FAILED",
    "EXIT_INTERNAL",
    "EXIT_NETWORK",
    "EXIT_STORE",
    "ConfigOption",
    "configured",
    "err",
    "explained",
    "fail",
    "out",
]
