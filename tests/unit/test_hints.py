"""Hints: found among a million hashes as surely as among ten, and never a label."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bot.errors import ServiceDown
from bot.retention.folder import CopyFolder
from bot.retention.hints import Hints
from bot.retention.keeping import CopyKeeper
from bot.retention.reuploads import DeletedFiles
from bot.retention.scored import ScoredPictures
from bot.settings import load_settings
from classifier import pdq
from classifier.values import MediaPart
from storage import file_changes, hints, kept_copies, picture_hashes, reviews
from storage.engine import Database
from storage.hash_index import HashIndex, Near
from storage.review_values import NO_HINT, Hint, LookAlike, ReviewState, VerdictCode
from storage.values import ChangeKind, ClaimedUpload, FileChange
from tests import media
from tests.fakes import DeletedFilesWiki as Wiki
from tests.fakes import media_score
from tests.review_items import give, item_id, put_up, verdict
from tests.storage_database import NOW, WIKI, after, fresh_database, upload
from tests.unit.test_retention import Decoder

NOWHERE = [MediaPart(Path("nowhere"))]
PHOTO = media.photo(400, 300, seed=3)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        put_up(opened, {1: 0.9, 2: 0.9, 3: 0.9})
        yield opened


def claimed(number: int) -> ClaimedUpload:
    return ClaimedUpload(number, upload(number), f"File:Photo {number}.jpg", 0, "c", NOW)


def finder(database: Database, picture: Image.Image = PHOTO) -> Hints:
    made = Hints(database, Decoder((None, picture)), None, near_duplicates=True)  # type: ignore[arg-type]
    made.load()
    return made


def hint(database: Database, number: int) -> Hint:
    with database.read() as tx:
        return hints.of_items(tx, [item_id(number)]).get(item_id(number), NO_HINT)


def look_alikes(database: Database) -> None:
    """1 is a picture, 2 the same one smaller, found by another start of the daemon."""
    finder(database).note_picture(claimed(1), NOWHERE, True, NOW)
    finder(database, PHOTO.resize((330, 248))).note_picture(claimed(2), NOWHERE, True, NOW)


def test_a_picture_like_a_reviewed_one_gets_its_verdict_as_a_hint_and_no_label(database: Database) -> None:
    look_alikes(database)
    assert not hint(database, 2)
    give(database, verdict(1, VerdictCode.NSFW_KEEP))
    assert hint(database, 2) == Hint(LookAlike("File:Photo 1.jpg", VerdictCode.NSFW_KEEP))
    assert not hint(database, 1)
    with database.read() as tx:
        standing = reviews.standing(tx, item_id(2))
    assert (standing.state, standing.votes) == (ReviewState.OPEN, ())


@pytest.mark.parametrize(
    "codes",
    [
        (),
        (VerdictCode.UNSURE,),
        (VerdictCode.SFW, VerdictCode.NSFW_KEEP),
        (VerdictCode.NSFW_DELETE, VerdictCode.NSFW_KEEP),
    ],
)
def test_what_is_undecided_or_disputed_is_no_hint(database: Database, codes: tuple[VerdictCode, ...]) -> None:
    look_alikes(database)
    for number, code in enumerate(codes):
        give(database, verdict(1, code, author=f"P{number}", author_id=number, revision_id=200 + number))
    assert not hint(database, 2)


def test_untrusted_verdicts_are_no_hint(database: Database) -> None:
    look_alikes(database)
    give(database, verdict(1, VerdictCode.SFW, trusted=False, untrusted_reason="group"))
    assert not hint(database, 2)


def change(database: Database, log_id: int, kind: ChangeKind, title: str, target: str | None = None) -> None:
    with database.transaction() as tx:
        found = FileChange(WIKI, log_id, kind, title, target, "Admin", after(log_id))
        assert file_changes.apply(tx, [found], NOW) == 1


def test_a_hint_tells_what_became_of_the_other_file_and_its_verdict(database: Database) -> None:
    look_alikes(database)
    give(database, verdict(1, VerdictCode.NSFW_DELETE))
    change(database, 50, ChangeKind.MOVE, "File:Photo 1.jpg", "File:Renamed.jpg")
    change(database, 60, ChangeKind.DELETE, "File:Renamed.jpg")
    assert hint(database, 2).look_alike == LookAlike(
        "File:Renamed.jpg", VerdictCode.NSFW_DELETE, deleted=True
    )
    change(database, 70, ChangeKind.RESTORE, "File:Renamed.jpg")
    give(database, verdict(1, VerdictCode.SFW, revision_id=101, given_at=after(80)))
    assert hint(database, 2).look_alike == LookAlike("File:Renamed.jpg", VerdictCode.SFW)


def test_a_suppressed_file_is_never_named_and_its_hash_is_forgotten(database: Database) -> None:
    look_alikes(database)
    give(database, verdict(1, VerdictCode.NSFW_DELETE))
    with database.transaction() as tx:
        file_changes.note_suppressed(tx, WIKI, "File:Photo 1.jpg", after(90), NOW)
    assert not hint(database, 2)
    with database.transaction() as tx:
        assert picture_hashes.forget_suppressed(tx) == 1
    with database.read() as tx:
        assert picture_hashes.reviewed(tx, 0)[0] == [2]


def test_the_nearest_decided_picture_is_the_hint(database: Database) -> None:
    with database.transaction() as tx:
        hints.note_near(tx, 3, [Near(1, 2), Near(2, 9)], NOW)
    give(database, verdict(2, VerdictCode.SFW))
    assert hint(database, 3).look_alike == LookAlike("File:Photo 2.jpg", VerdictCode.SFW)
    give(database, verdict(1, VerdictCode.NSFW_KEEP))
    assert hint(database, 3).look_alike == LookAlike("File:Photo 1.jpg", VerdictCode.NSFW_KEEP)


def test_other_and_flat_pictures_get_no_hint(database: Database) -> None:
    finder(database).note_picture(claimed(1), NOWHERE, True, NOW)
    give(database, verdict(1, VerdictCode.SFW))
    finder(database, media.photo(400, 300, seed=9)).note_picture(claimed(2), NOWHERE, True, NOW)
    finder(database, Image.new("RGB", (300, 300))).note_picture(claimed(3), NOWHERE, True, NOW)
    assert not hint(database, 2) and not hint(database, 3)
    with database.read() as tx:
        assert picture_hashes.reviewed(tx, 0)[0] == [1, 2, 3]
        assert picture_hashes.reviewed(tx, pdq.MIN_QUALITY)[0] == [1, 2]


def test_without_the_library_the_hints_are_off_with_one_line(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pdq, "is_installed", lambda: False)
    caplog.set_level("INFO")
    work = finder(database)
    work.note_picture(claimed(1), NOWHERE, True, NOW)
    assert [record.message for record in caplog.records] == ["near_duplicates_off"]
    with database.read() as tx:
        assert picture_hashes.reviewed(tx, 0) == ([], b"")


def test_the_bytes_of_a_deleted_file_are_noted(database: Database) -> None:
    deleted = DeletedFiles([Wiki(["File:Gone.jpg"])], database)
    work = Hints(database, Decoder(), deleted, near_duplicates=False)  # type: ignore[arg-type]
    work.note_reupload(claimed(1), NOW)
    assert hint(database, 1) == Hint(None, ("File:Gone.jpg",))


def test_after_a_score_all_is_done_and_no_failure_goes_further(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = load_settings().retention.model_copy(update={"directory": tmp_path / "copies"})
    wiki = Wiki(failure=ServiceDown("wiki", "away"))

    def work(decoder: Decoder) -> ScoredPictures:
        folder = CopyFolder(tmp_path / "copies", database.name)
        keeper = CopyKeeper(database, folder, decoder, settings)  # type: ignore[arg-type]
        deleted = DeletedFiles([wiki], database)
        made = Hints(database, decoder, deleted, near_duplicates=True)  # type: ignore[arg-type]
        return ScoredPictures(keeper, made, lambda: NOW + timedelta(seconds=1))

    work(Decoder((None, PHOTO)))(claimed(1), NOWHERE, media_score(0.9), True)
    work(Decoder((None, PHOTO)))(claimed(2), NOWHERE, media_score(0.1), False)
    work(Decoder())(claimed(3), NOWHERE, media_score(0.9), True)  # decodes to nothing now
    with database.read() as tx:
        assert [copy.upload_id for copy in kept_copies.everything(tx, 9)] == [1]
        assert picture_hashes.reviewed(tx, 0)[0] == [1, 2]
    failed = [
        record.__dict__["step"] for record in caplog.records if record.message == "scored_picture_failed"
    ]
    assert failed == ["reupload", "hash", "copy", "reupload"]


@given(st.integers(0, 60), st.integers(0, 2**32 - 1))
def test_the_index_finds_exactly_what_is_near(flips: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 256, (50, 32), dtype=np.uint8)
    bits = np.unpackbits(hashes[7])
    bits[rng.choice(256, flips, replace=False)] ^= 1
    index = HashIndex()
    index.add(range(100, 150), hashes)
    found = index.within(np.packbits(bits).tobytes(), 31)
    assert [(one.id, one.distance_bits) for one in found] == ([(107, flips)] if flips <= 31 else [])


def test_the_index_grows_and_gives_the_nearest_first() -> None:
    index = HashIndex()
    rng = np.random.default_rng(1)
    for begin in range(0, 3000, 700):
        index.add(range(begin, begin + 700), rng.integers(0, 256, (700, 32), dtype=np.uint8))
    zero = np.zeros((3, 32), np.uint8)
    zero[0, 0], zero[1, 31] = 0b111, 0b1
    index.add([9001, 9002, 9003], zero)
    assert [(near.id, near.distance_bits) for near in index.within(bytes(32), 31)] == [
        (9003, 0),
        (9002, 1),
        (9001, 3),
    ]
    assert len(index) == 3503
    with pytest.raises(ValueError, match="bytes"):
        index.within(b"short", 31)
