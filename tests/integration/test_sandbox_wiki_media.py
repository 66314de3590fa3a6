"""The sandbox wiki renders thumbnails of what it stores, at the widths that Wikimedia serves."""

import io
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from tests.sandbox_wiki import SandboxWiki
from tests.sandbox_wiki.pictures import document, gradient, vector

pytestmark = pytest.mark.slow


def _imageinfo(wiki: SandboxWiki, title: str, **more: str | int) -> dict[str, Any]:
    page = wiki.client(None).query(
        titles=title, prop="imageinfo", iiprop="url|size|mime|mediatype|sha1", iiurlwidth=330, **more
    )["pages"][0]
    info: dict[str, Any] = page["imageinfo"][0]
    return info


@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "webp", "tif", "svg"])
def test_a_thumbnail_of_330_px_can_be_fetched(sandbox_wiki: SandboxWiki, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x.{ending}"
    _ = vector(path) if ending == "svg" else gradient(path, seed=20)
    sandbox_wiki.upload(path, f"Thumbnail {ending}.{ending}")
    info = _imageinfo(sandbox_wiki, f"File:Thumbnail {ending}.{ending}")
    assert (info["width"], info["height"], info["thumbwidth"]) == (1000, 700, 330)
    assert info["thumburl"].startswith(f"http://{sandbox_wiki.media_host}/wikipedia/commons/thumb/")
    assert "/330px-" in info["thumburl"]
    for _ in range(2):  # rendered, then served from disk
        answer = requests.get(info["thumburl"], timeout=60)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("image/")
        assert Image.open(io.BytesIO(answer.content)).size == (330, 231)
    assert requests.get(info["url"], timeout=60).content == path.read_bytes()


def test_each_page_of_a_document_has_its_thumbnail(sandbox_wiki: SandboxWiki, tmp_path: Path) -> None:
    sandbox_wiki.upload(document(tmp_path / "x.pdf", pages=3), "Pages.pdf")
    thumbnails = set()
    for page in (1, 3):
        info = _imageinfo(sandbox_wiki, "File:Pages.pdf", iiurlparam=f"page{page}-330px")
        assert (info["pagecount"], info["mediatype"]) == (3, "OFFICE")
        thumbnail = requests.get(info["thumburl"], timeout=60).content
        assert Image.open(io.BytesIO(thumbnail)).size == (330, 454)
        thumbnails.add(thumbnail)
    assert len(thumbnails) == 2


def test_a_picture_narrower_than_the_step_gives_its_original(
    sandbox_wiki: SandboxWiki, tmp_path: Path
) -> None:
    sandbox_wiki.upload(gradient(tmp_path / "x.png", 200, 100, seed=21), "Narrow.png")
    info = _imageinfo(sandbox_wiki, "File:Narrow.png")
    assert info["thumburl"] == info["url"]


def test_the_thumbnail_switch_refuses_thumbnails_for_a_while(
    sandbox_wiki: SandboxWiki, tmp_path: Path
) -> None:
    sandbox_wiki.upload(gradient(tmp_path / "x.png", seed=22), "Busy.png")
    info = _imageinfo(sandbox_wiki, "File:Busy.png")
    with sandbox_wiki.switched(thumbnail_status=429):
        answer = requests.get(info["thumburl"], timeout=60)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
        assert requests.get(info["url"], timeout=60).ok
    assert requests.get(info["thumburl"], timeout=60).ok


def test_deleted_files_are_not_served(sandbox_wiki: SandboxWiki, tmp_path: Path) -> None:
    sandbox_wiki.upload(gradient(tmp_path / "x.png", seed=23), "Gone.png")
    info = _imageinfo(sandbox_wiki, "File:Gone.png")
    assert requests.get(info["thumburl"], timeout=60).ok
    sandbox_wiki.delete("File:Gone.png")
    assert requests.get(info["url"], timeout=60).status_code == 404
    # MediaWiki's file cache may remember the file for a moment, and then fails to find it: 500.
    assert requests.get(info["thumburl"], timeout=60).status_code in (404, 500)
    assert requests.get(f"{sandbox_wiki.base_url}/wikipedia/commons/deleted/", timeout=60).status_code == 403
