"""Pure: what an error code of the action API means for an edit: try later, read again, or give up.

Codes: https://www.mediawiki.org/wiki/API:Errors_and_warnings and those of AbuseFilter, ConfirmEdit,
SpamBlacklist, TitleBlacklist, GlobalBlocking and OAuth. What is not known here is refused as `other`, because
an edit that the wiki refused for a reason unknown must not be sent over and over.
"""

from collections.abc import Mapping
from typing import Final

from bot.errors import BotError, ServiceDown
from bot.wiki_values import EditConflict, RefusalCode, WriteRefused

SERVICE: Final = "wiki"
"""What every `ServiceDown` of the review's wiki carries as its service."""

_TRANSIENT: Final = frozenset(
    {
        "actionthrottledtext", "badtoken", "failed-save", "maxlag", "ratelimited", "readonly", "timeouterror",
        "toomanyvalues", "unknownerror",
    }
)  # fmt: skip
_CONFLICTS: Final = frozenset({"articleexists", "editconflict", "missingtitle", "pagedeleted"})
_CODES: Final[Mapping[str, RefusalCode]] = {
    "assertbotfailed": "not_logged_in",
    "assertnameduserfailed": "not_logged_in",
    "assertuserfailed": "not_logged_in",
    "autoblocked": "blocked",
    "blocked": "blocked",
    "cantcreate": "no_right",
    "cantcreate-anon": "no_right",
    "captcha": "captcha",
    "cascadeprotected": "protected",
    "contenttoobig": "too_big",
    "nocreate-loggedin": "no_right",
    "noedit": "no_right",
    "noedit-anon": "not_logged_in",
    "nobots": "nobots",
    "notloggedin": "not_logged_in",
    "permissiondenied": "no_right",
    "protectedpage": "protected",
    "protectedtitle": "protected",
    "readapidenied": "no_right",
    "spamblacklist": "blacklisted",
    "systemblocked": "blocked",
    "writeapidenied": "no_right",
}
_PREFIXES: Final[tuple[tuple[str, RefusalCode], ...]] = (
    ("abusefilter-", "abusefilter"),
    ("customcss", "no_right"),
    ("customjs", "no_right"),
    ("globalblocking-", "blocked"),
    ("mwoauth-", "not_logged_in"),
    ("mycustom", "no_right"),
    ("protectednamespace", "protected"),
    ("sitecss", "no_right"),
    ("sitejs", "no_right"),
    ("titleblacklist-", "blacklisted"),
)
_ADVICE: Final[Mapping[RefusalCode, str]] = {
    "blocked": "the bot's account is blocked; its talk page says why",
    "protected": "the page is protected; ask an administrator",
    "abusefilter": "an abuse filter stopped the edit; its log on the wiki names the filter",
    "captcha": "the wiki wants a captcha, which a bot with its flag never sees: check the account's groups",
    "blacklisted": "a title or an address in the text stands on a blacklist of the wiki",
    "nobots": "the page keeps bots away with {{nobots}} or {{bots}}",
    "not_logged_in": "the session of the bot's account is gone and signing in again did not help",
    "no_right": "check the account's groups and the grants of its bot password or OAuth consumer",
    "too_big": "the text is larger than the wiki takes",
    "other": "look the code up in the API's documentation",
}


def is_transient(code: str) -> bool:
    """Whether the same request may succeed later.

    Args:
        code: The API's error code.
    """
    return code in _TRANSIENT or code.startswith("internal_api_error")


def refusal_code(code: str) -> RefusalCode:
    """The stable code that an error of the API counts as.

    Args:
        code: The API's error code.
    """
    if code in _CODES:
        return _CODES[code]
    return next((meaning for prefix, meaning in _PREFIXES if code.startswith(prefix)), "other")


def refused(code: str, info: str, title: str) -> BotError:
    """What an answer of the API to an edit means.

    Args:
        code: The API's error code.
        info: The API's explanation.
        title: The page.

    Returns:
        `ServiceDown`, `EditConflict` or `WriteRefused`, to be raised.
    """
    if is_transient(code):
        return ServiceDown(SERVICE, f"{code}: {info}")
    if code in _CONFLICTS:
        return EditConflict(title)
    meaning = refusal_code(code)
    return WriteRefused(meaning, title, f"not saved: {_ADVICE[meaning]} (the wiki says {code}: {info[:500]})")


__all__ = ["SERVICE", "is_transient", "refusal_code", "refused"]
