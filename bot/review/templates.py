"""Pure: the wiki pages that `setup-wiki` creates or updates, filled with texts of one language.

The pages lie in `wiki_pages/`; `<<section.name>>` stands for a message and `<<bot>>` for the bot's account.
The row is a card made of `div`, not a table row: nothing that happens to its neighbours can break it.  It
carries what the user script needs: class `commons-review-item`, `data-id`, `data-file` (without namespace),
`data-at`, `data-verdict`, and an empty `commons-review-actions`.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bot.review.control import WikiConfig, default_config_text
from bot.review.messages import Messages
from bot.review.wikitext import escape

KEPT_IF_THERE: Final = frozenset({"Run", "Config.json"})
"""Subpages that belong to the community once they exist: `setup-wiki` creates and never updates them."""

_FOLDER: Final = Path(__file__).with_name("wiki_pages")
_SLOT: Final = re.compile(r"<<([a-z._-]+)>>")
_PAGES: Final = {"item": "item", "header": "header", "footer": "footer", "Guide": "guide", "Run": "run"}


def subpage(bot_name: str, name: str = "") -> str:
    """Title of a page of the review.

    Args:
        bot_name: The bot's account.
        name: `item`, `Guide`, …; empty for the index.

    Returns:
        The full title.
    """
    return f"User:{bot_name}/Review" + (f"/{name}" if name else "")


def setup_pages(
    bot_name: str, messages: Messages, trusted_groups: Sequence[str], config: WikiConfig
) -> dict[str, str]:
    """The pages that the review needs, without the user script.

    Args:
        bot_name: The bot's account.
        messages: The texts.
        trusted_groups: Whose verdicts count, for the guide.
        config: What the configuration page says at first.

    Returns:
        Wikitext by full title. Pages named in `KEPT_IF_THERE` are only to be created.
    """
    pages = {
        subpage(bot_name, name): _filled(
            (_FOLDER / f"{file}.wiki").read_text(encoding="utf-8"), bot_name, messages, trusted_groups
        )
        for name, file in _PAGES.items()
    }
    pages[subpage(bot_name, "Config.json")] = default_config_text(config)
    return pages


def _filled(text: str, bot_name: str, messages: Messages, trusted_groups: Sequence[str]) -> str:
    groups = ", ".join(escape(group) for group in trusted_groups)

    def value(match: re.Match[str]) -> str:
        if match[1] == "bot":
            return bot_name
        return messages.text(match[1], bot=bot_name, groups=groups, link="[[Special:MyPage/common.js]]")

    return _SLOT.sub(value, text).rstrip("\n") + "\n"


__all__ = ["KEPT_IF_THERE", "setup_pages", "subpage"]
