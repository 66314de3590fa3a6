"""A trained model scores in the daemon, by its name, what it scores in the laboratory: equal to the last bit.

Trained in seconds on drawn pictures, with a preprocessing that the default model does not share: RGB, another
size, and a defence.
"""

import hashlib
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bot.classify_fetch import TitleFetcher
from bot.demo import CORPUS
from bot.makers import model_version
from bot.minicommons.corpus import prepare_corpus
from bot.minicommons.server import MiniCommons
from bot.scoring import Scorer
from bot.settings import ROOT, load_settings, merged
from classifier import predict
from classifier.datasets.values import Dataset, Item
from classifier.engines import artefacts, calibration, making, sets_cache
from classifier.engines.calibration import SetSize
from classifier.engines.values import EngineId
from classifier.errors import ModelError
from classifier.models import catalogue, trained
from classifier.training import config as configs
from classifier.training import folder as folders
from classifier.training.data import Pictures
from classifier.training.order import Draw
from classifier.values import Classifier, MediaPart
from tests import trained_runs
from tests.daemon_process import SHORT_WAITS, settings_for
from tests.integration.test_daemon_faults import running, wait_for
from tests.torch_threads import one_thread  # noqa: F401

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

PREPROCESSING = "imagenet-v1@48+jpeg:75+bits:5"
UPLOADS = ("jpeg-baseline", "png-16bit", "webp")
NAME = "laboratory-1"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    trained_runs.finished(folder, data={"preprocessing": PREPROCESSING})
    return folder / "run"


