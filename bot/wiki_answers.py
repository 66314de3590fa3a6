"""Pure: answers of `action=query` in `formatversion=2` become the review's values.

Hidden and suppressed parts arrive as flags in place of what they hide; titles and names come back in the
wiki's own spelling. An answer that is not MediaWiki's is `ServiceDown`: something else stands in its place.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from bot.errors import ServiceDown
from bot.wiki_errors import SERVICE
from bot.wiki_values import PageText, Revision, UserInfo

Answer = Mapping[str, Any]
_TEMPORARY: Final = re.compile(r"~2\d{3}-")


@contextmanager
def as_mediawiki() -> Iterator[None]:
    """Inside the block an answer is read.

    Raises:
        ServiceDown: It is not made as MediaWiki makes them.
    """
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ServiceDown(SERVICE, f"the answer is not that of a MediaWiki: {error!r}") from error


def canonical(name: str) -> str:
    """A user name as MediaWiki writes it: spaces for underscores, the first letter large.

    Args:
        name: As a person may write it.
    """
    plain = " ".join(name.replace("_", " ").split())
    return plain[:1].upper() + plain[1:]


def canonical_titles(answer: Answer) -> Mapping[str, str]:
    """How the wiki spells what was asked for.

    Args:
        answer: An answer about pages.

    Returns:
        Asked title to the wiki's own, only where they differ.
    """
    return {change["from"]: change["to"] for change in answer["query"].get("normalized", ())}


def page_texts(answer: Answer) -> Iterator[PageText]:
    """Read `prop=revisions` of many pages.

    Args:
        answer: One answer; a continued one holds some pages without their text.

    Yields:
        A value for every page that is missing or has its text in this answer.

    Raises:
        ServiceDown: The newest text is hidden, which the wiki does not allow otherwise.
    """
    for page in answer["query"].get("pages", ()):
        if page.get("missing") or page.get("invalid"):
            yield PageText(page["title"], "", None, None)
        elif page.get("revisions"):
            newest = page["revisions"][0]
            text = _text(newest)
            if text is None:
                raise ServiceDown(SERVICE, f"the newest text of {page['title']} cannot be read")
            yield PageText(page["title"], text, int(newest["revid"]), _time(newest["timestamp"]))


def newest_ids(answer: Answer) -> Mapping[str, int | None]:
    """Read `prop=info`.

    Args:
        answer: The answer.

    Returns:
        Title to newest revision; None where the page does not exist.
    """
    return {
        page["title"]: int(page["lastrevid"]) if page.get("lastrevid") else None
        for page in answer["query"].get("pages", ())
    }


def revisions(answer: Answer) -> Iterator[Revision]:
    """Read `prop=revisions` of one page.

    Args:
        answer: One answer of the walk.

    Yields:
        The revisions in the answer's order.
    """
    for page in answer["query"].get("pages", ()):
        for found in page.get("revisions", ()):
            # An account with more rights would see what is hidden, beside the flag that says so.
            hidden = bool(found.get("userhidden")) or "user" not in found
            user = None if hidden else str(found["user"])
            yield Revision(
                title=page["title"],
                revision_id=int(found["revid"]),
                parent_id=int(found.get("parentid", 0)),
                user=user,
                user_id=None if hidden else int(found.get("userid", 0)),
                anonymous=user is not None and _is_anonymous(found, user),
                made_at=_time(found["timestamp"]),
                text=_text(found),
                tags=frozenset(found.get("tags", ())),
            )


def user_infos(answer: Answer) -> Mapping[str, UserInfo]:
    """Read `list=users`.

    Args:
        answer: The answer.

    Returns:
        The wiki's spelling of each name to what is known of it.
    """
    return {found["name"]: _user(found) for found in answer["query"].get("users", ())}


def unknown_user(name: str) -> UserInfo:
    """What is known of somebody who has no account.

    Args:
        name: An IP address, or a name that does not exist.
    """
    return UserInfo(name, None, frozenset(), blocked=False, edit_count=None, registered_at=None)


def batches(items: Iterable[str], size: int) -> Iterator[list[str]]:
    """Distinct items in groups.

    Args:
        items: Titles or names; those with `|` cannot be asked for and are left out.
        size: The most in a group.

    Yields:
        Groups in the order given.
    """
    distinct = [item for item in dict.fromkeys(items) if item.strip() and "|" not in item]
    for start in range(0, len(distinct), size):
        yield distinct[start : start + size]


def _user(found: Mapping[str, Any]) -> UserInfo:
    if "userid" not in found:
        return unknown_user(found["name"])
    registration = found.get("registration")
    return UserInfo(
        name=found["name"],
        user_id=int(found["userid"]),
        groups=frozenset(found.get("groups", ())) | frozenset(found.get("implicitgroups", ())),
        blocked="blockid" in found,
        edit_count=int(found["editcount"]) if "editcount" in found else None,
        registered_at=_time(registration) if registration else None,
    )


def _text(revision: Mapping[str, Any]) -> str | None:
    """None where it is hidden (even from all but us), suppressed or lost."""
    main = revision.get("slots", {}).get("main", {})
    hidden = main.get("texthidden") or "content" not in main
    return None if hidden else str(main["content"])


def _is_anonymous(revision: Mapping[str, Any], user: str) -> bool:
    flagged = bool(revision.get("anon") or revision.get("temp"))
    return flagged or not revision.get("userid", 1) or _TEMPORARY.match(user) is not None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


__all__ = [
    "Answer", "as_mediawiki", "batches", "canonical", "canonical_titles", "newest_ids", "page_texts",
    "revisions", "unknown_user", "user_infos",
]  # fmt: skip
