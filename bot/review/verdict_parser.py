"""Pure: who introduced which verdict, from the histories of the report pages.

Each revision is compared with the visible one before it, and what it introduces belongs to its author and to
nobody else (promise 4): names in the text count for nothing.  Where the author of a change cannot be known
(a hidden revision lies in between, the author is hidden, the history has a hole), nobody gets it.

**Restoring is not judging.** Who reverts vandalism, brings rows back or moves them writes other people's
verdicts.  So a pair of verdict and comment that somebody else brought to this item before is no new verdict,
on whichever page it turns up.  Where the revision's tags are known, a lone row changed without an undo counts
all the same, so that nobody can use up a verdict by setting and clearing it.  People may return to what they
said themselves, and one who takes the own verdict away has withdrawn it.

**A remark is not a verdict.** Who changes only the comment beside somebody else's verdict has not said the
same, unless the change adds a "+1".
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from bot.review.rows import VERDICT_WORDS, FoundRow, parse_rows
from bot.review.verdict_values import (
    REMARK_ONLY,
    HistoryReading,
    IntroducedVerdict,
    PageHistory,
    UncountedChange,
    canonical_name,
    person_of,
)
from bot.review.wikitext import printable
from bot.wiki_values import Revision
from storage.review_values import Verdict, VerdictCode, VerdictSource

UNDO_TAGS: Final = frozenset({"mw-undo", "mw-rollback"})


class _Pair(NamedTuple):
    word: str
    comment: str


_Rows = Mapping[str, Sequence[FoundRow]]


@dataclass(slots=True)
class _Item:
    """What is known of an item: who brought which pair (None: unknown), and everybody's latest word."""

    brought: dict[_Pair, set[Hashable]] = field(default_factory=dict)
    latest: dict[Hashable, str] = field(default_factory=dict)

    def learn(self, pair: _Pair, person: Hashable) -> None:
        self.brought.setdefault(pair, set()).add(person)


@dataclass(slots=True)
class _Page:
    """The page as it was last seen; uncertain where a revision since could not be."""

    rows: _Rows
    text: str | None
    last_id: int
    uncertain: bool


@dataclass(frozen=True, slots=True)
class _Edit:
    """One revision in the eyes of the rows that it changes."""

    revision: Revision
    author: str | None
    person: Hashable
    tags: frozenset[str] | None
    lone: bool


def read_verdicts(
    histories: Iterable[PageHistory], bot_name: str, earlier: Iterable[Verdict] = ()
) -> HistoryReading:
    """Find the verdicts in what is new on the report pages.

    Read all pages of a pass in one call, so that rows that were moved between them are recognised.

    Args:
        histories: The pages.
        bot_name: The bot's account; its edits introduce nothing.
        earlier: The stored verdicts of the items, at least of those that are on these pages.

    Returns:
        Verdicts with their authors, and the changes that are nobody's verdict.
    """
    reader = _Reader(bot_name, earlier)
    queue = []
    for history in histories:
        reader.open(history)
        queue += [(revision, history) for revision in history.revisions]
    for revision, history in sorted(queue, key=lambda pair: pair[0].revision_id):
        reader.read(revision, history)
    return HistoryReading(tuple(reader.verdicts), tuple(reader.uncounted))


