"""The life of uploads as a state machine: whatever happens, each ends at most once and none is lost."""

import shutil
import tempfile
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from sqlalchemy import func, select

from storage import models, status, uploads
from storage.engine import Database
from storage.errors import LostClaim
from storage.tables import ClassificationRow, ReviewItemRow
from storage.values import ClaimedUpload, ReviewDraw, ReviewReason, Skip
from tests.storage_database import (
    SERVER_URL,
    after,
    classification,
    fresh_database,
    model_version,
    upload,
)

TTL_S = 100.0


class UploadLife(RuleBasedStateMachine):
    """Drives the real store beside a model that is a few sets and dicts."""

    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="upload-life-"))
        self.opened = fresh_database(self.folder)
        self.database: Database = self.opened.__enter__()
        with self.database.transaction() as tx:
            self.model = models.register(tx, model_version(), after(0))
        self.clock_s = 0.0
        self.known: set[int] = set()
        self.ended: dict[int, str] = {}
        self.due_s: dict[int, float] = {}
        self.claims: dict[int, tuple[str, float]] = {}
        self.attempts: dict[int, int] = {}
        self.crashes: dict[int, int] = {}
        self.reviewed: set[int] = set()

    @property
    def now(self) -> datetime:
        return after(self.clock_s)

    def teardown(self) -> None:
        self.opened.__exit__(None, None, None)
        shutil.rmtree(self.folder)

    @rule(log_ids=st.lists(st.integers(0, 30), max_size=8))
    def add(self, log_ids: list[int]) -> None:
        new = set(log_ids) - self.known
        with self.database.transaction() as tx:
            assert uploads.add(tx, [upload(log_id) for log_id in log_ids], self.now) == len(new)
        for log_id in new:
            self.due_s[log_id], self.attempts[log_id], self.crashes[log_id] = self.clock_s, 0, 0
        self.known |= new

    @rule(seconds=st.sampled_from([1.0, TTL_S / 2, TTL_S, 5 * TTL_S]))
    def wait(self, seconds: float) -> None:
        self.clock_s += seconds

    @rule(target=held, limit=st.integers(1, 6))
    def claim(self, limit: int) -> tuple[ClaimedUpload, ...]:
        for log_id, (_, expires_s) in list(self.claims.items()):
            if expires_s <= self.clock_s:
                self.crash(log_id)
        waiting = self.known - self.ended.keys() - self.claims.keys()
        due = {log_id for log_id in waiting if self.due_s[log_id] <= self.clock_s}
        with self.database.transaction() as tx:
            claimed = uploads.claim(tx, worker="w", limit=limit, now=self.now, ttl_s=TTL_S)
        taken = {item.upload.log_id for item in claimed}
        assert len(taken) == len(claimed) == min(limit, len(due))
        assert taken <= due
        for item in claimed:
            log_id = item.upload.log_id
            assert (item.attempts, item.crashes) == (self.attempts[log_id], self.crashes[log_id])
            self.claims[log_id] = (item.claim, self.clock_s + TTL_S)
        return tuple(claimed)

    def crash(self, log_id: int) -> None:
        del self.claims[log_id]
        self.crashes[log_id] += 1

    def valid(self, item: ClaimedUpload) -> bool:
        return self.claims.get(item.upload.log_id, ("", 0.0))[0] == item.claim

    @rule(batch=held, score=st.sampled_from([0.1, 0.9]))
    def score(self, batch: tuple[ClaimedUpload, ...], score: float) -> None:
        for item in batch[:2]:
            draw = ReviewDraw(ReviewReason.FLAGGED, 1.0) if score > 0.8 else None
            try:
                with self.database.transaction() as tx:
                    scored = classification(self.model, score)
                    item_id = uploads.score(tx, item, scored, self.now, review=draw)
            except LostClaim:
                assert not self.valid(item)
                continue
            assert self.valid(item)
            assert (item_id is not None) == (draw is not None)
            self.end(item, "scored")
            if item_id is not None:
                self.reviewed.add(item.upload.log_id)

    @rule(batch=held)
    def skip(self, batch: tuple[ClaimedUpload, ...]) -> None:
        for item in batch[-1:]:
            try:
                with self.database.transaction() as tx:
                    uploads.skip(tx, item, Skip("audio", "sound only"), self.now)
            except LostClaim:
                assert not self.valid(item)
                continue
            assert self.valid(item)
            self.end(item, "audio")

    def end(self, item: ClaimedUpload, outcome: str) -> None:
        assert item.upload.log_id not in self.ended
        self.ended[item.upload.log_id] = outcome
        del self.claims[item.upload.log_id]

    @rule(batch=held, delay_s=st.sampled_from([0.0, 10.0, 1000.0]))
    def retry(self, batch: tuple[ClaimedUpload, ...], delay_s: float) -> None:
        for item in batch[1:3]:
            due = after(self.clock_s + delay_s)
            try:
                with self.database.transaction() as tx:
                    uploads.retry(tx, item, code="x", message="later", next_attempt_at=due)
            except LostClaim:
                assert not self.valid(item)
                continue
            assert self.valid(item)
            del self.claims[item.upload.log_id]
            self.attempts[item.upload.log_id] += 1
            self.due_s[item.upload.log_id] = self.clock_s + delay_s

    @rule(batch=consumes(held))
    def release(self, batch: tuple[ClaimedUpload, ...]) -> None:
        standing = [item for item in batch if self.valid(item)]
        with self.database.transaction() as tx:
            assert uploads.release(tx, batch) == len(standing)
        for item in standing:
            del self.claims[item.upload.log_id]

    @rule()
    def the_daemon_dies_and_another_takes_over(self) -> None:
        with self.database.transaction() as tx:
            assert uploads.release_of(tx) == len(self.claims)
        for log_id in list(self.claims):
            self.crash(log_id)

    @rule(log_ids=st.lists(st.integers(0, 30), min_size=1, max_size=3))
    def a_transaction_is_cut_off(self, log_ids: list[int]) -> None:
        with pytest.raises(KeyboardInterrupt), self.database.transaction() as tx:  # noqa: PT012
            uploads.add(tx, [upload(log_id) for log_id in log_ids], self.now)
            uploads.claim(tx, worker="w", limit=3, now=self.now, ttl_s=TTL_S)
            raise KeyboardInterrupt

    @invariant()
    def the_books_balance(self) -> None:
        with self.database.read() as tx:
            current = status.snapshot(tx, self.now)
            due_at = uploads.next_due_at(tx)
            classified = tx.scalar(select(func.count()).select_from(ClassificationRow))
            reviewed = tx.scalar(select(func.count()).select_from(ReviewItemRow))
        outcomes = list(self.ended.values())
        assert current.total == len(self.known)
        assert current.claimed == len(self.claims)
        assert current.scored == classified == outcomes.count("scored")
        assert sum(current.skipped.values()) == outcomes.count("audio")
        assert reviewed == current.flagged == len(self.reviewed)
        waiting = self.known - self.ended.keys() - self.claims.keys()
        times = [self.due_s[log_id] for log_id in waiting] + [expires for _, expires in self.claims.values()]
        assert due_at == (after(min(times)) if times else None)


TestUploadLife = UploadLife.TestCase
TestUploadLife.settings = settings(
    max_examples=4 if SERVER_URL else 15,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
