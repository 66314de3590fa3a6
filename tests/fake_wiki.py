"""An in-memory wiki at our own Protocols: histories, accounts, refusals; requests counted as a real one's.

What it does is what the tests on the real MediaWiki pin (tests/integration/test_wiki_*.py).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.errors import BotError, ServiceDown
from bot.exclusion import may_edit
from bot.wiki_values import (
    EditConflict,
    PageText,
    RefusalCode,
    ReviewWiki,
    Revision,
    UserInfo,
    WriteRefused,
)

BOT = "ReviewBot"
BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
AT_ONCE = 50


class FakeWiki(ReviewWiki):
    """A wiki with one bot and any number of people.

    Attributes:
        requests: Requests so far, by method.
        saved: Title of every edit the bot made.
        summaries: Its edit summaries.
        failing: Methods, or `method:title`, that fail in place of an answer.
        refusals: Titles of pages that are not taken, with the code; `*` means every page.
        before_write: Called with the title once the bot has decided to save: too late to read again.
        while_saving: Called with the title when the wiki has seen no conflict: what happens now is merged.
        dry_run: Saves nothing.
        size_limit: `maxarticlesize` in bytes.
    """

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.saved: list[str] = []
        self.summaries: list[str] = []
        self.failing: dict[str, BotError] = {}
        self.refusals: dict[str, RefusalCode] = {}
        self.before_write: Callable[[str], None] | None = None
        self.while_saving: Callable[[str], None] | None = None
        self.dry_run = False
        self.size_limit = 2_000_000
        self._pages: dict[str, list[Revision]] = {}
        self._users: dict[str, UserInfo] = {}
        self._last_id = 100
        self.account(BOT, "bot")

    # What people do.

    def account(self, name: str, *groups: str, blocked: bool = False, edits: int = 42) -> UserInfo:
        """Create an account, or change it."""
        known = self._users.get(name)
        user_id = known.user_id if known else len(self._users) + 1
        info = UserInfo(name, user_id, frozenset({"*", "user", *groups}), blocked, edits, BEGIN)
        self._users[name] = info
        return info

    def rename(self, old: str, new: str) -> None:
        """Give an account another name, and the old name to nobody."""
        info = replace(self._users.pop(old), name=new)
        self._users[new] = info

    def edit(self, user: str, title: str, text: str, *tags: str) -> int:
        """Save a revision; names without an account are IP addresses."""
        revisions = self._pages.setdefault(title, [])
        text = text.rstrip()
        if revisions and revisions[-1].text == text:
            return revisions[-1].revision_id
        self._last_id += 1
        info = self._users.get(user)
        revisions.append(
            Revision(
                title=title,
                revision_id=self._last_id,
                parent_id=revisions[-1].revision_id if revisions else 0,
                user=user,
                user_id=info.user_id if info and info.user_id else 0,
                anonymous=info is None,
                made_at=BEGIN + timedelta(seconds=self._last_id),
                text=text,
                tags=frozenset(tags),
            )
        )
        return self._last_id

    def delete(self, title: str) -> None:
        """Delete a page with its history."""
        self._pages.pop(title, None)

    def hide(self, revision_id: int, *, text: bool = True, user: bool = False) -> None:
        """Hide text or author of a revision."""
        for revisions in self._pages.values():
            for index, revision in enumerate(revisions):
                if revision.revision_id == revision_id:
                    revisions[index] = replace(
                        revision,
                        text=None if text else revision.text,
                        user=None if user else revision.user,
                        user_id=None if user else revision.user_id,
                    )

    def text(self, title: str) -> str:
        """What a page says, without a request; empty where there is none."""
        revisions = self._pages.get(title)
        return (revisions[-1].text or "") if revisions else ""

    def revisions(self, title: str) -> list[Revision]:
        """A page's history, without a request."""
        return list(self._pages.get(title, ()))

    def titles(self) -> list[str]:
        """All pages."""
        return sorted(self._pages)

    # What the bot asks.

    @property
    def bot_name(self) -> str:
        """The bot."""
        return BOT

    def max_page_bytes(self) -> int:
        """The limit."""
        return self.size_limit

    def read(self, titles: Sequence[str]) -> Mapping[str, PageText]:
        """Read pages, 50 a request."""
        self._asked("read", titles)
        return {title: self._page_text(title) for title in titles}

    def newest_revisions(self, titles: Sequence[str]) -> Mapping[str, int | None]:
        """Newest ids, 50 a request."""
        self._asked("newest", titles)
        return {title: self._page_text(title).revision_id for title in titles}

    def history(self, title: str, after_revision_id: int | None) -> Iterator[Revision]:
        """Later revisions, 50 a request; all where that one is gone, and another of the same second."""
        found = self._pages.get(title, [])
        ids = [revision.revision_id for revision in found]
        if after_revision_id in ids:
            # The real one knows seconds only, so that an earlier revision may come along.
            later = found[max(0, ids.index(after_revision_id) - 1) :]
            found = [revision for revision in later if revision.revision_id != after_revision_id]
        for number, revision in enumerate(found or [None]):
            if number % AT_ONCE == 0:
                self._asked("history", [title])
            if revision is not None:
                yield revision

    def revision(self, title: str, revision_id: int) -> Revision | None:
        """One revision."""
        self._asked("revision", [title])
        found = self._pages.get(title, ())
        return next((one for one in found if one.revision_id == revision_id), None)

    def users(self, names: Sequence[str]) -> Mapping[str, UserInfo]:
        """Accounts, 50 a request."""
        self._asked("users", names)
        nobody = UserInfo("", None, frozenset(), False, None, None)
        return {name: self._users.get(name, replace(nobody, name=name)) for name in names}

    def write(self, page: PageText, text: str, summary: str, *, minor: bool = False) -> int | None:
        """Save like the real one: never over another edit, never what was deleted or created since."""
        title, text = page.title, text.rstrip()
        if page.revision_id is not None and text == page.text.rstrip():
            return page.revision_id
        if not may_edit(page.text, BOT):
            raise WriteRefused("nobots", title, "stay away")
        if len(text.encode()) > self.size_limit:
            raise WriteRefused("too_big", title, "too long")
        if self.dry_run:
            return None
        if self.before_write is not None:
            self.before_write(title)
        self._asked("write", [title])
        code = self.refusals.get(title) or self.refusals.get("*")
        if code is not None:
            raise WriteRefused(code, title, "no")
        if self._page_text(title).revision_id != page.revision_id:
            raise EditConflict(title)
        if self.while_saving is not None:
            self.while_saving(title)
            text = _merged(page.text, self.text(title), text, title)
        self.saved.append(title)
        self.summaries.append(summary)
        return self.edit(BOT, title, text)

    def total(self) -> int:
        """All requests so far."""
        return sum(self.requests.values())

    def _page_text(self, title: str) -> PageText:
        revisions = self._pages.get(title)
        if not revisions:
            return PageText(title, "", None, None)
        newest = revisions[-1]
        return PageText(title, newest.text or "", newest.revision_id, newest.made_at)

    def _asked(self, method: str, subjects: Sequence[str]) -> None:
        for start in range(0, max(len(subjects), 1), AT_ONCE):
            self.requests[method] += 1
            for subject in ("", *(f":{one}" for one in subjects[start : start + AT_ONCE])):
                if method + subject in self.failing:
                    raise self.failing[method + subject]


