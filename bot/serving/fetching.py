"""Fetch what callers of the prediction API only name: a title of the wiki, or an address on an allowed host.

Everything goes through the daemon's own locator and downloader, so their rules hold here too: hosts compared
exactly, after every redirect again; every answer of DNS public, and the connection to the address that was
checked; sizes limited while reading; the robot policy. Addresses and titles are what callers ask for, and are
not written to the log.
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from bot.api import Api
from bot.classify_sources import file_title
from bot.media.address_gate import Resolver, system_resolver
from bot.media.download import Downloader
from bot.media.hosts import allowed_host
from bot.media.locate import Locator
from bot.media.on_demand import locate_now, private_folder
from bot.serving.fetch_problems import as_source_problem, not_a_title, not_allowed
from bot.serving.locating import GatheringLocator
from bot.settings import MediaSettings, Settings
from bot.upload import Downloaded, Part, Rendition
from classifier.service.deadline import Deadline
from classifier.service.sources import Fetched
from classifier.values import BlockSource, MediaPart

_PREFIX: Final = "serve-"
_HASH_CHUNK_BYTES: Final = 1024 * 1024


class WikiSources:
    """Implements `classifier.service.sources.Sources`; threads share it.

    Args:
        media: Hosts and limits.
        locator: Finds out what to fetch of a title.
        downloader: Fetches it.
        max_bytes: Most bytes to fetch of one file.
    """

    def __init__(
        self, media: MediaSettings, locator: GatheringLocator, downloader: Downloader, max_bytes: int
    ) -> None:
        self._media = media
        self._locator = locator
        self._downloader = downloader
        self._max_bytes = max_bytes

    @contextmanager
    def title(self, title: str, deadline: Deadline) -> Iterator[Fetched]:
        """Fetch what a title of the wiki names; see `Sources.title`.

        Of a large video only the first bytes are fetched here, and the rest as far as it is looked at.

        Args:
            title: `File:Name.webm`.
            deadline: How long the file is of use.

        Yields:
            The file.

        Raises:
            SourceProblem: It cannot be had.
            DeadlineExceeded: The time is over.
        """
        name = file_title(title)
        if name is None:
            raise not_a_title()
        with as_source_problem(deadline):
            found = self._locator.find(name, deadline)
        rendition = replace(found, max_bytes=min(found.max_bytes, self._max_bytes))
        with self._fetched(rendition, deadline, {"title": name}) as fetched:
            yield fetched

    @contextmanager
    def url(self, url: str, deadline: Deadline) -> Iterator[Fetched]:
        """Fetch what lies at an address; see `Sources.url`.

        Args:
            url: Anything at all.
            deadline: How long the file is of use.

        Yields:
            The file.

        Raises:
            SourceProblem: It cannot be had, or may not be asked for.
            DeadlineExceeded: The time is over.
        """
        if allowed_host(url, self._media.allowed_hosts) is None:
            raise not_allowed()
        rendition = Rendition("original", (Part(url),), None, self._max_bytes)
        with self._fetched(rendition, deadline, {}) as fetched:
            yield fetched

    @contextmanager
    def _fetched(self, rendition: Rendition, deadline: Deadline, named: dict[str, str]) -> Iterator[Fetched]:
        with as_source_problem(deadline):
            downloaded = self._downloader.download(rendition, may_have_holes=True, patience=deadline)
        try:
            yield Fetched(_parts(downloaded, deadline), _sha256(downloaded), {**named, **_about(downloaded)})
        finally:
            self._downloader.discard(downloaded)


class _Blocks:
    """The missing bytes of a film, for a service that knows no errors of ours."""

    def __init__(self, source: BlockSource, deadline: Deadline) -> None:
        self.size_bytes = source.size_bytes
        self._source = source
        self._deadline = deadline

    def ensure(self, offset: int, length: int) -> int:
        """See `classifier.values.BlockSource.ensure`.

        Raises:
            SourceProblem: The bytes cannot be had.
            DeadlineExceeded: The time is over.
        """
        with as_source_problem(self._deadline):
            return self._source.ensure(offset, length)


def _parts(downloaded: Downloaded, deadline: Deadline) -> list[MediaPart]:
    return [
        part if part.source is None else replace(part, source=_Blocks(part.source, deadline))
        for part in downloaded.media_parts()
    ]


def _sha256(downloaded: Downloaded) -> str | None:
    """Of the one whole file, from the page cache that has just been filled."""
    if len(downloaded.parts) != 1 or downloaded.parts[0].source is not None:
        return None
    digest = hashlib.sha256()
    with downloaded.parts[0].path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _about(downloaded: Downloaded) -> dict[str, str | int | float | None]:
    sources = [part.source for part in downloaded.parts if part.source is not None]
    told: dict[str, str | int | float | None] = {
        "rendition": downloaded.rendition.kind,
        "width_px": downloaded.rendition.width_px,
    }
    # Of a film that is read in ranges, how much will be fetched is not known yet.
    return told if sources else {**told, "bytes": downloaded.received_bytes}


@contextmanager
def open_sources(
    settings: Settings, *, max_bytes: int, processes: int = 1, resolver: Resolver = system_resolver
) -> Iterator[WikiSources]:
    """Open what fetches files for the service, in a folder of its own.

    Args:
        settings: Wiki, contact and limits.
        max_bytes: Most bytes to fetch of one file.
        processes: How many worker processes do the same; together they keep to the robot policy.
        resolver: Looks host names up.

    Yields:
        The sources. When the context is left, what is still being fetched ends within seconds.

    Raises:
        ConfigError: No contact is set.
        ServiceDown: `media.directory` cannot be used.
    """
    user_agent, stop = settings.user_agent, threading.Event()
    with private_folder(settings.media.directory, _PREFIX) as folder:
        media = settings.media.model_copy(
            update={
                "directory": folder,
                "max_concurrent": max(1, settings.media.max_concurrent // processes),
                "max_bits_per_s": settings.media.max_bits_per_s / processes,
            }
        )
        api = Api(settings.api, settings.wiki.api_url, user_agent, stop)
        locator = Locator(api, media, settings.api.batch_titles)
        tries = len(media.retry_after_s)
        gathering = GatheringLocator(
            lambda titles: locate_now(locator, titles, settings.wiki.id, tries), settings.api.batch_titles
        )
        downloader = Downloader(media, user_agent, stop, resolver=resolver, log_addresses=False)
        try:
            yield WikiSources(media, gathering, downloader, max_bytes)
        finally:
            stop.set()
            gathering.close()
            downloader.close()
            api.close()


__all__ = ["WikiSources", "open_sources"]
