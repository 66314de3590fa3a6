"""A support vector machine of scikit-learn becomes a layer whose scores are scikit-learn's."""

import sys

import numpy as np
import pytest
import torch

from classifier.engines.torch_engine import TorchEngine
from classifier.errors import ModelError
from classifier.models import svm_head
from classifier.models.configured import build_model
from classifier.models.model_config import ModelConfig
from tests import tiny_model
from tests.torch_threads import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")


def _features(count: int = 120, size: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    features = rng.normal(size=(count, size)) * np.linspace(0.01, 50, size) + np.linspace(-3, 9, size)
    features[:, 3] += labels * 8
    features[:, 5] = 4.0  # a channel that never speaks
    return features.astype(np.float32), labels


def test_the_folded_line_scores_as_scikit_learn_does() -> None:
    features, labels = _features()
    fitted = svm_head.fit(features, labels)
    new, _ = _features(seed=1)
    theirs = fitted.estimator.predict_proba(new.astype(np.float64))[:, 1]
    np.testing.assert_allclose(fitted.scores(new), theirs, rtol=0, atol=1e-12)
    assert theirs.std() > 0.02


def test_in_a_network_it_runs_like_any_other_and_scores_the_same() -> None:
    network = build_model(ModelConfig("squeezenet1_1", head="svm"), seed=0)
    pixels = tiny_model.pictures(40)
    labels = np.arange(40) % 2
    pixels[labels == 1] //= 2
    with torch.inference_mode():
        features = network.features(torch.from_numpy(pixels).permute(0, 3, 1, 2).float()).numpy()
    fitted = svm_head.fit(features, labels, c=0.01)
    svm_head.install(network, fitted)
    theirs = fitted.estimator.predict_proba(features.astype(np.float64))[:, 1]
    np.testing.assert_allclose(TorchEngine(network, tiny_model.CARD).predict(pixels), theirs, atol=2e-5)
    assert theirs.std() > 0.1


def test_equal_input_gives_an_equal_machine() -> None:
    features, labels = _features()
    first, second = svm_head.fit(features, labels, seed=4), svm_head.fit(features, labels, seed=4)
    assert np.array_equal(first.weight, second.weight) and first.bias == second.bias


def test_groups_keep_copies_out_of_their_own_calibration() -> None:
    rng = np.random.default_rng(0)
    features = np.repeat(rng.normal(size=(12, 40)), 10, axis=0)  # noise, each picture ten times
    labels = np.repeat(np.arange(12) % 2, 10)
    groups = [str(number) for number in np.repeat(np.arange(12), 10)]
    sure = np.abs(svm_head.fit(features, labels).scores(features) - 0.5).mean()
    honest = np.abs(svm_head.fit(features, labels, groups=groups).scores(features) - 0.5).mean()
    assert sure > 0.4 > honest


def test_what_cannot_be_fitted_is_refused_with_the_reason() -> None:
    features, labels = _features(20)
    broken = features.copy()
    broken[3, 3] = np.nan
    lonely = ["all" if label else f"{number}" for number, label in enumerate(labels)]
    for bad, expected, options in (
        ((features, labels[:-1]), "do not go together", {}),
        ((broken, labels), "not finite", {}),
        ((features, labels + 1), "0 and 1", {}),
        ((features, np.zeros(20, int)), "a class has 0 pictures", {}),
        ((features, labels), "2 groups for 20", {"groups": ["a", "b"]}),
        ((features, labels), "2 groups, and 5 folds", {"groups": [str(label) for label in labels]}),
        ((features, labels), "one group holds a whole class", {"groups": lonely}),
    ):
        with pytest.raises(ModelError, match=expected):
            svm_head.fit(*bad, **options)


def test_another_networks_machine_is_refused() -> None:
    network = build_model(ModelConfig("squeezenet1_1"), seed=0)
    with pytest.raises(ModelError, match="12 features, the network 512"):
        svm_head.install(network, svm_head.fit(*_features()))


def test_a_missing_scikit_learn_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.calibration", None)
    with pytest.raises(ModelError, match=r"pip install 'commons-nsfw-bot\[train\]'"):
        svm_head.fit(*_features())
