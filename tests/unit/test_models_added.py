"""A trained model that was added is asked for by name, verified, and never by accident another one."""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from bot.settings import ROOT
from classifier import predict
from classifier.engines import exporting, verification
from classifier.engines.values import EngineId
from classifier.errors import ModelError
from classifier.models import added, catalogue, trained
from classifier.training import folder as folders
from tests import tiny_model, trained_runs
from tests.torch_threads import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("added")
    trained_runs.finished(folder)
    return folder / "run"


@pytest.fixture
def other(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with other weights."""
    folder = Path(shutil.copytree(run, tmp_path_factory.mktemp("others") / "run"))
    values = load_file(folder / folders.WEIGHTS_NAME)
    values["head.bias"] = values["head.bias"] + np.float32(1)
    content = save(values)
    (folder / folders.WEIGHTS_NAME).write_bytes(content)
    record = folders.read(folder)
    assert record.result is not None
    digest = hashlib.sha256(content).hexdigest()
    folders.write(folder, replace(record, result=replace(record.result, weights_sha256=digest)))
    return folder


def names_in(cache: Path) -> set[str]:
    return {
        str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file() and path.name != ".lock"
    }


def test_an_added_model_is_asked_for_by_name_and_needs_its_folder_no_more(run: Path, tmp_path: Path) -> None:
    folder, cache = Path(shutil.copytree(run, tmp_path / "run")), tmp_path / "cache"
    described = catalogue.add(folder, thresholds={"balanced": 0.6}, licence="MIT", cache_directory=cache)
    shutil.rmtree(folder)
    assert catalogue.known(cache) == ("open_nsfw", "tiny")
    assert described == catalogue.describe("tiny", cache)
    assert (described.kind, described.state) == ("trained", "ready")
    card = catalogue.card("tiny", cache)
    assert (card.thresholds["balanced"], card.licence) == (0.6, "MIT")
    assert described.path == catalogue.fetch("tiny", cache)
    assert catalogue.weights_source("tiny", cache).safetensors_sha256 == card.weights_sha256
    loaded = predict.load("tiny", "torch-fp32", cache_directory=cache)
    pixels = tiny_model.pictures(4)
    assert loaded.card == card
    assert loaded.engine == "torch-fp32"
    np.testing.assert_array_equal(loaded.predict(pixels), trained.load(run).predict(pixels))
    assert predict.provenance(loaded, cache)["sha256"] == card.weights_sha256


def test_elsewhere_the_name_is_unknown(run: Path, tmp_path: Path) -> None:
    catalogue.add(run, cache_directory=tmp_path / "here")
    with pytest.raises(ModelError, match=r"unknown model 'tiny'; known: open_nsfw$"):
        predict.load("tiny", "torch-fp32", cache_directory=tmp_path / "there")


def test_another_model_is_not_overwritten_unless_asked(run: Path, other: Path, tmp_path: Path) -> None:
    first = catalogue.add(run, cache_directory=tmp_path)
    before = names_in(tmp_path)
    assert catalogue.add(run, cache_directory=tmp_path) == first
    with pytest.raises(ModelError, match=r"added as tiny: choose another name \(--name\), or replace it"):
        catalogue.add(other, cache_directory=tmp_path)
    with pytest.raises(ModelError, match="another card"):
        catalogue.add(run, thresholds={"balanced": 0.7}, cache_directory=tmp_path)
    assert (names_in(tmp_path), catalogue.describe("tiny", tmp_path)) == (before, first)
    second = catalogue.add(other, replace=True, cache_directory=tmp_path)
    assert second.card.weights_sha256 != first.card.weights_sha256
    assert names_in(tmp_path) == {"added/tiny.json", second.path.name}
    assert catalogue.load("tiny", tmp_path).card == second.card


def test_two_names_live_side_by_side_and_one_is_removed(run: Path, other: Path, tmp_path: Path) -> None:
    catalogue.add(run, name="a", cache_directory=tmp_path)
    kept = catalogue.add(other, name="a-b", cache_directory=tmp_path)
    digest = catalogue.card("a", tmp_path).weights_sha256[:12]
    exports = [
        tmp_path / "engines" / name
        for name in (f"a-{digest}-fp32-onnx-0-0", f"a-b-{kept.card.weights_sha256[:12]}-int8-onnx-0-0")
    ]
    for path in exports:
        path.mkdir(parents=True)
    catalogue.remove("a", tmp_path)
    assert catalogue.known(tmp_path) == ("open_nsfw", "a-b")
    assert names_in(tmp_path) == {"added/a-b.json", kept.path.name}
    assert [path.exists() for path in exports] == [False, True]
    for name in ("a", "../a-b", "open_nsfw"):
        with pytest.raises(ModelError, match=r"no model was added as|comes with this project"):
            catalogue.remove(name, tmp_path)


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "-x", "x" * 65, "a b", "ä", "x\n"])
def test_a_name_that_is_no_safe_file_name_is_refused(run: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="cannot be a model's name"):
        catalogue.add(run, name=name, cache_directory=tmp_path)
    with pytest.raises(ModelError, match="unknown model"):
        catalogue.card(name, tmp_path)
    assert names_in(tmp_path) == set()


@pytest.mark.parametrize("name", ["open_nsfw", "Open_NSFW", "nsfwjs"])
def test_a_name_of_the_catalogue_is_taken(run: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="is a model of the catalogue"):
        catalogue.add(run, name=name, cache_directory=tmp_path)


def test_damaged_weights_are_found_and_brought_back_from_the_run(
    run: Path, other: Path, tmp_path: Path
) -> None:
    path = catalogue.add(run, cache_directory=tmp_path / "cache").path
    path.write_bytes(path.read_bytes()[:-1])
    assert catalogue.describe("tiny", tmp_path / "cache").state == "damaged"
    with pytest.raises(ModelError, match=r"not the added weights .*fetch tiny --from RUN_FOLDER"):
        catalogue.load("tiny", tmp_path / "cache")
    path.unlink()
    with pytest.raises(ModelError, match=r"are not here yet.*fetch tiny --from RUN_FOLDER"):
        catalogue.fetch("tiny", tmp_path / "cache")
    with pytest.raises(ModelError, match="is not that of the weights that were added as tiny"):
        catalogue.fetch("tiny", tmp_path / "cache", other / folders.WEIGHTS_NAME)
    catalogue.fetch("tiny", tmp_path / "cache", run / folders.WEIGHTS_NAME)
    assert catalogue.describe("tiny", tmp_path / "cache").state == "ready"


@pytest.mark.parametrize("damage", ["{}", "nothing", '{"added": 2}', "name", "input_px"])
def test_a_damaged_record_is_listed_and_named_and_can_be_removed(
    run: Path, tmp_path: Path, damage: str
) -> None:
    catalogue.add(run, cache_directory=tmp_path)
    path = tmp_path / "added" / "tiny.json"
    if damage in ("name", "input_px"):
        values = json.loads(path.read_text())
        values["card"][damage] = "other" if damage == "name" else 33
        damage = json.dumps(values)
    path.write_text(damage)
    assert catalogue.describe("tiny", tmp_path).state == "damaged"
    with pytest.raises(ModelError, match=r"tiny\.json: is not the record of a model.*models remove tiny"):
        catalogue.load("tiny", tmp_path)
    assert catalogue.describe("open_nsfw", tmp_path).state == "missing"
    catalogue.remove("tiny", tmp_path)
    assert names_in(tmp_path) == set()


def test_weights_that_do_not_fit_are_not_added(run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    text = (folder / folders.CONFIG_NAME).read_text()
    (folder / folders.CONFIG_NAME).write_text(text.replace('"squeezenet1_1"', '"squeezenet1_0"'))
    with pytest.raises(ModelError, match="squeezenet1_0"):
        catalogue.add(folder, cache_directory=tmp_path / "cache")
    assert added.names(tmp_path / "cache") == ()


def test_a_description_that_the_store_cannot_keep_is_refused(run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    text = (folder / folders.CONFIG_NAME).read_text()
    longer = trained_runs.PREPROCESSING + "+" + "+".join(f"jpeg:{quality}" for quality in range(40, 60))
    (folder / folders.CONFIG_NAME).write_text(text.replace(trained_runs.PREPROCESSING, longer))
    with pytest.raises(ModelError, match="preprocessing is described in more than 128 characters"):
        catalogue.add(folder, cache_directory=tmp_path / "cache")


def test_the_engines_of_an_added_model_are_listed(run: Path, tmp_path: Path) -> None:
    catalogue.add(run, cache_directory=tmp_path)
    rows = {str(row.engine): row.reason for row in verification.describe("tiny", cache_directory=tmp_path)}
    assert "not tried" in rows["torch-fp32"]
    card = catalogue.card("tiny", tmp_path)
    assert exporting.can_make(card, EngineId("onnxruntime", "fp32"), tmp_path)


def test_listing_added_models_does_not_import_torch(run: Path, tmp_path: Path) -> None:
    catalogue.add(run, cache_directory=tmp_path)
    code = (
        "import sys; from pathlib import Path; from classifier.models import catalogue as c; "
        "cache = Path(sys.argv[1]); print(*[c.describe(n, cache).state for n in c.known(cache)]); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.split()) == (0, ["missing", "ready"]), done.stderr


def test_a_run_is_added_and_read_without_torch(run: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['safetensors'] = None; "
        "import importlib.util; found = importlib.util.find_spec; "
        "importlib.util.find_spec = lambda n, *a: None if n == 'torch' else found(n, *a); "
        "from pathlib import Path; from classifier.models import catalogue as c; "
        "print(c.add(Path(sys.argv[1]), cache_directory=Path(sys.argv[2])).state)"
    )
    command = [sys.executable, "-c", code, str(run), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "ready\n"), done.stderr
