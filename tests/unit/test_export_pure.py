"""Splits, samples and rows of an export, without a store."""

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.export import sampling
from bot.export.card import CardFacts, Tally, card
from bot.export.record import FIELDS, Teller, flat
from bot.export.splits import SPLITS, TEST, SplitPlan, drawn
from bot.export.table_csv import _harmless
from storage.export import ExportItem
from storage.review_values import VerdictCode
from storage.values import FrameScore
from tests.export_store import PAGE_URL, sha1_of
from tests.review_items import item_id, verdict
from tests.storage_database import NOW, WIKI, after

KEY = b"secret" * 6


def item(log_id: int = 1, **changes: object) -> ExportItem:
    basis = ExportItem(
        row_id=log_id,
        item_id=item_id(log_id),
        upload_id=log_id,
        wiki=WIKI,
        log_id=log_id,
        title="File:Noise 1.jpg",
        current_title="File:Noise, later?.jpg",
        uploader="Up",
        sha1=sha1_of(log_id),
        file_timestamp=NOW,
        logged_at=NOW,
        score=0.9,
        predicted="sfw",
        threshold=0.8,
        worst=FrameScore(0.9, at_s=None),
        frame_count=1,
        rendition={"url": "https://upload.wikimedia.org/x.jpg", "kind": "thumbnail"},
        scored_at=NOW,
        model="open_nsfw",
        weights_sha256="ab" * 32,
        preprocessing="open_nsfw-v1",
        engine="torch-fp32",
        reason="audit",
        stratum="low",
        probability=0.25,
        chosen_at=NOW,
        state="closed",
        verdicts=(verdict(log_id, VerdictCode.SFW, id=1, comment="seen by Ann", given_at=after(10)),),
        kept=None,
    )
    return replace(basis, **changes)  # type: ignore[arg-type]


uploaders = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 25)), min_size=1, max_size=30)


def planned(given: list[tuple[int, int]]) -> SplitPlan:
    plan = SplitPlan()
    for number, (uploader, sha1) in enumerate(given, 1):
        plan.add(number, f"w-{number}", f"u{uploader}", f"s{sha1}")
    return plan


@given(uploaders)
def test_neither_an_uploader_nor_equal_bytes_are_ever_divided(history: list[tuple[int, int]]) -> None:
    plan = planned(history)
    for part in (0, 1):
        found: dict[int, set[tuple[str, str]]] = {}
        for number, keys in enumerate(history, 1):
            found.setdefault(keys[part], set()).add((plan.split_of(number), plan.group_of(number)))
        assert all(len(splits) == 1 for splits in found.values())


@given(uploaders, st.integers(1, 30))
def test_what_was_once_handed_out_for_training_is_never_evaluated_on(
    history: list[tuple[int, int]], length: int
) -> None:
    before, later = planned(history[:length]), planned(history)
    moved = [
        (before.split_of(number), later.split_of(number)) for number in range(1, len(history[:length]) + 1)
    ]
    assert all(SPLITS.index(new) <= SPLITS.index(old) for old, new in moved)
    assert all(old == TEST for old, new in moved if new == TEST)


def test_splits_get_their_shares_and_hidden_uploaders_tie_nothing() -> None:
    plan = SplitPlan()
    for number in range(5000):
        plan.add(number, f"w-{number}", None, None)
    counts = Counter(plan.split_of(number) for number in range(5000))
    assert counts["train"] == pytest.approx(3500, abs=130)
    assert counts["test"] == pytest.approx(1000, abs=115)
    assert plan.split_of(7) == drawn("w-7", {"train": 0.7, "validation": 0.1, "test": 0.2})


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=30), st.integers(1, 35))
def test_a_sample_has_its_size_and_equal_overall_probabilities(inclusion: list[float], size: int) -> None:
    chances = sampling.probabilities(inclusion, size)
    assert math.fsum(chances) == pytest.approx(min(size, len(inclusion)))
    assert all(0 < chance <= 1 for chance in chances)
    overall = [p * q for p, q in zip(inclusion, chances, strict=True)]
    drawn_at_all = [value for value, chance in zip(overall, chances, strict=True) if chance < 1]
    assert all(value == pytest.approx(max(overall)) for value in drawn_at_all)
    picked = sampling.draw(range(len(inclusion)), inclusion, size, seed=3)
    assert len(picked) == min(size, len(inclusion))
    assert all(picked[index] == chances[index] for index in picked)


