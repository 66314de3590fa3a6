"""An export is read by the programs it is made for."""

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.dataset
import pyarrow.parquet
import pytest

from bot.export.formats import Format
from bot.export.run import Request
from bot.export.splits import SPLITS
from bot.export.webdataset import WebDataset
from classifier.datasets import building, manifest
from classifier.torch_compat import import_torchvision
from storage.engine import Database
from storage.review_values import VerdictCode
from tests.export_store import exporter, fill
from tests.review_items import give, verdict
from tests.storage_database import fresh_database

pytestmark = pytest.mark.slow

LABELS: dict[int, VerdictCode | None] = {
    n: (VerdictCode.NSFW_DELETE, VerdictCode.SFW, VerdictCode.SFW)[n % 3] for n in range(1, 31)
} | {31: None, 32: VerdictCode.UNSURE, 33: VerdictCode.SFW, 34: VerdictCode.SFW}
DISPUTED, MISSING = 33, 34
TASKS_SCHEMA: dict[str, Any] = {
    "$comment": "https://labelstud.io/guide/tasks and /guide/predictions: basic Label Studio JSON format",
    "type": "array",
    "items": {
        "type": "object",
        "required": ["data"],
        "additionalProperties": False,
        "properties": {
            "data": {"type": "object", "required": ["image"], "properties": {"image": {"type": "string"}}},
            "meta": {"type": "object"},
            "predictions": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["result"],
                    "additionalProperties": False,
                    "properties": {
                        "model_version": {"type": "string"},
                        "score": {"type": "number", "minimum": 0, "maximum": 1},
                        "result": {"$ref": "#/$defs/result"},
                    },
                },
            },
            "annotations": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["result"],
                    "additionalProperties": False,
                    "properties": {"result": {"$ref": "#/$defs/result"}},
                },
            },
        },
    },
    "$defs": {
        "result": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["from_name", "to_name", "type", "value"],
                "properties": {
                    "from_name": {"const": "label"},
                    "to_name": {"const": "image"},
                    "type": {"const": "choices"},
                    "value": {
                        "type": "object",
                        "required": ["choices"],
                        "properties": {
                            "choices": {"type": "array", "items": {"enum": ["nsfw", "safe", "unsure"]}}
                        },
                    },
                },
            },
        }
    },
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Database]]:
    folder = tmp_path_factory.mktemp("export")
    with fresh_database(folder) as database:
        fill(database, folder / "copies", LABELS, without_picture=frozenset({MISSING}), probability=0.5)
        give(
            database,
            verdict(DISPUTED, VerdictCode.NSFW_KEEP, author="Bob", author_id=8, revision_id=999),
        )
        before = os.umask(0)
        try:
            done = exporter(database, folder / "copies").run(folder / "out", Request(formats=tuple(Format)))
        finally:
            os.umask(before)
        assert done.folder == folder / "out" / "0001"
        yield done.folder, database


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "feedback.jsonl").read_text().splitlines()]


def test_pyarrow_reads_the_rows_with_their_types(exported: tuple[Path, Database]) -> None:
    folder, _ = exported
    table = pyarrow.parquet.read_table(folder / "items.parquet")
    plain = rows_of(folder)
    assert table.num_rows == len(plain) == 34
    assert table.column("item_id").to_pylist() == [row["item_id"] for row in plain]
    assert str(table.schema.field("uploaded_at").type) == "timestamp[us, tz=UTC]"
    by_label = table.filter(pyarrow.dataset.field("label") == "nsfw")
    assert by_label.num_rows == 10
    assert set(table.column("weight").to_pylist()) == {2.0}
    assert table.column("verdicts").to_pylist()[0][0]["code"] == "sfw"


def test_a_spreadsheet_reads_the_same_rows(exported: tuple[Path, Database]) -> None:
    folder, _ = exported
    rows = [row for _, row in manifest.read_csv(folder / "feedback.csv")]
    assert [row["item_id"] for row in rows] == [row["item_id"] for row in rows_of(folder)]
    assert json.loads(rows[0]["verdicts"])[0]["code"] == "sfw"


def test_hugging_face_loads_pictures_with_their_rows(
    exported: tuple[Path, Database], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    folder, _ = exported
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(folder / "imagefolder"), cache_dir=str(tmp_path)
    )
    assert set(loaded) == set(SPLITS)
    expected = {row["item_id"]: row for row in rows_of(folder) if row["path"]}
    found = {row["item_id"]: row for split in loaded for row in loaded[split]}
    assert found.keys() == expected.keys()
    for item_id, row in found.items():
        assert (row["image"].size, row["image"].mode) == ((48, 48), "RGB")
        assert (row["label"], row["split"]) == (expected[item_id]["label"], expected[item_id]["split"])


