"""Keep a reduced copy of what people are asked about: the file first, then its row.

Who is killed in between leaves a file without a row, which the next sweep removes; never a picture that
nobody knows of for long.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from bot.feedback_settings import RetentionSettings
from bot.retention.folder import MEDIA_TYPE, CopyFolder
from classifier.pictures import as_jpeg, picture_at
from classifier.streams import Decoder
from classifier.values import FrameResult, MediaPart
from storage import kept_copies
from storage.engine import Database

log = logging.getLogger(__name__)


class CopyKeeper:
    """Makes and keeps reduced copies; threads may share it.

    Args:
        database: Where they are recorded.
        folder: Where they lie.
        decoder: The limited workers that decode.
        settings: For how long, and how small.
    """

    def __init__(
        self, database: Database, folder: CopyFolder, decoder: Decoder, settings: RetentionSettings
    ) -> None:
        self._database = database
        self._folder = folder
        self._decoder = decoder
        self._settings = settings

    def keep(
        self, upload_id: int, parts: Sequence[MediaPart], worst: FrameResult, now: datetime
    ) -> str | None:
        """Keep the picture that gave an upload its score.

        Args:
            upload_id: Row id of the upload.
            parts: Its files.
            worst: Which of its pictures.
            now: The present.

        Returns:
            SHA-256 of the copy; None where nothing is to be kept, because of the settings or because the wiki
            suppressed it meanwhile.

        Raises:
            ClassifierError: Where the picture cannot be decoded (any more).
            StoreError: Where it cannot be recorded.
            OSError: Where it cannot be written.
        """
        wanted = self._settings
        if wanted.days <= 0:
            return None
        preprocessing = f"reduced-v1@{wanted.side_px}"
        frame = picture_at(parts, self._decoder, preprocessing, at_s=worst.at_s, page=worst.page)
        content = as_jpeg(frame.pixels, wanted.jpeg_quality)
        with self._folder.locked():
            sha256 = self._folder.write(content)
            with self._database.transaction() as tx:
                may_stay = kept_copies.add(
                    tx,
                    upload_id=upload_id,
                    sha256=sha256,
                    media_type=MEDIA_TYPE,
                    size_bytes=len(content),
                    at_s=frame.at_s,
                    kept_at=now,
                    expires_at=now + timedelta(days=wanted.days),
                )
            if not may_stay:
                with self._database.read() as tx:
                    needed = kept_copies.sharing(tx, [sha256])
                if not needed:
                    self._folder.remove(sha256)
                return None
        return sha256


__all__ = ["CopyKeeper"]
