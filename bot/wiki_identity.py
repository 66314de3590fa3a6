"""Pure: whether the wiki, the account and the files are those of the settings, with a clear message if not.

pywikibot started in the wrong place becomes `wikipedia:test` without a word; nothing is written before these
checks have passed.
"""

import ipaddress
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bot.errors import ConfigError
from bot.settings import ReviewSettings
from bot.wiki_answers import canonical


@dataclass(frozen=True, slots=True)
class Account:
    """Who the wiki says we are.

    Attributes:
        name: User name; an IP address where nobody is signed in.
        rights: What this session may do, which grants may have narrowed.
        groups: Groups of the account.
        blocked: Whether it is blocked now, partial blocks included.
    """

    name: str
    rights: frozenset[str]
    groups: frozenset[str]
    blocked: bool

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> "Account":
        """Read `meta=userinfo&uiprop=rights|groups|blockinfo`.

        Args:
            answer: The whole answer in `formatversion=2`.
        """
        info = answer["query"]["userinfo"]
        return cls(info["name"], frozenset(info["rights"]), frozenset(info["groups"]), "blockid" in info)


def check_user_config(path: Path) -> None:
    """Whether pywikibot will read its configuration file.

    Args:
        path: `user-config.py`.

    Raises:
        ConfigError: It is missing, or pywikibot would skip it with a mere warning.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}; restore it from the repository"
        ) from error
    if found.st_mode & stat.S_IWOTH:
        raise ConfigError(f"{path}: others may write to it, so pywikibot ignores it; `chmod o-w {path.name}`")
    if found.st_uid not in (os.getuid(), 0):
        raise ConfigError(f"{path}: belongs to another user, so pywikibot ignores it; `chown` it to yours")


def is_loopback(url: str) -> bool:
    """Whether an address leads to this machine.

    Args:
        url: An absolute address.
    """
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_wiki(general: Mapping[str, Any], wiki_id: str | None) -> None:
    """Whether the wiki that answers is the one that is followed.

    Args:
        general: `siprop=general`.
        wiki_id: The settings' `wiki.id`; None accepts any.

    Raises:
        ConfigError: It is another one.
    """
    if wiki_id is not None and general["wikiid"] != wiki_id:
        raise ConfigError(
            f"the wiki at {general['server']} is {general['wikiid']}, but wiki.id is {wiki_id}: "
            "check review.family and review.code"
        )


def check_account(account: Account, review: ReviewSettings, *, require_bot: bool) -> None:
    """Whether the account is the one of the settings and may do what the review does.

    Args:
        account: Who the wiki says we are.
        review: Who we want to be. In dry-run no rights are needed.
        require_bot: Whether the account needs the right that comes with the bot flag.

    Raises:
        ConfigError: It is another account, or lacks a right.
    """
    if account.name != canonical(review.user):
        raise ConfigError(
            f"signed in as {account.name}, but review.user is {review.user}: "
            "check the password file or the OAuth variables"
        )
    if review.dry_run:
        return
    if "edit" not in account.rights:
        raise ConfigError(
            f"{account.name} may not edit: give its bot password or OAuth consumer "
            "the grant 'Edit existing pages'"
        )
    if require_bot and "bot" not in account.rights:
        raise ConfigError(_no_bot_right(account))


def _no_bot_right(account: Account) -> str:
    if "bot" in account.groups:
        return (
            f"{account.name} has the bot flag, but this session lacks it: give its bot password or OAuth "
            "consumer the grant 'High-volume (bot) access'"
        )
    return f"{account.name} has no bot flag: keep review.dry_run on until the wiki has approved the bot"


__all__ = ["Account", "check_account", "check_user_config", "check_wiki", "is_loopback"]
