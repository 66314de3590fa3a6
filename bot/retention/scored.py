"""What is done with a picture once its score is recorded: a hash, a hint for reviewers, and a kept copy.

The upload has its outcome by then, and nothing that fails here changes it: a copy that is missing is fetched
again by whoever needs it, a hint that is missing is one hint less. Files that nobody is asked about leave
nothing behind but their pictures' hashes.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from bot.errors import BotError
from bot.retention.hints import Hints
from bot.retention.keeping import CopyKeeper
from classifier.decode.sandbox import DecodePoolClosed
from classifier.errors import ClassifierError
from classifier.values import MediaPart, MediaScore
from storage.errors import StoreError
from storage.values import ClaimedUpload

log = logging.getLogger(__name__)

Clock = Callable[[], datetime]


class ScoredPictures:
    """Called by the pipeline while the files of a scored upload are still there; threads may share it.

    Args:
        keeper: Keeps copies.
        hints: Hashes pictures and looks for what is known of them.
        clock: Tells the present.
    """

    def __init__(
        self, keeper: CopyKeeper, hints: Hints, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._keeper = keeper
        self._hints = hints
        self._clock = clock

    def __call__(
        self, claimed: ClaimedUpload, parts: Sequence[MediaPart], scored: MediaScore, in_review: bool
    ) -> None:
        """Do what is to be done; never raises what a file, the wiki, the disk or the store can cause.

        Args:
            claimed: The upload; its score is recorded.
            parts: Its files.
            scored: Its score.
            in_review: Whether people are asked about it.
        """
        steps: list[tuple[str, Callable[[], object]]] = []
        if scored.summary.kind == "image":
            steps.append(("hash", lambda: self._hints.note_picture(claimed, parts, in_review, self._clock())))
        if in_review:
            steps += [
                ("copy", lambda: self._keeper.keep(claimed.id, parts, scored.worst, self._clock())),
                ("reupload", lambda: self._hints.note_reupload(claimed, self._clock())),
            ]
        for name, step in steps:
            try:
                step()
            except DecodePoolClosed:
                return  # the daemon is ending
            except (BotError, ClassifierError, StoreError, OSError) as error:
                log.warning(
                    "scored_picture_failed",
                    extra={"step": name, "log_id": claimed.upload.log_id, "reason": str(error)},
                )


__all__ = ["ScoredPictures"]
