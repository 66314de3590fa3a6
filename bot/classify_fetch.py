"""Bring files of the wiki here for `classify`, with the daemon's own locator and downloader and their limits.

Large videos are read as far as they are looked at, as the daemon does. Files lie in a folder of this process
alone (`bot.media.on_demand`), and are deleted as soon as they are scored.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from bot.api import Api
from bot.errors import BotError, ServiceDown
from bot.media.download import Downloader
from bot.media.locate import Locator
from bot.media.on_demand import locate_now, private_folder
from bot.settings import Settings
from bot.upload import Downloaded, Rendition

_PREFIX: Final = "classify-"
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
        self._renditions: Mapping[str, Rendition | BotError] = {}
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
        self._renditions = locate_now(
            locator, list(dict.fromkeys(titles)), settings.wiki.id, len(settings.media.retry_after_s)
        )
        with private_folder(settings.media.directory, _PREFIX) as folder:
            media = settings.media.model_copy(update={"directory": folder})
            self._downloader = Downloader(media, self._user_agent, self._stop)
            try:
                yield
            finally:
                self._leave(self._downloader)

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


__all__ = ["TitleFetcher"]
