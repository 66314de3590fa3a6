"""A consumer of the sandbox's stream, as the daemon is one, for tests that wait for what it brings."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from bot.settings import Settings
from bot.stream.eventstreams import StreamBatch, UploadStream
from storage.values import ChangeKind, FileChange, StreamPosition, Upload, UploadAction

FoundT = TypeVar("FoundT")


@dataclass
class Follower:
    """A consumer of the stream in a thread of its own, as the daemon is."""

    stream: UploadStream
    stop: threading.Event
    changed: threading.Condition
    batches: list[StreamBatch]

    def run(self) -> None:
        for batch in self.stream:
            with self.changed:
                self.batches.append(batch)
                self.changed.notify_all()

    def uploads(self) -> list[Upload]:
        return [upload for batch in self.batches for upload in batch.uploads]

    def changes(self) -> list[FileChange]:
        return [change for batch in self.batches for change in batch.changes]

    def upload(self, title: str, action: UploadAction = UploadAction.UPLOAD) -> Upload:
        return self.wait(
            lambda: next((u for u in self.uploads() if (u.title, u.action) == (title, action)), None)
        )

    def change(self, title: str, kind: ChangeKind) -> FileChange:
        return self.wait(
            lambda: next((c for c in self.changes() if (c.title, c.kind) == (title, kind)), None)
        )

    def wait(self, find: Callable[[], FoundT | None]) -> FoundT:
        with self.changed:
            assert self.changed.wait_for(lambda: find() is not None, timeout=60)
            found = find()
        assert found is not None
        return found


@contextmanager
def following(settings: Settings) -> Iterator[Follower]:
    """Follow the stream from a position a moment ago: what a test does next cannot be missed."""
    now = datetime.now(UTC)
    at_ms = int(now.timestamp() * 1000)
    event_id = f'[{{"topic":"eqiad.mediawiki.recentchange","partition":0,"timestamp":{at_ms}}}]'
    position = StreamPosition("recentchange", event_id, now, now)
    stop = threading.Event()
    stream = UploadStream(settings.stream, settings.wiki, settings.user_agent, stop, position)
    follower = Follower(stream, stop, threading.Condition(), [])
    thread = threading.Thread(target=follower.run)
    thread.start()
    try:
        yield follower
    finally:
        stop.set()
        thread.join()


def at_last(act: Callable[[], FoundT], refusal: type[Exception]) -> FoundT:
    """Try until it works; pytest's own time limit ends this."""
    while True:
        try:
            return act()
        except refusal:
            time.sleep(0.1)
