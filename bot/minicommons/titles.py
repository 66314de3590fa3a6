"""Titles, file names and media addresses, the way Wikimedia builds and reads them.

Pure. The layout is `/wikipedia/commons/[thumb/|archive/|transcoded/]<a>/<ab>/<name>…`, where `a` and
`ab` are the first digits of the MD5 of the file's name.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, unquote

ROOT_PATH = "/wikipedia/commons"
THUMBNAIL_STEPS = (20, 40, 60, 120, 250, 330, 500, 960, 1280, 1920, 3840)
"""`$wgThumbnailSteps` of Wikimedia: the widths that are served."""

AddressKind = Literal["original", "thumb", "transcoded"]

_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_ADDRESS = re.compile(
    rf"^{ROOT_PATH}/(?:(?P<kind>thumb|transcoded)/)?(?P<archive>archive/)?"
    r"(?P<a>[0-9a-f])/(?P<ab>[0-9a-f]{2})/(?P<name>[^/]+)(?:/(?P<rest>[^/]+))?$"
)
_THUMB_NAME = re.compile(r"^(?:lossy-|lossless-)?(?:page(?P<page>\d+)-)?(?P<width>\d+)px--?.+$")


@dataclass(frozen=True, slots=True)
class MediaAddress:
    """What a media path asks for.

    Attributes:
        kind: Original, thumbnail or transcode.
        name: File name with underscores, or the archive name of an old version.
        archived: Whether `name` is an archive name.
        width: Width of a thumbnail, else None.
        page: Page of a thumbnail; 1 where none is named.
        transcode: Key of a transcode, else None.
    """

    kind: AddressKind
    name: str
    archived: bool = False
    width: int | None = None
    page: int = 1
    transcode: str | None = None


def normalized(title: str) -> str:
    """Write a file's title the way the wiki does.

    Args:
        title: As a client may write it: underscores, a lower-case first letter, `Image:`.

    Returns:
        `File:Name with spaces.jpg`; titles of other namespaces only lose their underscores.
    """
    spaced = " ".join(title.replace("_", " ").split())
    namespace, colon, name = spaced.partition(":")
    if not colon or namespace.strip().lower() not in {"file", "image"}:
        return spaced
    name = name.strip()
    return f"File:{name[:1].upper()}{name[1:]}"


def file_name(title: str) -> str:
    """The name of a file in addresses: no namespace, underscores."""
    return normalized(title).partition(":")[2].replace(" ", "_")


def base36_sha1(sha1_hex: str) -> str:
    """The form events and the `aisha1base36` parameter use: base 36, 31 digits, zero padded."""
    number, digits = int(sha1_hex, 16), ""
    while number:
        number, digit = divmod(number, 36)
        digits = _BASE36[digit] + digits
    return digits.rjust(31, "0")


def _folder(name: str) -> str:
    # The hash is over the name, never over the archive name's time stamp.
    digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    return f"{digest[0]}/{digest[:2]}"


def _of(archivename: str) -> str:
    return archivename.partition("!")[2]


def original_path(name: str, archivename: str | None = None) -> str:
    """Path of a file's bytes, percent-encoded."""
    archive = "archive/" if archivename else ""
    return f"{ROOT_PATH}/{archive}{_folder(name)}/{quote(archivename or name, safe='!')}"


def thumbnail_path(name: str, mime: str, width: int, page: int | None, archivename: str | None = None) -> str:
    """Path of a thumbnail, percent-encoded.

    Args:
        name: File name with underscores.
        mime: The original's type; it decides the thumbnail's extension and prefix.
        width: Width in pixels.
        page: 1-based page for documents, else None.
        archivename: Set for an old version.

    Returns:
        The path.
    """
    prefix = "" if page is None else f"page{page}-"
    if mime == "image/tiff":
        prefix = "lossy-" + prefix
    dash = "-" if mime.startswith("video/") or mime == "application/ogg" else ""
    extension = {
        "image/jpeg": "",
        "image/png": "",
        "image/gif": "",
        "image/svg+xml": ".png",
        "image/webp": ".png",
        "application/sla": ".png",
    }.get(mime, ".jpg")
    archive = "archive/" if archivename else ""
    thumb = quote(f"{prefix}{width}px-{dash}{name}{extension}", safe="!")
    return f"{ROOT_PATH}/thumb/{archive}{_folder(name)}/{quote(archivename or name, safe='!')}/{thumb}"


def transcode_path(name: str, key: str) -> str:
    """Path of a video's reduced copy, percent-encoded."""
    return (
        f"{ROOT_PATH}/transcoded/{_folder(name)}/{quote(name, safe='!')}/{quote(f'{name}.{key}', safe='!')}"
    )


def parse_address(path: str) -> MediaAddress | None:
    """Read a media path.

    Args:
        path: Percent-encoded path without the query.

    Returns:
        What it asks for, or None where it is no media address.
    """
    match = _ADDRESS.match(unquote(path))
    if match is None:
        return None
    kind, rest, name = match["kind"], match["rest"], match["name"]
    archived = match["archive"] is not None
    if _folder(_of(name) if archived else name) != f"{match['a']}/{match['ab']}":
        return None
    if kind is None:
        return None if rest else MediaAddress("original", name, archived)
    if rest is None:
        return None
    if kind == "transcoded":
        key = rest.removeprefix(f"{name}.")
        return None if archived or key == rest else MediaAddress("transcoded", name, transcode=key)
    thumb = _THUMB_NAME.match(rest)
    if thumb is None:
        return None
    return MediaAddress("thumb", name, archived, int(thumb["width"]), int(thumb["page"] or 1))
