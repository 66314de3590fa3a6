"""From files to a divided dataset through real decode workers: bad files cost themselves, leaks are found."""

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from classifier.datasets import manifest
from classifier.datasets.check import check, exit_code, require
from classifier.datasets.sources import from_folder
from classifier.datasets.splitting import sealed_path, split, write_split
from classifier.datasets.values import Dataset, DatasetError, Item, join
from classifier.datasets.verify import verify
from classifier.decode.limits import DecodeLimits
from tests.media import corners, photo

COUNT = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    for index in range(COUNT):
        path = root / ("safe", "nsfw")[index % 2] / f"{index:02d}.png"
        path.parent.mkdir(exist_ok=True)
        photo(96, 80, seed=index).save(path)
    return root


@pytest.fixture(scope="module")
def verified(folder: Path) -> Dataset:
    seen: list[tuple[int, int]] = []
    result = verify(from_folder(folder), workers=1, progress=lambda done, total: seen.append((done, total)))
    assert result.findings == ()
    assert seen == [(done, COUNT) for done in range(1, COUNT + 1)]
    return result.dataset


def bomb(path: Path, side_px: int = 60_000) -> None:
    """A PNG whose header promises more pixels than anybody should decode."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")
    )


def test_every_file_gets_its_hashes(verified: Dataset) -> None:
    assert len(verified) == COUNT
    assert len({item.sha256 for item in verified.items}) == COUNT
    assert len({item.perceptual_hash for item in verified.items} - {""}) == COUNT


def test_a_planted_leak_is_found(verified: Dataset, tmp_path: Path) -> None:
    """The same picture, rescaled and compressed again, in the training and in the sealed test manifest."""
    training, sealed = write_split(split(verified), tmp_path / "data.parquet")
    assert sealed == sealed_path(training)
    both = join([manifest.read(training), manifest.read(sealed)])
    assert exit_code(check(both)) == 0

    victim = manifest.read(sealed).items[0]
    with Image.open(verified.root / victim.path) as image:
        image.resize((61, 50)).save(tmp_path / "rescaled.jpg", quality=80)
    planted = Item("rescaled.jpg", victim.label, split="train")
    spoilt = manifest.read(training)
    hashed = verify(spoilt.with_items([planted]), workers=1).dataset.items[0]
    findings = check(join([spoilt.with_items([*spoilt.items, hashed]), manifest.read(sealed)]))
    (leak,) = [finding for finding in findings if finding.severity == "error"]
    assert leak.code == "leak_near"
    assert Path(leak.file).name == Path(victim.path).name
    assert "rescaled.jpg" in leak.others[0]
    with pytest.raises(DatasetError, match=Path(victim.path).name):
        require(findings)
    # Dividing anew puts both on one side.
    both = join([spoilt.with_items([*spoilt.items, hashed]), manifest.read(sealed)])
    divided = split(both.with_items(replace(item, split="") for item in both.items), seed=3)
    assert exit_code(check(divided)) == 0


def test_what_is_wrong_with_files_names_them_and_the_others_go_on(verified: Dataset, tmp_path: Path) -> None:
    photo(96, 80, seed=70).save(tmp_path / "good.png")
    whole = (tmp_path / "good.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    photo(200, 200, seed=71).save(tmp_path / "whole.jpg")
    cut = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(cut[: len(cut) * 2 // 3])
    (tmp_path / "text.jpg").write_text("no picture at all, whatever it is called")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "large.png").write_bytes(b"x" * 2_000_000)
    Image.new("RGB", (64, 64), (90, 90, 90)).save(tmp_path / "flat.png")
    bomb(tmp_path / "bomb.png")
    names = (
        "half.png",
        "cut.jpg",
        "text.jpg",
        "empty.png",
        "large.png",
        "bomb.png",
        "absent.png",
        "good.png",
    )
    items = [Item(name, "safe") for name in (*names, "flat.png", "https://x.example/a.png")]
    items.append(Item("whole.jpg", "safe", sha256="0" * 64))
    result = verify(
        Dataset(tuple(items), tmp_path, "hostile"),
        workers=1,
        limits=DecodeLimits(max_pixels=1_000_000),
        max_file_bytes=1_000_000,
    )
    assert {finding.file: finding.code for finding in result.findings} == {
        "half.png": "undecodable",
        "cut.jpg": "undecodable",
        "text.jpg": "undecodable",
        "empty.png": "empty",
        "large.png": "too_large",
        "bomb.png": "too_large",
        "absent.png": "missing_file",
        "flat.png": "flat",
        "https://x.example/a.png": "remote",
        "whole.jpg": "changed",
    }
    assert [item.path for item in result.dataset.items] == ["good.png", "flat.png"]
    assert exit_code(result.findings) == 1


def test_what_was_verified_before_is_only_read_again(
    verified: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("classifier.datasets.verify.pictures_of", refuse)
    again = verify(verified, workers=1)
    assert again.dataset == verified
    assert again.findings == ()


def test_a_picture_is_hashed_upright_and_in_its_colours(tmp_path: Path) -> None:
    from classifier.datasets.verify import pictures_of
    from classifier.decode.sandbox import DecodePool
    from tests.media import corner_names

    image = corners(200, 100)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    with DecodePool(DecodeLimits(), 1) as pool:
        [pixels] = pictures_of(tmp_path / "turned.jpg", pool)
    assert pixels.shape == (256, 256, 3)
    assert corner_names(pixels) == "RGBY"
