"""What is known, on the disk: one JSON object a line, appended; a kill costs at most the line it cut.

A line counts once its line break is there. What a killed process left unfinished is cut off at the next
start.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bot.errors import ConfigError


class Journal:
    """Lines of a file; one process at a time.

    Args:
        path: The file; it may be missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Iterator[dict[str, Any]]:
        """Read all lines that were finished, and cut off what comes after them.

        Yields:
            The objects, oldest first.

        Raises:
            ConfigError: A finished line is no JSON object, or the file cannot be used.
        """
        try:
            content = self._path.read_bytes() if self._path.exists() else b""
            whole = content.rfind(b"\n") + 1
            if whole != len(content):
                os.truncate(self._path, whole)
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be used: {error.strerror}") from error
        for number, line in enumerate(content[:whole].splitlines(), 1):
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ConfigError(f"{self._path}, line {number}: is not JSON: {error}") from error
            if not isinstance(value, dict):
                raise ConfigError(f"{self._path}, line {number}: is not a JSON object")
            yield value

    def append(self, value: Mapping[str, Any]) -> None:
        """Add a line and bring it to the disk.

        Args:
            value: What it says.

        Raises:
            ConfigError: The file cannot be written.
        """
        line = json.dumps(value, ensure_ascii=False, sort_keys=True).encode() + b"\n"
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be written: {error.strerror}") from error

    def remove(self) -> None:
        """Remove the file, if it is there.

        Raises:
            ConfigError: It cannot be removed.
        """
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be removed: {error.strerror}") from error


__all__ = ["Journal"]
