from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.review.merging import merge_page, new_page
from bot.review.rows import ReviewRow, parse_rows
from bot.review.verdict_parser import UNDO_TAGS, read_verdicts
from bot.review.verdict_values import HistoryReading, PageHistory
from bot.wiki_values import Revision
from storage.review_values import Hint, LookAlike, Verdict, VerdictCode, VerdictSource
from storage.values import FrameScore, ReviewReason

BOT = "TestBot"
NOON = datetime(2025, 5, 1, 12, tzinfo=UTC)
START = f"{{{{User:{BOT}/Review/item|"
PEOPLE = {BOT: 1, "Ada": 11, "Ben": 12, "Cem": 13, "Vandal": 14}
ROWS = [ReviewRow(f"w-{number}", f"File:{number}.jpg", FrameScore(0.9)) for number in (1, 2, 3)]
PAGE = new_page(ROWS, BOT)
KEEP, SFW, DELETE, UNSURE = "nsfw-keep", "sfw", "nsfw-delete", "unsure"


def put(text: str, number: int, verdict: str | None = None, comment: str | None = None) -> str:
    """The page with another verdict or comment in the first row of an item."""
    found = next(row for row in parse_rows(text, BOT) if row.item_id == f"w-{number}")
    source = found.source
    if verdict is not None:
        source = source.replace(f"verdict={found.word}|", f"verdict={verdict}|")
    if comment is not None:
        source = source.replace(f"comment={found.comment}", f"comment={comment}")
    return text[: found.start] + source + text[found.end :]


@dataclass
class Wiki:
    """Several pages whose revisions have ids in the order of saving."""

    next_id: int = 100
    pages: dict[str, list[Revision]] = field(default_factory=dict)
    tags: dict[int, frozenset[str]] = field(default_factory=dict)
    tagged: bool = False

    def save(
        self, user: str | None, text: str | None, title: str = "P", *, tag: str = "", anonymous: bool = False
    ) -> int:
        history = self.pages.setdefault(title, [])
        self.next_id += 1
        parent = history[-1].revision_id if history else 0
        user_id = None if user is None else PEOPLE.get(user, 0)
        at = NOON + timedelta(minutes=self.next_id)
        history.append(Revision(title, self.next_id, parent, user, user_id, anonymous, at, text))
        self.tags[self.next_id] = frozenset({tag} if tag else ())
        return self.next_id

    def read(self, earlier: list[Verdict] | None = None, after: int = 0) -> HistoryReading:
        histories = []
        for title, revisions in self.pages.items():
            seen = [revision for revision in revisions if revision.revision_id <= after]
            new = [revision for revision in revisions if revision.revision_id > after]
            base = seen[-1] if seen else None
            histories.append(
                PageHistory(
                    title,
                    base.text if base else "",
                    base.revision_id if base else None,
                    new,
                    self.tags if self.tagged else {},
                )
            )
        return read_verdicts(histories, BOT, earlier or [])


def wiki(*edits: tuple[str | None, str | None]) -> Wiki:
    made = Wiki()
    made.save(BOT, PAGE)
    for user, text in edits:
        made.save(user, text)
    return made


def brief(reading: HistoryReading) -> list[tuple[str, str, str]]:
    return [(each.author, each.item_id, each.code.value) for each in reading.verdicts]


def uncounted(reading: HistoryReading) -> list[tuple[str, str, str | None]]:
    return [(each.item_id, each.reason, each.author) for each in reading.uncounted]


def test_a_verdict_belongs_to_the_author_of_its_revision() -> None:
    first = put(PAGE, 1, SFW, "seen by [[User:Ben]]")
    found = wiki(("Ada", first), ("Ben", put(first, 2, KEEP))).read()
    assert brief(found) == [("Ada", "w-1", SFW), ("Ben", "w-2", KEEP)]
    assert found.verdicts[0].comment == "seen by [[User:Ben]]"
    assert (found.verdicts[0].author_id, found.verdicts[0].revision_id, found.verdicts[0].blind) == (
        11,
        102,
        True,
    )
    assert found.uncounted == ()


