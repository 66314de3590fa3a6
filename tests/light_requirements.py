"""What `requirements-light.txt` must say: the dependencies in setup.cfg without torch, closed and pinned.

    python -m tests.light_requirements > requirements-light.txt

No network is asked: the closure is read from the installed distributions' metadata, the versions from
constraints.txt. Run it in the environment that `make` builds, after any change of setup.cfg or
constraints.txt.
"""

import configparser
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
HEAVY = frozenset({"torch", "torchvision", "onnx", "safetensors"})
"""Needed to train, to export and for the reference engine; never to score with an exported model."""
REPLACED = {"opencv-python": "opencv-python-headless"}
"""The same `cv2` in the same version without its windows: 50 MB less on disk, and no libGL is needed."""

_HEADER = """\
# Everything that the daemon, the command line and the report need to run on a model that was exported
# elsewhere: the dependencies in setup.cfg without torch, torchvision, onnx and safetensors, complete and
# pinned. See docs/deploying-light.md. Made by: python -m tests.light_requirements > requirements-light.txt
"""


def direct() -> list[Requirement]:
    """setup.cfg's `install_requires` without the heavy ones."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    wanted = [Requirement(line) for line in config["options"]["install_requires"].split("\n") if line]
    return [requirement for requirement in wanted if canonicalize_name(requirement.name) not in HEAVY]


def constraints() -> dict[NormalizedName, str]:
    """The version that constraints.txt gives each distribution, with the replacements added."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    versions = {canonicalize_name(name): version for name, version in pairs}
    return versions | {
        canonicalize_name(to): versions[canonicalize_name(name)] for name, to in REPLACED.items()
    }


def closure(wanted: Iterable[Requirement]) -> set[NormalizedName]:
    """Names of these distributions and of all that they need in turn, replacements made."""
    found: set[NormalizedName] = set()
    waiting = list(wanted)
    seen: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        found.add(canonicalize_name(REPLACED.get(name, name)))
        waiting += _needs(requirement)
    return found


def _needs(requirement: Requirement) -> Iterator[Requirement]:
    """What a distribution needs on this machine, for the extras that were asked for."""
    extras = [{"extra": extra} for extra in ("", *requirement.extras)]
    for needed in map(Requirement, requires(requirement.name) or ()):
        if needed.marker is None or any(needed.marker.evaluate(extra) for extra in extras):
            yield needed


def text() -> str:
    """The whole file."""
    versions = constraints()
    return _HEADER + "".join(f"{name}=={versions[name]}\n" for name in sorted(closure(direct())))


if __name__ == "__main__":
    sys.stdout.write(text())
