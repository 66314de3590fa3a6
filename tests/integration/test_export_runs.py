"""An export is whole or not there, repeats nothing, and never holds what was suppressed."""

import csv
import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import typer
from typer.testing import CliRunner

from bot.commands.export import export
from bot.errors import ConfigError, ServiceDown, SkipUpload
from bot.export.fetching import FetchedPictures
from bot.export.folder import ExportFolder
from bot.export.formats import Format
from bot.export.licences import AskedLicences
from bot.export.pictures import NoPicture, Picture
from bot.export.run import Request
from bot.settings import ROOT
from bot.upload import Downloaded, DownloadedPart, Part, Rendition
from classifier.datasets import building
from storage.engine import Database
from storage.export import ExportFilter, ExportItem
from storage.review_values import VerdictCode
from storage.values import ReviewReason
from tests.export_store import exporter, fill, noise, one_upload, restore, suppress
from tests.review_items import give, put_up, verdict
from tests.storage_database import after, fresh_database

SFW, NSFW = VerdictCode.SFW, VerdictCode.NSFW_DELETE


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        yield opened


def rows_of(folder: Path | None) -> dict[str, dict[str, Any]]:
    assert folder is not None
    rows = [json.loads(line) for line in (folder / "feedback.jsonl").read_text().splitlines()]
    return {row["item_id"]: row for row in rows}


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_suppressed_files_and_their_bytes_elsewhere_are_never_exported(
    tmp_path: Path, database: Database
) -> None:
    fill(database, tmp_path / "copies", {1: SFW, 2: NSFW, 3: NSFW})
    again = one_upload(4, sha1=one_upload(2).sha1)
    put_up(database, {4: 0.9}, values=[again], now=after(60))
    suppress(database, 2)
    suppress(database, 3)
    restore(database, 3)
    done = exporter(database, tmp_path / "copies").run(tmp_path / "out", Request(formats=tuple(Format)))
    assert sorted(rows_of(done.folder)) == ["commonswiki-1", "commonswiki-3"]
    assert done.suppressed == 2
    content = everything_in(tmp_path / "out")
    assert b"Noise 2" not in content
    assert noise(2) not in content
    assert noise(1) in content


def test_what_is_suppressed_while_exporting_is_not_in_it(tmp_path: Path, database: Database) -> None:
    fill(database, tmp_path / "copies", {1: SFW, 2: NSFW})
    told: list[str] = []

    def on_step(what: str, _done: int, _total: int) -> None:
        told.append(what)
        if told.count("writing") == 1 and what == "writing":
            suppress(database, 2)

    made = exporter(database, tmp_path / "copies", on_step=on_step)
    done = made.run(tmp_path / "out", Request(formats=tuple(Format)))
    assert told.count("writing") == 2
    assert sorted(rows_of(done.folder)) == ["commonswiki-1"]
    assert noise(2) not in everything_in(tmp_path / "out")


def test_an_incremental_export_has_what_is_new_changed_or_withdrawn(
    tmp_path: Path, database: Database
) -> None:
    fill(database, tmp_path / "copies", {1: SFW, 2: NSFW, 3: SFW, 5: NSFW})
    made = exporter(database, tmp_path / "copies")
    made.run(tmp_path / "out", Request())
    with pytest.raises(ConfigError, match="holds an export already"):
        made.run(tmp_path / "out", Request())
    unchanged = made.run(tmp_path / "out", Request(only_new=True))
    assert (unchanged.folder, unchanged.unchanged) == (None, 4)
    assert not (tmp_path / "out" / ".partial").exists()

    fill(database, tmp_path / "copies", {4: SFW})
    give(database, verdict(2, SFW, revision_id=500, given_at=after(500)))
    suppress(database, 3)
    done = made.run(tmp_path / "out", Request(only_new=True))
    assert done.folder == tmp_path / "out" / "0002"
    assert {key: row["label"] for key, row in rows_of(done.folder).items()} == {
        "commonswiki-2": "safe",
        "commonswiki-4": "safe",
    }
    assert rows_of(done.folder)["commonswiki-2"]["media_state"] == "earlier"
    assert done.withdrawn == ("commonswiki-3",)

    dataset = building.read_source(tmp_path / "out")
    assert sorted((item.path[:4], item.label) for item in dataset.items) == [
        ("0001", "nsfw"),
        ("0001", "safe"),
        ("0002", "safe"),
        ("0002", "safe"),
    ]
    assert made.run(tmp_path / "out", Request(only_new=True)).folder is None


