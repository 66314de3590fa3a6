"""Carries out the orders: uploads specimens, sends events, keeps the plan of what the bot should record."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from bot.minicommons import events
from bot.minicommons.media import MediaServer
from bot.minicommons.plan import Corpus, MediaFault, Plan, PlannedOutcome, Specimen
from bot.minicommons.ring import Ring
from bot.minicommons.statistics import Statistics
from bot.minicommons.stream import StreamFaults, StreamServer
from bot.minicommons.thumbnails import Thumbnails
from bot.minicommons.wiki import LogEntry, MiniWiki

log = logging.getLogger(__name__)

_LAGGING_LOOKUPS = 2


class Director:
    """Everything behind the server's doors.

    Args:
        corpus: What can be uploaded.
        keep_events: How many events the stream can replay.
    """

    def __init__(self, corpus: Corpus, keep_events: int) -> None:
        self.corpus = corpus
        self.wiki = MiniWiki(Path(corpus.directory))
        self.statistics = Statistics()
        self.ring = Ring(keep_events)
        self.stream = StreamServer(self.ring, self.statistics)
        self.media = MediaServer(self.wiki, Thumbnails(Path(corpus.directory)))
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._rng = Random(20260101)
        self._outcomes: list[PlannedOutcome] = []
        self._background: list[threading.Thread] = []
        self._rc_id = 2_900_000_000
        self._bulk = self._noise = 0
        self._api_failure: tuple[str, int, int | None] = ("", 0, None)

    def obey(self, order: str, arguments: dict[str, Any]) -> Any:
        """Carry out an order of `Controls`.

        Args:
            order: Its name.
            arguments: Its arguments.

        Returns:
            A JSON-able result.

        Raises:
            ValueError: Where there is no such order, or the arguments do not fit.
        """
        orders: dict[str, Callable[..., Any]] = {
            "publish_corpus": self._publish_corpus,
            "publish_many": self._publish_many,
            "publish_noise": self._publish_noise,
            "publishing": self._publishing,
            "plan": self._plan,
            "statistics": lambda: self.statistics.snapshot() | {"ring": len(self.ring)},
            "delete": self._delete,
            "move": self._move,
            "suppress": self.wiki.suppress,
            "set_stream": self._set_stream,
            "close_streams": lambda abrupt: self.stream.close_all(abrupt=abrupt),
            "mute_streams": self.stream.mute_all,
            "forget_events": self.ring.forget,
            "set_media_fault": self._set_media_fault,
            "fail_api": self._fail_api,
        }
        if order not in orders:
            raise ValueError(f"no such order: {order}")
        try:
            return orders[order](**arguments)
        except (TypeError, KeyError) as error:
            raise ValueError(f"{order}: {error!r}") from error

    # Publishing

    def _publish_corpus(
        self, names: Sequence[str] | None, rate_per_s: float, withhold: Sequence[str]
    ) -> None:
        for name in (*(names or ()), *withhold):
            self.corpus.specimen(name)
        chosen = [s for s in self.corpus.specimens if names is None or s.name in names]
        self._paced((lambda s=s: self._tell(s, withheld=s.name in withhold) for s in chosen), rate_per_s)  # type: ignore[misc]

    def _publish_many(
        self, count: int, rate_per_s: float, names: Sequence[str] | None, withhold_every: int
    ) -> None:
        if names is None:
            sources = [specimen for specimen in self.corpus.specimens if specimen.bulk]
        else:
            sources = [self.corpus.specimen(name) for name in names]
        if not sources:
            raise ValueError("the corpus has no picture for bulk uploads")

        def one() -> None:
            with self._lock:
                self._bulk += 1
                number = self._bulk
            source = sources[number % len(sources)]
            extension = source.title.rpartition(".")[2]
            withheld = withhold_every > 0 and number % withhold_every == 0
            title = f"File:Bulk upload {number:06d}.{extension}"
            self._upload(source, title, withheld=withheld, suffix=b"bulk %d" % number)

        self._paced((one for _ in range(count)), rate_per_s)

    def _publish_noise(self, count: int, rate_per_s: float, size_bytes: int) -> None:
        def one() -> None:
            now = time.time()
            with self._lock:
                number, self._noise = self._noise, self._noise + 1
                event = events.noise_event(number, datetime.fromtimestamp(now, UTC), self._rng, size_bytes)
                self.ring.append(event, int(now * 1000))

        if count < 0 and rate_per_s <= 0:
            raise ValueError("endless noise needs a rate")
        forever = iter(lambda: one, None)
        self._paced(forever if count < 0 else (one for _ in range(count)), rate_per_s, counts=count >= 0)

    def _paced(self, steps: Iterable[Callable[[], None]], rate_per_s: float, *, counts: bool = True) -> None:
        """Take the steps at once, or at a rate in a thread of their own that `publishing` may count."""
        if rate_per_s <= 0:
            for step in steps:
                step()
            return

        def run() -> None:
            start = time.monotonic()
            for number, step in enumerate(steps):
                # Against the clock, not from step to step: a late step is caught up.
                if self.stopping.wait(max(0.0, start + number / rate_per_s - time.monotonic())):
                    return
                step()

        thread = threading.Thread(target=run, name="minicommons-publisher", daemon=True)
        if counts:
            self._background.append(thread)
        thread.start()

    def _publishing(self) -> bool:
        return any(thread.is_alive() for thread in self._background)

    def _tell(self, specimen: Specimen, *, withheld: bool) -> None:
        """Upload a specimen and let happen to it what its story says."""
        self._upload(specimen, specimen.title, withheld=withheld)
        if specimen.story == "deleted":
            self._delete(specimen.title)
        elif specimen.story == "moved" and specimen.moved_to:
            self._move(specimen.title, specimen.moved_to)

    def _upload(self, specimen: Specimen, title: str, *, withheld: bool, suffix: bytes = b"") -> None:
        now = datetime.now(UTC)
        # Two versions within one second would share an archive name.
        older = self.wiki.newest_timestamp(title)
        if older and older >= now.replace(microsecond=0):
            now = older + timedelta(seconds=1)
        comment = f"== {{{{int:filedesc}}}} ==\n{{{{Information\n|Description={specimen.note}\n}}}}"
        with self._lock:
            if specimen.story == "lagging":
                self.wiki.hide_from_lookups(title, _LAGGING_LOOKUPS)
            self.wiki.set_fault(title, specimen.fault)
            user = f"Uploader {len(self._outcomes) % 17}"
            entry = self.wiki.upload(title, specimen.file, user, now, comment, suffix)
            if specimen.story == "suppressed":
                self.wiki.suppress(title)
            planned = PlannedOutcome(
                entry.log_id, entry.title, specimen.name, specimen.expected, not withheld, time.time()
            )
            self._outcomes.append(planned)
            if not withheld:
                self._send(entry)

    def _send(self, entry: LogEntry) -> None:
        now = time.time()
        self._rc_id += 1
        event = events.log_event(entry, datetime.fromtimestamp(now, UTC), self._rng, self._rc_id)
        self.ring.append(event, int(now * 1000))

    def _delete(self, title: str) -> None:
        with self._lock:
            self._send(self.wiki.delete(title, "Sysop", datetime.now(UTC), "[[COM:CSD#G7]]"))

    def _move(self, title: str, target: str) -> None:
        with self._lock:
            self._send(self.wiki.move(title, target, "Filemover", datetime.now(UTC), "Criterion 2"))

    def _plan(self) -> dict[str, Any]:
        with self._lock:
            return Plan(tuple(self._outcomes)).as_json()

    # Faults

    def _set_stream(self, **faults: Any) -> None:
        unknown = set(faults) - set(StreamFaults.__slots__)
        if unknown:
            raise ValueError(f"unknown stream faults: {sorted(unknown)}")
        for name, value in faults.items():
            setattr(self.stream.faults, name, value)
        self.ring.wake()

    def _set_media_fault(self, title: str | None, fault: dict[str, Any]) -> None:
        if title is None:
            self.media.set_outage(MediaFault(**fault))
        else:
            self.wiki.set_fault(title, MediaFault(**fault))

    def _fail_api(self, kind: str, times: int, retry_after_s: int | None) -> None:
        with self._lock:
            self._api_failure = (kind, times, retry_after_s)

    def take_api_failure(self, *, has_maxlag: bool) -> tuple[str, int | None] | None:
        """The failure that this API request meets; counts it down.

        Args:
            has_maxlag: Whether the request carries `maxlag`.

        Returns:
            Kind and Retry-After, or None.
        """
        with self._lock:
            kind, times, retry_after_s = self._api_failure
            if times == 0 or (kind == "maxlag" and not has_maxlag):
                return None
            self._api_failure = (kind, times - 1 if times > 0 else times, retry_after_s)
            return kind, retry_after_s

    def stop(self) -> None:
        """End what runs in the background, and every stream connection."""
        self.stopping.set()
        self.stream.close_all(abrupt=False)
        for thread in self._background:
            thread.join(timeout=10)
