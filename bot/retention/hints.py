"""Hints for reviewers: this looks like something that was reviewed, or has the bytes of a deleted file.

Hints are stored beside the upload and are never labels. Only what looks alike is found here, once, when an
upload is put up for review; what people decided about the others is asked when a row is written
(`storage.hints`).
"""

import logging
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from bot.retention.reuploads import DeletedFiles
from classifier import pdq
from classifier.pictures import picture_at
from classifier.streams import Decoder
from classifier.values import MediaPart
from storage import hints, picture_hashes
from storage.engine import Database
from storage.hash_index import HASH_BYTES, HashIndex
from storage.values import ClaimedUpload

log = logging.getLogger(__name__)

MAX_NEAR = 8
"""So many look-alikes are noted; the nearest that is decided when a row is written is shown."""


class Hints:
    """Hashes pictures, and looks for what is known of them; threads may share it.

    Args:
        database: Where hashes, verdicts and hints are.
        decoder: The limited workers that decode.
        deleted: Asked for deleted files; None: nobody asks.
        near_duplicates: Whether pictures are hashed and compared.
    """

    def __init__(
        self, database: Database, decoder: Decoder, deleted: DeletedFiles | None, *, near_duplicates: bool
    ) -> None:
        self._database = database
        self._decoder = decoder
        self._deleted = deleted
        self._index: HashIndex | None = None
        if near_duplicates and pdq.is_installed():
            self._index = HashIndex()
        elif near_duplicates:
            log.info("near_duplicates_off", extra={"reason": "pdqhash is not installed"})

    def load(self) -> int:
        """Read the hashes of everything that was ever put up for review; for the start.

        Returns:
            How many there are.

        Raises:
            StoreError: Where the store is away.
        """
        if self._index is None:
            return 0
        with self._database.read() as tx:
            ids, hashes = picture_hashes.reviewed(tx, pdq.MIN_QUALITY)
        self._index.add(ids, np.frombuffer(hashes, np.uint8).reshape(-1, HASH_BYTES))
        log.info("picture_hashes_loaded", extra={"count": len(ids)})
        return len(ids)

    def note_picture(
        self, claimed: ClaimedUpload, parts: Sequence[MediaPart], in_review: bool, now: datetime
    ) -> None:
        """Hash an upload's picture; if people are asked about it, look for a reviewed one like it.

        Args:
            claimed: The upload.
            parts: Its files.
            in_review: Whether people are asked about it.
            now: The present.

        Raises:
            ClassifierError: Where the picture cannot be decoded.
            StoreError: Where the store is away.
        """
        if self._index is None:
            return
        frame = picture_at(parts, self._decoder, pdq.PREPROCESSING)
        hashed, quality = pdq.pdq(frame.pixels)
        near = []
        if in_review and quality >= pdq.MIN_QUALITY:
            near = self._index.within(hashed, pdq.MAX_DISTANCE_BITS)
            self._index.add([claimed.id], np.frombuffer(hashed, np.uint8)[None])
        near = [one for one in near if one.id != claimed.id][:MAX_NEAR]
        with self._database.transaction() as tx:
            picture_hashes.add(tx, claimed.id, hashed, quality, now)
            if near:
                hints.note_near(tx, claimed.id, near, now)
        if near:
            log.info("near_duplicate_found", extra={"log_id": claimed.upload.log_id, "count": len(near)})

    def note_reupload(self, claimed: ClaimedUpload, now: datetime) -> None:
        """Ask the wiki for deleted files with the same bytes.

        Args:
            claimed: The upload.
            now: The present.

        Raises:
            ServiceDown: Where the wiki does not answer.
            StoreError: Where the store is away.
        """
        sha1 = claimed.upload.sha1
        if self._deleted is None or not sha1:
            return
        titles = self._deleted.titles(sha1)
        if not titles:
            return
        with self._database.transaction() as tx:
            hints.note_deleted(tx, claimed.id, titles, now)
        log.info("reupload_found", extra={"log_id": claimed.upload.log_id, "titles": titles})


__all__ = ["Hints"]
