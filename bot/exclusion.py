"""Pure: whether a page asks bots, or this bot, to stay away, by `{{nobots}}` or `{{bots|deny=…}}`.

The convention is https://en.wikipedia.org/wiki/Template:Bots; what it leaves open counts as "stay away".
"""

import mwparserfromhell
from mwparserfromhell.nodes import Template

from bot.review.row_finder import find_calls

_TEMPLATES = ("bots", "nobots", "Template:Bots", "Template:Nobots")


def may_edit(text: str, bot_name: str) -> bool:
    """Whether the page lets the bot edit it.

    Args:
        text: Wikitext of the page.
        bot_name: The account that would edit.

    Returns:
        False where a template of the convention shuts it out. Comments and nowiki do not count.
    """
    if "bots" not in text.casefold():
        return True
    # Only the calls are parsed: the whole page is anybody's text, and some texts take the parser for ever.
    calls = [call for name in _TEMPLATES for call in find_calls(text, name)]
    templates = [
        template for call in calls for template in mwparserfromhell.parse(call.text).filter_templates()
    ]
    return all(_allows(template, _folded(bot_name)) for template in templates)


def _allows(template: Template, bot: str) -> bool:
    name = _folded(str(template.name)).removeprefix("template:").strip()
    if name == "nobots":
        # {{nobots}} shuts everybody out; a list, where one is given, names whom.
        return bool(template.params) and not _names(template, "1") & {"all", bot, ""}
    if name != "bots":
        return True
    if template.has("deny") and _names(template, "deny") & {"all", bot}:
        return False
    return not template.has("allow") or bool(_names(template, "allow") & {"all", bot})


def _names(template: Template, parameter: str) -> set[str]:
    value = str(template.get(parameter).value) if template.has(parameter) else ""
    return {_folded(name) for name in value.split(",")}


def _folded(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()


__all__ = ["may_edit"]