def test_a_name_written_into_the_row_counts_for_nothing() -> None:
    forged = put(PAGE, 1, SFW, "[[User:Ada|Ada]] 12:00 (UTC)").replace(
        "|comment", "|user=Ada|author=Ada|comment"
    )
    assert brief(wiki(("Vandal", forged)).read()) == [("Vandal", "w-1", SFW)]


def test_several_verdicts_in_one_edit_all_count() -> None:
    text = put(put(PAGE, 1, SFW), 3, UNSURE)
    assert brief(wiki(("Ada", text)).read()) == [("Ada", "w-1", SFW), ("Ada", "w-3", UNSURE)]


def test_a_later_verdict_of_the_same_person_is_another_one() -> None:
    first = put(PAGE, 1, SFW)
    assert brief(wiki(("Ada", first), ("Ada", put(first, 1, KEEP))).read()) == [
        ("Ada", "w-1", SFW),
        ("Ada", "w-1", KEEP),
    ]


def test_reading_in_two_passes_finds_the_same() -> None:
    first = put(PAGE, 1, SFW)
    made = wiki(("Ada", first), ("Ben", put(first, 1, KEEP, "no")), ("Ada", first))
    whole = made.read()
    part = made.read(after=102)
    assert whole.verdicts[0].author == "Ada"
    assert part.verdicts[0] == whole.verdicts[1]


def test_who_returns_to_an_own_verdict_gives_it_again() -> None:
    first = put(PAGE, 1, SFW)
    second = put(first, 1, KEEP)
    assert brief(wiki(("Ada", first), ("Ada", second), ("Ada", first)).read())[-1] == ("Ada", "w-1", SFW)


def test_a_revert_gives_nobody_a_verdict() -> None:
    first = put(PAGE, 1, SFW)
    found = wiki(("Ada", first), ("Vandal", put(first, 1, DELETE)), ("Ben", first)).read()
    assert brief(found) == [("Ada", "w-1", SFW), ("Vandal", "w-1", DELETE)]
    assert uncounted(found) == [("w-1", "restored", "Ben")]


def test_a_revert_to_a_verdict_from_before_this_pass_gives_nobody_a_verdict() -> None:
    first = put(PAGE, 1, SFW)
    made = wiki(("Ada", first), ("Vandal", PAGE), ("Ben", first))
    assert brief(made.read(after=102)) == []
    stored = Verdict(
        "w-1", VerdictCode.SFW, "", "Ada", 11, (), True, None, True, 102, NOON, VerdictSource.WIKI
    )
    assert brief(made.read([stored], after=103)) == []


def test_blanking_and_restoring_the_page_changes_nothing() -> None:
    text = put(put(PAGE, 1, SFW), 2, KEEP, "x")
    found = wiki(("Ada", text), ("Vandal", ""), ("Ben", text)).read()
    assert brief(found) == [("Ada", "w-1", SFW), ("Ada", "w-2", KEEP)]
    assert uncounted(found) == [("w-1", "restored", "Ben"), ("w-2", "restored", "Ben")]


def test_the_bot_introduces_no_verdicts_when_it_puts_rows_back() -> None:
    text = put(PAGE, 1, SFW, "x")
    found = wiki(("Ada", text), ("Vandal", "gone"), (BOT, text)).read()
    assert brief(found) == [("Ada", "w-1", SFW)]
    assert found.uncounted == ()


def test_the_bot_s_verdict_is_nobody_s_when_somebody_restores_it() -> None:
    text = put(PAGE, 1, SFW)
    assert brief(wiki((BOT, text), ("Vandal", ""), ("Ben", text)).read()) == []


