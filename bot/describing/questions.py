"""Ask the wiki what it says of files, 50 a question."""

from collections.abc import Sequence

from bot.api import ApiError
from bot.describing.parsing import parse_descriptions
from bot.describing.values import Description
from bot.errors import BotError, ServiceDown
from bot.media.questions import MAX_TITLES, Asker

_FILE_PROPERTIES = "timestamp|user|sha1|mime|mediatype|extmetadata"
_SAID = "Artist|Credit|LicenseShortName|LicenseUrl|UsageTerms"
_REVISION: dict[str, str | int] = {"prop": "imageinfo|revisions", "rvprop": "ids|timestamp"}


def describe(
    api: Asker, titles: Sequence[str], *, with_revision: bool = False
) -> dict[str, Description | BotError]:
    """Describe files.

    Args:
        api: The wiki's API.
        titles: Which, in any number; each can be asked for (`bot.media.questions.is_askable`).
        with_revision: Whether the description page's revision is wanted too.

    Returns:
        For each title what `parse_descriptions` makes of the answer; what is wrong with one is its value.

    Raises:
        ServiceDown: No answer, or the API refuses the question.
    """
    described: dict[str, Description | BotError] = {}
    for start in range(0, len(titles), MAX_TITLES):
        batch = list(titles[start : start + MAX_TITLES])
        question: dict[str, str | int] = {
            "prop": "imageinfo",
            "titles": "|".join(batch),
            "redirects": 1,
            "iiprop": _FILE_PROPERTIES,
            "iiextmetadatafilter": _SAID,
            "iiextmetadatalanguage": "en",
            **(_REVISION if with_revision else {}),
        }
        try:
            answers = list(api.continued(question))
        except ApiError as error:
            raise ServiceDown("API", f"refuses our question: {error}") from error
        described |= parse_descriptions(answers, batch)
    return described


__all__ = ["describe"]
