"""Ask the wiki what is in a category and what it says of files: 500 members or 50 files a question."""

from collections.abc import Mapping, Sequence

from bot.api import ApiError
from bot.collecting.values import Listing
from bot.describing.questions import describe
from bot.describing.values import Description
from bot.errors import BotError, ConfigError
from bot.media.questions import Asker

_MEMBERS_PER_ANSWER = 500
_MAX_ROUNDS = 10_000


class CollectingQuestions:
    """The questions of collecting, through the bot's own client and so at its pace.

    Args:
        api: The wiki's API.
    """

    def __init__(self, api: Asker) -> None:
        self._api = api

    def listing(self, category: str, max_files: int) -> Listing:
        """List what is directly in a category; see `Wiki.listing`."""
        files: list[str] = []
        subcategories: list[str] = []
        question: dict[str, str | int] = {
            "list": "categorymembers",
            "cmtitle": category,
            "cmtype": "file|subcat",
            "cmprop": "title|type",
            "cmlimit": _MEMBERS_PER_ANSWER,
        }
        try:
            for answer in self._api.continued(question, _MAX_ROUNDS):
                for title, kind in _members(answer):
                    (subcategories if kind == "subcat" else files).append(title)
                if len(files) > max_files:
                    break
        except ApiError as error:
            raise ConfigError(f"{category}: the wiki does not list it: {error}") from error
        return Listing(tuple(files[:max_files]), tuple(subcategories), len(files) > max_files)

    def describe(self, titles: Sequence[str]) -> Mapping[str, Description | BotError]:
        """Describe files; see `Wiki.describe`."""
        return describe(self._api, titles, with_revision=True)


def _members(answer: Mapping[str, object]) -> list[tuple[str, str]]:
    query = answer.get("query")
    members = query.get("categorymembers") if isinstance(query, Mapping) else None
    return [
        (str(member["title"]), str(member.get("type", "")))
        for member in (members if isinstance(members, list) else [])
        if isinstance(member, Mapping) and isinstance(member.get("title"), str)
    ]


__all__ = ["CollectingQuestions"]