class FakeAsks:
    """The action API's answers about files.

    Attributes:
        requests: Requests so far.
        missing: Titles of files that are gone.
        used: Titles of files in use.
        suppressed: Titles whose newest version is hidden.
        old_suppressed: Titles of which an old version is.
        failing: Raised in place of an answer.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.missing: set[str] = set()
        self.used: set[str] = set()
        self.suppressed: set[str] = set()
        self.old_suppressed: set[str] = set()
        self.failing: BotError | None = None

    def continued(self, params: Mapping[str, str | int], max_rounds: int = 20) -> Iterator[Mapping[str, Any]]:
        """Answer; a single file's answer goes on through its old versions, as MediaWiki's does."""
        titles = str(params["titles"]).split("|")
        assert len(titles) <= AT_ONCE
        self._ask()
        alone = len(titles) == 1 and titles[0] in self.old_suppressed
        answer: dict[str, Any] = {"query": {"pages": [self._page(title) for title in titles]}}
        if alone and max_rounds > 1:
            yield {**answer, "continue": {"iistart": "x"}}
            self._ask()
            yield {"query": {"pages": [{"title": titles[0], "imageinfo": [{"filehidden": True}]}]}}
        else:
            yield answer

    def _ask(self) -> None:
        self.requests += 1
        if self.failing is not None:
            raise self.failing

    def _page(self, title: str) -> dict[str, Any]:
        page: dict[str, Any] = {"title": title}
        if title in self.missing:
            return {**page, "missing": True}
        if title in self.used:
            page["fileusage"] = [{"title": "Main Page"}]
        hidden = {"filehidden": True} if title in self.suppressed else {}
        return {**page, "imageinfo": [{"timestamp": "2026-03-01T12:00:00Z", **hidden}]}


def down(service: str = "wiki") -> ServiceDown:
    """A service that does not answer."""
    return ServiceDown(service, "does not answer")


def _merged(base: str, theirs: str, ours: str, title: str) -> str:
    """MediaWiki merges edits of different lines; this knows changed lines only."""
    if theirs == base:
        return ours
    before, after = base.split("\n"), theirs.split("\n")
    if len(before) != len(after):
        raise EditConflict(title)
    changed = {old: new for old, new in zip(before, after, strict=True) if old != new}
    lines = ours.split("\n")
    if not changed.keys() <= set(lines):
        raise EditConflict(title)
    return "\n".join(changed.get(line, line) for line in lines)
