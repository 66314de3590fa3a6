"""Pictures from the wiki again, through the daemon's own locator and downloader, as politely.

Exactly the version that was scored is asked for, by its SHA-1. What comes is what the model saw: a
thumbnail, or a page of a document. Of a moving picture there is only a kept frame: whole videos are not
exported.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from bot.errors import BotError, RetryLater, ServiceDown, SkipUpload
from bot.export.pictures import NoPicture, Picture
from bot.media.download import Downloader
from bot.media.locate import Locator
from bot.media.schedule import MISSING_TRIES
from bot.upload import Rendition
from storage.export import ExportItem
from storage.values import ClaimedUpload, Upload, UploadAction

_MAGIC = (
    (b"\xff\xd8\xff", ".jpg"),
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"GIF8", ".gif"),
)


class FetchedPictures:
    """See `bot.export.pictures.Pictures`.

    Args:
        locator: The daemon's.
        downloader: The daemon's, with a directory of its own.
    """

    def __init__(self, locator: Locator, downloader: Downloader) -> None:
        self._locator, self._downloader = locator, downloader
        self._found: dict[int, Rendition | BotError] = {}

    def prepare(self, items: Sequence[ExportItem]) -> None:
        """See `Pictures.prepare`: one question for up to 50 titles."""
        now = datetime.now(UTC)
        still = [item for item in items if item.worst.at_s is None]
        self._found = self._locator.locate([_claim(item, now) for item in still]) if still else {}

    def open(self, item: ExportItem) -> Picture | NoPicture:
        """See `Pictures.open`."""
        if item.worst.at_s is not None:
            return NoPicture("moving_picture", "Of moving pictures only frames that were kept are exported.")
        found = self._found.get(item.upload_id)
        if found is None:
            return NoPicture("not_located", "It was not asked for.")
        if isinstance(found, ServiceDown):
            raise found
        if not isinstance(found, Rendition):
            return _gone(found)
        wanted = [part for part in found.parts if part.page == item.worst.page] or list(found.parts[:1])
        one_part = Rendition(found.kind, tuple(wanted[:1]), found.width_px, found.max_bytes)
        try:
            downloaded = self._downloader.download(one_part)
        except (SkipUpload, RetryLater) as error:
            return _gone(error)
        try:
            content = downloaded.parts[0].path.read_bytes()
        finally:
            self._downloader.discard(downloaded)
        suffix = suffix_of(content)
        if suffix is None:
            return NoPicture("not_a_picture", "What came is no JPEG, PNG, GIF or WebP.")
        return Picture(content, suffix, "fetched")


def suffix_of(content: bytes) -> str | None:
    """The ending for a picture's name by its first bytes; None where they are of no picture we export."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return ".webp"
    return next((suffix for magic, suffix in _MAGIC if content.startswith(magic)), None)


def _claim(item: ExportItem, now: datetime) -> ClaimedUpload:
    upload = Upload(
        item.wiki,
        item.log_id,
        UploadAction.UPLOAD,
        item.title,
        item.uploader,
        item.sha1,
        item.file_timestamp,
        item.logged_at,
    )
    # What was scored before is not missing for lack of replication.
    return ClaimedUpload(item.upload_id, upload, item.current_title, MISSING_TRIES, "", now)


def _gone(error: BotError) -> NoPicture:
    code = error.code if isinstance(error, SkipUpload | RetryLater) else "failed"
    return NoPicture(code, str(error))


__all__ = ["FetchedPictures", "suffix_of"]
