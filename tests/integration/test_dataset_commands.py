"""`dataset build|check|split|report` as people run them: what they write, how they end, whom they blame."""

import csv
import hashlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from bot.commands.dataset import app
from classifier.datasets import building, manifest
from classifier.datasets.splitting import read_whole, sealed_path
from classifier.datasets.values import Dataset, DatasetError
from tests.media import photo

EXIT_CONFIG = 3


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("given")
    for index in range(20):
        path = root / ("safe", "nsfw")[index % 2] / f"{index:02d}.png"
        path.parent.mkdir(exist_ok=True)
        photo(96, 80, seed=index).save(path)
    shutil.copy(root / "safe/00.png", root / "safe/exact.png")
    with Image.open(root / "nsfw/01.png") as picture:
        picture.resize((150, 125)).save(root / "nsfw/near.jpg", quality=85)
    shutil.copy(root / "safe/02.png", root / "nsfw/contradiction.png")
    (root / "safe/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    (root / "nsfw/empty.jpg").write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def built(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("built") / "data.parquet"
    result = run("build", folder, path, "--workers", 1, code=1)  # two files cannot be read
    assert "19 of 25 pictures" in result.output
    return path


@pytest.fixture
def divided(built: Path, tmp_path: Path) -> Path:
    path = tmp_path / "data.parquet"
    run("split", built, "--output", path, "--train", 0.5, "--validation", 0.25, "--test", 0.25)
    return path


def test_build_tells_what_was_left_out_and_why(built: Path) -> None:
    with building.removed_path(built).open(newline="") as file:
        removed = {
            Path(row["path"]).name: (row["code"], Path(row["kept"]).name) for row in csv.DictReader(file)
        }
    assert removed == {
        "broken.png": ("undecodable", ""),
        "empty.jpg": ("empty", ""),
        "exact.png": ("exact_duplicate", "00.png"),
        "near.jpg": ("near_duplicate", "01.png"),
        "02.png": ("label_conflict", "contradiction.png"),
        "contradiction.png": ("label_conflict", "02.png"),
    }
    dataset = manifest.read(built)
    assert all(item.sha256 for item in dataset.items)
    assert {"00.png", "01.png"} <= {Path(item.path).name for item in dataset.items}


def test_exact_copies_alone_can_be_left_out(folder: Path, tmp_path: Path) -> None:
    run("build", folder, tmp_path / "data.csv", "--duplicates", "exact", "--workers", 1, code=1)
    names = {Path(item.path).name for item in manifest.read(tmp_path / "data.csv").items}
    assert "near.jpg" in names
    assert "exact.png" not in names


def test_the_test_set_is_sealed_and_not_replaced_by_accident(divided: Path) -> None:
    sealed = sealed_path(divided)
    assert sealed.stat().st_mode & 0o777 == 0o400
    before = sealed.read_bytes()
    assert {item.split for item in manifest.read(divided).items} == {"train", "validation"}
    refused = run("split", divided, code=EXIT_CONFIG)
    assert str(sealed) in refused.stderr
    assert sealed.read_bytes() == before
    kept = read_whole(divided)
    run("split", divided, "--keep-existing")
    assert read_whole(divided) == kept
    run("split", divided, "--anew", "--seed", 5)
    assert {item.path for item in read_whole(divided).items} == {item.path for item in kept.items}
    assert manifest.read(sealed).items != kept.part("test").items


def test_a_kill_between_the_two_files_loses_no_picture_and_plants_no_leak(divided: Path, built: Path) -> None:
    undivided = manifest.read(built)
    manifest.write(undivided, divided)  # the sealed set is written first; the other is still the old one
    whole = read_whole(divided)
    assert {item.sha256 for item in whole.items} == {item.sha256 for item in undivided.items}
    assert len(whole) == len(undivided)
    run("check", divided)


def planted(divided: Path) -> Dataset:
    """The training manifest with a rescaled copy of a test picture in it."""
    test = manifest.read(sealed_path(divided))
    with Image.open(test.path_of(test.items[0])) as picture:
        picture.resize((200, 170)).save(divided.parent / "planted.jpg", quality=80)
    training = manifest.read(divided)
    copy = replace(test.items[0], path="planted.jpg", split="train", sha256="", perceptual_hash="")
    return training.with_items([*training.items, copy])


def test_a_rescaled_copy_in_train_and_test_is_found_though_nobody_verified_it(divided: Path) -> None:
    run("check", divided)
    manifest.write(planted(divided), divided)
    result = run("check", divided, "--json", "--workers", 1, code=1)
    first = json.loads(result.stdout.splitlines()[0])
    assert (first["code"], first["column"]) == ("leak_near", "perceptual_hash")
    assert first["others"] == ["planted.jpg (train)"]
    assert "leak_near" in run("check", divided, "--workers", 1, code=1).output


def test_check_looks_whether_files_are_still_what_they_were(
    folder: Path, built: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "own")
    run("build", tmp_path / "own", tmp_path / "data.csv", "--workers", 1, code=1)
    photo(96, 80, seed=99).save(tmp_path / "own/safe/04.png")
    run("check", tmp_path / "data.csv")
    result = run("check", tmp_path / "data.csv", "--files", "all", "--workers", 1, code=1)
    assert "own/safe/04.png" in result.output
    assert "changed" in result.output
    assert run("check", tmp_path / "data.csv", "--strict", code=0).output.count("error") == 1


def test_report_writes_page_and_card_blurred_unless_asked(divided: Path) -> None:
    statements = divided.parent / "said.toml"
    statements.write_text('purpose = "To test."\n')
    run("report", divided, "--statements", statements, "--count", 4, "--workers", 1)
    page = divided.with_name("data.report.html").read_text()
    assert page.count("pictures, blurred") == 2
    assert ">19<" in page
    assert "To test." in divided.with_name("data.card.md").read_text()
    run("report", divided, "--count", 4, "--unblurred", "--workers", 1)
    assert "pictures, not blurred" in divided.with_name("data.report.html").read_text()
    statements.write_text("porpoise = 'typo'\n")
    assert "'porpoise'" in run("report", divided, "--statements", statements, code=EXIT_CONFIG).stderr


def table(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows) + "\n")
    return path


