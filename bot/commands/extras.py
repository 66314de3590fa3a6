"""What the laboratory's commands say where the libraries they need are not installed."""

from collections.abc import Iterator
from contextlib import contextmanager

from bot.commands.edges import EXIT_CONFIG, fail

_OURS = ("bot", "classifier", "storage")


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Turn a missing library into the sentence how to install it.

    Args:
        extra: Of `setup.cfg`.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name in _OURS:  # a fault of ours, not something to install
            raise
        missing = f"the package {name} is missing" if name else f"a package is missing ({error})"
        fail(EXIT_CONFIG, f"{missing}: pip install 'commons-nsfw-bot[{extra}]'")


__all__ = ["needing"]
