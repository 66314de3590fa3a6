"""A secret of our own in a file that nobody else can read; made on first use, whole or not at all."""

import os
import secrets
import tempfile
from pathlib import Path
from typing import Final

from bot.errors import ConfigError

SECRET_BYTES: Final = 32


def load_secret(path: Path, setting: str) -> bytes:
    """Read a secret, and make one where there is none.

    Several processes may start at once: all of them get the same secret.

    Args:
        path: Where it is kept.
        setting: Which setting names the path, for messages.

    Returns:
        The secret.

    Raises:
        ConfigError: Where it cannot be read or made, or is too short to be one.
    """
    try:
        try:
            secret = path.read_bytes().strip()
        except FileNotFoundError:
            _make(path)
            secret = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"{setting}: {path}: {error}") from error
    if len(secret) < SECRET_BYTES:
        raise ConfigError(f"{setting}: {path}: is shorter than {SECRET_BYTES} bytes")
    return secret


def _make(path: Path) -> None:
    """A link appears with its whole content, and only where no other process was faster."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".secret-", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_hex(SECRET_BYTES).encode() + b"\n")
        try:
            os.link(name, path)
        except FileExistsError:
            return
    finally:
        Path(name).unlink()


__all__ = ["SECRET_BYTES", "load_secret"]
