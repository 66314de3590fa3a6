"""Hints: found among a million hashes as surely as among ten, and never a label."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bot.api import ApiError
from bot.retention.folder import CopyFolder
from bot.retention.hints import Hints, deleted_titles
from bot.retention.keeping import CopyKeeper
from bot.retention.scored import ScoredPictures
from bot.settings import load_settings
from classifier import pdq
from classifier.values import MediaPart
from storage import kept_copies, picture_hashes
from storage.engine import Database
from storage.hash_index import HashIndex
from storage.picture_hashes import Mark, MarkKind
from storage.review_values import ReviewState, VerdictCode
from storage.values import ClaimedUpload
from tests import media
from tests.fakes import media_score
from tests.review_items import give, item_id, put_up, verdict
from tests.storage_database import NOW, fresh_database, upload
from tests.unit.test_retention import Decoder

NOWHERE = [MediaPart(Path("nowhere"))]
PHOTO = media.photo(400, 300, seed=3)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path) as opened:
        put_up(opened, {1: 0.9, 2: 0.9, 3: 0.9})
        yield opened


class Wiki:
    """Answers about deleted files."""

    def __init__(self, answer: Mapping[str, Any] | Exception) -> None:
        self.answer, self.asked = answer, list[Mapping[str, str | int]]()

    def query(self, params: Mapping[str, str | int]) -> Mapping[str, Any]:
        self.asked.append(params)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def claimed(number: int) -> ClaimedUpload:
    return ClaimedUpload(number, upload(number), f"File:Photo {number}.jpg", 0, "c", NOW)


def hints(database: Database, picture: Image.Image = PHOTO, wiki: Wiki | None = None) -> Hints:
    made = Hints(database, Decoder((None, picture)), wiki, near_duplicates=True)  # type: ignore[arg-type]
    made.load()
    return made


def marks(database: Database, upload_id: int) -> list[Mark]:
    with database.read() as tx:
        return picture_hashes.marks_of(tx, [upload_id]).get(upload_id, [])


def test_a_picture_like_a_reviewed_one_gets_its_verdict_as_a_hint_and_no_label(database: Database) -> None:
    hints(database).note_picture(claimed(1), NOWHERE, True, NOW)
    give(database, verdict(1, VerdictCode.NSFW_KEEP))
    small = PHOTO.resize((330, 248))
    hints(database, small).note_picture(claimed(2), NOWHERE, True, NOW)  # another start of the daemon
    (mark,) = marks(database, 2)
    assert mark.kind is MarkKind.NEAR_DUPLICATE
    assert (mark.detail["item_id"], mark.detail["verdict"], mark.detail["nsfw"]) == (
        item_id(1),
        "nsfw-keep",
        True,
    )
    assert mark.detail["distance_bits"] <= pdq.MAX_DISTANCE_BITS
    from storage import reviews

    with database.read() as tx:
        standing = reviews.standing(tx, item_id(2))
    assert (standing.state, standing.votes) == (ReviewState.OPEN, ())


@pytest.mark.parametrize("codes", [(), (VerdictCode.UNSURE,), (VerdictCode.SFW, VerdictCode.NSFW_KEEP)])
def test_what_is_undecided_or_disputed_is_no_hint(database: Database, codes: tuple[VerdictCode, ...]) -> None:
    work = hints(database)
    work.note_picture(claimed(1), NOWHERE, True, NOW)
    for number, code in enumerate(codes):
        give(database, verdict(1, code, author=f"P{number}", author_id=number, revision_id=200 + number))
    work.note_picture(claimed(2), NOWHERE, True, NOW)
    assert marks(database, 2) == []


def test_other_and_flat_pictures_get_no_hint(database: Database) -> None:
    hints(database).note_picture(claimed(1), NOWHERE, True, NOW)
    give(database, verdict(1, VerdictCode.SFW))
    hints(database, media.photo(400, 300, seed=9)).note_picture(claimed(2), NOWHERE, True, NOW)
    hints(database, Image.new("RGB", (300, 300))).note_picture(claimed(3), NOWHERE, True, NOW)
    assert marks(database, 2) + marks(database, 3) == []
    with database.read() as tx:
        assert picture_hashes.reviewed(tx, 0)[0] == [1, 2, 3]
        assert picture_hashes.reviewed(tx, pdq.MIN_QUALITY)[0] == [1, 2]


def test_without_the_library_the_hints_are_off_with_one_line(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pdq, "is_installed", lambda: False)
    work = hints(database)
    work.note_picture(claimed(1), NOWHERE, True, NOW)
    assert [record.message for record in caplog.records] == ["near_duplicates_off"]
    with database.read() as tx:
        assert picture_hashes.reviewed(tx, 0) == ([], b"")


def test_the_bytes_of_a_deleted_file_are_marked(database: Database) -> None:
    wiki = Wiki({"query": {"filearchive": [{"title": "File:Gone.jpg"}, {"title": "File:Gone.jpg"}]}})
    work = hints(database, wiki=wiki)
    work.note_reupload(claimed(1), NOW)
    (mark,) = marks(database, 1)
    assert (mark.kind, mark.detail) == (MarkKind.REUPLOAD_OF_DELETED, {"titles": ["File:Gone.jpg"]})
    assert wiki.asked[0]["fasha1base36"] == upload(1).sha1


def test_a_wiki_that_refuses_is_asked_once(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    wiki = Wiki(ApiError("permissiondenied", "You do not have permission"))
    work = hints(database, wiki=wiki)
    for number in (1, 2, 3):
        work.note_reupload(claimed(number), NOW)
    assert len(wiki.asked) == 1
    assert [record.message for record in caplog.records].count("reuploads_off") == 1


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["query", "filearchive", "title"]), x),
    )
)
def test_any_answer_about_deleted_files_is_read(answer: object) -> None:
    titles = deleted_titles(answer if isinstance(answer, dict) else {"query": answer})
    assert all(isinstance(title, str) and title for title in titles)


def test_after_a_score_all_is_done_and_no_failure_goes_further(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = load_settings().retention.model_copy(update={"directory": tmp_path / "copies"})
    wiki = Wiki(ApiError("badvalue", "no"))

    def work(decoder: Decoder) -> ScoredPictures:
        folder = CopyFolder(tmp_path / "copies", database.name)
        keeper = CopyKeeper(database, folder, decoder, settings)  # type: ignore[arg-type]
        made = Hints(database, decoder, wiki, near_duplicates=True)  # type: ignore[arg-type]
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
    assert failed == ["hash", "copy"]


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
