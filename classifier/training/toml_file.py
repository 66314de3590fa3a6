"""Reads a TOML file of the laboratory: training, search and comparison name what is wrong with it alike."""

import tomllib
from pathlib import Path
from typing import Any

from classifier.training.errors import TrainingError


def read(path: Path) -> dict[str, Any]:
    """Read a file.

    Args:
        path: TOML in UTF-8.

    Returns:
        Its table.

    Raises:
        TrainingError: Where it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: is not TOML: {error}") from error


__all__ = ["read"]
