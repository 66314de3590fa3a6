"""What `classify` is asked to score: a local file, or a file of the wiki by its title or its page's address.

The rule, pure but for one look at the disk: what exists here is a file; else `File:…` or an address is a
title of the configured wiki; else it is a file that is missing, and the message says how a title would look.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_TITLE: Final = re.compile(r"(?:file|image)\s*:\s*(?P<name>[^#]+)", re.IGNORECASE)
_VIEWER: Final = "/media/"


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file on this machine; it may be missing.

    Attributes:
        given: As on the command line.
        path: Where it is.
    """

    given: str
    path: Path


@dataclass(frozen=True, slots=True)
class WikiFile:
    """A file of the configured wiki; it may be missing.

    Attributes:
        given: As on the command line.
        title: `File:Name.webm`, with spaces.
    """

    given: str
    title: str


@dataclass(frozen=True, slots=True)
class NoSource:
    """Neither.

    Attributes:
        given: As on the command line.
        message: Why, and what would do.
    """

    given: str
    message: str


Source = LocalFile | WikiFile | NoSource


def read_source(given: str, page_url: str) -> Source:
    """Tell files from titles.

    Args:
        given: What stands on the command line.
        page_url: `[wiki] page_url`, with `{title}`.

    Returns:
        What is meant.
    """
    if _exists(given):
        return LocalFile(given, Path(given))
    if _ADDRESS.match(given):
        title = _title_of(given, page_url)
        if title is None:
            host = urlsplit(page_url).netloc
            return NoSource(given, f"not the address of a file page of {host}, and no local file")
        return WikiFile(given, title)
    title = file_title(given)
    return LocalFile(given, Path(given)) if title is None else WikiFile(given, title)


def file_title(text: str) -> str | None:
    """Read a title of the file namespace.

    Args:
        text: `File:Name.webm`, perhaps with underscores or in small letters.

    Returns:
        `File:Name.webm` with spaces; the wiki puts the rest right. None where it is no such title.
    """
    found = _TITLE.match(text.strip())
    name = " ".join(found["name"].replace("_", " ").split()) if found else ""
    return f"File:{name}" if name else None


def _title_of(address: str, page_url: str) -> str | None:
    """The title that an address of the wiki names, in one of the forms that browsers show."""
    try:
        parts, pattern = urlsplit(address), urlsplit(page_url)
    except ValueError:
        return None
    host, _, domain = pattern.netloc.lower().partition(".")
    if parts.scheme.lower() not in {"http", "https"}:
        return None
    if parts.netloc.lower() not in {pattern.netloc.lower(), f"{host}.m.{domain}"}:
        return None
    if parts.fragment.startswith(_VIEWER):
        return file_title(unquote(parts.fragment.removeprefix(_VIEWER)))
    prefix = pattern.path.partition("{title}")[0]
    if parts.path.startswith(prefix) and "{title}" in pattern.path:
        title = file_title(unquote(parts.path.removeprefix(prefix)))
        if title is not None:
            return title
    return file_title(parse_qs(parts.query).get("title", [""])[0])


def _exists(given: str) -> bool:
    try:
        return Path(given).exists()
    except (OSError, ValueError):
        return False


__all__ = ["LocalFile", "NoSource", "Source", "WikiFile", "file_title", "read_source"]
