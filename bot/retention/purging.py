"""Remove kept pictures: when their time is over, at once when the wiki suppresses the file, and when asked.

The file goes first and its row says so afterwards: whatever is killed in between is done again. A picture
that several uploads have in common stays until its last row expires. But who asks for its removal means the
picture, and so does a wiki that suppresses it: it goes at once for all of them, each with a line in the audit
log.
"""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bot.retention.folder import CopyFolder
from storage import kept_copies, picture_hashes
from storage.engine import Database
from storage.kept_copies import KeptCopy, PurgeReason
from storage.uploads import Transaction

log = logging.getLogger(__name__)

OURSELVES = "retention"
SUPPRESSED_EVERY_S = 1.0
EXPIRED_EVERY_S = 60.0
HASHES_EVERY_S = 60.0
SWEEP_EVERY_S = 86400.0
AT_ONCE = 100
"""Pictures removed under one lock: nobody waits long for it, and a killed purge repeats little."""

Clock = Callable[[], datetime]
Due = Callable[[Transaction], list[KeptCopy]]


def _now() -> datetime:
    return datetime.now(UTC)


class Purger:
    """Removes pictures and records that they are gone.

    Args:
        database: Where they are recorded.
        folder: Where they lie.
        days: For how long they are kept by the present settings.
        clock: Tells the present.
    """

    def __init__(self, database: Database, folder: CopyFolder, days: float, clock: Clock = _now) -> None:
        self._database = database
        self._folder = folder
        self._days = days
        self._clock = clock
        self._due = {"suppressed": 0.0, "expired": 0.0, "hashes": 0.0, "sweep": 0.0}

    def round(self) -> None:
        """Do what is due; for the housekeeping, which calls it about once a second.

        Raises:
            StoreError: Where the store is away; the next round tries again.
        """
        for name, every_s, work in (
            ("suppressed", SUPPRESSED_EVERY_S, self.suppressed),
            ("expired", EXPIRED_EVERY_S, self._expired_once),
            ("hashes", HASHES_EVERY_S, self.hashes),
            ("sweep", SWEEP_EVERY_S, self.sweep),
        ):
            if time.monotonic() >= self._due[name]:
                self._due[name] = time.monotonic() + every_s
                try:
                    work()
                except OSError as error:
                    log.error("purge_failed", extra={"purge": name, "reason": str(error)})

    def expired(self, by: str = OURSELVES) -> int:
        """Remove what has lain there long enough.

        Args:
            by: Who asks for it.

        Returns:
            How many rows were marked.

        Raises:
            StoreError: Where the store is away.
            OSError: Where a file cannot be removed.
        """
        return self._repeat(self._expired, PurgeReason.EXPIRED, by)

    def suppressed(self) -> int:
        """Remove what the wiki has suppressed.

        Returns:
            As `expired`.

        Raises:
            StoreError: As `expired`.
            OSError: As `expired`.
        """
        return self._repeat(lambda tx: kept_copies.suppressed(tx, AT_ONCE), PurgeReason.SUPPRESSED, OURSELVES)

    def requested(self, upload_ids: Collection[int], by: str) -> int:
        """Remove the pictures of certain uploads.

        Args:
            upload_ids: Row ids.
            by: Who asks for it.

        Returns:
            As `expired`.

        Raises:
            StoreError: As `expired`.
            OSError: As `expired`.
        """
        return self._repeat(
            lambda tx: kept_copies.of_uploads(tx, upload_ids)[:AT_ONCE], PurgeReason.REQUESTED, by
        )

    def everything(self, by: str) -> int:
        """Remove all pictures.

        Args:
            by: Who asks for it.

        Returns:
            As `expired`.

        Raises:
            StoreError: As `expired`.
            OSError: As `expired`.
        """
        return self._repeat(lambda tx: kept_copies.everything(tx, AT_ONCE), PurgeReason.REQUESTED, by)

    def hashes(self) -> int:
        """Remove the perceptual hashes of what the wiki has suppressed.

        Returns:
            How many there were.

        Raises:
            StoreError: Where the store is away.
        """
        with self._database.transaction() as tx:
            forgotten = picture_hashes.forget_suppressed(tx)
        if forgotten:
            log.info("hashes_forgotten", extra={"count": forgotten})
        return forgotten

    def sweep(self) -> int:
        """Remove files that no row needs: what a killed process left, or a restored database forgot.

        Returns:
            How many files were removed.

        Raises:
            StoreError: Where the store is away.
            OSError: Where a file cannot be removed.
        """
        removed, batch = 0, list[Path]()
        if not self._folder.exists:
            return 0
        for path in self._folder.names():
            batch.append(path)
            if len(batch) == AT_ONCE:
                removed += self._without_row(batch)
                batch = []
        removed += self._without_row(batch)
        if removed:
            log.warning("copies_without_row_removed", extra={"files": removed})
        return removed

    def _read(self, due: Due) -> list[KeptCopy]:
        with self._database.read() as tx:
            return due(tx)

    def _expired(self, tx: Transaction) -> list[KeptCopy]:
        return kept_copies.expired(tx, self._clock(), self._days, AT_ONCE)

    def _expired_once(self) -> None:
        """No more than one lot: the housekeeping has a lease to renew."""
        copies = self._read(self._expired)
        if copies:
            self._purge(copies, PurgeReason.EXPIRED, OURSELVES)
        if len(copies) == AT_ONCE:
            self._due["expired"] = 0.0

    def _without_row(self, paths: Sequence[Path]) -> int:
        if not paths:
            return 0
        with self._folder.locked():
            with self._database.read() as tx:
                needed = kept_copies.sharing(tx, {path.stem for path in paths})
            surplus = [path for path in paths if path.stem not in needed and path.exists()]
            for path in surplus:
                self._folder.discard(path)
        return len(surplus)

    def _repeat(self, due: Due, reason: PurgeReason, by: str) -> int:
        marked = 0
        while copies := self._read(due):
            marked += self._purge(copies, reason, by)
        return marked

    def _purge(self, copies: Sequence[KeptCopy], reason: PurgeReason, by: str) -> int:
        """Remove the files that may go, then mark the rows."""
        with self._folder.locked():
            with self._database.read() as tx:
                rows = kept_copies.sharing(tx, {copy.sha256 for copy in copies})
            going = {copy.id for copy in copies}
            doomed: list[KeptCopy] = []
            for sha256, needing in rows.items():
                if reason is not PurgeReason.EXPIRED:
                    going |= {copy.id for copy in needing}
                if all(copy.id in going for copy in needing):
                    self._folder.remove(sha256)
                doomed += [copy for copy in needing if copy.id in going]
            with self._database.transaction() as tx:
                marked = kept_copies.mark_purged(tx, doomed, reason, by, self._clock())
        log.info("copies_purged", extra={"count": marked, "reason": reason.value, "by": by})
        return marked


__all__ = ["OURSELVES", "Purger"]
