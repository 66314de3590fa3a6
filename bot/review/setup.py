"""Create or update the pages that the review needs: templates, guide, switches and the user script.

It shows what it would change before it changes anything. Pages that belong to the community once they exist
(the stop page and the configuration) are created and never touched again.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bot.review import gadget
from bot.review.control import WikiConfig, default_config_text, parse_config
from bot.review.messages import Messages
from bot.review.templates import KEPT_IF_THERE, setup_pages, subpage
from bot.settings import ReviewSettings
from bot.wiki_values import PageText, ReviewWiki
from classifier.values import Level


@dataclass(frozen=True, slots=True)
class PageChange:
    """A page that setting up would write.

    Attributes:
        page: As it stands now.
        text: What it would say.
    """

    page: PageText
    text: str

    def diff(self) -> Iterator[str]:
        """Lines of a unified diff."""
        before = self.page.text.splitlines()
        name = self.page.title
        return difflib.unified_diff(
            before, self.text.splitlines(), f"{name} (now)", f"{name} (new)", lineterm=""
        )


def plan_setup(
    wiki: ReviewWiki, messages: Messages, settings: ReviewSettings, level: Level
) -> list[PageChange]:
    """Compare the wiki with what the review needs.

    Args:
        wiki: Where the pages are to be.
        messages: The texts.
        settings: Trusted groups and intervals, for the guide and the first configuration.
        level: Threshold level of the first configuration.

    Returns:
        What would change, in the order in which it should be written.

    Raises:
        ServiceDown: The wiki does not answer.
    """
    config = WikiConfig(level=level, edit_interval_s=settings.edit_interval_s)
    wanted: Mapping[str, str] = {
        **setup_pages(wiki.bot_name, messages, settings.trusted_groups, config),
        subpage(wiki.bot_name, "Config.json"): _config_text(config),
        subpage(wiki.bot_name, "gadget.js"): gadget.script(),
        subpage(wiki.bot_name, "gadget.css"): gadget.style(),
    }
    kept = {subpage(wiki.bot_name, name) for name in KEPT_IF_THERE}
    now = wiki.read(list(wanted))
    return [
        PageChange(now[title], text)
        for title, text in wanted.items()
        if not (title in kept and now[title].revision_id is not None)
        and now[title].text.rstrip() != text.rstrip()
    ]


def _config_text(config: WikiConfig) -> str:
    """Without an interval that nobody may set on-wiki: it would make the page a broken one from the start."""
    text = default_config_text(config)
    if not parse_config(text, config, config).broken:
        return text
    keys = json.loads(text)
    del keys["edit_interval_s"]
    return json.dumps(keys, indent=4) + "\n"


def apply_setup(
    wiki: ReviewWiki, changes: list[PageChange], messages: Messages
) -> Iterator[tuple[str, int | None]]:
    """Write the pages.

    Args:
        wiki: Where the pages are to be.
        changes: What `plan_setup` found.
        messages: The texts.

    Yields:
        Title and new revision of each page; no revision in dry-run.

    Raises:
        EditConflict: A page changed since it was compared.
        WriteRefused: The wiki will not take a page.
        ServiceDown: The wiki does not answer.
    """
    summary = messages.text("summary.setup")
    for change in changes:
        yield change.page.title, wiki.write(change.page, change.text, summary)
