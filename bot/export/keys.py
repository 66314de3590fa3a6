"""The secret that turns names into pseudonyms: made once, kept beside the database, never exported."""

import os
import secrets
from pathlib import Path

from bot.errors import ConfigError
from bot.export import private

KEY_BYTES = 32


def read_or_make(path: Path) -> bytes:
    """Read the key, or make one where there is none.

    Args:
        path: The file; losing it gives everybody a new pseudonym.

    Returns:
        The key.

    Raises:
        ConfigError: It cannot be read or written, or is no key.
    """
    try:
        private.folder(path.parent)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        if not path.exists():
            with private.created(beside) as file:
                file.write(secrets.token_bytes(KEY_BYTES))
            try:
                # Of two that start at once, the first wins, and the second reads what that one wrote.
                path.hardlink_to(beside)
            except FileExistsError:
                pass
            finally:
                beside.unlink()
        key = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path}: the key for pseudonyms cannot be used: {error.strerror or error}"
        ) from error
    if len(key) < KEY_BYTES:
        raise ConfigError(f"{path}: the key for pseudonyms has {len(key)} bytes, not {KEY_BYTES}")
    return key


__all__ = ["KEY_BYTES", "read_or_make"]
