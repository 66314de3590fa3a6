"""The corpus is generated once, piece by piece, and made anew only where it has to be."""

import io
import json
from pathlib import Path

import cv2
import pytest
from PIL import Image

from bot.minicommons import corpus as corpus_module
from bot.minicommons.corpus import RECIPES, SMALL, CorpusError, prepare_corpus
from bot.minicommons.thumbnails import Thumbnails, Unrenderable

STILLS = ("jpeg-progressive", "jpeg-cmyk", "jpeg-rotated", "png-alpha", "png-16bit", "png-palette")
ODD = ("gif", "webp", "tiff", "pdf", "svg", "svg-broken", "corrupt", "empty", "stl", "wav")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return prepare_corpus(tmp_path_factory.mktemp("corpus"), STILLS + ODD)


def open_file(corpus, name):
    return Image.open(f"{corpus.directory}/{corpus.specimen(name).file.path}")


def test_every_recipe_has_a_name_and_an_expectation_of_its_own():
    assert len({recipe.name for recipe in RECIPES}) == len(RECIPES)
    kinds = {recipe.expected for recipe in RECIPES}
    codes = {
        *("audio", "deleted", "undecodable", "empty", "too_large", "hidden"),
        *("unsupported_type", "rendition_unavailable"),
    }
    assert kinds == {"scored-sfw", "scored-nsfw", *(f"skip:{code}" for code in codes)}


def test_a_second_run_uses_what_the_first_left(tmp_path):
    first = prepare_corpus(tmp_path, SMALL)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    steps = []
    assert prepare_corpus(tmp_path, SMALL, progress=lambda *step: steps.append(step)) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times
    assert steps == [(n, 3, name) for n, name in enumerate((*SMALL, ""))]


def test_a_new_version_and_a_damaged_file_are_made_anew(tmp_path, monkeypatch):
    prepare_corpus(tmp_path, SMALL)
    (tmp_path / "jpeg-baseline" / "file.jpg").write_bytes(b"cut")
    repaired = prepare_corpus(tmp_path, SMALL)
    assert (tmp_path / "jpeg-baseline" / "file.jpg").stat().st_size == repaired.specimen(
        "jpeg-baseline"
    ).file.size_bytes
    monkeypatch.setattr(corpus_module, "CORPUS_VERSION", 999)
    prepare_corpus(tmp_path, SMALL)
    assert json.loads((tmp_path / "jpeg-baseline" / "specimen.json").read_text())["stamp"] == "999"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(SMALL)


def test_an_interrupted_run_leaves_nothing_half_done(tmp_path):
    def interrupt(done, total, name):
        if name == "jpeg-portrait":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_corpus(tmp_path, SMALL, progress=interrupt)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jpeg-baseline", "jpeg-progressive"]
    assert len(prepare_corpus(tmp_path, SMALL).specimens) == 3


def test_an_unknown_name_and_an_unusable_folder_are_named(tmp_path):
    with pytest.raises(CorpusError, match="nonsense"):
        prepare_corpus(tmp_path, ["nonsense"])
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match="cannot be written"):
        prepare_corpus(tmp_path / "file", SMALL)


@pytest.mark.parametrize(
    ("name", "mode", "frames"),
    [
        ("jpeg-progressive", "RGB", 1),
        ("jpeg-cmyk", "CMYK", 1),
        ("png-alpha", "RGBA", 1),
        ("png-palette", "P", 1),
        ("gif", "P", 10),
        ("webp", "RGBA", 8),
        ("tiff", "RGB", 4),
    ],
)
def test_specimens_are_what_they_say(made, name, mode, frames):
    with open_file(made, name) as image:
        assert (image.mode, getattr(image, "n_frames", 1)) == (mode, frames)


def test_the_oddities_are_odd(made):
    with open_file(made, "jpeg-progressive") as image:
        assert image.info["progressive"]
    with open_file(made, "jpeg-rotated") as image:
        assert image.getexif()[0x0112] == 6
        told = made.specimen("jpeg-rotated").file
        assert (image.height, image.width) == (told.width, told.height)
    deep = cv2.imread(f"{made.directory}/png-16bit/file.png", cv2.IMREAD_UNCHANGED)
    assert deep.dtype == "uint16"
    assert made.specimen("empty").file.size_bytes == 0
    with pytest.raises(OSError, match=r"cannot identify|broken|truncated"):
        open_file(made, "corrupt").load()


@pytest.mark.parametrize(
    ("name", "kind", "page"), [("svg", "PNG", 1), ("tiff", "JPEG", 3), ("pdf", "JPEG", 2)]
)
def test_the_wiki_renders_what_browsers_do_not_show(made, name, kind, page):
    body = Thumbnails(Path(made.directory)).render(made.specimen(name).file, 330, page)
    with Image.open(io.BytesIO(body)) as image:
        assert (image.format, image.width) == (kind, 330)


@pytest.mark.parametrize("name", ["svg-broken", "corrupt", "empty", "stl"])
def test_the_wiki_renders_nothing_of_what_is_broken(made, name):
    with pytest.raises(Unrenderable):
        Thumbnails(Path(made.directory)).render(made.specimen(name).file, 330, 1)


def test_rotated_thumbnails_are_upright(made):
    body = Thumbnails(Path(made.directory)).render(made.specimen("jpeg-rotated").file, 330, 1)
    with Image.open(io.BytesIO(body)) as image:
        assert (image.width, image.height) == (330, 440)