def test_the_weights_of_a_sample_estimate_the_total_without_bias() -> None:
    inclusion = [0.05 if index % 3 else 1.0 for index in range(300)]
    truth = sum(1 / p for p in inclusion)
    positives = sum(1 / p for index, p in enumerate(inclusion) if index % 7 == 0)
    totals, found = [], []
    for seed in range(400):
        picked = sampling.draw(range(300), inclusion, 40, seed)
        totals.append(sum(1 / (inclusion[index] * q) for index, q in picked.items()))
        found.append(sum(1 / (inclusion[index] * q) for index, q in picked.items() if index % 7 == 0))
    assert sum(totals) / 400 == pytest.approx(truth, rel=0.03)
    assert sum(found) / 400 == pytest.approx(positives, rel=0.06)


def test_a_row_has_every_field_and_the_weight_of_both_draws() -> None:
    row = Teller(KEY, PAGE_URL).row(item(), "train", "w-1", sampling_probability=0.5)
    assert list(row) == list(FIELDS)
    assert (row["label"], row["predicted_label"], row["weight"], row["inclusion_probability"]) == (
        "safe",
        "safe",
        8,
        0.125,
    )
    assert row["file_page"] == "https://commons.wikimedia.org/wiki/File:Noise%2C_later%3F.jpg"
    assert len(row["sha1"]) == 40
    assert None not in flat(row).values()


def test_a_moderator_is_a_pseudonym_without_the_traces_that_lead_to_a_person() -> None:
    row = Teller(KEY, PAGE_URL).row(item(), "train", "w-1")
    text = str(flat(row))
    assert "Ann" not in text
    assert "patroller" not in text
    [told] = row["verdicts"]
    assert told["revision_id"] is None
    assert (told["given_at"].hour, told["given_at"].minute, told["counts"]) == (0, 0, True)
    same = Teller(KEY, PAGE_URL).row(item(2), "train", "w-1")["verdicts"][0]["moderator"]
    other = Teller(b"other" * 8, PAGE_URL).row(item(), "train", "w-1")["verdicts"][0]["moderator"]
    assert told["moderator"] == same != other


def test_names_are_told_when_asked_for() -> None:
    [told] = Teller(KEY, PAGE_URL, with_names=True).row(item(), "train", "w-1")["verdicts"]
    assert (told["moderator"], told["comment"], told["revision_id"]) == ("Ann", "seen by Ann", 100)
    assert told["given_at"] == after(10)


@pytest.mark.parametrize(
    ("codes", "state", "label"),
    [
        ((), "open", "open"),
        ((VerdictCode.UNSURE,), "open", "unsure"),
        ((VerdictCode.SFW, VerdictCode.NSFW_KEEP), "disputed", "disputed"),
        ((VerdictCode.NSFW_DELETE, VerdictCode.NSFW_KEEP), "disputed", "nsfw"),
        ((VerdictCode.SFW, VerdictCode.UNSURE), "closed", "safe"),
    ],
)
def test_only_agreement_is_a_label(codes: tuple[VerdictCode, ...], state: str, label: str) -> None:
    verdicts = tuple(verdict(1, code, id=n, author_id=n, author=f"P{n}") for n, code in enumerate(codes))
    assert item(verdicts=verdicts, state=state).label == label


def test_an_untrusted_verdict_is_history_and_no_label() -> None:
    one = item(
        verdicts=(verdict(1, VerdictCode.SFW, id=4, trusted=False, untrusted_reason="group"),), state="open"
    )
    row = Teller(KEY, PAGE_URL).row(one, "train", "w-1")
    assert row["label"] == "open"
    assert [told["counts"] for told in row["verdicts"]] == [False]


def test_the_version_changes_with_a_verdict_and_with_nothing_else() -> None:
    teller = Teller(KEY, PAGE_URL)
    versions = [
        teller.row(one, "train", "w-1")["version"]
        for one in (item(), item(), item(verdicts=(), state="open"))
    ]
    assert versions[0] == versions[1] != versions[2]


def test_the_card_tells_counts_weights_and_the_effective_size() -> None:
    tally = Tally()
    for probability in (1.0, 1.0, 0.1):
        row = Teller(KEY, PAGE_URL).row(item(probability=probability), "test", "w-1")
        tally.add(row | {"media_state": "kept"})
    text = card(
        tally, CardFacts("0001", NOW, "commons", {"--reason": "audit"}, {"deleted": 2}, 1, 0, 0, False, {})
    )
    assert tally.effective() == pytest.approx(144 / 102)
    assert "| test | 3 | 12.0 | 1.4 |" in text
    assert "without a picture: deleted | 2" in text
    assert "`--reason audit`" in text


def test_a_title_is_no_formula() -> None:
    assert _harmless("=HYPERLINK(1)") == "'=HYPERLINK(1)"
    assert _harmless(-1.5) == -1.5
