"""Kept pictures in the console: blurred by the server, clear for reviewers who ask, and gone in time."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from bot.console.pictures import blurred_jpeg
from bot.timeline_strip import THUMBNAIL_PX
from classifier.pictures import as_jpeg
from storage.kept_copies import PurgeReason, mark_purged, of_uploads
from storage.tables import UploadRow
from tests.console_site import ConsoleSite, console_site
from tests.export_store import keep, noise, one_upload, suppress
from tests.review_items import item_id, put_up
from tests.storage_database import after

CLEAR, BLURRED = f"/console/items/{item_id(1)}/clear.jpg", f"/console/items/{item_id(1)}/blurred.jpg"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ConsoleSite]:
    with console_site(tmp_path, now=after(100), filled=False) as made:
        put_up(made.database, {1: 0.9, 2: 0.9}, values=[one_upload(1), one_upload(2)])
        keep(made.database, made.copies, 1)
        yield made


@pytest.fixture
def reviewer(site: ConsoleSite) -> TestClient:
    return site.client(site.token())


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.mode == "L"
        return np.asarray(picture, dtype=np.float64)


def test_the_blurred_picture_is_grey_small_and_not_stored(reviewer: TestClient) -> None:
    answer = reviewer.get(BLURRED)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert pixels(answer.content).shape == (THUMBNAIL_PX, THUMBNAIL_PX)
    assert len(answer.content) < 4000


def test_no_detail_survives_the_blurring() -> None:
    """Fine stripes and the grey that they are on average become the same picture."""
    stripes = np.zeros((480, 640, 3), np.uint8)
    stripes[:, ::2] = 255
    grey = np.full((480, 640, 3), 127, np.uint8)
    one, other = (pixels(blurred_jpeg(as_jpeg(picture, 95))) for picture in (stripes, grey))
    assert np.abs(one - other).max() <= 2


def test_colours_do_not_survive_the_blurring() -> None:
    red = np.zeros((64, 64, 3), np.uint8)
    red[:, :, 0] = 200
    assert np.ptp(pixels(blurred_jpeg(as_jpeg(red, 95)))) <= 2


def test_the_clear_picture_is_the_kept_one_and_is_not_stored_by_the_browser(
    reviewer: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        answer = reviewer.get(CLEAR)
    assert answer.content == noise(1)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "image/jpeg"
    assert [record.msg for record in caplog.records if record.name == "bot.console.pictures"] == [
        "console_picture_shown"
    ]


def test_pages_embed_the_blurred_picture_until_the_clear_one_is_asked_for(reviewer: TestClient) -> None:
    for path in (f"review?item={item_id(1)}", f"items/{item_id(1)}"):
        page = reviewer.get(f"/console/{path}").text
        assert f'<img src="{BLURRED}"' in page
        joined = "&" if "?" in path else "?"
        asked = reviewer.get(f"/console/{path}{joined}clear=1").text
        assert f'<img src="{CLEAR}"' in asked


def test_the_clear_picture_is_for_reviewers(site: ConsoleSite) -> None:
    client = site.client(site.token("Olga", "console"))
    assert client.get(CLEAR).status_code == 403
    assert client.get(BLURRED).status_code == 200
    page = client.get(f"/console/items/{item_id(1)}?clear=1").text
    assert f'<img src="{BLURRED}"' in page
    assert "data-toggle" not in page


def test_the_clear_picture_is_shown_on_pages_of_ours_only(reviewer: TestClient) -> None:
    assert reviewer.get(CLEAR, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert reviewer.get(CLEAR, headers={"sec-fetch-site": "none"}).status_code == 403
    assert reviewer.get(CLEAR, headers={"sec-fetch-site": "same-origin"}).status_code == 200


def test_without_a_login_there_is_no_picture(site: ConsoleSite) -> None:
    for address in (CLEAR, BLURRED):
        assert site.client().get(address).status_code == 303


def test_a_suppressed_files_picture_is_gone_at_once(site: ConsoleSite, reviewer: TestClient) -> None:
    suppress(site.database, 1, at_s=50)
    for address in (CLEAR, BLURRED):
        assert reviewer.get(address).status_code == 404
    assert "No picture of it is kept" in reviewer.get(f"/console/review?item={item_id(1)}").text


def test_a_purged_picture_is_gone(site: ConsoleSite, reviewer: TestClient) -> None:
    with site.database.transaction() as tx:
        upload_id = tx.query(UploadRow.id).filter(UploadRow.log_id == 1).scalar()
        mark_purged(tx, of_uploads(tx, [upload_id]), PurgeReason.REQUESTED, "operator", after(50))
    for address in (CLEAR, BLURRED):
        assert reviewer.get(address).status_code == 404


def test_a_file_that_is_not_what_was_kept_is_not_shown(site: ConsoleSite, reviewer: TestClient) -> None:
    (path,) = site.copies.rglob("*.jpg")
    path.write_bytes(noise(7))
    assert reviewer.get(CLEAR).status_code == 404
    path.unlink()
    assert reviewer.get(BLURRED).status_code == 404


@pytest.mark.parametrize(
    "item", [item_id(2), "commonswiki-999", "..", "commonswiki-1%2F..%2F..%2Fbot.sqlite3"]
)
def test_what_has_no_picture_answers_with_404(reviewer: TestClient, item: str) -> None:
    for name in ("clear", "blurred"):
        assert reviewer.get(f"/console/items/{item}/{name}.jpg").status_code == 404