@pytest.mark.slow
def test_a_killed_export_leaves_no_dataset_and_goes_on_where_it_was(
    tmp_path: Path, database: Database
) -> None:
    fill(
        database,
        tmp_path / "copies",
        dict.fromkeys(range(1, 13), SFW),
        without_picture=frozenset(range(1, 13)),
    )
    command = [sys.executable, "-m", "tests.export_process", str(tmp_path), str(tmp_path / "copies")]
    out = tmp_path / "out"
    killed = subprocess.Popen(
        [*command, str(out), "9"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert killed.stdin is not None
    assert killed.stdout is not None
    with killed.stdin, killed.stdout:
        while killed.stdout.readline() not in ("waiting\n", ""):
            pass
        assert ExportFolder.finished(_unlocked(out)) == []
        killed.send_signal(signal.SIGKILL)
        assert killed.wait(30) == -signal.SIGKILL
    assert [path.name for path in out.iterdir() if not path.name.startswith(".")] == []
    assert len(list((out / ".partial" / "pictures").rglob("*.jpg"))) == 8

    again = subprocess.run(
        [*command, str(out), "0"], capture_output=True, text=True, check=True, cwd=ROOT, timeout=120
    )
    assert again.stdout.count("asked") == 4
    assert len(rows_of(out / "0001")) == 12
    assert not (out / ".partial").exists()
    assert not list((out / "0001").glob("fetched*"))


def _unlocked(root: Path) -> ExportFolder:
    folder = ExportFolder.__new__(ExportFolder)
    folder.root = root
    return folder


def test_two_exports_do_not_write_into_one_folder(tmp_path: Path, database: Database) -> None:
    folder = ExportFolder(tmp_path / "out")
    with pytest.raises(ConfigError, match="another export is under way"):
        exporter(database, tmp_path).run(tmp_path / "out", Request())
    folder.close()


def test_filters_and_the_sample_choose_rows_and_set_weights(tmp_path: Path, database: Database) -> None:
    fill(database, tmp_path / "copies", dict.fromkeys(range(1, 11), NSFW))
    fill(
        database,
        tmp_path / "copies",
        dict.fromkeys(range(11, 31), SFW),
        probability=0.1,
        reason=ReviewReason.AUDIT,
    )
    made = exporter(database, tmp_path / "copies")
    audit = made.run(tmp_path / "a", Request(ExportFilter(reason=ReviewReason.AUDIT)))
    assert len(rows_of(audit.folder)) == 20
    nsfw = made.run(tmp_path / "b", Request(labels=frozenset({"nsfw"})))
    assert {row["label"] for row in rows_of(nsfw.folder).values()} == {"nsfw"}
    assert made.run(tmp_path / "c", Request(ExportFilter(until=after(-1)))).tally.rows == 0
    assert made.run(tmp_path / "d", Request(ExportFilter(model="other"))).tally.rows == 0
    part = rows_of(made.run(tmp_path / "e", Request(sample=14)).folder)
    assert len(part) == 14
    for row in part.values():
        probability = row["review_probability"] * row["sampling_probability"]
        assert row["inclusion_probability"] == pytest.approx(probability)
        assert row["weight"] == pytest.approx(1 / probability)
        # Ten with 1 and twenty with 0.1 stand for 210 uploads, so that 14 of them stand for 15 each.
        assert row["weight"] == pytest.approx(15)


class FakeWiki:
    """Locator and downloader in one."""

    def __init__(self, folder: Path, answers: dict[int, Any]) -> None:
        self._folder, self._answers = folder, answers
        self.asked: list[int] = []

    def locate(self, claimed: Sequence[Any]) -> dict[int, Any]:
        """Answers by log id."""
        self.asked += [one.upload.log_id for one in claimed]
        rendition = Rendition("thumbnail", (Part("https://x/1.jpg"),), 330, 9999)
        return {one.id: self._answers.get(one.upload.log_id, rendition) for one in claimed}

    def download(self, rendition: Rendition) -> Downloaded:
        """Some noise."""
        path = self._folder / "download"
        path.write_bytes(noise(99))
        return Downloaded(rendition, (DownloadedPart(path, None, 1),), 0.0)

    def discard(self, downloaded: Downloaded) -> None:
        """Remove it."""
        downloaded.parts[0].path.unlink()


def test_what_was_not_kept_is_fetched_and_what_is_gone_is_listed(tmp_path: Path, database: Database) -> None:
    fill(database, tmp_path / "copies", {1: SFW, 2: NSFW, 3: SFW}, without_picture=frozenset({2, 3}))
    wiki = FakeWiki(tmp_path, {3: SkipUpload("deleted", "The file does not exist.")})
    remote = FetchedPictures(wiki, wiki)  # type: ignore[arg-type]
    done = exporter(database, tmp_path / "copies", remote=remote).run(tmp_path / "out", Request())
    states = {key: row["media_state"] for key, row in rows_of(done.folder).items()}
    assert states == {"commonswiki-1": "kept", "commonswiki-2": "fetched", "commonswiki-3": "deleted"}
    assert wiki.asked == [2, 3]
    assert done.folder is not None
    assert "commonswiki-3,File:Noise 3.jpg" in (done.folder / "missing.csv").read_text()
    assert not (tmp_path / "download").exists()


def test_what_the_wiki_hides_when_it_is_asked_is_not_even_listed(tmp_path: Path, database: Database) -> None:
    fill(database, tmp_path / "copies", {1: SFW, 2: NSFW}, without_picture=frozenset({2}))
    wiki = FakeWiki(tmp_path, {2: SkipUpload("hidden", "The wiki hides this version.")})
    remote = FetchedPictures(wiki, wiki)  # type: ignore[arg-type]
    done = exporter(database, tmp_path / "copies", remote=remote).run(
        tmp_path / "out", Request(formats=tuple(Format))
    )
    assert (sorted(rows_of(done.folder)), done.suppressed) == (["commonswiki-1"], 1)
    assert b"Noise 2" not in everything_in(tmp_path / "out")


@dataclass
class FilePages:
    """The wiki's API with file pages: titles with what differs from a plain one; None where there is none."""

    pages: dict[str, dict[str, Any] | None]
    questions: list[dict[str, str | int]] = field(default_factory=list)

    def continued(self, params: Mapping[str, str | int], max_rounds: int = 20) -> Iterable[Mapping[str, Any]]:
        """Answer at once."""
        assert max_rounds > 0
        self.questions.append(dict(params))
        return [{"query": {"pages": [self._page(title) for title in str(params["titles"]).split("|")]}}]

    def _page(self, title: str) -> dict[str, Any]:
        said = self.pages.get(title, {})
        if said is None:
            return {"title": title, "missing": True, "imagerepository": ""}
        number = title.removeprefix("File:Noise ").removesuffix(".jpg")
        told = {
            "Artist": {"value": f'<a href="//x">Author {number}</a>'},
            "LicenseShortName": {"value": "CC BY-SA 4.0"},
            "LicenseUrl": {"value": "https://creativecommons.org/licenses/by-sa/4.0"},
        }
        info = {"user": "Up", "sha1": hashlib.sha1(number.encode()).hexdigest(), "extmetadata": told}
        return {"title": title, "imageinfo": [info | said]}


def test_licence_and_author_are_told_as_the_file_pages_tell_them(tmp_path: Path, database: Database) -> None:
    fill(database, tmp_path / "copies", dict.fromkeys(range(1, 61), SFW))
    told = {
        "LicenseShortName": {"value": "<b>x|`y`</b> &lt;img src=z&gt;"},
        "LicenseUrl": {"value": "data:,"},
    }
    wiki = FilePages(
        {
            "File:Noise 2.jpg": {"userhidden": True, "user": None},
            "File:Noise 3.jpg": {"filehidden": True, "sha1": None},
            "File:Noise 4.jpg": None,
            "File:Noise 5.jpg": {"sha1": "0" * 40},
            "File:Noise 6.jpg": {"extmetadata": told},
        }
    )
    made = exporter(database, tmp_path / "copies", licences=AskedLicences(wiki))
    done = made.run(tmp_path / "out", Request(formats=tuple(Format)))
    assert [str(one["titles"]).count("|") + 1 for one in wiki.questions] == [50, 10]
    rows = rows_of(done.folder)
    deed = "https://creativecommons.org/licenses/by-sa/4.0"
    assert {n: terms_of(rows[f"commonswiki-{n}"]) for n in (1, 2, 4, 5, 6)} == {
        1: ("CC BY-SA 4.0", deed, "Author 1"),
        2: ("CC BY-SA 4.0", deed, None),
        4: (None, None, None),
        5: (None, None, None),
        6: ("x|`y` <img src=z>", None, None),
    }
    assert ("commonswiki-3" in rows, done.suppressed) == (False, 1)
    assert done.folder is not None
    assert b"Noise 3.jpg" not in everything_in(done.folder)
    [named] = [row for row in csv.DictReader((done.folder / "feedback.csv").open()) if row["log_id"] == "1"]
    assert terms_of(named) == ("CC BY-SA 4.0", deed, "Author 1")
    columns = pyarrow.parquet.read_table(done.folder / "items.parquet")
    assert terms_of(columns.slice(0, 1).to_pylist()[0]) == ("CC BY-SA 4.0", deed, "Author 1")
    loaded = [
        json.loads(line)
        for path in (done.folder / "imagefolder").rglob("metadata.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert {row["log_id"]: terms_of(row) for row in loaded}[4] == ("", "", "")
    [task] = [
        one["data"]
        for one in json.loads((done.folder / "label-studio" / "tasks.json").read_text())
        if one["data"]["item_id"] == "commonswiki-1"
    ]
    assert terms_of(task) == ("CC BY-SA 4.0", deed, "Author 1")
    text = (done.folder / "README.md").read_text()
    assert "| `CC BY-SA 4.0` | 56 |\n| `x\\|'y' <img src=z>` | 1 |\n| unknown | 2 |" in text


def terms_of(row: Mapping[str, Any]) -> tuple[str | None, str | None, str | None]:
    return row["licence"], row["licence_url"], row["author"]


def test_nobody_is_asked_for_licences_unless_told_to_and_never_of_what_is_unchanged(
    tmp_path: Path, database: Database
) -> None:
    fill(database, tmp_path / "copies", {1: SFW, 2: NSFW})
    done = exporter(database, tmp_path / "copies").run(tmp_path / "out", Request(formats=tuple(Format)))
    assert {terms_of(row) for row in rows_of(done.folder).values()} == {(None, None, None)}
    assert done.folder is not None
    assert "The wiki was not asked: that takes `--fetch`." in (done.folder / "README.md").read_text()
    fill(database, tmp_path / "copies", {3: SFW})
    wiki = FilePages({})
    made = exporter(database, tmp_path / "copies", licences=AskedLicences(wiki))
    more = made.run(tmp_path / "out", Request(only_new=True))
    assert [question["titles"] for question in wiki.questions] == ["File:Noise 3.jpg"]
    assert list(rows_of(more.folder)) == ["commonswiki-3"]


class Away:
    """A wiki that does not answer."""

    def prepare(self, items: Sequence[ExportItem]) -> None:
        """Fail."""
        raise ServiceDown("api", "no answer")

    def open(self, item: ExportItem) -> Picture | NoPicture:
        """Never reached."""
        raise AssertionError(item)


def test_a_wiki_that_is_away_ends_the_export_without_a_dataset(tmp_path: Path, database: Database) -> None:
    fill(database, tmp_path / "copies", {1: SFW, 2: NSFW}, without_picture=frozenset({2}))
    with pytest.raises(ServiceDown):
        exporter(database, tmp_path / "copies", remote=Away()).run(tmp_path / "out", Request())
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name[0] != "."] == []
    assert exporter(database, tmp_path / "copies").run(tmp_path / "out", Request()).tally.rows == 2


def test_the_command_exports_and_says_what_is_missing(tmp_path: Path, database: Database) -> None:
    app = typer.Typer()
    app.command()(export)
    fill(database, tmp_path / "copies", {1: SFW, 2: NSFW}, without_picture=frozenset({2}))
    config = tmp_path / "x.toml"
    config.write_text(
        f'[store]\nurl = "sqlite:///{tmp_path}/bot.sqlite3"\n[retention]\ndirectory = "{tmp_path}/copies"\n'
        '[log]\nlevel = "ERROR"\n'
    )
    command = [str(tmp_path / "out"), "-c", str(config), "--key-file", str(tmp_path / "key")]
    result = CliRunner().invoke(app, [*command, "--format", "csv", "--format", "torchvision"])
    assert result.exit_code == 0, result.output
    assert "without a picture: 1 not_kept" in result.output
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in (tmp_path / "out" / "0001").iterdir()) == [
        "README.md",
        "export.json",
        "feedback.csv",
        "feedback.jsonl",
        "missing.csv",
        "pictures",
        "torchvision",
    ]
    assert CliRunner().invoke(app, command).exit_code == 3
    assert CliRunner().invoke(app, [*command, "--format", "xml"]).exit_code == 2
    assert "nothing is new" in CliRunner().invoke(app, [*command, "--new"]).output
    assert CliRunner().invoke(app, [*command, "--new", "--sample", "3"]).exit_code == 2