def test_a_row_moved_to_another_page_keeps_its_author() -> None:
    made = wiki(("Ada", put(PAGE, 1, SFW)))
    line = parse_rows(made.pages["P"][-1].text or "", BOT)[0].source
    made.save("Ben", "other\n" + line, "Q")
    made.save("Ben", PAGE.replace(parse_rows(PAGE, BOT)[0].source, ""), "P")
    found = made.read()
    assert brief(found) == [("Ada", "w-1", SFW)]
    assert uncounted(found) == [("w-1", "restored", "Ben")]


def test_a_row_moved_and_judged_at_once_is_judged_by_the_mover() -> None:
    made = wiki(("Ada", put(PAGE, 1, SFW)))
    made.save("Ben", START + "id=w-1|verdict=unsure|comment=}}", "Q")
    assert brief(made.read())[-1] == ("Ben", "w-1", UNSURE)


def test_reordering_rows_changes_nothing() -> None:
    text = put(PAGE, 1, SFW)
    assert len(wiki(("Ada", text), ("Ben", "\n".join(reversed(text.splitlines())))).read().verdicts) == 1


def test_a_doubled_row_is_nobody_s_verdict_until_it_says_something_else() -> None:
    text = put(PAGE, 1, SFW)
    doubled = text + parse_rows(text, BOT)[0].source
    found = wiki(("Ada", text), ("Ben", doubled), ("Cem", put(doubled, 1, KEEP))).read()
    assert brief(found) == [("Ada", "w-1", SFW), ("Cem", "w-1", KEEP)]


def test_two_different_verdicts_for_one_item_in_one_edit_count_for_neither() -> None:
    line = parse_rows(PAGE, BOT)[0].source
    text = put(PAGE, 1, SFW) + line.replace("verdict=", "verdict=nsfw-keep")
    found = wiki(("Ada", text)).read()
    assert brief(found) == []
    assert uncounted(found) == [("w-1", "contradictory", "Ada")] * 2


@pytest.mark.parametrize("word", ["nsfw", "delete it", "sfw?"])
def test_a_word_that_is_no_code_is_reported_and_withdraws_nothing(word: str) -> None:
    first = put(PAGE, 1, SFW)
    found = wiki(("Ada", first), ("Ada", put(first, 1, word))).read()
    assert brief(found) == [("Ada", "w-1", SFW)]
    assert uncounted(found) == [("w-1", "invalid", "Ada")]


def test_changes_across_a_hidden_revision_are_nobody_s() -> None:
    text = put(put(PAGE, 1, SFW), 2, KEEP)
    found = wiki(
        ("Ada", put(PAGE, 1, SFW)), ("Vandal", None), ("Ben", text), ("Ben", put(text, 3, SFW))
    ).read()
    assert brief(found) == [("Ada", "w-1", SFW), ("Ben", "w-3", SFW)]
    assert uncounted(found) == [("w-2", "unattributable", None)]


def test_a_hidden_author_gets_no_verdict() -> None:
    found = wiki((None, put(PAGE, 1, SFW))).read()
    assert (brief(found), uncounted(found)) == ([], [("w-1", "unattributable", None)])


def test_a_hole_in_the_history_makes_changes_nobody_s() -> None:
    made = wiki(("Ada", put(PAGE, 1, SFW)), ("Ben", put(PAGE, 2, SFW)))
    del made.pages["P"][1]
    assert uncounted(made.read()) == [("w-2", "unattributable", None)]


def test_a_hidden_base_makes_the_first_change_nobody_s() -> None:
    made = wiki((BOT, None), ("Ada", put(PAGE, 1, SFW)))
    assert uncounted(made.read(after=102)) == [("w-1", "unattributable", None)]


def test_an_anonymous_author_is_marked_as_one() -> None:
    made = wiki()
    made.save("192.0.2.1", put(PAGE, 1, SFW), anonymous=True)
    (found,) = made.read().verdicts
    assert (found.anonymous, found.author_id) == (True, 0)


def test_the_comment_beside_somebody_else_s_verdict_is_only_a_remark() -> None:
    first = put(PAGE, 1, SFW, "x")
    found = wiki(("Ada", first), ("Ben", put(first, 1, comment="x. Really?"))).read()
    assert [(each.author, each.remark_only) for each in found.verdicts] == [("Ada", False), ("Ben", True)]