@pytest.fixture(scope="module")
def cache(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    catalogue.add(run, name=NAME, thresholds={"sensitive": 0.4}, cache_directory=folder)
    return folder


def choice(cache: Path, engine: str = "torch-fp32") -> dict[str, object]:
    """One thread and one picture at a time, as other numbers may round differently."""
    return {"model": NAME, "engine": engine, "cache_directory": str(cache), "threads": 1, "batch_size": 1}


def evaluated(run: Path, path: Path, classifier: Classifier) -> float:
    """The score that an evaluation of the run gives, decoded and prepared as its validation pictures were."""
    config = configs.load(run / folders.CONFIG_NAME)
    item = Item(path.name, config.data.classes[0], sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    pictures = Pictures(Dataset((item,), path.parent, "one", config.data.classes), config.data)
    pixels, _ = pictures[Draw(0, 0, 0)]
    [score] = classifier.predict(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())[np.newaxis])
    return float(score)


def test_the_daemon_scores_uploads_as_the_evaluation_does(run: Path, cache: Path, tmp_path: Path) -> None:
    reference = trained.load(run, threads=1)
    with MiniCommons(prepare_corpus(CORPUS, UPLOADS)) as commons:
        commons.publish_noise(-1, rate_per_s=50)
        settings = settings_for(commons, tmp_path, classifier=choice(cache))
        with running(settings):
            commons.publish_corpus(names=UPLOADS)
            outcomes = wait_for(settings, lambda _, done: len(done) >= len(UPLOADS))
        found = {outcome.title: outcome for outcome in outcomes}
        fetcher = TitleFetcher(settings, threading.Event())
        expected = {}
        with fetcher.located(list(found)):
            for title in found:
                with fetcher.fetched(title) as downloaded:
                    [part] = downloaded.media_parts()
                    expected[title] = evaluated(run, part.path, reference)
    assert {title: outcome.score for title, outcome in found.items()} == expected
    assert len(set(expected.values())) == len(UPLOADS)
    assert {outcome.label for outcome in found.values()} <= {"sfw", "nsfw"}


def test_what_is_recorded_with_a_score_names_the_trained_model(
    run: Path, cache: Path, tmp_path: Path
) -> None:
    settings = load_settings(overrides=merged(SHORT_WAITS, {"classifier": choice(cache)}))
    scorer = Scorer.load(settings)
    try:
        version = model_version(scorer)
    finally:
        scorer.close()
    record = folders.read(run)
    assert record.result is not None
    assert (version.name, version.preprocessing) == (NAME, PREPROCESSING)
    assert version.weights_sha256 == record.result.weights_sha256
    assert version.card["thresholds"] == {"cautious": 0.95, "balanced": 0.8, "sensitive": 0.4}


@pytest.fixture(scope="module")
def exported(cache: Path) -> Path:
    """The cache with a graph for ONNX Runtime, compared on fewer pictures than usual, which is slow."""
    reference = catalogue.load(NAME, cache, 1)
    card = reference.card
    few = SetSize(harmless=40, positives=0, variants=0)
    sets = calibration.make_sets(
        reference.network, card.preprocessing, card.input_px, calibration_size=few, evaluation_size=few
    )
    sets_cache.keep(sets_cache.location(card, cache), sets)
    making.make(NAME, EngineId("onnxruntime", "fp32"), cache_directory=cache)
    return cache


def test_on_an_exported_engine_the_daemons_path_gives_that_engines_scores(run: Path, exported: Path) -> None:
    settings = load_settings(
        overrides=merged(SHORT_WAITS, {"classifier": choice(exported, "onnxruntime-fp32")})
    )
    engine = predict.load(NAME, "onnxruntime-fp32", cache_directory=exported, threads=1)
    reference = trained.load(run, threads=1)
    corpus = prepare_corpus(CORPUS, UPLOADS)
    paths = [Path(corpus.directory) / corpus.specimen(name).file.path for name in UPLOADS]
    scorer = Scorer.load(settings)
    try:
        found = [scorer.score([MediaPart(path.absolute())]).score for path in paths]
    finally:
        scorer.close()
    assert found == [evaluated(run, path, engine) for path in paths]
    assert found == pytest.approx([evaluated(run, path, reference) for path in paths], abs=1e-4)


def test_int8_that_could_not_be_judged_is_refused_with_the_reason(exported: Path) -> None:
    reference = catalogue.load(NAME, exported, 1)
    sets = sets_cache.get(reference, exported)
    alike = replace(sets.evaluation, reference=np.full(40, 0.1, np.float32))
    sets_cache.keep(sets_cache.location(reference.card, exported), replace(sets, evaluation=alike))
    with pytest.raises(ModelError, match=r"scores 0 at 0\.5 or more and 40 below, and 4 of each are needed"):
        making.make(NAME, EngineId("onnxruntime", "int8"), cache_directory=exported)


def test_an_export_is_of_this_model_alone(exported: Path) -> None:
    graph = artefacts.find(catalogue.card(NAME, exported), "fp32", cache_directory=exported)
    assert graph is not None
    assert graph.drift is not None
    assert graph.drift.max < 1e-4
    catalogue.remove(NAME, exported)
    assert not list((exported / "engines").glob(f"*{NAME}-*"))


def test_the_commands_add_list_and_remove(run: Path, tmp_path: Path) -> None:
    config = tmp_path / "bot.toml"
    config.write_text(f'[classifier]\ncache_directory = "{tmp_path / "models"}"\nmodel = "mine"\n')

    def bot(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "bot", "models", *arguments, "--config", str(config)]
        environment = {"PATH": "/usr/bin:/bin", "COLUMNS": "200", "HOME": str(tmp_path)}
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    done = bot("add", str(run), "--name", "mine", "--threshold", "balanced=0.7", "--licence", "MIT")
    assert done.returncode == 0, done.stderr
    assert "trained" in done.stdout
    assert catalogue.card("mine", tmp_path / "models").thresholds["balanced"] == 0.7
    again = bot("add", str(run), "--name", "mine", "--threshold", "balanced=0.6")
    assert (again.returncode, "--replace" in again.stderr) == (3, True)
    wrong = bot("add", str(run), "--threshold", "bold=0.6")
    assert (wrong.returncode, "bold=0.6" in wrong.stderr) == (2, True)
    missing = bot("add", str(tmp_path / "nothing"))
    assert (missing.returncode, "nothing/run.json" in missing.stderr.replace("\n", "")) == (3, True)
    listed = bot("list").stdout
    assert ["mine", "trained"] in [line.split()[:2] for line in listed.splitlines()]
    removed = bot("remove", "mine")
    assert removed.returncode == 0, removed.stderr
    assert "still asks for it" in removed.stderr
    assert bot("remove", "mine").returncode == 3
