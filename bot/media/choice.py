"""Pure: which rendition of a file version is downloaded, by the robot policy and the model's needs.

A thumbnail of a standard step before anything else; the original only where there is no rendition, where a
thumbnail could hide frames, or as the last resort of `bot.media.schedule`.  No address is ever built: every
one is handed on exactly as the API gave it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bot.errors import RetryLater, SkipUpload
from bot.media.imageinfo import Derivative, FileVersion
from bot.settings import MediaSettings
from bot.upload import Part, Rendition

DECODABLE_MIMES = frozenset(
    {
        "image/apng",
        "image/bmp",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/tiff",
        "image/vnd.mozilla.apng",
        "image/webp",
        "image/x-bmp",
        "image/x-ms-bmp",
    }
)
"""Originals that our own decoders read; everything else needs the wiki's rendering."""

ANIMATION_MIMES = frozenset({"image/apng", "image/gif", "image/vnd.mozilla.apng", "image/webp"})
"""Formats whose thumbnail may be a still of an animation, and where the API does not always tell."""

RANGED_MIMES = frozenset({"video/mp4", "video/quicktime", "video/webm", "video/x-matroska"})
"""Videos with an index, of which a decoder reads only what it looks at; others are read from start to end."""


def is_audio(version: FileVersion) -> bool:
    """Whether there is nothing to look at.

    Args:
        version: The file version.
    """
    return version.media_type == "AUDIO" or (
        version.media_type != "VIDEO" and version.mime.startswith("audio/")
    )


def is_video(version: FileVersion) -> bool:
    """Whether the file has moving pictures; an Ogg file of unknown content counts as one.

    Args:
        version: The file version.
    """
    moving = version.media_type == "VIDEO" or version.mime.startswith("video/")
    return (moving or version.mime == "application/ogg") and not is_audio(version)


def is_document(version: FileVersion) -> bool:
    """Whether several pages have to be asked for.

    Args:
        version: The file version.
    """
    return version.page_count > 1 and version.thumb_url is not None and not version.thumb_is_original


def sampled_pages(page_count: int) -> tuple[int, ...]:
    """The first, a middle and the last page, each once, in order.

    Args:
        page_count: From 1.
    """
    return tuple(sorted({1, (page_count + 1) // 2, page_count}))


def still(version: FileVersion, settings: MediaSettings) -> Rendition:
    """Choose for a picture or an animation.

    Args:
        version: The file version.
        settings: Limits.

    Returns:
        The original of an animation within its limit, else the thumbnail, else the original.

    Raises:
        SkipUpload: `too_large` or `unsupported_type`.
    """
    animated = version.duration_s > 0 or version.mime in ANIMATION_MIMES
    if animated and version.mime in DECODABLE_MIMES and _within(version, settings.animation_max_bytes):
        rendition = _original(version, settings.animation_max_bytes)
        if rendition is not None:
            return rendition
    if version.thumb_url is not None and not version.thumb_is_original:
        width_px = version.thumb_width_px or None
        part = Part(version.thumb_url)
        return Rendition("thumbnail", (part,), width_px, settings.thumbnail_max_bytes)
    return _original_picture(version, settings)


def document(version: FileVersion, page_urls: Mapping[int, str], settings: MediaSettings) -> Rendition:
    """Choose for a document.

    Args:
        version: The file version; its own thumbnail is page 1.
        page_urls: Thumbnails of the other pages; an address seen before is left out, because a renderer that
            does not know the page gives another page again.
        settings: Limits.

    Returns:
        One part for each page that has a picture of its own.
    """
    urls = {1: version.thumb_url or "", **{page: page_urls[page] for page in sorted(page_urls)}}
    parts: dict[str, Part] = {}
    for page, url in urls.items():
        if url:
            parts.setdefault(url, Part(url, page=page))
    width_px = version.thumb_width_px or None
    return Rendition("thumbnail", tuple(parts.values()), width_px, settings.thumbnail_max_bytes)


def video(
    version: FileVersion, derivatives: Sequence[Derivative], settings: MediaSettings, *, may_come: bool
) -> Rendition:
    """Choose for a video.

    Args:
        version: The file version.
        derivatives: Its transcodes, none for an old version.
        settings: Limits.
        may_come: Whether transcodes may still come.

    Returns:
        The smallest transcode, else the original within its limit, or what is looked at of it: where that may
        be much less, by ranges.

    Raises:
        RetryLater: `too_large`, while transcodes may still come.
        SkipUpload: `too_large`.
    """
    if derivatives:
        smallest = min(derivatives, key=lambda one: (one.height_px, one.bandwidth_bits_per_s, one.url))
        return Rendition("derivative", (Part(smallest.url),), smallest.width_px, settings.video_max_bytes)
    rendition = _original(version, settings.video_max_bytes)
    by_ranges = _by_ranges(version, settings)
    if rendition is not None and _within(version, settings.video_max_bytes):
        return replace(rendition, by_ranges=by_ranges)
    if rendition is not None and by_ranges and not may_come:
        return replace(rendition, by_ranges=True)
    message = f"The video has {version.size_bytes} bytes and no smaller version."
    if may_come:
        raise RetryLater("too_large", message)
    raise SkipUpload("too_large", message)


def fallback(version: FileVersion, settings: MediaSettings) -> Rendition:
    """Choose once all waiting for the first choice was in vain: the original, if it may be had.

    Args:
        version: The file version.
        settings: Limits.

    Raises:
        SkipUpload: `rendition_unavailable`.
    """
    moving = is_video(version)
    limit_bytes = settings.video_max_bytes if moving else settings.original_max_bytes
    rendition = _original(version, limit_bytes)
    if (
        rendition is None
        or not (moving or version.mime in DECODABLE_MIMES)
        or not _within(version, limit_bytes)
    ):
        raise SkipUpload("rendition_unavailable", "No rendition ever came, and the original cannot be used.")
    return rendition


def _original_picture(version: FileVersion, settings: MediaSettings) -> Rendition:
    rendition = _original(version, settings.original_max_bytes)
    if version.mime not in DECODABLE_MIMES or rendition is None:
        raise SkipUpload("unsupported_type", f"The wiki renders no picture of {version.mime or 'this type'}.")
    if not _within(version, settings.original_max_bytes):
        raise SkipUpload("too_large", f"The file has {version.size_bytes} bytes and no rendition.")
    return rendition


def _original(version: FileVersion, max_bytes: int) -> Rendition | None:
    if version.url is None:
        return None
    part = Part(version.url, sha1_hex=version.sha1_hex, size_bytes=version.size_bytes)
    return Rendition("original", (part,), version.width_px or None, max_bytes)


def _by_ranges(version: FileVersion, settings: MediaSettings) -> bool:
    smallest_bytes, largest_bytes = settings.range_min_bytes, settings.range_max_file_bytes
    size_bytes = version.size_bytes
    ranged = version.mime in RANGED_MIMES
    return ranged and size_bytes is not None and smallest_bytes <= size_bytes <= largest_bytes


def _within(version: FileVersion, max_bytes: int) -> bool:
    """An unknown size passes: the limit is enforced again while reading."""
    return version.size_bytes is None or version.size_bytes <= max_bytes


__all__ = [
    "ANIMATION_MIMES",
    "DECODABLE_MIMES",
    "RANGED_MIMES",
    "document",
    "fallback",
    "is_audio",
    "is_document",
    "is_video",
    "sampled_pages",
    "still",
    "video",
]