def test_an_own_comment_changed_later_is_an_own_verdict() -> None:
    first = put(PAGE, 1, SFW, "x")
    found = wiki(("Ada", first), ("Ada", put(first, 1, comment="y"))).read()
    assert [(each.comment, each.remark_only) for each in found.verdicts] == [("x", False), ("y", False)]


def test_a_plus_one_confirms_somebody_else_s_verdict() -> None:
    first = put(PAGE, 1, SFW, "x +1")
    found = wiki(("Ada", first), ("Ben", put(first, 1, comment="x +1 +1")))
    assert [(each.author, each.code.value, each.remark_only) for each in found.read().verdicts][1] == (
        "Ben",
        SFW,
        False,
    )


def test_a_comment_without_a_verdict_is_none() -> None:
    assert wiki(("Ada", put(PAGE, 1, comment="hm"))).read() == HistoryReading((), ())


def test_who_clears_an_own_verdict_withdraws_it() -> None:
    found = wiki(("Ada", put(PAGE, 1, SFW)), ("Ada", PAGE)).read()
    assert [(each.code.value, each.withdrawn) for each in found.verdicts] == [(SFW, False), (UNSURE, True)]


def test_who_clears_somebody_else_s_verdict_withdraws_nothing() -> None:
    assert brief(wiki(("Ada", put(PAGE, 1, SFW)), ("Ben", PAGE)).read()) == [("Ada", "w-1", SFW)]


def test_who_replaces_a_verdict_and_undoes_that_has_no_verdict() -> None:
    first = put(PAGE, 1, SFW)
    found = wiki(("Ada", first), ("Ben", put(first, 1, KEEP)), ("Ben", first)).read()
    assert [(each.author, each.code.value, each.withdrawn) for each in found.verdicts][-1] == (
        "Ben",
        UNSURE,
        True,
    )


def test_removing_the_whole_row_withdraws_nothing() -> None:
    assert brief(wiki(("Ada", put(PAGE, 1, SFW)), ("Ada", "")).read()) == [("Ada", "w-1", SFW)]


@pytest.mark.parametrize("tag", ["", *sorted(UNDO_TAGS)])
def test_with_tags_a_verdict_set_anew_counts_and_an_undo_does_not(tag: str) -> None:
    first = put(PAGE, 1, SFW)
    made = wiki(("Vandal", first), ("Ben", PAGE))
    made.tagged = True
    made.save("Ada", first, tag=tag)
    assert (("Ada", "w-1", SFW) in brief(made.read())) == (tag == "")


def test_with_tags_bringing_back_several_rows_still_gives_no_verdicts() -> None:
    text = put(put(PAGE, 1, SFW), 2, SFW)
    made = wiki(("Ada", text), ("Vandal", PAGE), ("Ben", text))
    made.tagged = True
    assert {each.author for each in made.read().verdicts} == {"Ada"}


def test_a_verdict_is_not_blind_once_the_row_tells_the_score() -> None:
    shown = merge_page(
        PAGE,
        [ReviewRow("w-1", "File:1.jpg", FrameScore(0.9), score=0.9, reason=ReviewReason.FLAGGED), *ROWS[1:]],
        BOT,
    )
    made = wiki((BOT, shown), ("Ada", put(put(shown, 1, SFW), 2, SFW)))
    assert [(each.item_id, each.blind) for each in made.read().verdicts] == [("w-1", False), ("w-2", True)]


def test_a_verdict_tells_whether_a_hint_stood_in_the_row_that_its_author_saw() -> None:
    hint = Hint(LookAlike("File:Other.jpg", VerdictCode.SFW))
    made = Wiki()
    made.save(BOT, PAGE)
    made.save("Ada", put(PAGE, 1, KEEP))
    hinted = merge_page(put(PAGE, 1, KEEP), [ROWS[0], replace(ROWS[1], hint=hint), ROWS[2]], BOT)
    made.save(BOT, hinted)
    made.save("Ben", put(hinted, 2, KEEP))
    found = made.read().verdicts
    assert [(each.item_id, each.blind, each.hinted) for each in found] == [
        ("w-1", True, False),
        ("w-2", True, True),
    ]


