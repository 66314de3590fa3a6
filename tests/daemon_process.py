"""The daemon as its users start it, in a process of its own, pointed at a miniature Commons."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from bot.minicommons.controls import Controls
from bot.settings import ROOT, Settings, load_settings, merged
from storage import status
from storage.engine import Database
from storage.outcomes import RecordedOutcome, recorded
from storage.values import StoreStatus

SHORT_WAITS: dict[str, Any] = {
    "identity": {"contact": "tests@localhost.invalid"},
    "stream": {"read_timeout_s": 2, "backoff_initial_s": 0.1, "backoff_max_s": 0.5},
    "backfill": {"settle_s": 0.5, "reconcile_every_s": 3},
    "media": {"retry_after_s": [0.5, 0.5, 1, 1, 1], "total_timeout_s": 30},
    "decode": {"workers": 1, "wall_s": 60, "cpu_s": 40},
    # The reference scores at once; what `auto` takes is exported first, which has tests of its own.
    "classifier": {"engine": "torch-fp32"},
    "pipeline": {"poll_interval_s": 0.2},
    # What is put up for review is planned to the last item; draws have tests of their own.
    "sampling": {"enabled": False},
    # So do hints at other files.
    "retention": {"near_duplicates": False, "reuploads": False},
    "report": {"interval_s": 1},
    "monitoring": {"port": 0},
    "log": {"level": "INFO", "format": "json"},
}


def settings_values(commons: Controls, folder: Path, **more: dict[str, Any]) -> dict[str, Any]:
    """Nested settings for a daemon that keeps everything in one folder and waits for nothing long."""
    places = {
        "store": {"url": f"sqlite:///{folder / 'bot.sqlite3'}"},
        "report": {"directory": str(folder / "report")},
        "media": {"directory": str(folder / "media")},
        "retention": {"directory": str(folder / "copies")},
    }
    return merged(merged(merged(SHORT_WAITS, places), commons.overrides()), more)


def settings_for(commons: Controls, folder: Path, **more: dict[str, Any]) -> Settings:
    """The same, validated."""
    return load_settings(overrides=settings_values(commons, folder, **more))


def write_config(path: Path, values: dict[str, Any]) -> Path:
    """Write nested settings as a TOML file."""
    lines = []
    for section, keys in values.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {_toml(value)}" for key, value in keys.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return repr(value) if isinstance(value, int | float) else '"' + str(value) + '"'


def start_daemon(config: Path, log: Path) -> "subprocess.Popen[bytes]":
    """Start `python -m bot run`; its log is appended to a file."""
    with log.open("ab") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "bot", "run", "--config", str(config)],
            stdout=stream,
            stderr=stream,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
        )


def read_store(url: str) -> tuple[StoreStatus, list[RecordedOutcome]]:
    """Look into the store while a daemon works on it."""
    from datetime import UTC, datetime

    database = Database.open(url, ROOT)
    try:
        with database.read() as tx:
            return status.snapshot(tx, datetime.now(UTC)), list(recorded(tx))
    finally:
        database.close()
