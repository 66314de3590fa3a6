"""A support vector machine as a run's head, and a hinge loss: reproducible, resumable, loaded alike."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from classifier.datasets.values import Dataset
from classifier.errors import ModelError
from classifier.models import svm_head, trained
from classifier.models.configured import ConfiguredNetwork, build_model
from classifier.training import config as configs
from classifier.training import folder as folders
from classifier.training import svm
from classifier.training.data import Pictures, plain_loader
from classifier.training.errors import TrainingError
from classifier.training.run import resume, train
from classifier.training.trainer import Callback
from tests.torch_threads import one_thread  # noqa: F401
from tests.trained_runs import settings
from tests.training_runs import TinyNetwork, pictures

pytestmark = pytest.mark.usefixtures("one_thread")

SVM = {"name": "squeezenet1_1", "head": "svm"}
SPP = {**SVM, "pooling": "spatial_pyramid", "pyramid_levels": [1, 2]}
FEW = {"c": 0.1, "folds": 3}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return pictures(tmp_path_factory.mktemp("pictures"), 60)


@pytest.fixture(scope="module")
def whole(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained for an epoch, averaged, and then fitted."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(settings(model=SVM, svm=FEW, training={"ema_decay": 0.5}), data, folder)
    return folder


def weights(folder: Path) -> bytes:
    return (folder / folders.WEIGHTS_NAME).read_bytes()


def features_of(
    network: ConfiguredNetwork, data: Dataset, split: str, config: configs.TrainConfig
) -> np.ndarray:
    """One by one, so that no order can be mixed up."""
    loader = plain_loader(Pictures(data.part(split), config.data), 1, 0)
    with torch.inference_mode():
        return np.concatenate([network.features(pixels.float()).numpy() for pixels, _ in loader])


def test_the_head_is_the_machine_of_the_kept_networks_features(data: Dataset, whole: Path) -> None:
    config = configs.load(whole / folders.CONFIG_NAME)
    before = build_model(config.architecture, seed=0)
    before.load_state_dict(load_file(whole / folders.BEST_NAME))
    found = trained.network(whole)
    assert isinstance(found, ConfiguredNetwork)
    assert all(
        torch.equal(values, found.state_dict()[name])
        for name, values in before.state_dict().items()
        if not name.startswith("head.")
    )
    items = data.part("train").items
    targets = [data.target_of(item) for item in items]
    sources = [item.source or item.path for item in items]
    groups = [str(sources.index(source)) for source in sources]
    features = features_of(before, data, "train", config)
    wanted = svm_head.fit(features, targets, groups=groups, c=0.1, folds=3, seed=0)
    validation = features_of(before, data, "validation", config)
    with torch.inference_mode():
        scores = found.head(torch.from_numpy(validation)).softmax(1)[:, 1].numpy()
    np.testing.assert_allclose(scores, wanted.scores(validation), atol=1e-3)
    assert scores.std() > 1e-3


def test_the_figures_are_those_of_the_network_with_its_machine(data: Dataset, whole: Path) -> None:
    record, config = folders.read(whole), configs.load(whole / folders.CONFIG_NAME)
    assert record.result is not None
    network = trained.network(whole)
    loader = plain_loader(Pictures(data.part("validation"), config.data), 12, 0)
    with torch.inference_mode():
        losses = [
            torch.nn.functional.cross_entropy(network(pixels.float()), targets, reduction="none")
            for pixels, targets in loader
        ]
    assert float(torch.cat(losses).mean()) == pytest.approx(
        record.result.figures["validation_loss"], abs=1e-5
    )
    assert "train_loss" not in record.result.figures
    card = (whole / folders.CARD_NAME).read_text()
    assert "support vector machine on the features, c 0.1" in card
    assert "too sure" in card


def test_it_reproduces_and_goes_on_after_a_kill_bit_by_bit(
    data: Dataset, whole: Path, tmp_path: Path
) -> None:
    """Killed while the machine was fitted: the last checkpoint is there, the result is not."""
    config = configs.load(whole / folders.CONFIG_NAME)
    torch.manual_seed(99)
    again = tmp_path / "again"
    train(config, data, again)
    assert weights(again) == weights(whole)
    folders.write(again, dataclasses.replace(folders.read(again), result=None))
    (again / folders.WEIGHTS_NAME).unlink()
    record = resume(again, data)
    assert weights(again) == weights(whole)
    assert record.result is not None
    assert record.result.figures == folders.read(whole).result.figures  # type: ignore[union-attr]


def test_without_epochs_the_starting_network_is_fitted_alone(data: Dataset, tmp_path: Path) -> None:
    config = settings(model=SPP, svm=FEW, training={"epochs": 0}, loss={"class_weights": "balanced"})
    record = train(config, data, tmp_path / "run")
    assert record.result is not None
    assert (record.result.epochs, record.result.steps, record.result.kept_epoch) == (0, 0, 0)
    drawn = build_model(config.architecture, seed=config.training.seed).state_dict()
    found = load_file(tmp_path / "run" / folders.WEIGHTS_NAME)
    assert {name for name in found if not torch.equal(found[name], drawn[name])} == {
        "head.weight",
        "head.bias",
    }
    assert found["head.weight"].shape == (2, 512 * 5)
    assert "as the starting weights give them" in (tmp_path / "run" / folders.CARD_NAME).read_text()
    trained.load(tmp_path / "run")
    folders.write(tmp_path / "run", dataclasses.replace(record, result=None))
    again = resume(tmp_path / "run", data)
    assert again.result is not None
    assert again.result.weights_sha256 == record.result.weights_sha256


def test_pictures_of_any_shape_keep_their_labels(tmp_path: Path) -> None:
    """In buckets pictures come in another order than the items."""
    data = pictures(tmp_path / "pictures", 30, ((97, 60), (64, 64), (48, 96)))
    shapes = {"shapes": "buckets", "area_px": 48}
    config = settings(
        model=SPP, svm=FEW, data=shapes, augment={"crop_min_share": 1.0}, training={"epochs": 0, "batch": 4}
    )
    seen: dict[str, object] = {}
    real = svm_head.fit

    def watched(features: np.ndarray, labels: object, **options: object) -> svm_head.FittedSvm:
        seen.update(features=features, labels=labels)
        return real(features, labels, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(svm.svm_head, "fit", watched)
        train(config, data, tmp_path / "run")
    network = build_model(config.architecture, seed=config.training.seed)
    training = data.part("train")
    singles = []
    for item in training.items:
        loaded = Pictures(training.with_items([item]), config.data)
        [(pixels, _)] = list(plain_loader(loaded, 1, 0))
        with torch.inference_mode():
            singles.append(network.features(pixels.float()).numpy()[0])
    assert list(seen["labels"]) == [data.target_of(item) for item in training.items]  # type: ignore[call-overload]
    far = np.abs(np.stack(singles)[:, None] - np.asarray(seen["features"])[None]).mean(2)
    assert (far.argmin(1) == np.arange(len(singles))).mean() > 0.9  # padding moves features a little


def test_what_could_not_be_fitted_is_refused_before_anything_is_trained(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sources are not divided, so one of each class cannot be cross-validated."""
    alike = data.with_items(
        dataclasses.replace(item, source=f"{item.split}-{item.label}") for item in data.items
    )
    monkeypatch.setattr("classifier.training.run._fit", pytest.fail)
    with pytest.raises(TrainingError, match=r"svm\.folds = 3, but .* labelled 'absent' come from 1 sources"):
        train(settings(model=SVM, svm=FEW), alike, tmp_path / "run")
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    with pytest.raises(ModelError, match=r"pip install 'commons-nsfw-bot\[train\]'"):
        train(settings(model=SVM, svm=FEW), data, tmp_path / "none")


