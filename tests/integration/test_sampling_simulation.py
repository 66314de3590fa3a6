"""A short version of `benchmarks.sampling`: the estimates hold the truth, or say that they cannot."""

import numpy as np
import pytest

from benchmarks.sampling_baselines import compare
from benchmarks.sampling_coverage import covered, estimates, tell
from benchmarks.sampling_days import BUDGET, everybody, review
from benchmarks.sampling_worlds import Cell, Story, invented, simple

pytestmark = pytest.mark.slow

DAYS, LIVES = 20, 60


def short(seed: int = 1) -> Story:
    return simple(1_000_000, seed=seed, days=DAYS)


@pytest.mark.parametrize("proposals", [0, 20])
def test_intervals_hold_the_truth_within_the_budget(proposals: int) -> None:
    told = tell(short(), LIVES, proposals=proposals)

    assert told.most_a_day <= BUDGET
    for measure in ("precision", "recall"):
        row = told.measures[measure]
        assert row["coverage"] >= 0.85
        assert abs(row["bias"]) < 4 * row["bias_sd"]


def test_intervals_hold_the_truth_where_a_scorer_is_blind_to_some_files_and_changes() -> None:
    told = tell(invented("changing", 208, days=DAYS), LIVES)

    for measure in ("precision", "recall"):
        row = told.measures[measure]
        assert row["coverage"] >= 0.85
        assert abs(row["bias"]) < 4 * row["bias_sd"]


def test_other_designs_need_more_labels_for_the_same_interval() -> None:
    story = short()
    told = tell(story, 20)
    found = compare(story.whole, told.labels, told.measures["recall"]["width"], 4)

    assert len(found) == 6
    for name, design in found.items():
        needed = design["needed"]
        assert isinstance(needed, float)
        assert told.labels < (0.5 if "simple random" in name else 0.9) * needed, name


def only_high(_day: int, cell: Cell) -> float:
    return float(cell.low >= 0.5)


def test_a_reviewer_who_only_looks_at_high_scores_leaves_recall_unknown() -> None:
    story = short()
    reviews = review(story, 5, answers=only_high)

    for life in range(5):
        found = estimates(story.whole, reviews, life)
        assert found.recall.value is None
        assert found.precision.value is not None
        assert found.reasons


def test_a_reviewer_who_picks_high_scores_within_strata_is_told() -> None:
    def picks(_day: int, cell: Cell) -> float:
        return 0.2 if 0.8 <= cell.low < 0.9 else 1.0

    told = tell(short(), 5, answers=picks)
    assert told.says_it_cannot == 1.0
    assert tell(short(), 5, answers=lambda _day, _cell: 0.5).says_it_cannot == 0.0


@pytest.mark.parametrize(
    "answers",
    [lambda _day, cell: 0.3 + 0.6 * cell.stratum.low, lambda day, _cell: float(day % 5 != 2)],
    ids=["less often where scores are low", "not on every fifth day"],
)
def test_what_people_do_not_answer_is_still_counted(answers: object) -> None:
    story = short()
    part = review(story, 20, answers=answers)  # type: ignore[arg-type]
    whole = review(story, 20, answers=everybody)

    found = [estimates(story.whole, part, life) for life in range(20)]
    row = covered(found, story.whole.truth())["recall"]
    assert row["unknown"] == 0
    assert abs(row["bias"]) < 4 * row["bias_sd"]
    assert part.labelled.sum() < whole.labelled.sum()


def test_a_worlds_cells_add_up_to_its_uploads() -> None:
    story = invented("any", 201)
    parts = np.sum([phase.uploads for phase in story.phases], axis=0)
    assert parts.tolist() == story.whole.uploads.tolist()
    assert (story.whole.explicit <= story.whole.uploads).all()
