"""Kept copies and hashes of real files, made in the real decode workers."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from classifier import pdq
from classifier.decode.limits import DecodeLimits
from classifier.decode.sandbox import DecodePool
from classifier.errors import DecodeError
from classifier.pictures import as_jpeg, picture_at
from classifier.values import MediaPart
from tests import media

REDUCED = "reduced-v1@640"


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    with DecodePool(DecodeLimits(), workers=1) as opened:
        yield opened


def test_a_large_picture_is_reduced_upright_and_without_what_the_camera_wrote(
    pool: DecodePool, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"  # turned by 90 degrees
    media.corners(1600, 1000).save(tmp_path / "a.jpg", exif=exif)
    frame = picture_at([MediaPart(tmp_path / "a.jpg")], pool, REDUCED)
    assert frame.pixels.shape == (640, 400, 3)
    assert media.corner_names(frame.pixels) == "BRYG"
    content = as_jpeg(frame.pixels, 85)
    assert b"Camera" not in content
    assert b"Exif" not in content


def test_the_worst_moment_of_a_film_is_found_again(pool: DecodePool, tmp_path: Path) -> None:
    film = media.save_video(tmp_path / "film.webm", media.grey_frames(20), "libvpx", rate=2)
    parts = [MediaPart(film)]
    with pool.open(parts, "open_nsfw-v1") as stream:
        frames = [frame for some in stream for frame in some]
    wanted = frames[6]
    found = picture_at(parts, pool, REDUCED, at_s=wanted.at_s)
    assert found.at_s == wanted.at_s
    assert abs(found.pixels.mean() - wanted.pixels.mean()) < 4
    assert found.pixels.shape == (48, 64, 3)  # nothing is enlarged
    assert picture_at(parts, pool, REDUCED, at_s=1e6).at_s == max(frame.at_s or 0 for frame in frames)


def test_a_film_keeps_its_shape(pool: DecodePool, tmp_path: Path) -> None:
    film = media.save_video(tmp_path / "wide.webm", media.grey_frames(2, 1280, 400), "libvpx")
    assert picture_at([MediaPart(film)], pool, REDUCED, at_s=0.0).pixels.shape == (200, 640, 3)


def test_pages_of_different_sizes_travel_in_one_job(pool: DecodePool, tmp_path: Path) -> None:
    sizes = [(60, 40), (40, 60), (40, 60), (900, 300), (20, 20)]
    pages = [Image.new("RGB", size, (10 * number, 0, 0)) for number, size in enumerate(sizes, 1)]
    pages[0].save(tmp_path / "pages.tiff", save_all=True, append_images=pages[1:])
    parts = [MediaPart(tmp_path / "pages.tiff")]
    restarts = pool.restarts
    with pool.open(parts, REDUCED) as stream:
        shapes = [frame.pixels.shape[:2] for some in stream for frame in some]
    assert shapes == [(40, 60), (60, 40), (60, 40), (213, 640), (20, 20)]
    fourth = picture_at(parts, pool, REDUCED, page=4)
    assert (fourth.page, int(fourth.pixels[0, 0, 0])) == (4, 40)
    assert pool.restarts == restarts


def test_of_rendered_pages_only_the_worst_is_decoded(pool: DecodePool, tmp_path: Path) -> None:
    for number in (1, 2):
        Image.new("RGB", (30, 30), (100 * number, 0, 0)).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_bytes(b"no picture")
    parts = [MediaPart(tmp_path / f"{number}.png", page=number) for number in (1, 3, 2)]
    found = picture_at(parts, pool, REDUCED, page=2)
    assert (found.page, int(found.pixels[0, 0, 0])) == (2, 200)
    with pytest.raises(DecodeError):
        picture_at(parts, pool, REDUCED, page=3)


def test_a_resaved_thumbnail_hashes_like_its_original(pool: DecodePool, tmp_path: Path) -> None:
    photo = media.photo(1200, 800, seed=4)
    photo.save(tmp_path / "large.png")
    photo.resize((330, 220)).save(tmp_path / "small.jpg", quality=60)
    media.photo(330, 220, seed=5).save(tmp_path / "other.jpg")

    def hashed(name: str) -> np.ndarray:
        frame = picture_at([MediaPart(tmp_path / name)], pool, pdq.PREPROCESSING)
        bits, quality = pdq.pdq(frame.pixels)
        assert quality >= pdq.MIN_QUALITY
        return np.unpackbits(np.frombuffer(bits, np.uint8))

    large, small, other = (hashed(name) for name in ("large.png", "small.jpg", "other.jpg"))
    assert np.count_nonzero(large != small) <= pdq.MAX_DISTANCE_BITS
    assert np.count_nonzero(large != other) > 2 * pdq.MAX_DISTANCE_BITS
