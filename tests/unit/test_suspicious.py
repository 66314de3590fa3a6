"""Planted wrong labels top the list, and copies do not vouch for each other."""

from pathlib import Path

import numpy as np
import pytest

from classifier.datasets.values import Dataset, Item
from classifier.evaluation.errors import EvaluationError
from classifier.evaluation.suspicious import out_of_fold, suspicious

COUNT = 120


def drawn(wrong: tuple[int, ...] = ()) -> tuple[Dataset, np.ndarray]:
    """Pictures whose features tell their true label, some of them labelled otherwise."""
    random = np.random.default_rng(0)
    truths = np.arange(COUNT) % 3 == 0
    features = random.normal(np.where(truths, 1.0, -1.0)[:, None], 1.0, (COUNT, 12))
    labels = truths ^ np.isin(np.arange(COUNT), wrong)
    items = tuple(Item(f"{i:03d}.png", ("safe", "nsfw")[int(label)]) for i, label in enumerate(labels))
    return Dataset(items, Path("/nowhere"), "drawn"), features


def targets(dataset: Dataset) -> list[int]:
    return [dataset.target_of(item) for item in dataset.items]


def test_planted_wrong_labels_top_the_list() -> None:
    dataset, features = drawn(wrong=(7, 30, 77))
    found = suspicious(dataset, out_of_fold(features, targets(dataset)))
    assert {one.item.path for one in found[:3]} == {"007.png", "030.png", "077.png"}
    assert all(one.suggested != one.item.label for one in found[:3])
    assert found[0].is_issue
    assert len(found) == COUNT
    assert sum(one.is_issue for one in found) < 10


def test_the_list_is_ranked_issues_first() -> None:
    dataset, features = drawn(wrong=(7,))
    found = suspicious(dataset, out_of_fold(features, targets(dataset)))
    issues = [one.is_issue for one in found]
    assert issues == sorted(issues, reverse=True)
    others = [one.confidence for one in found if not one.is_issue]
    assert others == sorted(others)


def test_a_copy_with_the_same_wrong_label_does_not_vouch_for_it() -> None:
    dataset, features = drawn(wrong=(7, 8, 9, 10))
    # Four copies, all wrong, of something that is like nothing else but a little like the other class.
    features[7:11] = features[6] + np.eye(12)[3] * 9
    names = [str(i) for i in range(COUNT)]
    together = [*names[:7], *["copies"] * 4, *names[11:]]
    labels = targets(dataset)
    labels[7:11] = [1 - labels[6]] * 4
    alone = out_of_fold(features, labels, clusters=names)
    grouped = out_of_fold(features, labels, clusters=together)
    truth = 1 - labels[7]
    assert abs(grouped[7:11].mean() - truth) < abs(alone[7:11].mean() - truth)


def test_equal_input_gives_equal_probabilities() -> None:
    dataset, features = drawn()
    one, other = (out_of_fold(features, targets(dataset), seed=3) for _ in range(2))
    assert np.array_equal(one, other)
    assert ((one > 0) & (one < 1)).all()


@pytest.mark.parametrize(
    ("labels", "features", "clusters", "message"),
    [
        ([0] * 20, np.ones((20, 2)), None, "0 independent pictures of a class, column 'label'"),
        ([0, 1] * 10, np.ones((20, 2)), ["a", "b"] * 10, "1 independent pictures"),
        ([0, 1] * 10, np.full((20, 2), np.nan), None, "not finite"),
        ([0, 1] * 10, np.ones((19, 2)), None, "do not go together"),
    ],
)
def test_what_cannot_be_folded_is_refused(labels, features, clusters, message) -> None:
    with pytest.raises(EvaluationError, match=message):
        out_of_fold(features, labels, clusters=clusters)


def test_probabilities_that_do_not_fit_are_refused() -> None:
    dataset, _ = drawn()
    with pytest.raises(EvaluationError, match="120 values for 3 scores"):
        suspicious(dataset, [0.1, 0.2, 0.3])
