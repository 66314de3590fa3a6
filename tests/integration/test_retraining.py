"""`retrain` as an operator runs it: from the store to a candidate in one command, whatever ends it."""

import hashlib
import io
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from bot.cli import app
from bot.retraining import feedback as exports
from bot.retraining import leaks, run
from bot.retraining.feedback import Feedback
from bot.retraining.preparing import Replay, prepare
from bot.retraining.starting import from_weights
from bot.settings import ROOT
from classifier.datasets import manifest, proxy
from classifier.datasets.values import DEFAULT_CLASSES, Dataset, Item
from classifier.errors import ModelError
from classifier.models import added
from classifier.peers import door
from classifier.training import config as configs
from storage import model_registry
from storage.engine import Database
from storage.model_registry import ModelStanding
from tests import retraining_store as store
from tests.export_store import suppress
from tests.storage_database import fresh_database
from tests.torch_threads import one_thread

pytestmark = [pytest.mark.usefixtures(one_thread.__name__)]

DRAWN = proxy.ProxySettings(sizes_px=((64, 64),), copy_share=0, noise_share=0, cameras=0)


def picture(folder: Path, number: int, split: str, altered: bool = False, source: str = "") -> Item:
    """A drawn picture as an export holds one, or an altered copy of it."""
    one = proxy.draw(number, DRAWN)
    content, name = one.content, f"{number}-{split}{'-altered' * altered}.jpg"
    with Image.open(io.BytesIO(content)) as image, io.BytesIO() as buffer:
        small = image.convert("RGB").resize((90, 90) if altered else image.size)
        small.save(buffer, "JPEG", quality=70 if altered else 95)
        content = buffer.getvalue()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    label = DEFAULT_CLASSES[proxy.CLASSES.index(one.true_label)]
    return Item(name, label, source, split=split, sha256=hashlib.sha256(content).hexdigest(), weight=2.0)


def exported(folder: Path, extra: tuple[Item, ...] = ()) -> Feedback:
    """Feedback on forty drawn pictures."""
    splits = ["test" if n % 4 == 0 else "validation" if n % 4 == 1 else "train" for n in range(40)]
    items = [*(picture(folder, number, split) for number, split in enumerate(splits)), *extra]
    held = [exports.HeldOut(one, 1.0, False, 0.5, "") for one in items if one.split == "test"]
    training = Dataset(tuple(one for one in items if one.split != "test"), folder.absolute(), "0001")
    return Feedback("0001", "0" * 64, training, tuple(held))


def test_a_near_copy_across_the_split_is_taken_out_of_training(tmp_path: Path) -> None:
    planted = picture(tmp_path / "data", 4, "train", altered=True, source="somebody else")
    feedback = exported(tmp_path / "data", (planted,))
    prepared, dataset = prepare(feedback, None, tmp_path, 1)
    assert prepared.leaks == {leaks.NEAR: 1}
    assert planted.path not in {Path(item.path).name for item in dataset.items}
    assert len(dataset) == len(feedback.training) - 1


def test_the_share_of_base_data_is_honoured_in_each_class_without_what_is_held_out(tmp_path: Path) -> None:
    feedback = exported(tmp_path / "data")
    folder = tmp_path / "base"
    held, known = picture(folder, 0, "train", altered=True), picture(folder, 2, "train", altered=True)
    fresh = [picture(folder, number, "train") for number in range(100, 190)]
    base = Dataset((held, known, *fresh), folder.absolute(), "base.csv")
    prepared, dataset = prepare(feedback, Replay(base, 0.5, 3), tmp_path, 1)
    own = Counter(item.label for item in feedback.training.part("train").items)
    replayed = [item for item in dataset.items if str(folder) in item.path]
    assert Counter(item.label for item in replayed) == own == prepared.replayed
    assert prepared.replay_wanted == own.total()
    assert {Path(item.path).name for item in replayed}.isdisjoint({held.path, known.path})
    assert {item.weight for item in dataset.items} == {1.0}

    everything = replace(base, items=(held, known, *fresh[:10]))
    scarce, _ = prepare(feedback, Replay(everything, 0.5, 3), tmp_path / "scarce", 1)
    assert scarce.replay_leaks == {leaks.NEAR: 1}  # all of it was looked at
    assert sum(scarce.replayed.values()) == 10 < scarce.replay_wanted


