"""Pure: where the calls of one template stand in a page, however broken the rest of the page is.

A page that anybody can edit may hold any text, and a general wikitext parser needs quadratic time and more
for some (24 KB of `{{a|[[b|` take mwparserfromhell 13 s).  So one pass over the braces finds the calls, and
only what is found is parsed.  What lies outside the calls is never looked at, and so can never be changed.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

_OPENING: Final = re.compile(r"\{\{([^{}|]{1,400})(?:\||\}\})")
_BRACES: Final = re.compile(r"\{{2,}|\}{2,}")
_MAX_MISSING: Final = 8
_SILENT: Final = (("<!--", "-->"), ("<nowiki>", "</nowiki>"))
_SILENT_OPENING: Final = re.compile("|".join(re.escape(opening) for opening, _ in _SILENT), re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a template.

    Attributes:
        start: Index of its first brace in the page.
        end: Index after its last brace; of a damaged one, after what is left of it on its first line.
        text: What to parse; of a damaged one with the braces that it lost.
        damaged: Whether its closing braces are missing.
    """

    start: int
    end: int
    text: str
    damaged: bool


def find_calls(text: str, title: str) -> list[Call]:
    """Find the calls of a template.

    A call whose end is missing, or which would swallow a later line's call, ends with its first line, or
    where the next one begins.  A call that is closed within another one's line (somebody quotes a row in a
    comment) is a part of that one.

    Args:
        text: Wikitext of a page, any text at all.
        title: Full title of the template, `User:Bot/Review/item`.

    Returns:
        The calls in the order of the page; they do not overlap.
    """
    wanted = _comparable(title)
    silent = list(_silent_ranges(text))
    starts = [
        match.start()
        for match in _OPENING.finditer(text)
        if _comparable(match[1]) == wanted and _around(silent, match.start()) is None
    ]
    braces = (
        [match for match in _BRACES.finditer(text) if _around(silent, match.start()) is None]
        if starts
        else []
    )
    calls: list[Call] = []
    at, line_end = 0, -1
    for start in starts:
        if calls and start < calls[-1].end:
            continue
        if start > line_end:
            line_end = _line_end(text, start)
        while at < len(braces) and braces[at].end() <= start:
            at += 1
        end, _ = _closing(braces, at, start, _next(starts, line_end, len(text)))
        if end is not None:
            calls.append(Call(start, end, text[start:end], False))
            continue
        cut = _next(starts, start, line_end)
        crossed = _around(silent, cut)
        if crossed is not None:
            cut = crossed[0]
        _, depth = _closing(braces, at, start, cut)
        calls.append(Call(start, cut, _mended(text[start:cut], depth), True))
    return calls


def _next(starts: list[int], after: int, limit: int) -> int:
    """The next call's start behind a position, or the limit."""
    later = bisect_right(starts, after)
    return min(starts[later], limit) if later < len(starts) else limit


def _closing(braces: list[re.Match[str]], first: int, start: int, limit: int) -> tuple[int | None, int]:
    """Where the call's own braces close, or None and how many are missing at the limit.

    Runs of braces are paired as MediaWiki's preprocessor does: threes first, then twos, the rest is text.
    """
    opened: list[int] = []
    for index in range(first, len(braces)):
        match = braces[index]
        if match.start() >= limit:
            break
        end = min(match.end(), limit)
        left = end - max(match.start(), start)
        if match[0][0] == "{":
            if left >= 2:
                opened.append(left)
            continue
        while left >= 2 and opened:
            paired = 3 if min(left, opened[-1]) >= 3 else 2
            left -= paired
            opened[-1] -= paired
            if opened[-1] < 2:
                opened.pop()
        if not opened:
            return end - left, 0
    return None, sum(opened)


def _mended(line: str, missing: int) -> str:
    kept = line.rstrip()
    if kept.endswith("}") and not kept.endswith("}}"):
        kept = kept[:-1]
    return kept + "}" * min(missing, _MAX_MISSING)


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end


def _silent_ranges(text: str) -> Iterator[tuple[int, int]]:
    """Comments and nowiki that are closed; an end that was once not found is not searched again."""
    endings = dict(_SILENT)
    missing: set[str] = set()
    match = _SILENT_OPENING.search(text)
    lowered = text.lower() if match else ""
    searchable = lowered if len(lowered) == len(text) else text
    while match:
        ending = endings[match[0].lower()]
        end = -1 if ending in missing else searchable.find(ending, match.end())
        if end < 0:
            missing.add(ending)
            match = _SILENT_OPENING.search(text, match.end())
        else:
            yield match.start(), end + len(ending)
            match = _SILENT_OPENING.search(text, end + len(ending))


def _around(ranges: list[tuple[int, int]], position: int) -> tuple[int, int] | None:
    """The range that a position is in."""
    index = bisect_right(ranges, position, key=itemgetter(0)) - 1
    return ranges[index] if index >= 0 and position < ranges[index][1] else None


def _comparable(title: str) -> str:
    """Without the namespace, whose name depends on the language; case and underscores do not matter."""
    return " ".join(title.strip().lstrip(":").partition(":")[2].replace("_", " ").split()).casefold()


__all__ = ["Call", "find_calls"]
