"""Pure: whether a verdict counts as a label, and why not (promise 4)."""

from collections.abc import Collection

from bot.review.verdict_values import REMARK_ONLY, IntroducedVerdict, canonical_name
from bot.wiki_values import UserInfo


def trust(
    verdict: IntroducedVerdict,
    user_info: UserInfo | None,
    uploader: str | None,
    trusted_groups: Collection[str],
    *,
    bot_name: str = "",
) -> tuple[bool, str | None]:
    """Decide whether a verdict counts.

    Args:
        verdict: The verdict, with the author of its revision.
        user_info: What the wiki says of that author; None where it was not to be had.
        uploader: Who uploaded the file; None where the wiki hides it.
        trusted_groups: Any one of these groups is enough.
        bot_name: The bot's account.

    Returns:
        True and None, or False and a stable reason: `anonymous`, `bot`, `unknown_account`, `blocked`,
        `uploader`, `group` or `remark_only`.
    """
    return (reason := _reason(verdict, user_info, uploader, trusted_groups, bot_name)) is None, reason


def _reason(
    verdict: IntroducedVerdict,
    user_info: UserInfo | None,
    uploader: str | None,
    trusted_groups: Collection[str],
    bot_name: str,
) -> str | None:
    author = canonical_name(verdict.author)
    if verdict.remark_only:
        return REMARK_ONLY
    if verdict.anonymous or not verdict.author_id:
        return "anonymous"
    if bot_name and author == canonical_name(bot_name):
        return "bot"
    if user_info is None or user_info.user_id != verdict.author_id:
        return "unknown_account"  # or the name is somebody else's by now, whose groups say nothing
    if user_info.blocked:
        return "blocked"
    if uploader is not None and canonical_name(uploader) in {author, canonical_name(user_info.name)}:
        return "uploader"
    return None if user_info.groups & frozenset(trusted_groups) else "group"


__all__ = ["trust"]
