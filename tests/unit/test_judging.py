"""What a promotion is judged by: each figure has to hold by itself, and the sentence says which decided."""

import pytest

from bot.judging import EQUAL_LOAD, F1, RECALL, Figure, Judgement, Margins, figures_of, figures_told
from storage.paired_estimates import Difference

GOOD = Difference(0.5, 0.6, 0.1, 0.02, 0.18)
A_LITTLE_WORSE = Difference(0.5, 0.48, -0.02, -0.04, 0.01)
WORSE = Difference(0.5, 0.4, -0.1, -0.2, 0.01)
UNKNOWN = Difference(None, 0.4, None, -1.0, 1.0)


def judged(*differences: Difference, objection: str = "") -> Judgement:
    figures = figures_of(*differences, Margins())
    return Judgement("feedback", figures, 90, "balanced", (0.8, 0.7), (False, True), objection)


def test_all_figures_have_to_hold() -> None:
    assert judged(GOOD, GOOD, GOOD).accepts
    assert judged(GOOD, A_LITTLE_WORSE, A_LITTLE_WORSE).accepts


@pytest.mark.parametrize(
    ("differences", "decided"),
    [
        ((A_LITTLE_WORSE, GOOD, GOOD), F1),
        ((GOOD, WORSE, GOOD), RECALL),
        ((GOOD, GOOD, WORSE), EQUAL_LOAD),
        ((GOOD, A_LITTLE_WORSE, UNKNOWN), EQUAL_LOAD),
    ],
)
def test_one_figure_that_does_not_hold_decides_and_is_named(
    differences: tuple[Difference, Difference, Difference], decided: str
) -> None:
    found = judged(*differences)
    assert not found.accepts
    assert f"What decided: {decided}," in found.sentence("new", "old")


def test_the_sentence_names_every_figure_with_its_interval_and_margin() -> None:
    told = judged(GOOD, A_LITTLE_WORSE, GOOD).sentence("new", "old")
    assert told == (
        "new less old at level balanced (flagging from 0.7, as the level asks; and from 0.8, as it stands): "
        "F1 +0.100 (+0.020 to +0.180, allowed +0.000), recall -0.020 (-0.040 to +0.010, allowed -0.100), "
        "recall at equal review load +0.100 (+0.020 to +0.180, allowed -0.100); 95 %, 90 labelled items, "
        "from feedback. All of them hold; the closest was F1"
    )


def test_what_cannot_do_as_the_level_asks_is_not_promoted() -> None:
    found = judged(GOOD, GOOD, GOOD, objection="new: no threshold reaches a precision of 50 %")
    assert not found.accepts
    assert "What decided: new: no threshold" in found.sentence("new", "old")


def test_without_figures_nothing_is_promoted() -> None:
    found = Judgement("none", (), 12, "balanced", needed=50)
    assert not found.accepts
    assert "12 labelled uploads in common, 50 are needed" in found.sentence("new", "old")


def test_a_figure_that_an_evaluation_did_not_keep_does_not_hold() -> None:
    told = {"f1": {"value": 0.1, "low": 0.05, "high": 0.2}, "recall": {"value": 0.1, "low": 0.0, "high": 0.2}}
    figures = figures_told(told, Margins())
    assert [one.holds for one in figures] == [True, True, False]


def test_margins_are_chosen_for_each_figure() -> None:
    assert Figure(F1, -0.01, -0.03, 0.01, Margins(f1=0.05).of(F1)).holds
    assert not Figure(RECALL, -0.01, -0.03, 0.01, Margins(recall=0.02).of(RECALL)).holds
