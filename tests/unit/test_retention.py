"""Kept copies: only for a while, never readable by others, gone before the store says so."""

import io
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import delete, update
from typer.testing import CliRunner

from bot import cli
from bot.commands.purge import purge
from bot.feedback_settings import RetentionSettings
from bot.retention import patrol as patrolling
from bot.retention.folder import CopyFolder
from bot.retention.keeping import CopyKeeper
from bot.retention.patrol import SuppressionPatrol
from bot.retention.purging import Purger
from bot.settings import load_settings
from classifier import preprocess
from classifier.decode.segments import Segment
from classifier.errors import DecodeError
from classifier.values import Frame, FrameResult, MediaPart
from storage import export, file_changes, kept_copies
from storage.engine import Database
from storage.errors import AppendOnly
from storage.feedback_tables import PurgeRow
from storage.kept_copies import KeptCopy, PurgeReason
from storage.values import ChangeKind, FileChange
from tests import media
from tests.review_items import put_up
from tests.storage_database import NOW, WIKI, after, fresh_database

DAY_S = 86400.0


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        put_up(opened, {1: 0.9, 2: 0.9, 3: 0.9})
        yield opened


@pytest.fixture
def folder(tmp_path: Path, database: Database) -> CopyFolder:
    return CopyFolder(tmp_path / "copies", database.name)


class Stream:
    """Frames as a decode job would bring them, prepared as asked."""

    segments, looks = 1, None

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = list(frames)
        self.left = False

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self.left = True

    def __iter__(self) -> Iterator[list[Frame]]:
        return iter([frame] for frame in self._frames)


class Decoder:
    """Answers every job with the same frames."""

    workers = idle_workers = 1

    def __init__(self, *pictures: tuple[float | None, Image.Image]) -> None:
        self._pictures = pictures
        self.opened: list[str] = []

    def open(self, parts: Sequence[MediaPart], preprocessing: str, segment: Segment | None = None) -> Stream:
        self.opened.append(preprocessing)
        way = preprocess.get(preprocessing)
        return Stream([Frame(way.prepare(picture), at_s) for at_s, picture in self._pictures])


def settings(folder: Path, days: float = 30) -> RetentionSettings:
    values = {"days": days, "directory": folder}
    return load_settings().retention.model_copy(update=values)


def keep(
    database: Database, folder: CopyFolder, upload_id: int, picture: Image.Image, days: float = 30
) -> str | None:
    keeper = CopyKeeper(database, folder, Decoder((None, picture)), settings(Path("unused"), days))  # type: ignore[arg-type]
    return keeper.keep(upload_id, [MediaPart(Path("nowhere"))], FrameResult(0.9), NOW)


def files(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "copies").rglob("*.jpg"))


def live(database: Database) -> list[KeptCopy]:
    with database.read() as tx:
        return kept_copies.everything(tx, 100)


def purger(database: Database, folder: CopyFolder, at_s: float, days: float = 30) -> Purger:
    return Purger(database, folder, days, lambda: after(at_s))


def audit(database: Database) -> list[tuple[int, str, str]]:
    with database.read() as tx:
        return sorted((one.upload_id, one.reason.value, one.purged_by) for one in kept_copies.purges(tx, 100))


def suppress(database: Database, log_id: int) -> None:
    with database.transaction() as tx:
        assert file_changes.note_suppressed(tx, WIKI, f"File:Photo {log_id}.jpg", after(60), after(60))


def test_a_copy_is_reduced_private_and_named_by_its_bytes(
    database: Database, folder: CopyFolder, tmp_path: Path
) -> None:
    sha256 = keep(database, folder, 1, media.photo(1600, 900))
    (path,) = files(tmp_path)
    assert sha256 is not None
    assert path == folder.path_of(sha256)
    assert path.relative_to(tmp_path / "copies").parts[:2] == (sha256[:2], sha256[2:4])
    with Image.open(path) as image:
        assert (image.format, image.size) == ("JPEG", (640, 360))
        assert not image.getexif()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for parent in (path.parent, path.parent.parent, tmp_path / "copies"):
        assert stat.S_IMODE(parent.stat().st_mode) == 0o700
    (row,) = live(database)
    assert (row.sha256, row.size_bytes, row.media_type) == (sha256, path.stat().st_size, "image/jpeg")
    assert row.expires_at == NOW + timedelta(days=30)


