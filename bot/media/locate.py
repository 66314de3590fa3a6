"""Find out, for a batch of claimed uploads, which bytes to download: few API calls, one answer for each.

The uploads of a batch share their calls: one for up to 50 titles, then one for all videos, one for each page
number of the documents, and one for each file that was overwritten meanwhile (the version of the upload is
scored, not the newer one, which is an upload of its own).  Trouble with one file is that file's value in the
result; trouble with the API is raised.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bot.errors import BotError, RetryLater, SkipUpload
from bot.media import choice
from bot.media.imageinfo import Derivative, FilePage, FileVersion
from bot.media.pages import Document, further_pages
from bot.media.questions import MAX_TITLES, Asker, Questions, is_askable
from bot.media.schedule import MISSING_TRIES, is_exhausted, is_fallback
from bot.media.sha1 import hex_from_base36
from bot.settings import MediaSettings
from bot.upload import Rendition
from storage.values import ClaimedUpload

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Found:
    """The version of a file that an upload is about."""

    title: str
    version: FileVersion
    is_current: bool


class Locator:
    """Turns claimed uploads into renditions.

    Args:
        api: The wiki's API.
        settings: Limits, the thumbnails' width and the schedule of tries.
        batch_titles: Most titles in a call (`settings.api.batch_titles`).
    """

    def __init__(self, api: Asker, settings: MediaSettings, batch_titles: int = MAX_TITLES) -> None:
        self._questions = Questions(api, settings.thumbnail_width_px, batch_titles)
        self._settings = settings

    def locate(self, claimed: Sequence[ClaimedUpload]) -> dict[int, Rendition | BotError]:
        """Choose what to download.

        Args:
            claimed: The uploads, in any number.

        Returns:
            For each `ClaimedUpload.id` its rendition, or the `SkipUpload` or `RetryLater` that ends this try.

        Raises:
            ServiceDown: The API does not answer, or refuses to; no upload is to blame.
        """
        results: dict[int, Rendition | BotError] = {}
        found: dict[int, _Found] = {}
        pages = self._questions.files(one.title for one in claimed if is_askable(one.title))
        for one in claimed:
            try:
                found[one.id] = self._version(one, pages.get(one.title))
            except (SkipUpload, RetryLater) as error:
                results[one.id] = error
        plain = {
            one.id: found[one.id]
            for one in claimed
            if one.id in found and not self._last_resort(one, found[one.id].version)
        }
        videos = self._questions.transcodes(
            file.title for file in plain.values() if file.is_current and choice.is_video(file.version)
        )
        documents = {
            key: Document(file.title, file.version, file.is_current)
            for key, file in plain.items()
            if choice.is_document(file.version)
        }
        page_urls = further_pages(self._questions, documents, self._settings.thumbnail_width_px)
        for one in claimed:
            if one.id in found:
                file = found[one.id]
                derivatives = _derivatives(file, videos.get(file.title))
                results[one.id] = self._choose(one, file, derivatives, page_urls.get(one.id, {}))
        return results

    def _version(self, one: ClaimedUpload, page: FilePage | None) -> _Found:
        """Find the version that the upload is about, or say why there is none."""
        if is_exhausted(one.attempts, self._settings.retry_after_s):
            raise SkipUpload("rendition_unavailable", "Every try failed, the fallback's too.")
        if not one.title:
            raise SkipUpload("hidden", "The wiki hides the title.")
        if not is_askable(one.title) or (page is not None and page.invalid):
            raise SkipUpload("deleted", "The wiki knows no such title.")
        if page is None:
            raise RetryLater("rendition_unavailable", "The API's answer leaves the file out.")
        if page.missing or not page.versions:
            raise _missing(one, "deleted", "The file does not exist.")
        found = self._match(one, page)
        if found is None:
            raise _overwritten(one, page.versions[0])
        if found.version.hidden:
            raise SkipUpload("hidden", "The wiki hides this version.")
        if found.version.file_missing:
            raise RetryLater("deleted", "The wiki has not got the file, or has lost it.")
        return found

    def _match(self, one: ClaimedUpload, page: FilePage) -> _Found | None:
        """The version wanted: the current one, else an old one by a call of its own."""
        wanted, current = _wanted_sha1(one), page.versions[0]
        if wanted is None or current.sha1_hex == wanted or _is_hidden_self(current, one):
            return _Found(page.title, current, is_current=True)
        if current.file_missing and current.sha1_hex is None:
            return _Found(page.title, current, is_current=True)
        history = self._questions.history(page.title)
        versions = history.versions if history is not None else ()
        for version in versions:
            if version.sha1_hex == wanted:
                return _Found(page.title, version, is_current=False)
        for version in versions:
            if _is_hidden_self(version, one):
                return _Found(page.title, version, is_current=False)
        return None

    def _choose(
        self,
        one: ClaimedUpload,
        found: _Found,
        derivatives: Sequence[Derivative],
        page_urls: Mapping[int, str],
    ) -> Rendition | BotError:
        version = found.version
        if choice.is_audio(version):
            return SkipUpload("audio", "The file is sound without pictures.")
        try:
            if self._last_resort(one, version):
                return choice.fallback(version, self._settings)
            if choice.is_video(version):
                may_come = found.is_current and not is_fallback(one.attempts, self._settings.retry_after_s)
                return choice.video(version, derivatives, self._settings, may_come=may_come)
            if choice.is_document(version):
                return choice.document(version, page_urls, self._settings)
            return choice.still(version, self._settings)
        except (SkipUpload, RetryLater) as error:
            return error

    def _last_resort(self, one: ClaimedUpload, version: FileVersion) -> bool:
        """Whether this try takes the original; a video too big for that looks for transcodes once more."""
        too_big_video = (
            choice.is_video(version)
            and version.size_bytes is not None
            and version.size_bytes > self._settings.video_max_bytes
        )
        return is_fallback(one.attempts, self._settings.retry_after_s) and not too_big_video


def _derivatives(found: _Found, page: FilePage | None) -> tuple[Derivative, ...]:
    """The transcodes of that very version: the file may have been overwritten between two calls."""
    versions: Iterable[FileVersion] = page.versions[:1] if page is not None and found.is_current else ()
    same = any(version.sha1_hex == found.version.sha1_hex for version in versions)
    return page.derivatives if page is not None and same else ()


def _wanted_sha1(one: ClaimedUpload) -> str | None:
    if one.upload.sha1 is None:
        return None
    try:
        return hex_from_base36(one.upload.sha1)
    except ValueError as error:
        logger.warning("event_sha1_unreadable", extra={"upload": one.id, "reason": str(error)})
        return None


def _is_hidden_self(version: FileVersion, one: ClaimedUpload) -> bool:
    """A hidden version shows no SHA-1, only its time."""
    uploaded = one.upload.file_timestamp
    return version.hidden and (uploaded is None or version.timestamp is None or version.timestamp == uploaded)


def _missing(one: ClaimedUpload, code: str, message: str) -> SkipUpload | RetryLater:
    """First a lagging replica is given time, then missing is missing."""
    return RetryLater(code, message) if one.attempts < MISSING_TRIES else SkipUpload(code, message)


def _overwritten(one: ClaimedUpload, newest: FileVersion) -> SkipUpload | RetryLater:
    uploaded = one.upload.file_timestamp
    if newest.timestamp is not None and uploaded is not None and newest.timestamp > uploaded:
        return SkipUpload("superseded", "This version was overwritten and is gone.")
    return _missing(one, "superseded", "The wiki does not show this version.")


__all__ = ["Locator"]