def test_little_feedback_is_divided_so_that_training_and_validation_have_both_labels(tmp_path: Path) -> None:
    feedback = exported(tmp_path / "data")
    items = [replace(item, split="train") for item in feedback.training.items]
    feedback = replace(feedback, training=feedback.training.with_items(items))
    prepared, _ = prepare(feedback, None, tmp_path, 1)
    assert prepared.counts["validation"] == {"safe": 1, "nsfw": 1}
    assert sum(prepared.counts["train"].values()) == len(items) - 2


def test_what_was_prepared_is_taken_again_as_long_as_it_is_made_of_the_same(tmp_path: Path) -> None:
    feedback = exported(tmp_path / "data")
    told: list[str] = []

    def on_step(what: str, _done: int, _total: int) -> None:
        told.append(what)

    first, _ = prepare(feedback, None, tmp_path, 1, on_step)
    told.clear()
    assert prepare(feedback, None, tmp_path, 1, on_step)[0] == first
    assert told == []
    fewer = replace(feedback, training=feedback.training.with_items(feedback.training.items[1:]))
    assert prepare(fewer, None, tmp_path, 1, on_step)[0].data_sha256 != first.data_sha256
    assert told


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deployed")
    store.deployed(folder)
    return folder


@pytest.fixture
def world(tmp_path: Path, template: Path) -> Iterator[Database]:
    """A store, a deployed model and a configuration below `tmp_path`."""
    (tmp_path / "models").symlink_to(template / "models")
    for name in added.names(template / "models"):
        if name != store.FIRST:
            added.remove(name, template / "models")
    store.configuration(tmp_path)
    with fresh_database(tmp_path) as database:
        yield database


def rows_of(export: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (export / "feedback.jsonl").read_text().splitlines()]


def standing(database: Database, name: str) -> model_registry.RegisteredModel:
    with database.read() as tx:
        found = model_registry.find(tx, name)
    assert found is not None
    return found


@pytest.mark.slow
def test_one_command_leads_from_the_store_to_a_candidate_and_again_changes_nothing(
    tmp_path: Path, world: Database
) -> None:
    store.reviewed(world, tmp_path, without_picture=frozenset({7, 8}))
    told = store.give(store.words(tmp_path))
    found = standing(world, "second")
    assert found.standing is ModelStanding.CANDIDATE
    evaluation = found.evidence["evaluation"]
    assert evaluation["against"] == store.FIRST
    assert evaluation.keys() >= {"f1", "recall", "recall_at_equal_load"}
    assert configs.load(tmp_path / "second" / "run" / "config.toml").training.sampling == "weighted"
    rows = [
        json.loads(line) for line in (tmp_path / "second/export/0001/feedback.jsonl").read_text().splitlines()
    ]
    test = [row for row in rows if row["split"] == "test"]
    assert evaluation["labelled"] == sum(row["path"] is not None for row in test)
    assert "exported 60 items (20 nsfw, 40 safe)" in told
    assert "without a picture: 2 not_kept" in told
    assert "second is candidate now" in told
    trained = manifest.read(tmp_path / "second" / "training.csv")
    assert {item.sha256 for item in trained.items}.isdisjoint({row["sha256"] for row in test})
    card = added.find("second", tmp_path / "models")
    assert card is not None
    assert card.card.source.startswith("retrained from first (weights ")
    assert card.run["data"]["name"] == "feedback export 0001"
    weights = found.weights_sha256

    again = store.give(store.words(tmp_path))
    assert "exported before: " in again
    assert standing(world, "second") == found
    assert standing(world, "second").weights_sha256 == weights


class Broken(Exception):
    """Stands for a kill."""


def breaking(
    whole: Callable[..., run.Retrained],
    stage: str,
    request: run.Request,
    deciding: object,
    cache: Path,
    watching: run.Watching,
) -> run.Retrained:
    """Retrain until a stage, and break off there."""

    def say(sentence: str) -> None:
        if sentence.startswith(stage):
            raise Broken

    def on_step(what: str, _done: int, _total: int) -> None:
        if what == stage:
            raise Broken

    return whole(request, deciding, cache, replace(watching, say=say, on_step=on_step))


