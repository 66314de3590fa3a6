"""`prop=imageinfo` and `prop=videoinfo`: what the API tells of a file's versions.

Pure. Thumbnails exist at the standard steps only; a picture that is narrower than the step asked for is
answered with its original, unless the wiki has to convert it anyway (SVG, TIFF, PDF, video frames).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bot.minicommons import titles
from bot.minicommons.extmetadata import extmetadata
from bot.minicommons.plan import StoredFile
from bot.minicommons.wiki import Page, Version

_CONVERTED = frozenset({"image/tiff", "image/svg+xml", "application/pdf", "application/sla"})
_URL_PARAMETER = re.compile(r"^(?:page(\d+)-)?(\d+)px$")
_TOO_BIG = (
    "Error creating thumbnail: Invalid thumbnail parameters or image file with more than 100 million pixels"
)


@dataclass(frozen=True, slots=True)
class Addresses:
    """How addresses of files start.

    Attributes:
        media_url: Scheme and host of the media server, `http://127.0.0.1:8080`.
    """

    media_url: str

    def of(self, path: str, content: str) -> str:
        """A file's address as the API gives it, with Wikimedia's tracking parameters."""
        tracking = f"utm_source=commons.wikimedia.org&utm_campaign=imageinfo&utm_content={content}"
        return f"{self.media_url}{path}?{tracking}"


def infos_of(
    page: Page, parameters: Mapping[str, str], addresses: Addresses
) -> tuple[list[dict[str, Any]], datetime | None]:
    """The versions of a file, the newest first.

    Args:
        page: The file.
        parameters: `iiprop` and so on, without the prefix.
        addresses: How addresses of files start.

    Returns:
        The list of the API, and the time of the first version that was left out, if any.

    Raises:
        ValueError: Where `urlparam` makes no sense.
    """
    props = set(parameters.get("prop", "timestamp|user").split("|"))
    limit_text = parameters.get("limit", "1")
    limit = 500 if limit_text == "max" else int(limit_text)
    width, page_number = _wanted(parameters)
    versions = list(page.versions)
    if start := parameters.get("start"):
        begin = datetime.fromisoformat(start).astimezone(UTC)
        versions = [version for version in versions if version.entry.timestamp <= begin]
    shown = [_info(page, version, props, width, page_number, addresses) for version in versions[:limit]]
    if "extmetadata" in props:
        said = extmetadata(page, parameters.get("extmetadatafilter"))
        shown = [info if "filehidden" in info else info | {"extmetadata": said} for info in shown]
    return shown, versions[limit].entry.timestamp if len(versions) > limit else None


def _wanted(parameters: Mapping[str, str]) -> tuple[int | None, int | None]:
    width = int(parameters["urlwidth"]) if "urlwidth" in parameters else None
    page = None
    if urlparam := parameters.get("urlparam"):
        match = _URL_PARAMETER.match(urlparam)
        if match is None:
            raise ValueError(f'Could not parse "urlparam": {urlparam}')
        page = int(match[1]) if match[1] else None
        width = width or int(match[2])
    return width, page


def _info(
    page: Page,
    version: Version,
    props: set[str],
    width: int | None,
    page_number: int | None,
    addresses: Addresses,
) -> dict[str, Any]:
    file, entry = version.file, version.entry
    info: dict[str, Any] = {}
    if version.suppressed:
        info |= {"filehidden": True, "suppressed": True}
    if "timestamp" in props:
        info["timestamp"] = entry.timestamp.strftime("%Y-%m-%dT%H:%M:%SZ")
    if "user" in props:
        info["user"] = entry.user
    if "userid" in props:
        info["userid"] = 1 + sum(entry.user.encode())
    if "comment" in props:
        info["comment"] = entry.comment
    if "archivename" in props and version.archivename:
        info["archivename"] = version.archivename
    if version.suppressed:
        return info
    if props & {"size", "dimensions"}:
        info |= {"size": version.size_bytes, "width": file.width, "height": file.height}
        if file.pagecount is not None:
            info["pagecount"] = file.pagecount
        if file.duration_s is not None:
            info["duration"] = file.duration_s
    if "url" in props:
        info |= _urls(page, version, width, page_number, addresses)
    if "sha1" in props:
        info["sha1"] = version.sha1_hex
    if "mime" in props:
        info["mime"] = file.mime
    if "mediatype" in props:
        info["mediatype"] = file.mediatype
    if "derivatives" in props:
        info["derivatives"] = _derivatives(page, version, addresses)
    return info


def _urls(
    page: Page, version: Version, width: int | None, page_number: int | None, addresses: Addresses
) -> dict[str, Any]:
    name = titles.file_name(page.title)
    original = titles.original_path(name, version.archivename)
    shown: dict[str, Any] = {
        "url": addresses.of(original, "original"),
        "descriptionurl": f"https://commons.wikimedia.org/wiki/File:{name}",
        "descriptionshorturl": f"https://commons.wikimedia.org/w/index.php?curid={page.page_id}",
    }
    if width is None:
        return shown
    file = version.file
    if file.mediatype == "AUDIO":
        icon = "https://commons.wikimedia.org/w/resources/assets/file-type-icons/fileicon-ogg.png"
        return shown | {"thumburl": icon, "thumbwidth": 120, "thumbheight": 120}
    if not file.thumbnails or not file.width:
        return shown | {"thumberror": _TOO_BIG}
    if page_number is not None and not 1 <= page_number <= (file.pagecount or 1):
        # The real API falls back to the first page rather than failing.
        page_number = 1
    step = thumbnail_width(file, width)
    if step is None:
        thumb, step = addresses.of(original, "original"), file.width
    else:
        number = (page_number or 1) if file.pagecount else None
        path = titles.thumbnail_path(name, file.mime, step, number, version.archivename)
        thumb = addresses.of(path, "thumbnail")
    height = max(1, round(file.height * step / file.width))
    return {"thumburl": thumb, "thumbwidth": step, "thumbheight": height} | shown


def thumbnail_width(file: StoredFile, asked: int) -> int | None:
    """The width of the thumbnail that is given for a width asked for.

    Args:
        file: The file.
        asked: Width asked for in pixels; taken up to the next standard step.

    Returns:
        A standard step (or the file's own width where the wiki has to convert a narrower file),
        or None where the original serves.
    """
    step = next((step for step in titles.THUMBNAIL_STEPS if step >= asked), titles.THUMBNAIL_STEPS[-1])
    if file.mime == "image/svg+xml" or file.width > step:
        return step
    return file.width if file.mime in _CONVERTED or file.mediatype == "VIDEO" else None


def _derivatives(page: Page, version: Version, addresses: Addresses) -> list[dict[str, Any]]:
    file, name = version.file, titles.file_name(page.title)
    if file.mediatype not in {"VIDEO", "AUDIO"}:
        return []
    seconds = file.duration_s or 1.0
    shown: list[dict[str, Any]] = [
        {
            "src": addresses.of(titles.original_path(name, version.archivename), "original"),
            "type": file.mime,
            "title": f"Original file, {file.width} × {file.height}",
            "shorttitle": "Original",
            "width": file.width,
            "height": file.height,
            "bandwidth": round(version.size_bytes * 8 / seconds),
        }
    ]
    shown += [
        {
            "src": addresses.of(titles.transcode_path(name, transcode.key), "transcoded"),
            "type": transcode.mime,
            "title": transcode.key,
            "shorttitle": transcode.key.split(".")[0],
            "transcodekey": transcode.key,
            "width": transcode.width,
            "height": transcode.height,
            "bandwidth": transcode.bandwidth,
        }
        for transcode in file.transcodes
    ]
    return shown
