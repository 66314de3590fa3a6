"""Bring files of the wiki here for `classify`, with the daemon's own locator and downloader and their limits.

Large videos are read as far as they are looked at, as the daemon does. Files lie in a folder of this process
alone, so that a daemon that starts meanwhile does not sweep them away, and are deleted as soon as they are
scored. What a killed process left is removed by the next one.
"""

import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from bot.api import Api
from bot.errors import BotError, RetryLater, ServiceDown
from bot.media.download import Downloader
from bot.media.locate import Locator
from bot.settings import Settings
from bot.upload import Downloaded, Rendition
from storage.values import ClaimedUpload, Upload, UploadAction

_PREFIX: Final = "classify-"
_LOCK: Final = ".lock"
_LEAVE_S: Final = 30.0
"""How long files that are still being fetched are waited for: once told to stop, they end within seconds."""


class TitleFetcher:
    """Locates all titles with few questions, and downloads each when its turn comes; threads share it.

    Args:
        settings: Wiki, contact and limits.
        stop: Ends every question and every download when it is set.

    Raises:
        ConfigError: No contact is set.
    """

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self._settings = settings
        self._user_agent = settings.user_agent
        self._stop = stop
        self._renditions: dict[str, Rendition | BotError] = {}
        self._downloader: Downloader | None = None
        self._changed = threading.Condition()
        self._fetching = 0

    @contextmanager
    def located(self, titles: Sequence[str]) -> Iterator[None]:
        """Ask the wiki about titles; files can be fetched until the context is left, and are then gone.

        Args:
            titles: `File:…` titles. What the wiki cannot tell of one of them is raised when it is fetched.

        Raises:
            ServiceDown: The wiki does not answer, or `media.directory` cannot be used.
        """
        settings = self._settings
        api = Api(settings.api, settings.wiki.api_url, self._user_agent, self._stop)
        locator = Locator(api, settings.media, settings.api.batch_titles)
        now = datetime.now(UTC)
        unique = list(dict.fromkeys(titles))
        # What the locator wants to know of an upload; without a SHA-1, the current version is meant.
        claimed = [
            ClaimedUpload(
                number,
                Upload(settings.wiki.id, number, UploadAction.UPLOAD, title, None, None, None, now),
                title,
                0,
                "",
                now,
            )
            for number, title in enumerate(unique)
        ]
        found = self._for_now(locator, claimed)
        self._renditions = {title: found[number] for number, title in enumerate(unique)}
        with _private_folder(settings.media.directory) as folder:
            media = settings.media.model_copy(update={"directory": folder})
            self._downloader = Downloader(media, self._user_agent, self._stop)
            try:
                yield
            finally:
                self._leave(self._downloader)

    def _for_now(
        self, locator: Locator, claimed: Sequence[ClaimedUpload]
    ) -> Mapping[int, Rendition | BotError]:
        """Locate for somebody who waits: of a large video, what the daemon takes when waiting was in vain.

        It hopes for a smaller version for a day, and reads the original in ranges only then.
        """
        found = dict(locator.locate(claimed))
        last_try = len(self._settings.media.retry_after_s) + 1
        too_large = [replace(one, attempts=last_try) for one in claimed if _is_too_large_yet(found[one.id])]
        if too_large:
            last = locator.locate(too_large)
            found |= {number: answer for number, answer in last.items() if isinstance(answer, Rendition)}
        return found

    @contextmanager
    def fetched(self, title: str) -> Iterator[Downloaded]:
        """Download one of the titles; its files are deleted when the context is left.

        Of a large video only the first bytes are fetched here: see `Downloader.download`.

        Args:
            title: One of those that were located.

        Yields:
            The files, to be decoded as `Downloaded.media_parts` gives them.

        Raises:
            SkipUpload: There is nothing to score, or it is over a limit.
            RetryLater: It cannot be had at the moment.
            ServiceDown: The host cannot be reached, or the disk not be written.
        """
        rendition = self._renditions[title]
        if isinstance(rendition, BotError):
            raise rendition
        with self._kept_open() as downloader:
            downloaded = downloader.download(rendition, may_have_holes=True)
            try:
                yield downloaded
            finally:
                downloader.discard(downloaded)

    @contextmanager
    def _kept_open(self) -> Iterator[Downloader]:
        """Hold back the end of the folder: whoever fetches later would make it anew."""
        with self._changed:
            if self._downloader is None:
                raise ServiceDown("download", "not fetched: the command is ending")
            downloader = self._downloader
            self._fetching += 1
        try:
            yield downloader
        finally:
            with self._changed:
                self._fetching -= 1
                self._changed.notify_all()

    def _leave(self, downloader: Downloader) -> None:
        with self._changed:
            self._downloader = None
            self._changed.wait_for(lambda: not self._fetching, _LEAVE_S)
        downloader.close()


def _is_too_large_yet(answer: Rendition | BotError) -> bool:
    return isinstance(answer, RetryLater) and answer.code == "too_large"


@contextmanager
def _private_folder(parent: Path) -> Iterator[Path]:
    with ExitStack() as stack:
        try:
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Whoever makes a folder holds this lock until that folder has its own: between the two, another
            # process would take it for one whose owner was killed.
            with FileLock(parent / f"{_PREFIX}folders{_LOCK}"):
                _remove_abandoned(parent)
                folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
                stack.enter_context(FileLock(folder / _LOCK))
        except OSError as error:
            raise ServiceDown("media.directory", str(error)) from error
        yield folder


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*/"):
        try:
            with FileLock(folder / _LOCK, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        except Timeout:
            continue


__all__ = ["TitleFetcher"]
