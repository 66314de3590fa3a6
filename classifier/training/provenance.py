"""What else a result depends on: code, libraries, machine."""

import importlib.metadata
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_LIBRARIES = ("torch", "torchvision", "lightning", "numpy", "pillow", "safetensors", "timm", "scikit-learn")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a run was made.

    Attributes:
        git_commit: Of this project, with `+changes` where files differed from it; empty outside of a
            checkout.
        libraries: Their versions.
        python: Its version.
        machine: Processor and system.
        processors: How many can be used.
    """

    git_commit: str
    libraries: dict[str, str]
    python: str
    machine: str
    processors: int


def here() -> Provenance:
    """Describe this process."""
    return Provenance(
        git_commit=_commit(),
        libraries=_versions(),
        python=platform.python_version(),
        machine=f"{platform.machine()} {platform.system()}",
        processors=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
    )


def _versions() -> dict[str, str]:
    installed = {}
    for library in _LIBRARIES:
        try:
            installed[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def _commit() -> str:
    commit = _git("rev-parse", "HEAD")
    return f"{commit}+changes" if commit and _git("status", "--porcelain", "--untracked-files=no") else commit


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


__all__ = ["Provenance", "here"]
