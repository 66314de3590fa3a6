"""A finished run's folder is a model; an unfinished, damaged or foreign one is refused by its file name."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from classifier.datasets.values import Dataset
from classifier.errors import ClassifierError, ModelError
from classifier.models import trained
from classifier.training import config as configs
from classifier.training import folder as folders
from classifier.training.data import Pictures, plain_loader
from tests import tiny_model, trained_runs
from tests.torch_threads import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Path]:
    folder = tmp_path_factory.mktemp("trained")
    return trained_runs.finished(folder), folder / "run"


@pytest.fixture
def run(made: tuple[Dataset, Path], tmp_path: Path) -> Path:
    """A copy that may be broken."""
    return Path(shutil.copytree(made[1], tmp_path / "run"))


def test_the_card_says_where_the_model_comes_from_and_what_nobody_knows(made: tuple[Dataset, Path]) -> None:
    record = folders.read(made[1])
    assert record.result is not None
    card = trained.read(made[1]).card
    assert (card.name, card.preprocessing, card.input_px) == ("tiny", trained_runs.PREPROCESSING, 32)
    assert card.weights_sha256 == record.result.weights_sha256
    assert card.architecture == "squeezenet1_1, 0.7 M parameters"
    assert card.licence == "not stated"
    assert record.data["hash"] in card.source
    assert "tiny" in card.source
    assert any("not measured on anything else" in mode for mode in card.failure_modes)
    assert any("cautious, balanced, sensitive" in mode for mode in card.failure_modes)


def test_what_its_owner_states_stands_on_the_card(made: tuple[Dataset, Path]) -> None:
    chosen = {"balanced": 0.7, "cautious": 0.9, "sensitive": 0.2}
    card = trained.read(made[1], name="other", thresholds=chosen, licence="MIT").card  # type: ignore[arg-type]
    assert (card.name, card.licence, dict(card.thresholds)) == ("other", "MIT", chosen)
    assert not any("No threshold" in mode for mode in card.failure_modes)


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ({"sensitive": 0.9}, "cautious must not flag more than balanced"),
        ({"balanced": 1.0}, "threshold of balanced has to be between 0 and 1"),
        ({"balanced": float("nan")}, "threshold of balanced has to be between 0 and 1"),
        ({"bold": 0.5}, "unknown level 'bold'"),
    ],
)
def test_thresholds_that_make_no_sense_are_refused(chosen: dict[str, float], reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        trained.checked_thresholds(chosen)  # type: ignore[arg-type]


def test_the_loaded_network_gives_the_figures_of_the_runs_own_validation(made: tuple[Dataset, Path]) -> None:
    data, folder = made
    record, config = folders.read(folder), configs.load(folder / folders.CONFIG_NAME)
    assert record.result is not None
    network = trained.network(folder)
    with torch.inference_mode():
        losses = [
            torch.nn.functional.cross_entropy(network(pixels.float()), targets, reduction="none")
            for pixels, targets in plain_loader(Pictures(data.part("validation"), config.data), 12, 0)
        ]
    assert not network.training
    assert float(torch.cat(losses).mean()) == pytest.approx(
        record.result.figures["validation_loss"], abs=1e-6
    )


def test_the_engine_scores_as_the_network_does(made: tuple[Dataset, Path]) -> None:
    pixels = tiny_model.pictures(5)
    engine = trained.load(made[1])
    with torch.inference_mode():
        logits = trained.network(made[1])(torch.from_numpy(pixels).permute(0, 3, 1, 2).float())
    np.testing.assert_allclose(engine.predict(pixels), logits.softmax(1)[:, 1].numpy(), atol=1e-6)
    assert (engine.engine, engine.card) == ("torch-fp32", trained.read(made[1]).card)


def test_an_unfinished_run_is_no_model(run: Path) -> None:
    folders.write(run, dataclasses.replace(folders.read(run), result=None))
    with pytest.raises(ModelError, match=r"run\.json: the run is not finished"):
        trained.load(run)


def test_weights_other_than_those_of_the_run_are_refused(run: Path) -> None:
    path = run / folders.WEIGHTS_NAME
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"weights\.safetensors: not the weights that run\.json names"):
        trained.load(run)
    path.unlink()
    with pytest.raises(ModelError, match=r"weights\.safetensors: cannot be read"):
        trained.network(run)


def test_a_foreign_folder_is_named(run: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ClassifierError, match=r"empty/run\.json: cannot be read"):
        trained.load(empty)
    (run / folders.RUN_NAME).write_text('{"name": "x"}')
    with pytest.raises(ClassifierError, match=r"run\.json: is not a run's record"):
        trained.load(run)


def test_a_record_without_its_data_is_named(run: Path) -> None:
    folders.write(run, dataclasses.replace(folders.read(run), data={}))
    with pytest.raises(ModelError, match=r"run\.json: is not a run's record: KeyError\('name'\)"):
        trained.load(run)


def test_a_network_that_other_code_brought_is_refused(run: Path) -> None:
    text = (run / folders.CONFIG_NAME).read_text().partition("[model]")
    (run / folders.CONFIG_NAME).write_text(text[0] + text[2][text[2].index("[data]") :])
    with pytest.raises(ModelError, match=r"config\.toml: names no network"):
        trained.load(run)


def test_weights_of_another_network_are_refused(run: Path) -> None:
    text = (run / folders.CONFIG_NAME).read_text()
    (run / folders.CONFIG_NAME).write_text(text.replace('"squeezenet1_1"', '"squeezenet1_0"'))
    with pytest.raises(ModelError, match="squeezenet1_0"):
        trained.load(run)
