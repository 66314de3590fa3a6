"""Pictures of described files, through the daemon's own locator and downloader, by its settings."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bot.describing.values import Description
from bot.errors import BotError
from bot.media.download import Downloader
from bot.media.locate import Locator
from bot.media.schedule import MISSING_TRIES
from bot.media.sha1 import base36_from_hex
from bot.settings import MediaSettings
from bot.upload import Rendition
from storage.values import ClaimedUpload, Upload, UploadAction

TRIES = 3
"""Two for the rendition, the last one for the original, where it may be had."""


class MediaFetcher:
    """Finds and fetches renditions.

    Args:
        locator: The daemon's.
        downloader: The daemon's, with a directory beside the collection.
        settings: The schedule, of which only the last step is used: nobody waits for a day here.
        wiki_id: The wiki's database name.
    """

    def __init__(
        self, locator: Locator, downloader: Downloader, settings: MediaSettings, wiki_id: str
    ) -> None:
        self._locator, self._downloader = locator, downloader
        self._last_try = len(settings.retry_after_s) + 1
        self._wiki_id = wiki_id

    def locate(self, described: Sequence[tuple[Description, int]]) -> Sequence[Rendition | BotError]:
        """Choose renditions of exactly the versions that were described; see `Media.locate`."""
        now = datetime.now(UTC)
        claimed = [self._claim(number, one, tries, now) for number, (one, tries) in enumerate(described)]
        found = self._locator.locate(claimed)
        return [_first_part(found[number]) for number in range(len(described))]

    def fetch(self, rendition: Rendition) -> Path:
        """Download; see `Media.fetch`."""
        return self._downloader.download(rendition).parts[0].path

    def _claim(self, number: int, one: Description, tries: int, now: datetime) -> ClaimedUpload:
        uploaded = datetime.fromisoformat(one.file_timestamp) if one.file_timestamp else None
        sha1 = base36_from_hex(one.sha1_hex) if one.sha1_hex else None
        upload = Upload(self._wiki_id, number, UploadAction.UPLOAD, one.title, None, sha1, uploaded, now)
        # Whoever was just described is not missing for lack of replication.
        attempts = self._last_try if tries >= TRIES - 1 else MISSING_TRIES
        return ClaimedUpload(number, upload, one.title, attempts, "", now)


def _first_part(found: Rendition | BotError) -> Rendition | BotError:
    """Of several pages, the first: one picture has one label."""
    return replace(found, parts=found.parts[:1]) if isinstance(found, Rendition) else found


__all__ = ["TRIES", "MediaFetcher"]