def test_a_foreign_network_or_too_many_features_are_refused(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(model=SVM, training={"epochs": 0})
    with pytest.raises(TrainingError, match="needs a network of this project"):
        train(config, data, tmp_path / "foreign", build=TinyNetwork)
    monkeypatch.setattr(svm, "_MAX_FEATURE_BYTES", 1000)
    with pytest.raises(TrainingError, match=r"tiny: the support vector machine would need .*pyramid_levels"):
        train(config, data, tmp_path / "large")


def test_a_kill_while_training_is_no_obstacle_to_the_machine(
    data: Dataset, whole: Path, tmp_path: Path
) -> None:
    class Ends(Callback):
        def on_train_batch_end(self, *_: object) -> None:
            raise KeyError("as a crash would")

    config = configs.load(whole / folders.CONFIG_NAME)
    with pytest.raises(KeyError):
        train(config, data, tmp_path / "run", callbacks=[Ends()])
    resume(tmp_path / "run", data)
    assert weights(tmp_path / "run") == weights(whole)


@pytest.mark.parametrize("kind", ["hinge", "squared_hinge"])
def test_a_hinge_head_trains_end_to_end_and_is_loaded_like_any_other(
    data: Dataset, tmp_path: Path, kind: str
) -> None:
    config = settings(model={"name": "squeezenet1_1", "head": "hinge"}, loss={"kind": kind})
    record = train(config, data, tmp_path / "run")
    assert record.result is not None
    assert record.result.epochs == 1
    drawn = build_model(config.architecture, seed=config.training.seed)
    assert not torch.equal(
        drawn.head.weight, load_file(tmp_path / "run" / folders.WEIGHTS_NAME)["head.weight"]
    )
    card = trained.load(tmp_path / "run").card
    assert "hinge head" in card.architecture
    assert any("are no chances" in mode for mode in card.failure_modes)
