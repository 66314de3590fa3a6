"""What talks to Wikimedia: the daemon, its stages and its commands."""

from importlib.util import find_spec
from pathlib import Path

__version__ = "0.1.0"

ROOT_CHECK_MESSAGE = (
    "{names} would be imported from elsewhere, not from this project: start from the project's root with "
    "`python -m bot`, and remove packages of that name from the environment"
)


def foreign_packages() -> list[str]:
    """Name the packages that Python would take from somewhere else.

    Our top-level names are generic: another distribution's `storage` could win.

    Returns:
        The names among `classifier` and `storage` that do not lie beside this package.
    """
    root = Path(__file__).resolve().parent.parent
    foreign = []
    for name in ("classifier", "storage"):
        spec = find_spec(name)
        if spec is None or spec.origin is None or Path(spec.origin).resolve().parent != root / name:
            foreign.append(name)
    return foreign
