"""How the log looks: JSON lines for machines, short readable lines for a terminal.

Modules log an event's name as the message and its fields as `extra`; only the entry point calls `configure`.
"""

import logging
import logging.config
import sys
import tomllib
from pathlib import Path
from typing import Any

from pythonjsonlogger.json import JsonEncoder, JsonFormatter

from bot.errors import ConfigError
from bot.settings import ROOT, LogSettings

LOGGING_CONFIG = ROOT / "config" / "logging.toml"
_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class TextFormatter(logging.Formatter):
    """`12:00:01 INFO    upload_scored title=File:A.jpg score=0.01` for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Put the event's fields behind its name.

        Args:
            record: The record; everything given as `extra` becomes `key=value`.

        Returns:
            One line, followed by the traceback if the record has one.
        """
        line = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname:<7} {record.getMessage()}"
        for key, value in vars(record).items():
            if key not in _STANDARD_FIELDS:
                line += f" {key}={_shown(value)}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonLines(JsonFormatter):
    """One JSON object a line: `at`, `level`, `logger`, `event`, then the fields."""

    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger", "message": "event"},
            timestamp="at",
            json_serializer=self._encode,
        )
        self._encoder = JsonEncoder(ensure_ascii=False)

    def _encode(self, log_data: Any, **_: Any) -> str:
        # The library makes a new encoder for every line.
        return self._encoder.encode(log_data)


class StderrHandler(logging.StreamHandler[Any]):
    """Writes to whatever `sys.stderr` is at that moment, so that a live line can stay below the log."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        """The present `sys.stderr`."""
        return sys.stderr


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    # A title can hold anything; a quoted value cannot be mistaken for another field or another line, and
    # moves no terminal's cursor.
    plain = text.isprintable() and not any(character in " ='\"" for character in text)
    return text if plain else repr(text)


def configure(settings: LogSettings, *, level: str | None = None) -> None:
    """Install the handlers; call it once, from the entry point.

    Args:
        settings: Level and format; `auto` means text on a terminal and JSON elsewhere.
        level: Overrides the settings' level.

    Raises:
        ConfigError: Where `config/logging.toml` is missing or wrong.
    """
    chosen = settings.format
    if chosen == "auto":
        chosen = "text" if sys.stderr.isatty() else "json"
    config = _read(LOGGING_CONFIG)
    # Neither format tells of threads and processes; so they need not be looked up for every line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    try:
        config["handlers"]["stderr"]["formatter"] = chosen
        config["root"]["level"] = level or settings.level
        logging.config.dictConfig(config)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{LOGGING_CONFIG}: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