STAGES = ("export 0001:", "prepared:", "trained:", "scoring with first", "scoring with second")


@pytest.mark.slow
def test_broken_off_at_every_stage_the_same_command_goes_on_and_trains_once(
    tmp_path: Path, world: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.reviewed(world, tmp_path)
    whole: Callable[..., run.Retrained] = run.retrain
    for stage in STAGES:
        with monkeypatch.context() as patched:
            patched.setattr(run, "retrain", partial(breaking, whole, stage))
            with pytest.raises(Broken):
                store.give(store.words(tmp_path))
        with world.read() as tx:
            assert model_registry.find(tx, "second") is None
    trained = (tmp_path / "second" / "run" / "run.json").read_text()
    store.give(store.words(tmp_path))
    assert standing(world, "second").standing is ModelStanding.CANDIDATE
    assert (tmp_path / "second" / "run" / "run.json").read_text() == trained
    assert standing(world, "second").weights_sha256 == json.loads(trained)["result"]["weights_sha256"]


@pytest.mark.slow
def test_killed_in_training_it_gives_the_weights_that_it_would_have_given(
    tmp_path: Path, world: Database
) -> None:
    store.reviewed(world, tmp_path)
    steps = ["--set", "training.checkpoint_every_steps=1", "--set", "training.batch=8"]
    command = [*store.words(tmp_path), *steps]
    process = subprocess.Popen(
        [sys.executable, "-m", "bot", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    )
    checkpoint = tmp_path / "second" / "run" / "last.ckpt"
    while process.poll() is None and not checkpoint.exists():
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert json.loads((tmp_path / "second" / "run" / "run.json").read_text())["result"] is None
    store.give(command)
    undisturbed = [*store.words(tmp_path, "third", str(tmp_path / "second" / "export")), *steps]
    store.give(undisturbed)
    assert standing(world, "second").weights_sha256 == standing(world, "third").weights_sha256


@pytest.mark.slow
def test_what_is_suppressed_after_the_export_is_neither_trained_nor_evaluated_on(
    tmp_path: Path, world: Database
) -> None:
    store.reviewed(world, tmp_path)
    store.give(
        [
            "export",
            str(tmp_path / "out"),
            "--key-file",
            str(tmp_path / "key"),
            "--config",
            str(tmp_path / "bot.toml"),
        ]
    )
    suppress(world, 3)
    told = store.give(store.words(tmp_path, "second", str(tmp_path / "out")))
    assert "1 suppressed since the export" in told
    gone = next(row["sha256"] for row in rows_of(tmp_path / "out" / "0001") if row["log_id"] == 3)
    assert gone not in (tmp_path / "second" / "training.csv").read_text()
    assert gone not in (tmp_path / "second" / "scores-feedback-first.jsonl").read_text()


@pytest.mark.slow
def test_what_cannot_end_well_is_refused_before_anything_is_trained(tmp_path: Path, world: Database) -> None:
    store.reviewed(world, tmp_path)

    def refused(*command: str) -> str:
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 3, done.output
        return " ".join(done.output.split())

    assert "a model was added as first before" in refused(*store.words(tmp_path, "first"))
    assert "is a model of the catalogue" in refused(*store.words(tmp_path, "open_nsfw"))
    elsewhere = [word.replace("/third", "/first") for word in store.words(tmp_path, "third")]
    (tmp_path / "first" / "retrain.json").write_text(
        json.dumps({"name": "fourth", "against": "first", "against_sha256": "", "thresholds": {}})
    )
    assert "was begun as fourth" in refused(*elsewhere)
    assert not (tmp_path / "first" / "run").exists()


def test_a_model_whose_network_is_not_ours_cannot_be_trained_on(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nsfwjs cannot be trained on"):
        from_weights(
            configs.load(ROOT / "config/retrain/default.toml"),
            door.card("nsfwjs"),
            tmp_path,
            tmp_path / "x.csv",
        )


def test_held_out_pictures_without_a_score_are_told(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    feedback = exported(tmp_path, (Item("broken.jpg", "safe", split="test"),))
    prepared, _ = prepare(feedback, None, tmp_path / "made", 1)
    assert prepared.unreadable == ("broken.jpg",)
