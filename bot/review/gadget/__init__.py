"""The user script: what reviewers may load on top of the report pages, as the two pages that the wiki gets.

It is written in parts, one purpose each, and joined here, because one page is all that a reviewer has to
load.  The parts need nothing but what MediaWiki ships, and no build step: the page is the parts as they are.
"""

from importlib.resources import files
from typing import Final

PARTS: Final = ("texts.js", "wikitext.js", "saving.js", "preview.js", "row.js", "page.js")


def script() -> str:
    """Text of `User:<Bot>/Review/gadget.js`.

    Returns:
        All parts in the order in which they build on each other. Stored as it is: it contains no signature,
        substitution or category that MediaWiki would act on when a script page is saved.
    """
    return "\n".join(_read(part) for part in PARTS)


def style() -> str:
    """Text of `User:<Bot>/Review/gadget.css`, which the script loads from beside itself.

    Returns:
        The style sheet.
    """
    return _read("gadget.css")


def _read(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


__all__ = ["PARTS", "script", "style"]
