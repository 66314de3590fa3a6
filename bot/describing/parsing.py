"""Pure: from the API's answer about files to plain descriptions.

`extmetadata` is HTML that anybody could write: authors with scripts, licences with addresses of any scheme,
names that turn the direction of writing, megabytes of text. What leaves here is one short line of plain text
without anything invisible; addresses are http(s) in ASCII.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from html.parser import HTMLParser
from urllib.parse import unquote

from bot.describing.values import Description
from bot.errors import BotError, RetryLater, SkipUpload
from bot.review.wikitext import printable

MAX_TEXT = 300
_MAX_HTML = 10_000
"""Python's HTML parser takes quadratic time for some nonsense; nobody's name is longer."""
_UNSHOWN = frozenset({"script", "style", "template", "noscript", "title"})
_SPACE = frozenset({"br", "p", "div", "li", "td", "tr", "hr"})
_VOID = frozenset(
    {"area", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[A-Za-z0-9][\x21-\x7e]{0,480}")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_SHA1 = re.compile(r"[0-9a-f]{40}")
_MAX_MOVES = 5


class _Text(HTMLParser):
    """Collects what a reader would see."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unshown_depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SPACE:
            self.parts.append(" ")
        if tag in _VOID:
            return
        style = next((value or "" for name, value in attrs if name == "style"), "")
        # Commons writes an unknown author twice, once for machines.
        if self._unshown_depth or tag in _UNSHOWN or _HIDDEN.search(style):
            self._unshown_depth += 1

    def handle_endtag(self, tag: str) -> None:
        if self._unshown_depth and tag not in _VOID:
            self._unshown_depth -= 1

    def handle_data(self, data: str) -> None:
        if not self._unshown_depth:
            self.parts.append(data)


def plain(value: object) -> str:
    """Hostile HTML as one short line of plain text.

    Args:
        value: Whatever stands in the answer; what is not text is nothing.

    Returns:
        At most 300 characters, none of them invisible; it never begins like a spreadsheet's formula.
    """
    if not isinstance(value, str):
        return ""
    parser = _Text()
    parser.feed(value[:_MAX_HTML])
    parser.close()
    text = printable("".join(parser.parts)).lstrip("=+-@\t ")
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1].rstrip()}…"


def address(value: object) -> str:
    """An http(s) address in ASCII, or nothing.

    Args:
        value: Whatever stands in the answer.

    Returns:
        The address; empty where it is none.
    """
    text = value.strip() if isinstance(value, str) else ""
    whole = f"https:{text}" if text.startswith("//") else text
    return whole if _ADDRESS.fullmatch(whole) else ""


def parse_descriptions(
    answers: Iterable[Mapping[str, object]], titles: Sequence[str]
) -> dict[str, Description | BotError]:
    """Bring the answers of one question, and of what continues it, back to the titles asked.

    Args:
        answers: Whole API answers (`formatversion=2`) of `prop=imageinfo|revisions`.
        titles: What was asked.

    Returns:
        For each title its description; `SkipUpload` where there is no such file or it is hidden, `RetryLater`
        where the answers leave it out.
    """
    moves: dict[str, str] = {}
    pages: dict[str, dict[str, object]] = {}
    for answer in answers:
        query = answer.get("query")
        if not isinstance(query, Mapping):
            continue
        for name in ("normalized", "redirects"):
            for move in _mappings(query.get(name)):
                source, target = move.get("from"), move.get("to")
                if isinstance(source, str) and isinstance(target, str):
                    moves[unquote(source) if move.get("fromencoded") else source] = target
        for page in _mappings(query.get("pages")):
            if isinstance(title := page.get("title"), str):
                pages.setdefault(title, {}).update(page)
    return {title: _described(pages.get(_followed(title, moves))) for title in titles}


def _described(page: Mapping[str, object] | None) -> Description | BotError:
    if page is None:
        return RetryLater("rendition_unavailable", "The API's answer leaves the file out.")
    infos = _mappings(page.get("imageinfo"))
    if not infos:
        # An answer that is continued brings the page first and what is asked of it later.
        if page.get("missing") or page.get("invalid") or page.get("imagerepository") == "":
            return SkipUpload("deleted", "There is no such file.")
        return RetryLater("rendition_unavailable", "The API's answer leaves the file's data out.")
    info = infos[0]
    if info.get("filemissing"):
        return SkipUpload("deleted", "The page is there, the file is not.")
    sha1 = info.get("sha1")
    if info.get("filehidden") or not isinstance(sha1, str) or not _SHA1.fullmatch(sha1):
        return SkipUpload("hidden", "The wiki hides the file.")
    said = info.get("extmetadata")
    told = said if isinstance(said, Mapping) else {}
    revision = next(iter(_mappings(page.get("revisions"))), {})
    number = revision.get("revid")
    return Description(
        title=str(page["title"]),
        sha1_hex=sha1,
        file_timestamp=_timestamp(info.get("timestamp")),
        media_type=plain(info.get("mediatype")).upper(),
        mime=plain(info.get("mime")).lower(),
        uploader="" if info.get("userhidden") else plain(info.get("user")),
        author=plain(_told(told, "Artist")),
        credit=plain(_told(told, "Credit")),
        licence=plain(_told(told, "LicenseShortName")) or plain(_told(told, "UsageTerms")),
        licence_url=address(_told(told, "LicenseUrl")),
        revision_id=number if isinstance(number, int) and not isinstance(number, bool) else 0,
        revision_timestamp=_timestamp(revision.get("timestamp")),
    )


def _told(metadata: Mapping[object, object], name: str) -> object:
    entry = metadata.get(name)
    return entry.get("value") if isinstance(entry, Mapping) else None


def _timestamp(value: object) -> str:
    return value if isinstance(value, str) and _TIMESTAMP.fullmatch(value) else ""


def _followed(title: str, moves: Mapping[str, str]) -> str:
    for _ in range(_MAX_MOVES):
        if title not in moves:
            break
        title = moves[title]
    return title


def _mappings(value: object) -> list[Mapping[str, object]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


__all__ = ["MAX_TEXT", "address", "parse_descriptions", "plain"]