def test_every_unfit_source_is_blamed_by_file_and_column(tmp_path: Path) -> None:
    for label in ("safe", "nsfw", "other"):
        (tmp_path / "three" / label).mkdir(parents=True)
        (tmp_path / "three" / label / "x.png").touch()
    for label in ("safe", "nsfw"):
        (tmp_path / "hollow" / label).mkdir(parents=True)
    (tmp_path / "hollow/safe/x.png").touch()
    (tmp_path / "nothing").mkdir()
    wrong = {
        tmp_path / "absent": "absent: there is no such file or folder",
        tmp_path / "three": "other: is named after neither 'safe' nor 'nsfw'",
        tmp_path / "hollow": "hollow/nsfw, column 'label': holds no picture",
        tmp_path / "nothing": "nothing: needs two folders",
        table(tmp_path / "strange.xyz", "x"): "strange.xyz: its kind cannot be told",
        table(tmp_path / "blank.csv"): "blank.csv: is empty",
        table(tmp_path / "header.csv", "path,label"): "header.csv: has no rows",
        table(
            tmp_path / "mislabelled.csv", "path,label", "a.png,safe", "b.png,Nsfw"
        ): "mislabelled.csv, row 3, column 'label': 'Nsfw'",
        table(tmp_path / "one.csv", "path,label", "a.png,safe"): "one.csv, column 'label': no picture has",
        table(tmp_path / "columns.csv", "file,label", "a.png,safe"): "columns.csv, column 'path': is missing",
        table(tmp_path / "ragged.csv", "path,label", "a.png"): "ragged.csv, row 2: has 1 values for 2",
        table(tmp_path / "f.jsonl", '{"sha256": "x", "label": "sfw"}'): "f.jsonl, row 1, column 'sha256'",
        table(tmp_path / "broken.parquet", "PAR1"): "broken.parquet: cannot be read",
    }
    for source, blame in wrong.items():
        classes = ("--classes", "safe,nsfw") if source.name == "three" else ()
        result = run("build", source, tmp_path / "out.csv", *classes, code=EXIT_CONFIG)
        assert blame in result.stderr
        assert not (tmp_path / "out.csv").exists()
    assert "a manifest ends in" in run("build", tmp_path, tmp_path / "out.txt", code=EXIT_CONFIG).stderr
    run("build", tmp_path, tmp_path / "out.csv", "--classes", "one", code=2)
    run("build", tmp_path, tmp_path / "out.csv", "--column", "path", code=2)
    for command in ("check", "split", "report"):
        assert "broken.parquet" in run(command, tmp_path / "broken.parquet", code=EXIT_CONFIG).stderr


