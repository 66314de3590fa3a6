"""People, vandals, failures and the bot in any order: no verdict is lost or given to somebody else.

And after the bot's next undisturbed pass every undecided item stands on exactly one page, unless people
wrote different things into copies of its row.
"""

import re
import shutil
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bot.errors import ServiceDown
from bot.review.rows import FoundRow
from bot.review.verdict_values import REMARK_ONLY
from storage.review_values import ReviewState, VerdictCode
from tests.fake_wiki import BOT, down
from tests.review_items import item_id
from tests.review_office import Office, opened

PEOPLE = st.sampled_from(["Ann", "Bea", "Newcomer", "192.0.2.1"])
WORDS = st.sampled_from([code.value for code in VerdictCode])
FAILING = st.sampled_from(["read", "newest", "history", "revision", "users", "write"])
PICK = st.integers(0, 10_000)


class ReviewMachine(RuleBasedStateMachine):
    """The review with everybody who can touch its pages."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folder = Path(tempfile.mkdtemp(prefix="review-machine-"))
        self.stack.callback(shutil.rmtree, folder)
        self.office: Office = self.stack.enter_context(opened(folder, rows_per_page=2))
        self.items = 0
        self.gifts: dict[int, tuple[str, str, str]] = {}
        self.unread: dict[int, tuple[str, str, str]] = {}

    def teardown(self) -> None:
        self.stack.close()

    @initialize()
    def begin(self) -> None:
        self.flag()
        self.flag()
        self.flag()
        self.bot_passes()

    # People.

    @rule(user=PEOPLE, pick=PICK, word=WORDS)
    def give(self, user: str, pick: int, word: str) -> None:
        """Somebody changes the verdict in a row, with words of the own."""
        found = self.pick_row(pick)
        if found is None:
            return
        title, row = found
        if row.word == word:
            return
        text = self.office.wiki.text(title)
        line = text[row.start : row.end]
        edited = re.sub(
            r"\|verdict=[^|}]*\|comment=[^|}]*", f"|verdict={word}|comment=note {len(self.gifts)}", line
        )
        revision_id = self.office.wiki.edit(user, title, text[: row.start] + edited + text[row.end :])
        gift = (user, row.item_id, word)
        self.gifts[revision_id] = self.unread[revision_id] = gift

    @rule(user=PEOPLE, pick=PICK)
    def clear(self, user: str, pick: int) -> None:
        """Somebody empties a row."""
        found = self.pick_row(pick)
        if found is not None:
            title, row = found
            text = self.office.wiki.text(title)
            emptied = re.sub(
                r"\|verdict=[^|}]*\|comment=[^|}]*", "|verdict=|comment=", text[row.start : row.end]
            )
            self.office.wiki.edit(user, title, text[: row.start] + emptied + text[row.end :])

    @rule(user=PEOPLE, pick=PICK)
    def blank(self, user: str, pick: int) -> None:
        title = self.pick_page(pick)
        self.office.wiki.edit(user, title, "")

    @rule(user=PEOPLE, pick=PICK)
    def drop_row(self, user: str, pick: int) -> None:
        found = self.pick_row(pick)
        if found is not None:
            self.cut(user, *found)

    @rule(user=PEOPLE, pick=PICK, other=PICK, copy=st.booleans())
    def move_row(self, user: str, pick: int, other: int, copy: bool) -> None:
        """Or copy it, onto its own page as well."""
        found = self.pick_row(pick)
        if found is None:
            return
        title, row = found
        line = self.office.wiki.text(title)[row.start : row.end]
        if not copy:
            self.cut(user, title, row)
        page = self.pick_page(other)
        there = {one.word for one in self.office.rows(page) if one.item_id == row.item_id}
        revision_id = self.office.wiki.edit(user, page, f"{self.office.wiki.text(page)}\n{line}")
        if there and row.word and row.word not in there:
            # Beside another row of the item, it is a verdict like any other that contradicts.
            self.gifts[revision_id] = (user, row.item_id, row.word)

    @rule(user=PEOPLE, pick=PICK, back=st.integers(1, 4))
    def revert(self, user: str, pick: int, back: int) -> None:
        """Somebody restores an earlier text of a page."""
        title = self.pick_page(pick)
        revisions = self.office.wiki.revisions(title)
        if len(revisions) > back:
            self.office.wiki.edit(user, title, revisions[-1 - back].text or "", "mw-undo")

    @rule(pick=PICK)
    def delete_page(self, pick: int) -> None:
        """By an admin; what nobody has read by then is gone for good, so it is read first."""
        self.bot_passes()
        self.office.wiki.delete(self.pick_page(pick))
        self.bot_passes()

    # The bot.

    @precondition(lambda self: self.items < 7)
    @rule()
    def flag(self) -> None:
        self.items += 1
        self.office.put_up([self.items])

    @rule()
    def bot_passes(self) -> None:
        self.office.pass_by()
        self.check_all_read()
        self.check_places()

    @rule(method=FAILING)
    def bot_fails(self, method: str) -> None:
        self.office.wiki.failing[method] = down()
        with suppress(ServiceDown):
            self.office.pass_by()
        self.office.wiki.failing.clear()

    @rule(user=PEOPLE, pick=PICK, word=WORDS, merged=st.booleans())
    def somebody_is_quicker(self, user: str, pick: int, word: str, merged: bool) -> None:
        """A verdict is saved while the bot saves: a conflict, or the wiki merges both."""
        wiki = self.office.wiki

        def meanwhile(_title: str) -> None:
            wiki.before_write = wiki.while_saving = None
            self.give(user, pick, word)

        if merged:
            wiki.while_saving = meanwhile
        else:
            wiki.before_write = meanwhile
        self.office.pass_by()
        wiki.before_write = wiki.while_saving = None

    @rule()
    def restart(self) -> None:
        self.office.restart()

    # What must hold.

    @invariant()
    def nothing_is_given_to_somebody_else(self) -> None:
        wiki = self.office.wiki
        authors = {
            revision.revision_id: revision.user
            for title in wiki.titles()
            for revision in wiki.revisions(title)
        }
        for number in range(1, self.items + 1):
            for verdict in self.office.verdicts(number):
                assert verdict.revision_id is not None
                assert authors.get(verdict.revision_id, verdict.author) == verdict.author != BOT
                assert verdict.trusted <= (verdict.author in {"Ann", "Bea"})
                said = {
                    word
                    for revision_id, (user, item, word) in self.gifts.items()
                    if revision_id <= verdict.revision_id
                    and (user, item) == (verdict.author, verdict.item_id)
                }
                # Who takes the own verdict away has withdrawn it; who brings it back means it.
                withdrawn = verdict.code is VerdictCode.UNSURE and bool(said)
                remark = verdict.untrusted_reason == REMARK_ONLY
                assert verdict.code.value in said or withdrawn or remark

    def check_all_read(self) -> None:
        stored = {
            (verdict.revision_id, verdict.author, verdict.item_id, verdict.code.value)
            for number in range(1, self.items + 1)
            for verdict in self.office.verdicts(number)
        }
        for revision_id, gift in self.unread.items():
            assert (revision_id, *gift) in stored
        self.unread.clear()

    def check_places(self) -> None:
        office = self.office
        for number in range(1, self.items + 1):
            entry = office.entry(number)
            if entry.state is ReviewState.CLOSED:
                continue
            assert entry.page_title in office.places(number)
            said = {(row.word, row.comment) for row in self.copies(number, entry.page_title)}
            for title in office.places(number):
                if title != entry.page_title:
                    others = {(row.word, row.comment) for row in self.copies(number, title)}
                    assert others - {("", "")} - said, f"{item_id(number)} needlessly on {title}"

    def copies(self, number: int, title: str | None) -> list[FoundRow]:
        return [row for row in self.office.rows(title or "") if row.item_id == item_id(number)]

    def pick_page(self, pick: int) -> str:
        titles = [page.title for page in self.office.pages()]
        return titles[pick % len(titles)]

    def pick_row(self, pick: int) -> tuple[str, FoundRow] | None:
        rows = [(page.title, row) for page in self.office.pages() for row in self.office.rows(page.title)]
        whole = [(title, row) for title, row in rows if not row.damaged]
        return whole[pick % len(whole)] if whole else None

    def cut(self, user: str, title: str, row: FoundRow) -> None:
        text = self.office.wiki.text(title)
        self.office.wiki.edit(user, title, text[: row.start] + text[row.end :])


TestReviewMachine = ReviewMachine.TestCase
TestReviewMachine.settings = settings(
    max_examples=12,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
