"""Ask the wiki about titles that requests name one at a time, with as few questions as the daemon would need.

While a question is on its way, the titles of other requests gather, and are the next question together: the
wiki is asked by one question at a time, about 50 titles at most, whatever the service's callers do.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from bot.errors import BotError, ServiceDown
from bot.upload import Rendition
from classifier.service.deadline import Deadline

Locate = Callable[[Sequence[str]], Mapping[str, Rendition | BotError]]
_POLL_S: Final = 0.2


class GatheringLocator:
    """Locates titles for many requests; threads share it.

    Args:
        locate: Answers for every one of some titles; raises `BotError` where it cannot for any.
        max_titles: Most titles in a question.
    """

    def __init__(self, locate: Locate, max_titles: int) -> None:
        self._locate = locate
        self._max_titles = max_titles
        self._lock = threading.Lock()
        self._waiting: list[tuple[str, Future[Rendition]]] = []
        self._closed = False
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="locate")

    def find(self, title: str, deadline: Deadline) -> Rendition:
        """Choose what to fetch of a file.

        Args:
            title: `File:…`.
            deadline: How long the answer is of use.

        Returns:
            What to fetch.

        Raises:
            BotError: There is nothing to fetch, or the wiki does not answer.
            DeadlineExceeded: The time is over.
        """
        mine: Future[Rendition] = Future()
        with self._lock:
            if self._closed:
                raise _ending()
            self._waiting.append((title, mine))
            # One for each request, so that nobody is forgotten; those that find nothing waiting end at once.
            self._asking.submit(self._ask)
        while True:
            try:
                return mine.result(min(_POLL_S, deadline.left_s))
            except TimeoutError:
                if deadline.left_s <= 0:
                    mine.cancel()
                deadline.check()

    def close(self) -> None:
        """End; whoever still waits is told so."""
        with self._lock:
            self._closed = True
            left, self._waiting = self._waiting, []
        for _, future in left:
            if future.set_running_or_notify_cancel():
                future.set_exception(_ending())
        self._asking.shutdown(wait=True, cancel_futures=True)

    def _ask(self) -> None:
        with self._lock:
            asked, self._waiting = self._waiting[: self._max_titles], self._waiting[self._max_titles :]
        asked = [(title, future) for title, future in asked if future.set_running_or_notify_cancel()]
        if not asked:
            return
        try:
            found = self._locate(list(dict.fromkeys(title for title, _ in asked)))
        except BaseException as error:
            for _, future in asked:
                future.set_exception(error)
            raise
        for title, future in asked:
            answer = found[title]
            if isinstance(answer, BotError):
                future.set_exception(answer)
            else:
                future.set_result(answer)


def _ending() -> ServiceDown:
    return ServiceDown("locate", "not asked: the service is ending")


__all__ = ["GatheringLocator", "Locate"]