def test_where_nothing_of_a_label_can_be_read_the_first_file_is_named(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "safe", tmp_path / "given/safe")
    (tmp_path / "given/nsfw").mkdir()
    for name in ("a.jpg", "b.png"):
        (tmp_path / "given/nsfw" / name).write_text("no picture")
    result = run("build", tmp_path / "given", tmp_path / "o.csv", "--workers", 1, code=EXIT_CONFIG)
    for told in ("no picture has the label 'nsfw'", "nsfw/a.jpg", "undecodable", "o.removed.csv"):
        assert told in result.output
    assert "nsfw/b.png" in (tmp_path / "o.removed.csv").read_text()
    assert not (tmp_path / "o.csv").exists()


def test_too_many_and_too_large_files_are_refused_by_name(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=f"{folder.name}.*more than 3 files"):
        building.read_source(folder, options=building.SourceOptions(max_items=3))
    dataset = building.read_source(folder)
    left = building.build(dataset, max_file_bytes=9, workers=1)
    assert not left.dataset.items
    assert {one.code for one in left.removed} == {"too_large", "empty"}
    assert all(one.path for one in left.removed)


@pytest.mark.parametrize(("package", "ending"), [("pdqhash", "csv"), ("pyarrow", "parquet")])
def test_a_missing_library_is_told_with_how_to_install_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, ending: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    result = run("build", folder, tmp_path / f"x.{ending}", "--workers", 1, code=EXIT_CONFIG)
    assert f"{package}: python -m pip install 'commons-nsfw-bot[train]'" in result.stderr
    assert not list(tmp_path.iterdir())


def test_kinds_are_told_by_what_is_there(folder: Path, built: Path, tmp_path: Path) -> None:
    assert building.detect(folder) == "folder"
    assert building.detect(built) == "manifest"
    (tmp_path / "npdi/vPorn").mkdir(parents=True)
    assert building.detect(tmp_path / "npdi") == "npdi"
    (tmp_path / "own").mkdir()
    table(tmp_path / "own/feedback.jsonl", "{}")
    assert building.detect(tmp_path / "own") == "feedback"
    assert building.detect(table(tmp_path / "a.csv", "file,label")) == "table"
    assert building.detect(table(tmp_path / "b.csv", "path,label,group:medium")) == "manifest"
    assert building.detect(table(tmp_path / "c.csv", "sha256,label,verdicts")) == "feedback"


def test_npdi_and_feedback_are_built_through_the_same_command(folder: Path, tmp_path: Path) -> None:
    for number, name in enumerate(("vPorn000001", "vNonPorn000001")):
        (tmp_path / "npdi" / name).mkdir(parents=True)
        photo(96, 80, seed=40 + number).save(tmp_path / "npdi" / name / f"{name}-1.jpg")
    run("build", tmp_path / "npdi", tmp_path / "npdi.csv", "--workers", 1)
    assert {item.source for item in manifest.read(tmp_path / "npdi.csv").items} == {
        "vPorn000001",
        "vNonPorn000001",
    }
    rows = []
    for number, verdict in enumerate(("nsfw-delete", "sfw", "unsure")):
        content = (folder / ("safe", "nsfw")[number % 2] / f"{number + 4:02d}.png").read_bytes()
        name = hashlib.sha256(content).hexdigest()
        (tmp_path / "media").mkdir(exist_ok=True)
        (tmp_path / "media" / f"{name}.png").write_bytes(content)
        rows.append(json.dumps({"sha256": name, "label": verdict, "wiki": "commonswiki"}))
    export = table(tmp_path / "export.jsonl", *rows)
    given = ("--media", tmp_path / "media", "--group", "wiki", "--workers", 1)
    run("build", export, tmp_path / "feedback.csv", *given)
    dataset = manifest.read(tmp_path / "feedback.csv")
    assert [(item.label, item.groups["wiki"]) for item in dataset.items] == [
        ("nsfw", "commonswiki"),
        ("safe", "commonswiki"),
    ]
