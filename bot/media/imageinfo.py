"""Pure: the answers of `prop=imageinfo` and `prop=videoinfo` (`formatversion=2`) as frozen values.

Numbers are taken as hostile: what is not a sensible number becomes 0 or None, never an exception.  Field
names and flags as in MediaWiki's `ApiQueryImageInfo::getInfo`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

MAX_PAGE = 65535
"""MediaWiki's handlers refuse page numbers beyond it, and with them the whole request."""


@dataclass(frozen=True, slots=True)
class FileVersion:
    """One version of a file.

    Attributes:
        sha1_hex: Hexadecimal SHA-1; None where hidden or not given.
        timestamp: When this version was uploaded.
        size_bytes: Size of the original; None where unknown.
        width_px: Width of the original, 0 where it has none.
        page_count: Pages of a document, else 1.
        duration_s: Length of a video, a sound or an animation, else 0.
        mime: Media type, `image/jpeg`.
        media_type: MediaWiki's: BITMAP, DRAWING, VIDEO, AUDIO, OFFICE, MULTIMEDIA, 3D, ….
        url: The original's address.
        thumb_url: The reduced picture's address, None where there is none (or only a file type icon).
        thumb_width_px: Its width.
        hidden: The wiki hides this version.
        file_missing: The page is there, the file is not.
    """

    sha1_hex: str | None
    timestamp: datetime | None
    size_bytes: int | None
    width_px: int
    page_count: int
    duration_s: float
    mime: str
    media_type: str
    url: str | None
    thumb_url: str | None
    thumb_width_px: int
    hidden: bool
    file_missing: bool

    @property
    def thumb_is_original(self) -> bool:
        """A file narrower than the step asked comes as its own original; only the query string may differ."""
        if self.thumb_url is None or self.url is None:
            return False
        return urlsplit(self.thumb_url)[:3] == urlsplit(self.url)[:3]


@dataclass(frozen=True, slots=True)
class Derivative:
    """One transcoded rendition of a video.

    Attributes:
        url: Its address.
        width_px: Width.
        height_px: Height.
        bandwidth_bits_per_s: Average rate; 0 where unknown.
    """

    url: str
    width_px: int
    height_px: int
    bandwidth_bits_per_s: float


@dataclass(frozen=True, slots=True)
class FilePage:
    """What an answer says of one title.

    Attributes:
        title: Title as the wiki spells it, after normalisation and redirects.
        missing: There is no such page, or no file on it.
        invalid: The wiki does not accept the title.
        versions: The versions told, newest first.
        derivatives: Transcodes of the newest version, where they were asked for.
    """

    title: str
    missing: bool
    invalid: bool
    versions: tuple[FileVersion, ...] = ()
    derivatives: tuple[Derivative, ...] = ()


def whole_number(value: object) -> int | None:
    """A whole number from 0 that also fits a database and JSON, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def parse_version(info: Mapping[str, object]) -> FileVersion:
    """Read one entry of `imageinfo` or `videoinfo`.

    Args:
        info: The entry.

    Returns:
        The version; missing or nonsensical fields are None, 0 or empty.
    """
    return FileVersion(
        sha1_hex=_text(info.get("sha1")),
        timestamp=_moment(info.get("timestamp")),
        size_bytes=whole_number(info.get("size")),
        width_px=whole_number(info.get("width")) or 0,
        page_count=min(max(whole_number(info.get("pagecount")) or 1, 1), MAX_PAGE),
        duration_s=_rational(info.get("duration")),
        mime=(_text(info.get("mime")) or "").lower(),
        media_type=(_text(info.get("mediatype")) or "").upper(),
        url=_text(info.get("url")),
        thumb_url=_thumb_url(info),
        thumb_width_px=whole_number(info.get("thumbwidth")) or 0,
        hidden=bool(info.get("filehidden") or info.get("suppressed")),
        file_missing=bool(info.get("filemissing")),
    )


def parse_pages(answers: Iterable[Mapping[str, object]], titles: Iterable[str]) -> dict[str, FilePage]:
    """Bring the answers of one question (and its continuations) back to the titles that were asked.

    Args:
        answers: Whole API answers.
        titles: What was asked for.

    Returns:
        One page for each title; titles that no answer speaks of are left out.
    """
    moves: dict[str, str] = {}
    pages: dict[str, FilePage] = {}
    for answer in answers:
        query = answer.get("query")
        if not isinstance(query, Mapping):
            continue
        for name in ("normalized", "converted", "redirects"):
            for move in _mappings(query.get(name)):
                source, target = _text(move.get("from")), _text(move.get("to"))
                if source and target:
                    moves[unquote(source) if move.get("fromencoded") else source] = target
        for page in _mappings(query.get("pages")):
            parsed = _parse_page(page)
            if parsed is not None:
                pages[parsed.title] = _joined(pages.get(parsed.title), parsed)
    found = {}
    for title in titles:
        page_at_end = pages.get(_follow(title, moves))
        if page_at_end is not None:
            found[title] = page_at_end
    return found


def _parse_page(page: Mapping[str, object]) -> FilePage | None:
    title = _text(page.get("title"))
    if title is None:
        return None
    infos = _mappings(page.get("imageinfo")) or _mappings(page.get("videoinfo"))
    derivatives = tuple(_derivatives(infos[0].get("derivatives"))) if infos else ()
    # `missing` beside imageinfo is a file without a description page; it counts as there.
    return FilePage(
        title=title,
        missing=not infos and (bool(page.get("missing")) or page.get("imagerepository") == ""),
        invalid=bool(page.get("invalid")),
        versions=tuple(parse_version(info) for info in infos),
        derivatives=derivatives,
    )


def _joined(before: FilePage | None, now: FilePage) -> FilePage:
    """A continuation repeats the page and brings the versions that did not fit."""
    if before is None:
        return now
    return FilePage(
        title=now.title,
        missing=before.missing and now.missing,
        invalid=before.invalid or now.invalid,
        versions=before.versions + now.versions,
        derivatives=before.derivatives or now.derivatives,
    )


def _derivatives(value: object) -> Iterable[Derivative]:
    """The transcodes; the original stands in the same list, without a `transcodekey`."""
    for entry in _mappings(value):
        url, kind = _text(entry.get("src")), _text(entry.get("type")) or ""
        width, height = whole_number(entry.get("width")), whole_number(entry.get("height"))
        if url and width and height and entry.get("transcodekey") and kind.lower().startswith("video/"):
            yield Derivative(url, width, height, _rational(entry.get("bandwidth")))


def _follow(title: str, moves: Mapping[str, str]) -> str:
    for _ in range(5):
        if title not in moves:
            break
        title = moves[title]
    return title.partition("#")[0]


def _thumb_url(info: Mapping[str, object]) -> str | None:
    """Files without a renderer get the picture of a file type as their "thumbnail"."""
    url = _text(info.get("thumburl"))
    if url is None or info.get("thumberror"):
        return None
    return None if urlsplit(url).path.rpartition("/")[2].startswith("fileicon") else url


def _mappings(value: object) -> list[Mapping[str, object]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _rational(value: object) -> float:
    sensible = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e12
    return float(value) if sensible and isinstance(value, int | float) else 0.0


def _moment(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


__all__ = [
    "MAX_PAGE",
    "Derivative",
    "FilePage",
    "FileVersion",
    "parse_pages",
    "parse_version",
    "whole_number",
]