def test_rows_are_compared_by_what_they_say_not_by_how_it_is_written() -> None:
    text = put(PAGE, 1, SFW, "a & b")
    same = text.replace("verdict=sfw", "verdict = SFW ").replace("a & b", " a &#38; <!-- x --> b ")
    assert len(wiki(("Ada", text), ("Ben", same)).read().verdicts) == 1


people = st.sampled_from(sorted(PEOPLE))
words = st.sampled_from(["", SFW, KEEP, DELETE, UNSURE, "nonsense"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), people, st.integers(1, 3), words, st.sampled_from(["", "a", "b +1"])),
        st.tuples(st.just("revert"), people, st.integers(0, 9)),
        st.tuples(st.just("blank"), people),
        st.tuples(st.just("double"), people, st.integers(0, 5)),
        st.tuples(st.just("hide"), people),
        st.tuples(st.just("merge")),
    ),
    max_size=14,
)  # fmt: skip


def play(plan: list[tuple]) -> Wiki:  # type: ignore[type-arg]
    made = wiki()
    texts = [PAGE]
    for step in plan:
        kind, *rest = step
        text = texts[-1]
        if kind == "put" and any(row.item_id == f"w-{rest[1]}" for row in parse_rows(text, BOT)):
            text = put(text, rest[1], rest[2], rest[3])
        elif kind == "revert":
            text = texts[min(rest[1], len(texts) - 1)]
        elif kind == "blank":
            text = ""
        elif kind == "double":
            rows = parse_rows(text, BOT)
            text = text + "\n" + rows[rest[1] % len(rows)].source if rows else text
        elif kind == "merge":
            text = merge_page(text, ROWS, BOT)
        texts.append(text)
        made.save(BOT if kind == "merge" else rest[0], None if kind == "hide" else text)
    return made


@given(steps)
def test_a_verdict_always_belongs_to_the_author_of_a_revision_that_changed_its_row(plan: list[tuple]) -> None:  # type: ignore[type-arg]
    made = play(plan)
    revisions = {revision.revision_id: revision for revision in made.pages["P"]}
    for found in made.read().verdicts:
        revision = revisions[found.revision_id]
        parent = revisions[revision.parent_id]
        assert (found.author, found.author_id) == (revision.user, revision.user_id)
        assert found.author != BOT
        assert revision.text is not None and parent.text is not None
        now, before = (
            sorted((row.word, row.comment) for row in parse_rows(text, BOT) if row.item_id == found.item_id)
            for text in (revision.text, parent.text)
        )
        assert now != before
        assert found.withdrawn or found.code.value in {word for word, _ in now}


@given(steps)
def test_an_item_gets_at_most_one_verdict_from_a_revision(plan: list[tuple]) -> None:  # type: ignore[type-arg]
    keys = [(each.item_id, each.revision_id) for each in play(plan).read().verdicts]
    assert len(keys) == len(set(keys))


@given(steps)
def test_every_new_verdict_on_a_page_is_accounted_for(plan: list[tuple]) -> None:  # type: ignore[type-arg]
    made = play(plan)
    reading = made.read()
    told = {(each.item_id, each.revision_id) for each in (*reading.verdicts, *reading.uncounted)}
    visible = [revision for revision in made.pages["P"] if revision.text is not None]
    for before, after in pairwise(visible):
        old = {(row.item_id, row.word, row.comment) for row in parse_rows(before.text or "", BOT)}
        for row in parse_rows(after.text or "", BOT):
            if row.word and after.user != BOT and (row.item_id, row.word, row.comment) not in old:
                assert (row.item_id, after.revision_id) in told
