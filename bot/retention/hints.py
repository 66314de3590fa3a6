"""Hints for reviewers: this looks like something that was reviewed, or has the bytes of a deleted file.

Hints are stored beside the upload and are never labels. They are found once, when an upload is put up for
review; what the other item's verdict is by the time somebody looks, the row asks the store again.

Details: `near_duplicate` has `upload_id`, `item_id`, `title`, `verdict`, `nsfw` and `distance_bits` of the
nearest upload on which trusted people agree; `reupload_of_deleted` has the `titles` under which the file was.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import numpy as np

from bot.api import ApiError
from classifier import pdq
from classifier.pictures import picture_at
from classifier.streams import Decoder
from classifier.values import MediaPart
from storage import picture_hashes
from storage.engine import Database
from storage.hash_index import HASH_BYTES, HashIndex
from storage.picture_hashes import MarkKind
from storage.values import ClaimedUpload

log = logging.getLogger(__name__)

MAX_TITLES = 5
_REFUSED = frozenset({"permissiondenied", "readapidenied"})


class Asks(Protocol):
    """Asks the wiki; see `bot.api.Api`."""

    def query(self, params: Mapping[str, str | int]) -> Mapping[str, Any]:
        """Ask `action=query` once."""
        ...


class Hints:
    """Hashes pictures, and looks for what is known of them; threads may share it.

    Args:
        database: Where hashes, verdicts and hints are.
        decoder: The limited workers that decode.
        api: Asked for deleted files; None: nobody asks.
        near_duplicates: Whether pictures are hashed and compared.
    """

    def __init__(
        self, database: Database, decoder: Decoder, api: Asks | None, *, near_duplicates: bool
    ) -> None:
        self._database = database
        self._decoder = decoder
        self._api = api
        self._index: HashIndex | None = None
        self._refused = threading.Event()
        if near_duplicates and pdq.is_installed():
            self._index = HashIndex()
        elif near_duplicates:
            log.warning("near_duplicates_off", extra={"reason": "pdqhash is not installed"})

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
        with self._database.transaction() as tx:
            picture_hashes.add(tx, claimed.id, hashed, quality, now)
            known = picture_hashes.known(tx, {one.id for one in near} - {claimed.id})
            nearest = next((one for one in near if one.id in known), None)
            if nearest is None:
                return
            other = known[nearest.id]
            detail = {
                "upload_id": other.upload_id,
                "item_id": other.item_id,
                "title": other.title,
                "verdict": other.verdict.value,
                "nsfw": other.nsfw,
                "distance_bits": nearest.distance_bits,
            }
            picture_hashes.mark(tx, claimed.id, MarkKind.NEAR_DUPLICATE, detail, now)
        log.info("near_duplicate_found", extra={"log_id": claimed.upload.log_id, "like": other.item_id})

    def note_reupload(self, claimed: ClaimedUpload, now: datetime) -> None:
        """Ask the wiki for deleted files with the same bytes; once it refuses, nobody asks again.

        Args:
            claimed: The upload.
            now: The present.

        Raises:
            ServiceDown: Where the wiki does not answer.
            StoreError: Where the store is away.
        """
        sha1 = claimed.upload.sha1
        if self._api is None or self._refused.is_set() or not sha1:
            return
        question: dict[str, str | int] = {"list": "filearchive", "fasha1base36": sha1, "falimit": MAX_TITLES}
        try:
            answer = self._api.query(question)
        except ApiError as error:
            if not self._refused.is_set():
                self._refused.set()
                level = logging.INFO if error.code in _REFUSED else logging.WARNING
                log.log(level, "reuploads_off", extra={"reason": str(error)})
            return
        titles = deleted_titles(answer)
        if not titles:
            return
        with self._database.transaction() as tx:
            picture_hashes.mark(tx, claimed.id, MarkKind.REUPLOAD_OF_DELETED, {"titles": titles}, now)
        log.info("reupload_found", extra={"log_id": claimed.upload.log_id, "titles": titles})


def deleted_titles(answer: Mapping[str, Any]) -> list[str]:
    """Read an answer about deleted files.

    Args:
        answer: To `list=filearchive`, in `formatversion=2`.

    Returns:
        Titles, each once, in the order of the answer.
    """
    query = answer.get("query")
    files = query.get("filearchive") if isinstance(query, dict) else None
    found = [file.get("title") for file in files if isinstance(file, dict)] if isinstance(files, list) else []
    return list(dict.fromkeys(title for title in found if isinstance(title, str) and title))


__all__ = ["Asks", "Hints", "deleted_titles"]
