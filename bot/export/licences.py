"""Licence and author of what is exported, as the file pages tell them at that moment."""

from collections.abc import Mapping, Sequence

from bot.describing.questions import describe
from bot.describing.values import Description
from bot.errors import BotError, SkipUpload
from bot.export.pictures import HIDDEN
from bot.export.record import Values, sha1_hex
from bot.media.questions import Asker, is_askable
from storage.export import ExportItem


class AskedLicences:
    """Asks the wiki, 50 titles a question.

    Args:
        api: The bot's own client, at its pace.
    """

    def __init__(self, api: Asker) -> None:
        self._api = api
        self._said: Mapping[str, Description | BotError] = {}

    def prepare(self, items: Sequence[ExportItem]) -> None:
        """Ask about the items that are exported next.

        Args:
            items: They; what was said of others before is forgotten.

        Raises:
            ServiceDown: The wiki is out of reach; no item is to blame.
        """
        titles = dict.fromkeys(item.current_title for item in items)
        self._said = describe(self._api, [title for title in titles if is_askable(title)])

    def is_hidden(self, item: ExportItem) -> bool:
        """Whether the wiki hides the file that has the item's title."""
        said = self._said.get(item.current_title)
        return isinstance(said, SkipUpload) and said.code == HIDDEN

    def of(self, item: ExportItem) -> Values:
        """What the file page says of an item.

        Args:
            item: One of those prepared.

        Returns:
            `licence`, `licence_url` and `author`, None where the page does not tell; nothing where the file
            was overwritten, or gave way to another: the page speaks of other bytes then.
        """
        said = self._said.get(item.current_title)
        if not isinstance(said, Description) or said.sha1_hex != sha1_hex(item.sha1):
            return {}
        # Most authors are the uploader: where the wiki hides who that is, the author is not told either.
        author = said.author if said.uploader else ""
        return {
            "licence": said.licence or None,
            "licence_url": said.licence_url or None,
            "author": author or None,
        }


__all__ = ["AskedLicences"]