class _Reader:
    """Walks revisions of all pages in the order of their ids and keeps what it has seen."""

    def __init__(self, bot_name: str, earlier: Iterable[Verdict]) -> None:
        self.verdicts: list[IntroducedVerdict] = []
        self.uncounted: list[UncountedChange] = []
        self._bot = canonical_name(bot_name)
        self._bot_name = bot_name
        self._pages: dict[str, _Page] = {}
        self._items: dict[str, _Item] = defaultdict(_Item)
        for verdict in sorted(earlier, key=lambda verdict: (verdict.given_at, verdict.revision_id or 0)):
            if verdict.source is VerdictSource.WIKI:
                self._remember(verdict)

    def open(self, history: PageHistory) -> None:
        """Take a page as it was when it was last read."""
        rows = self._rows(history.base_text or "")
        for item_id, found in rows.items():
            for row in found:
                self._items[item_id].learn(_pair(row), None)
        self._pages[history.title] = _Page(
            rows, history.base_text, history.base_revision_id or 0, history.base_text is None
        )

    def read(self, revision: Revision, history: PageHistory) -> None:
        """Take the next revision of any page."""
        page = self._pages[history.title]
        page.uncertain |= revision.parent_id != page.last_id
        page.last_id = revision.revision_id
        if revision.text is None:
            page.uncertain = True
            return
        if revision.text != page.text:
            rows = self._rows(revision.text)
            changed = [
                item_id
                for item_id, found in rows.items()
                if Counter(map(_pair, found)) != Counter(map(_pair, page.rows.get(item_id, ())))
            ]
            known = revision.user is not None and not page.uncertain
            edit = _Edit(
                revision=revision,
                author=revision.user if known else None,
                person=person_of(revision.user, revision.user_id) if known and revision.user else None,
                tags=history.tags.get(revision.revision_id),
                lone=len(changed) == 1,
            )
            for item_id in changed:
                self._compare(edit, item_id, page.rows.get(item_id, ()), rows[item_id])
            page.rows = rows
        page.text, page.uncertain = revision.text, False

    def _compare(self, edit: _Edit, item_id: str, old: Sequence[FoundRow], new: Sequence[FoundRow]) -> None:
        item = self._items[item_id]
        surplus = Counter(map(_pair, new)) - Counter(map(_pair, old))
        added = [pair for pair in surplus if pair.word]
        if edit.author is not None and canonical_name(edit.author) == self._bot:
            for pair in added:
                item.learn(pair, None)
            return
        fresh = []
        for pair in added:
            reason = _uncounted_reason(edit, item, pair, old)
            if reason:
                self._report(edit, item_id, pair.word, reason)
                item.learn(pair, None)
            else:
                fresh.append(pair)
        if len({pair.word for pair in fresh}) > 1:
            for pair in fresh:
                self._report(edit, item_id, pair.word, "contradictory")
                item.learn(pair, None)
        elif fresh:
            self._introduce(edit, item_id, fresh[0], old)
        elif edit.author is not None and all(pair.word in VERDICT_WORDS for pair in added):
            self._withdraw(edit, item_id, old, new)

    def _introduce(self, edit: _Edit, item_id: str, pair: _Pair, old: Sequence[FoundRow]) -> None:
        item = self._items[item_id]
        beside = [row for row in old if row.word == pair.word]
        agrees = any(pair.comment.count("+1") > row.comment.count("+1") for row in beside)
        remark_only = bool(beside) and not agrees and item.latest.get(edit.person) != pair.word
        item.learn(pair, None if remark_only else edit.person)
        if not remark_only:
            item.latest[edit.person] = pair.word
        self._emit(edit, item_id, VerdictCode(pair.word), pair.comment, old, remark_only=remark_only)

    def _withdraw(self, edit: _Edit, item_id: str, old: Sequence[FoundRow], new: Sequence[FoundRow]) -> None:
        """Where an own verdict stood and is gone, while the row is still there."""
        item = self._items[item_id]
        own = item.latest.get(edit.person, VerdictCode.UNSURE)
        stood = any(row.word == own for row in old)
        if own != VerdictCode.UNSURE and stood and all(row.word != own for row in new):
            item.latest[edit.person] = VerdictCode.UNSURE
            self._emit(edit, item_id, VerdictCode.UNSURE, "", old, withdrawn=True)

    def _emit(
        self,
        edit: _Edit,
        item_id: str,
        code: VerdictCode,
        comment: str,
        old: Sequence[FoundRow],
        *,
        withdrawn: bool = False,
        remark_only: bool = False,
    ) -> None:
        assert edit.author is not None
        self.verdicts.append(
            IntroducedVerdict(
                item_id=item_id,
                code=code,
                comment=comment,
                author=edit.author,
                author_id=edit.revision.user_id or 0,
                anonymous=edit.revision.anonymous,
                revision_id=edit.revision.revision_id,
                made_at=edit.revision.made_at,
                blind=not any(row.shows_score for row in old),
                hinted=any(row.shows_hint for row in old),
                withdrawn=withdrawn,
                remark_only=remark_only,
            )
        )

    def _report(self, edit: _Edit, item_id: str, word: str, reason: str) -> None:
        revision = edit.revision
        self.uncounted.append(
            UncountedChange(item_id, word, reason, revision.title, revision.revision_id, edit.author)
        )

    def _remember(self, verdict: Verdict) -> None:
        item = self._items[verdict.item_id]
        pair = _Pair(verdict.code.value, printable(verdict.comment))
        if verdict.untrusted_reason == REMARK_ONLY:
            item.learn(pair, None)
            return
        person = person_of(verdict.author, verdict.author_id)
        item.learn(pair, person)
        item.latest[person] = pair.word

    def _rows(self, text: str) -> _Rows:
        rows: dict[str, list[FoundRow]] = {}
        for row in parse_rows(text, self._bot_name):
            rows.setdefault(row.item_id, []).append(row)
        return rows


def _uncounted_reason(edit: _Edit, item: _Item, pair: _Pair, old: Sequence[FoundRow]) -> str | None:
    """Why a pair that this edit added is nobody's verdict; None where it may be the author's."""
    if pair.word not in VERDICT_WORDS:
        return "invalid"
    if edit.author is None:
        return "unattributable"
    brought = item.brought.get(pair)
    if not brought or edit.person in brought:
        return None
    deliberate = edit.tags is not None and not edit.tags & UNDO_TAGS and edit.lone and old
    return None if deliberate else "restored"


def _pair(row: FoundRow) -> _Pair:
    return _Pair(row.word, row.comment)


__all__ = [
    "REMARK_ONLY",
    "UNDO_TAGS",
    "HistoryReading",
    "IntroducedVerdict",
    "PageHistory",
    "UncountedChange",
    "canonical_name",
    "person_of",
    "read_verdicts",
]
