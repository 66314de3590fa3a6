"""How a module of this project is started in a process of its own, whatever folder the caller stands in."""

import os
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


def command(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module; to be started with `environment`.

    Args:
        module: Its full name; it has a `main` that reads `sys.argv`.
        arguments: What it is given.
    """
    # -P: nothing from the working directory, where a foreign `classifier` might lie.
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """This process's environment, with this project as the only place that modules are added from."""
    return {**os.environ, "PYTHONPATH": str(_ROOT)}


__all__ = ["command", "environment"]