def test_a_folder_that_others_could_read_is_closed(folder: CopyFolder, tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir(mode=0o755)
    with folder.locked():
        assert stat.S_IMODE((tmp_path / "copies").stat().st_mode) == 0o700


def test_of_a_video_the_worst_frame_is_kept(database: Database, folder: CopyFolder, tmp_path: Path) -> None:
    pictures = [(float(second), Image.new("RGB", (80, 60), (20 * second, 0, 0))) for second in range(8)]
    keeper = CopyKeeper(database, folder, Decoder(*pictures), settings(tmp_path))  # type: ignore[arg-type]
    keeper.keep(1, [MediaPart(Path("nowhere"))], FrameResult(0.9, at_s=5.0), NOW)
    (path,) = files(tmp_path)
    with Image.open(path) as image:
        assert abs(np.asarray(image)[:, :, 0].mean() - 100) < 4
    assert [row.at_s for row in live(database)] == [5.0]


def test_a_file_without_a_picture_leaves_nothing(
    database: Database, folder: CopyFolder, tmp_path: Path
) -> None:
    keeper = CopyKeeper(database, folder, Decoder(), settings(tmp_path))  # type: ignore[arg-type]
    with pytest.raises(DecodeError):
        keeper.keep(1, [MediaPart(Path("nowhere"))], FrameResult(0.9), NOW)
    assert (files(tmp_path), live(database)) == ([], [])


def test_with_zero_days_nothing_is_decoded_or_written(
    database: Database, folder: CopyFolder, tmp_path: Path
) -> None:
    decoder = Decoder((None, media.corners()))
    keeper = CopyKeeper(database, folder, decoder, settings(tmp_path, days=0))  # type: ignore[arg-type]
    assert keeper.keep(1, [MediaPart(Path("nowhere"))], FrameResult(0.9), NOW) is None
    cleaner = purger(database, folder, 0, days=0)
    cleaner.round()
    assert (decoder.opened, live(database)) == ([], [])
    assert not (tmp_path / "copies").exists()


def test_a_copy_goes_when_its_time_is_over_and_not_before(
    database: Database, folder: CopyFolder, tmp_path: Path
) -> None:
    keep(database, folder, 1, media.corners())
    assert purger(database, folder, 30 * DAY_S - 1).expired() == 0
    assert len(files(tmp_path)) == 1
    purger(database, folder, 30 * DAY_S).round()
    assert (files(tmp_path), live(database)) == ([], [])
    assert audit(database) == [(1, "expired", "retention")]


def test_a_shorter_time_counts_for_older_copies_too(
    database: Database, folder: CopyFolder, tmp_path: Path
) -> None:
    keep(database, folder, 1, media.corners())
    assert purger(database, folder, 2 * DAY_S, days=90).expired() == 0
    assert purger(database, folder, 2 * DAY_S, days=1).expired() == 1
    assert files(tmp_path) == []


def test_shared_content_stays_until_its_last_row_expires(
    database: Database, folder: CopyFolder, tmp_path: Path
) -> None:
    keep(database, folder, 1, media.corners(), days=1)
    keep(database, folder, 2, media.corners(), days=30)
    assert len(files(tmp_path)) == 1
    assert purger(database, folder, 2 * DAY_S).expired() == 1
    assert ([row.upload_id for row in live(database)], len(files(tmp_path))) == ([2], 1)
    assert purger(database, folder, 31 * DAY_S).expired() == 1
    assert files(tmp_path) == []


def test_a_suppression_removes_the_picture_at_once_whoever_shares_it(
    database: Database, folder: CopyFolder, tmp_path: Path
) -> None:
    keep(database, folder, 1, media.corners())
    keep(database, folder, 2, media.corners())
    keep(database, folder, 3, media.photo(96, 64))
    suppress(database, 1)
    purger(database, folder, 60).round()
    assert [row.upload_id for row in live(database)] == [3]
    assert len(files(tmp_path)) == 1
    assert audit(database) == [(1, "suppressed", "retention"), (2, "suppressed", "retention")]


def test_what_is_suppressed_is_not_kept_again(database: Database, folder: CopyFolder, tmp_path: Path) -> None:
    keep(database, folder, 1, media.corners())
    suppress(database, 1)
    purger(database, folder, 60).suppressed()
    assert keep(database, folder, 1, media.photo(96, 64)) is None
    assert keep(database, folder, 2, media.corners()) is None
    assert (files(tmp_path), live(database)) == ([], [])


def test_a_purge_that_is_killed_between_file_and_row_is_done_again(
    database: Database, folder: CopyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(database, folder, 1, media.corners())

    def killed(*_: object) -> int:
        assert files(tmp_path) == []  # the file goes first
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(kept_copies, "mark_purged", killed)
        with pytest.raises(KeyboardInterrupt):
            purger(database, folder, 31 * DAY_S).expired()
    assert len(live(database)) == 1
    assert audit(database) == []
    assert purger(database, folder, 31 * DAY_S).expired() == 1
    assert (live(database), len(audit(database))) == ([], 1)


def test_a_keep_that_is_killed_between_file_and_row_is_swept(
    database: Database, folder: CopyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> bool:
        assert len(files(tmp_path)) == 1  # the file comes first
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(kept_copies, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            keep(database, folder, 1, media.corners())
    keep(database, folder, 2, media.photo(96, 64))
    unfinished = files(tmp_path)[0].parent / ".new-abc"
    unfinished.write_bytes(b"half")
    assert purger(database, folder, 0).sweep() == 2
    assert not unfinished.exists()
    assert [path.stem for path in files(tmp_path)] == [row.sha256 for row in live(database)]


def test_the_sweep_leaves_other_files_alone(database: Database, folder: CopyFolder, tmp_path: Path) -> None:
    keep(database, folder, 1, media.corners())
    note = files(tmp_path)[0].parent / "note.txt"
    note.write_text("mine")
    assert purger(database, folder, 0).sweep() == 0
    assert purger(database, folder, 0).everything("Ann") == 1
    assert note.exists()


def test_another_database_cannot_sweep_or_fill_the_folder(
    database: Database, folder: CopyFolder, tmp_path: Path
) -> None:
    keep(database, folder, 1, media.corners())
    other = CopyFolder(tmp_path / "copies", "sqlite:///other")
    with pytest.raises(OSError, match=r"retention\.directory"):
        purger(database, other, 0).sweep()
    with pytest.raises(OSError, match=r"retention\.directory"):
        keep(database, other, 2, media.corners())
    assert len(files(tmp_path)) == 1


def test_a_disk_that_refuses_is_tried_again_and_the_row_stays(
    database: Database, folder: CopyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(database, folder, 1, media.corners())
    cleaner = purger(database, folder, 31 * DAY_S)

    def refuses(self: CopyFolder, sha256: str) -> None:
        raise PermissionError(sha256)

    with monkeypatch.context() as patched:
        patched.setattr(CopyFolder, "remove", refuses)
        cleaner.round()
    assert (len(live(database)), audit(database)) == (1, [])
    assert purger(database, folder, 31 * DAY_S).expired() == 1


def test_the_audit_log_is_append_only(database: Database, folder: CopyFolder) -> None:
    keep(database, folder, 1, media.corners())
    purger(database, folder, 0).requested([1], "Ann")
    for statement in (delete(PurgeRow), update(PurgeRow).values(purged_by="Bob")):
        with pytest.raises(AppendOnly), database.transaction() as tx:
            tx.execute(statement)
    assert audit(database) == [(1, "requested", "Ann")]


@given(st.text())
def test_only_a_hash_becomes_a_path(name: str) -> None:
    hexadecimal = len(name) == 64 and set(name) <= set("0123456789abcdef")
    if hexadecimal:
        return
    with pytest.raises(ValueError, match="no SHA-256"):
        CopyFolder(Path("x"), "y").path_of(name)


class HidingWiki:
    """A miniature of the wiki that has hidden some files."""

    def __init__(self, *hidden: str) -> None:
        self.hidden = hidden
        self.asked: list[str] = []

    def query(self, params: Mapping[str, str | int]) -> Mapping[str, Any]:
        titles = str(params["titles"]).split("|")
        self.asked += titles
        flags = {title: {"filehidden": True} if title in self.hidden else {} for title in titles}
        pages = [{"title": title, "imageinfo": [{"timestamp": "x", **flags[title]}]} for title in titles]
        return {"query": {"pages": [*pages, {"title": "File:Missing.jpg", "missing": True}]}}


def test_a_suppression_that_stands_in_no_log_is_found_and_purged(
    database: Database, folder: CopyFolder, tmp_path: Path
) -> None:
    keep(database, folder, 1, media.corners())
    keep(database, folder, 2, media.photo(96, 64))
    wiki = HidingWiki("File:Photo 2.jpg")
    patrol = SuppressionPatrol(wiki, database, WIKI, threading.Event())
    assert (patrol.look(), patrol.look()) == (1, 0)
    assert set(wiki.asked) == {f"File:Photo {number}.jpg" for number in (1, 2, 3)}
    purger(database, folder, 60).round()
    assert [row.upload_id for row in live(database)] == [1]
    assert len(files(tmp_path)) == 1
    wiki.asked.clear()
    patrol.look()
    assert "File:Photo 2.jpg" not in wiki.asked  # nobody asks about what is known to be suppressed


def test_files_whose_pictures_are_gone_are_asked_about_in_turn(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patrolling, "REVIEWED_A_ROUND", 2)
    wiki = HidingWiki("File:Photo 3.jpg")
    made = SuppressionPatrol(wiki, database, WIKI, threading.Event())
    assert made.look() == 0
    assert wiki.asked == ["File:Photo 1.jpg", "File:Photo 2.jpg"]
    assert made.look() == 1
    with database.read() as tx:
        assert len(export.suppressed(tx).upload_ids) == 1
    wiki.asked.clear()
    made.look()
    assert wiki.asked == ["File:Photo 1.jpg", "File:Photo 2.jpg"]


def test_a_file_that_was_restored_can_be_suppressed_again(database: Database) -> None:
    states = []
    for step, log_id in enumerate((900, 901, 902)):
        with database.transaction() as tx:
            assert file_changes.note_suppressed(tx, WIKI, "File:Photo 1.jpg", after(100 + 20 * step), NOW)
            assert not file_changes.note_suppressed(tx, WIKI, "File:Photo 1.jpg", after(105 + 20 * step), NOW)
            states.append(len(export.suppressed(tx).upload_ids))
            restored = FileChange(
                WIKI, log_id, ChangeKind.RESTORE, "File:Photo 1.jpg", None, "Admin", after(110 + 20 * step)
            )
            assert file_changes.apply(tx, [restored], NOW) == 1
            states.append(len(export.suppressed(tx).upload_ids))
    assert states == [1, 0] * 3


def test_the_command_removes_by_title_and_id_and_names_who_asked(
    database: Database, folder: CopyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for upload_id in (1, 2, 3):
        keep(database, folder, upload_id, Image.new("RGB", (64, 64), (70 * upload_id, 0, 0)))
    monkeypatch.setenv("COMMONSBOT_STORE__URL", f"sqlite:///{tmp_path / 'bot.sqlite3'}")
    monkeypatch.setenv("COMMONSBOT_RETENTION__DIRECTORY", str(tmp_path / "copies"))
    app = cli.typer.Typer()
    app.command()(purge)
    run = CliRunner().invoke
    asked = run(app, ["File:Photo 1.jpg", f"{WIKI}-2", "File:Nobody.jpg", "--by", "Ann"])
    assert (asked.exit_code, "2 kept pictures removed" in asked.output) == (1, True)
    assert "File:Nobody.jpg" in asked.output
    assert [row.upload_id for row in live(database)] == [3]
    assert audit(database) == [(1, "requested", "Ann"), (2, "requested", "Ann")]
    assert run(app, ["--all", "--by", "Bob"]).exit_code == 0
    assert files(tmp_path) == []
    assert "requested by Bob" in run(app, ["--log", "1"]).output
    assert run(app, []).exit_code == 2
    assert run(app, ["--all", "--expired"]).exit_code == 2


def test_totals_and_rows_for_an_export(database: Database, folder: CopyFolder) -> None:
    keep(database, folder, 1, media.corners())
    with database.read() as tx:
        count, size = kept_copies.totals(tx)
        (copy,) = kept_copies.of_uploads(tx, [1, 2])
    assert (count, size, copy.upload_id) == (1, copy.size_bytes, 1)
    with database.transaction() as tx:
        assert kept_copies.mark_purged(tx, [copy], PurgeReason.EXPIRED, "x", NOW) == 1
        assert kept_copies.mark_purged(tx, [copy], PurgeReason.EXPIRED, "x", NOW) == 0


@pytest.mark.parametrize("size", [(3000, 10), (10, 3000), (640, 640), (30, 20), (5000, 4000)])
def test_reduced_pictures_keep_their_proportions_and_never_grow(size: tuple[int, int]) -> None:
    way = preprocess.get("reduced-v1@640")
    pixels = way.prepare(Image.new("RGB", size))
    height, width = pixels.shape[:2]
    assert max(width, height) == min(640, max(size))
    longest = max(size)
    assert abs(width - max(1, size[0] * max(width, height) / longest)) <= 1
    assert np.array_equal(way.prepare_array(np.zeros((4, 6, 3), np.uint8), "bgr").shape, (4, 6, 3))


def test_a_jpeg_of_equal_pixels_is_the_same_file() -> None:
    from classifier.pictures import as_jpeg

    pixels = np.asarray(media.photo(64, 48))
    assert as_jpeg(pixels, 85) == as_jpeg(pixels.copy(), 85)
    assert Image.open(io.BytesIO(as_jpeg(pixels, 85))).size == (64, 48)
