"""Secrets of our own in files: one for all who start at once, and readable for nobody else."""

import stat
import threading
from pathlib import Path

import pytest

from bot.errors import ConfigError
from bot.secret_file import SECRET_BYTES, load_secret


def test_all_who_start_at_once_get_the_same_secret(tmp_path: Path) -> None:
    path = tmp_path / "var" / "secret"
    found: list[bytes] = []
    together = threading.Barrier(8)

    def start() -> None:
        together.wait(5)
        found.append(load_secret(path, "console.key_file"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(found) == 8
    assert len(set(found)) == 1
    assert len(found[0]) >= SECRET_BYTES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_two_files_hold_different_secrets(tmp_path: Path) -> None:
    assert load_secret(tmp_path / "a", "a") != load_secret(tmp_path / "b", "b")


def test_what_is_too_short_or_cannot_be_read_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("abc\n")
    with pytest.raises(ConfigError, match=r"console\.key_file: .*short: is shorter than 32 bytes"):
        load_secret(tmp_path / "short", "console.key_file")
    with pytest.raises(ConfigError, match=r"console\.key_file"):
        load_secret(tmp_path, "console.key_file")