def test_torchvision_reads_labelled_pictures_only(exported: tuple[Path, Database]) -> None:
    import_torchvision()
    from torchvision.datasets import ImageFolder

    folder, _ = exported
    expected = [row for row in rows_of(folder) if row["path"] and row["label"] in ("nsfw", "safe")]
    found = {}
    for split in SPLITS:
        data = ImageFolder(str(folder / "torchvision" / split), allow_empty=True)
        assert data.class_to_idx == {"nsfw": 0, "safe": 1}
        found |= {Path(path).stem: data.classes[target] for path, target in data.samples}
        assert len(data) == 0 or data[0][0].size == (48, 48)
    assert found == {row["item_id"]: row["label"] for row in expected}


def test_webdataset_streams_the_same_labels(exported: tuple[Path, Database]) -> None:
    import webdataset

    folder, _ = exported
    shards = sorted(str(path) for path in (folder / "webdataset").glob("*.tar"))
    stream = webdataset.WebDataset(shards, shardshuffle=False).decode("pil").to_tuple("jpg", "cls", "json")
    found = {row["item_id"]: (target, picture.size) for picture, target, row in stream}
    expected = [row for row in rows_of(folder) if row["path"] and row["label"] in ("nsfw", "safe")]
    assert found == {row["item_id"]: (int(row["label"] == "nsfw"), (48, 48)) for row in expected}


def test_shards_are_closed_when_full_and_kept_private(tmp_path: Path) -> None:
    picture = tmp_path / "x.jpg"
    picture.write_bytes(b"\xff\xd8\xff")
    writer = WebDataset(tmp_path, samples=2)
    for number in range(5):
        writer.add({"item_id": f"w-{number}", "split": "train", "label": "safe"}, picture)
    writer.close()
    shards = sorted((tmp_path / "webdataset").iterdir())
    sizes = []
    for path in shards:
        with tarfile.open(path) as shard:
            sizes.append(len(shard.getnames()))
    assert sizes == [6, 6, 3]
    assert {path.stat().st_mode & 0o777 for path in shards} == {0o600}


def test_label_studio_takes_tasks_with_predictions_and_annotations(exported: tuple[Path, Database]) -> None:
    folder, _ = exported
    tasks = json.loads((folder / "label-studio" / "tasks.json").read_text())
    jsonschema.validate(tasks, TASKS_SCHEMA)
    by_id = {task["data"]["item_id"]: task for task in tasks}
    assert len(by_id) == 34
    assert [one["result"][0]["value"]["choices"] for one in by_id["commonswiki-33"]["annotations"]] == [
        ["safe"],
        ["nsfw"],
    ]
    image = by_id["commonswiki-1"]["data"]["image"]
    assert (folder.parent / image.removeprefix("/data/local-files/?d=")).is_file()
    assert by_id["commonswiki-34"]["data"]["image"].startswith("https://")


def test_what_has_no_picture_is_listed(exported: tuple[Path, Database]) -> None:
    folder, _ = exported
    lines = (folder / "missing.csv").read_text().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("commonswiki-34,File:Noise 34.jpg,https://")
    assert ",not_kept," in lines[1]
    assert "without a picture: not_kept | 1" in (folder / "README.md").read_text()


def test_nobody_else_reads_an_export_whatever_the_umask(exported: tuple[Path, Database]) -> None:
    folder, _ = exported
    paths = [folder.parent, folder, *folder.rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_file()} == {0o600}


def test_a_dataset_is_built_from_it_with_weights_and_splits(
    exported: tuple[Path, Database], tmp_path: Path
) -> None:
    folder, _ = exported
    built = building.build(building.read_source(folder), duplicates="exact", workers=1)
    manifest.write(built.dataset, tmp_path / "data.csv")
    dataset = manifest.read(tmp_path / "data.csv")
    expected = {
        row["sha256"]: (row["label"], row["split"], row["weight"], row["source"])
        for row in rows_of(folder)
        if row["path"] and row["label"] in ("nsfw", "safe")
    }
    found = {item.sha256: (item.label, item.split, item.weight, item.source) for item in dataset.items}
    assert found == expected
    assert len(found) == 30
    assert all(dataset.path_of(item).is_file() for item in dataset.items)
