"""Ask the API about files, many titles in a call, whatever a single broken file does to the whole answer."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from bot.api import ApiError
from bot.errors import ServiceDown
from bot.media.imageinfo import FilePage, parse_pages

logger = logging.getLogger(__name__)

MAX_TITLES: Final = 50
"""Titles of a request without `apihighlimits`, and MediaWiki's limit of thumbnail transforms in one."""

_FILE_PROPERTIES: Final = "url|size|mime|mediatype|sha1|timestamp|archivename"
_VIDEO_PROPERTIES: Final = "url|size|mime|mediatype|sha1|timestamp|derivatives"
_HISTORY_ROUNDS: Final = 4
_RENDERING_ERRORS: Final = ("urlparamnormal", "invalidurlparam")
_UNASKABLE_TITLE: Final = re.compile(r"[|\x00-\x1f\x7f]")


def is_askable(title: str) -> bool:
    """Titles are joined with `|`; none of these characters can be in a real one."""
    return bool(title) and not _UNASKABLE_TITLE.search(title)


class Asker(Protocol):
    """What is needed of `bot.api.Api`."""

    def continued(self, params: Mapping[str, str | int], max_rounds: int = 20) -> Iterable[Mapping[str, Any]]:
        """Ask until there is no more; see `bot.api.Api.continued`."""
        ...


class Questions:
    """The questions of the locator.

    Args:
        api: The wiki's API.
        width_px: Width of the thumbnails asked for, a standard step.
        batch_titles: Most titles in a call.
    """

    def __init__(self, api: Asker, width_px: int, batch_titles: int = MAX_TITLES) -> None:
        self._api = api
        self._width_px = width_px
        self._batch_titles = min(batch_titles, MAX_TITLES)

    def files(self, titles: Iterable[str], page_param: str | None = None) -> dict[str, FilePage]:
        """Ask for the newest version of files, with a thumbnail; each title is asked once.

        Args:
            titles: Titles as known; redirects are followed.
            page_param: `iiurlparam` for the page of a document, such as `page3-330px`.

        Returns:
            A page for each title that the answer speaks of, by the title asked.

        Raises:
            ServiceDown: No answer, or the API refuses the question.
        """
        pages: dict[str, FilePage] = {}
        for batch in self._batches(titles):
            pages.update(self._files(batch, page_param))
        return pages

    def history(self, title: str, page_param: str | None = None) -> FilePage | None:
        """Ask for all versions of one file (the newest 200 of them), each with its thumbnail.

        Args:
            title: The file's title.
            page_param: As for `files`.

        Returns:
            The page with its versions, newest first; None where the answer leaves it out.

        Raises:
            ServiceDown: As for `files`.
        """
        question = {**self._question([title], page_param), "iilimit": MAX_TITLES}
        try:
            answers = self._answers(question, _HISTORY_ROUNDS)
        except ApiError as error:
            logger.warning("rendering_refused", extra={"title": title, "reason": str(error)})
            answers = self._answers(_without_thumbnail(question), _HISTORY_ROUNDS)
        return parse_pages(answers, [title]).get(title)

    def transcodes(self, titles: Iterable[str]) -> dict[str, FilePage]:
        """Ask for the transcoded versions of videos.

        Args:
            titles: Titles as the wiki spells them.

        Returns:
            A page with `derivatives` for each title that the answer speaks of.

        Raises:
            ServiceDown: As for `files`.
        """
        pages: dict[str, FilePage] = {}
        for batch in self._batches(titles):
            question = {"prop": "videoinfo", "titles": "|".join(batch), "viprop": _VIDEO_PROPERTIES}
            pages.update(parse_pages(self._answers(question), batch))
        return pages

    def _files(self, titles: Sequence[str], page_param: str | None) -> dict[str, FilePage]:
        """One file that cannot be rendered fails the whole request: halve until it is alone.

        Alone it is asked for without a thumbnail.
        """
        question = self._question(titles, page_param)
        try:
            return parse_pages(self._answers(question), titles)
        except ApiError as error:
            logger.warning("rendering_refused", extra={"titles": len(titles), "reason": str(error)})
        if len(titles) == 1:
            return parse_pages(self._answers(_without_thumbnail(question)), titles)
        middle = len(titles) // 2
        return {**self._files(titles[:middle], page_param), **self._files(titles[middle:], page_param)}

    def _question(self, titles: Sequence[str], page_param: str | None) -> dict[str, str | int]:
        question: dict[str, str | int] = {
            "prop": "imageinfo",
            "titles": "|".join(titles),
            "redirects": 1,
            "iiprop": _FILE_PROPERTIES,
            "iiurlwidth": self._width_px,
        }
        return question if page_param is None else {**question, "iiurlparam": page_param}

    def _answers(self, question: Mapping[str, str | int], max_rounds: int = 20) -> list[Mapping[str, Any]]:
        try:
            return list(self._api.continued(question, max_rounds))
        except ApiError as error:
            if error.code.endswith(_RENDERING_ERRORS) and "iiurlwidth" in question:
                raise
            raise ServiceDown("API", f"refuses our question: {error}") from error

    def _batches(self, titles: Iterable[str]) -> Iterable[list[str]]:
        unique = list(dict.fromkeys(titles))
        for start in range(0, len(unique), self._batch_titles):
            yield unique[start : start + self._batch_titles]


def _without_thumbnail(question: Mapping[str, str | int]) -> dict[str, str | int]:
    return {name: value for name, value in question.items() if name not in {"iiurlwidth", "iiurlparam"}}


__all__ = ["MAX_TITLES", "Asker", "Questions", "is_askable"]
