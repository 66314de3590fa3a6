"""Pure: anything user-made on its way into wikitext, so that it is shown and never acts.

Every character becomes a numeric character reference unless it is a letter, a digit, a space or one of four
that take part in no markup.  MediaWiki shows the character, but nothing can begin with it: no link, template,
table, tag, signature, behaviour switch, language variant or bare address.  A list of what is dangerous could
miss something; this cannot.
"""

import re
import unicodedata
from typing import Final

_MAGIC_LINK: Final = re.compile(r"\b(RFC|PMID|ISBN) (?=[0-9])")
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS: Final = frozenset("\u200c\u200d")  # Persian and Indian scripts and emoji need them
_HARMLESS: Final = frozenset(".,()")
_IN_TARGET: Final = _HARMLESS | frozenset(":/")
_NOT_IN_TITLE: Final = re.compile(r"[#<>\[\]|{}\x00-\x1f\x7f\ufffd]|~~~|&[^;\s]*;|%[0-9A-Fa-f]{2}")
_MAX_TITLE_BYTES: Final = 255


def printable(text: str) -> str:
    """One line that can be shown: line breaks become spaces, what is invisible goes away.

    Direction overrides are invisible characters too; with them a name could pretend to be another.

    Args:
        text: Any text.

    Returns:
        The text without leading, trailing and doubled spaces.
    """
    kept = []
    for character in text:
        if character.isspace():
            kept.append(" ")
        elif character in _JOINERS or not _is_invisible(character):
            kept.append(character)
    return " ".join("".join(kept).split())


def escape(text: str) -> str:
    """Make any text harmless in wikitext, in a table cell as well as in a template's parameter.

    Args:
        text: Any text.

    Returns:
        One line of letters, digits, spaces, `.,()` and numeric character references.
    """
    return _MAGIC_LINK.sub(r"\1&#32;", _referenced(printable(text), keep=_HARMLESS))


def file_link(title: str) -> str:
    """Link to a file without embedding it.

    Args:
        title: Full title, `File:Example.jpg`.

    Returns:
        `[[:File:Example.jpg|…]]`; only the escaped text where MediaWiki would not take it for a title.
    """
    shown = escape(title)
    name = title.partition(":")[2].strip(" _")
    too_long = len(name.encode("utf-8", "replace")) > _MAX_TITLE_BYTES
    if not name or too_long or title != printable(title) or _NOT_IN_TITLE.search(title):
        return shown
    return f"[[:{_referenced(title, keep=_IN_TARGET)}|{shown}]]"


def _is_invisible(character: str) -> bool:
    """Whether it shows nothing of its own; the last clauses are Unicode's noncharacters."""
    code = ord(character)
    unusable = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    return unusable or unicodedata.category(character) in _INVISIBLE


def _referenced(text: str, keep: frozenset[str]) -> str:
    return "".join(
        character if character == " " or character in keep or character.isalnum() else f"&#{ord(character)};"
        for character in text
    )


__all__ = ["escape", "file_link", "printable"]
