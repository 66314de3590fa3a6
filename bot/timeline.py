"""Write the timeline of a scored file, as a page or as a picture; private to the user and replaced whole."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bot.timeline_html import render_html
from bot.timeline_png import render_png
from bot.timeline_strip import Thumbnail
from bot.timeline_values import Scored
from classifier import atomic_file

SUFFIXES: Final = (".html", ".htm", ".png")


def refusal(path: Path, files: Sequence[str]) -> str | None:
    """Why a timeline cannot be written there; asked before a film is scored for minutes.

    Args:
        path: Where to.
        files: What is to be scored.

    Returns:
        A sentence, None where nothing speaks against it.
    """
    if len(files) != 1:
        return f"it shows one file, and {len(files)} are given"
    if path.suffix.lower() not in SUFFIXES:
        return f"{path}: the name must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        return f"{path.parent}: no directory that can be written to"
    if path.is_dir():
        return f"{path}: is a directory"
    if path.exists() and Path(files[0]).exists() and path.samefile(files[0]):
        return f"{path}: is the very file that is to be scored"
    return None


def write_timeline(path: Path, scored: Scored, thumbnails: Sequence[Thumbnail]) -> None:
    """Write a timeline, mode 0600.

    Args:
        path: Where to; the suffix says which kind.
        scored: The scored file.
        thumbnails: Its strip.

    Raises:
        OSError: It cannot be written.
    """
    if path.suffix.lower() == ".png":
        content = render_png(scored, thumbnails)
    else:
        content = render_html(scored, thumbnails).encode("utf-8", errors="replace")
    atomic_file.write(path, content)


__all__ = ["SUFFIXES", "refusal", "write_timeline"]
