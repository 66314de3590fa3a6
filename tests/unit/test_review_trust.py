from datetime import UTC, datetime

import pytest

from bot.review.trust import trust
from bot.review.verdict_values import IntroducedVerdict
from bot.wiki_values import UserInfo
from storage.review_values import VerdictCode

GROUPS = ("sysop", "patroller")


def verdict(
    author: str = "Ada", author_id: int = 7, *, anonymous: bool = False, remark: bool = False
) -> IntroducedVerdict:
    at = datetime(2025, 1, 1, tzinfo=UTC)
    return IntroducedVerdict(
        "w-1", VerdictCode.SFW, "", author, author_id, anonymous, 5, at, True, remark_only=remark
    )


def user(
    name: str = "Ada",
    user_id: int | None = 7,
    groups: tuple[str, ...] = ("user", "patroller"),
    *,
    blocked: bool = False,
) -> UserInfo:
    return UserInfo(name, user_id, frozenset(groups), blocked, 10, None)


def test_a_member_of_a_trusted_group_counts() -> None:
    assert trust(verdict(), user(), "Somebody", GROUPS, bot_name="Bot") == (True, None)


@pytest.mark.parametrize(
    ("given", "info", "uploader", "reason"),
    [
        (verdict("192.0.2.1", 0, anonymous=True), user("192.0.2.1", None), None, "anonymous"),
        (verdict("~2025-1", 9, anonymous=True), user("~2025-1", 9), None, "anonymous"),
        (verdict("Ada", 0), user(), None, "anonymous"),
        (verdict("Bot", 7), user("Bot"), None, "bot"),
        (verdict("bot", 7), user("bot"), None, "bot"),
        (verdict(), None, None, "unknown_account"),
        (verdict(), user(user_id=None), None, "unknown_account"),
        (verdict(), user(user_id=8), None, "unknown_account"),
        (verdict(), user(blocked=True, groups=("sysop",)), None, "blocked"),
        (verdict(), user(groups=("sysop",)), "Ada", "uploader"),
        (verdict("Ada B"), user("Ada B"), "ada_B", "uploader"),
        (verdict("Old name"), user("Ada"), "Ada", "uploader"),
        (verdict(), user(groups=("user", "autoconfirmed")), None, "group"),
        (verdict(), user(groups=()), None, "group"),
        (verdict(remark=True), user(), None, "remark_only"),
    ],
)
def test_nobody_else_counts(
    given: IntroducedVerdict, info: UserInfo | None, uploader: str | None, reason: str
) -> None:
    assert trust(given, info, uploader, GROUPS, bot_name="Bot") == (False, reason)
