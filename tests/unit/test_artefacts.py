"""Exported graphs on disk: whole or not there, found again, and never trusted without their hash."""

import dataclasses
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.engines import artefacts, pictures_file
from classifier.engines.manifest import Manifest
from classifier.engines.values import DriftReport, ExportedGraph, VerificationSet
from classifier.errors import ModelError
from tests import tiny_model

CARD = tiny_model.CARD
DRIFT = DriftReport(520, 70, 1e-8, 2e-7, 3e-7, {"cautious": 0.0, "balanced": 0.0, "sensitive": 0.002})
UNKNOWN = ExportedGraph(CARD, Path("unused"), "onnx", "fp32", "")


def _put(cache: Path, content: bytes = b"graph", **changes: object) -> ExportedGraph:
    graph = dataclasses.replace(UNKNOWN, **{"made_with": {"torch": "2.13"}, "drift": DRIFT} | changes)
    return artefacts.put(graph, content, tiny_model.verification(), cache_directory=cache)


def _find(cache: Path, **wanted: object) -> ExportedGraph | None:
    return artefacts.find(CARD, "fp32", cache_directory=cache, **wanted)


def test_what_was_put_is_found_with_everything_known_of_it(tmp_path: Path) -> None:
    put = _put(tmp_path, fp32_layers=("stem", "head"))
    found = _find(tmp_path)
    assert found == put
    assert found is not None
    assert artefacts.read(found) == b"graph"
    assert (found.drift, found.fp32_layers, found.made_with) == (DRIFT, ("stem", "head"), {"torch": "2.13"})
    pictures = artefacts.read_verification(found)
    np.testing.assert_array_equal(pictures.pixels, tiny_model.verification().pixels)
    np.testing.assert_array_equal(pictures.reference, tiny_model.verification().reference)


def test_several_graphs_share_one_file_of_pictures(tmp_path: Path) -> None:
    graphs = [_put(tmp_path), _put(tmp_path, b"quantised", precision="int8")]
    assert graphs[0].verification == graphs[1].verification
    assert len(list(artefacts.directory(tmp_path).glob("*.npz"))) == 1


def test_other_precisions_forms_and_weights_are_not_found(tmp_path: Path) -> None:
    _put(tmp_path)
    assert artefacts.find(CARD, "int8", cache_directory=tmp_path) is None
    assert artefacts.find(CARD, "fp32", "torchscript", cache_directory=tmp_path) is None
    retrained = dataclasses.replace(CARD, weights_sha256="2" * 64)
    assert artefacts.find(retrained, "fp32", cache_directory=tmp_path) is None
    other_way = dataclasses.replace(CARD, preprocessing="tiny-v2")
    assert artefacts.find(other_way, "fp32", cache_directory=tmp_path) is None


def test_a_name_that_begins_like_another_is_not_mistaken_for_it(tmp_path: Path) -> None:
    _put(tmp_path, card=dataclasses.replace(CARD, name="tiny-1"))
    assert _find(tmp_path) is None


def test_the_latest_is_taken_unless_versions_are_asked_for(tmp_path: Path) -> None:
    old = _put(tmp_path, b"old")
    new = _put(tmp_path, b"new", made_with={"torch": "2.14"})
    assert _find(tmp_path) == new
    assert _find(tmp_path, made_with={"torch": "2.13"}) == old
    assert _find(tmp_path, made_with={"torch": "2.15"}) is None


@pytest.mark.parametrize("what", ["graph.onnx", "manifest.json", "verification"])
@pytest.mark.parametrize("damage", ["one bit", "truncated", "gone"])
def test_what_is_damaged_is_passed_over_and_replaced_by_the_next_put(
    tmp_path: Path, what: str, damage: str
) -> None:
    sound = _put(tmp_path, b"an older one", made_with={"torch": "2.12"})
    put = artefacts.put(
        dataclasses.replace(UNKNOWN, made_with={"torch": "2.13"}),
        b"graph",
        tiny_model.verification(7),
        cache_directory=tmp_path,
    )
    assert put.verification is not None
    path = put.verification if what == "verification" else put.path.parent / what
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    found = _find(tmp_path)
    assert found is None or found == sound or artefacts.read(found) == b"graph"
    if what != "manifest.json":
        assert found == sound
    again = artefacts.put(
        dataclasses.replace(UNKNOWN, made_with={"torch": "2.13"}),
        b"graph",
        tiny_model.verification(7),
        cache_directory=tmp_path,
    )
    assert _find(tmp_path) == again


def test_a_changed_file_is_neither_read_nor_called_sound(tmp_path: Path) -> None:
    graph = _put(tmp_path)
    graph.path.write_bytes(b"other")
    for use in (artefacts.check, artefacts.read):
        with pytest.raises(ModelError, match="wrong SHA-256"):
            use(graph)
    assert graph.verification is not None
    graph.verification.write_bytes(b"other")
    with pytest.raises(ModelError, match="wrong SHA-256"):
        artefacts.read_verification(graph)


def test_many_may_put_and_look_at_once(tmp_path: Path) -> None:
    def put_and_find(number: int) -> bool:
        _put(tmp_path, b"graph %d" % (number % 3), made_with={"n": str(number % 3)})
        found = _find(tmp_path)
        return found is not None and artefacts.read(found).startswith(b"graph ")

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(put_and_find, range(18)))
    left = {path.name for path in artefacts.directory(tmp_path).iterdir() if path.name.startswith(".")}
    assert left <= {".lock"}


def test_nothing_half_done_is_left_where_it_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "engines").write_text("in the way")
    with pytest.raises(ModelError, match="exported models cannot be kept there"):
        _put(tmp_path)


def test_every_user_of_the_machine_may_read_what_is_kept(tmp_path: Path) -> None:
    graph = _put(tmp_path)
    assert graph.path.stat().st_mode & 0o777 == 0o644
    assert graph.path.parent.stat().st_mode & 0o777 == 0o755
    assert os.access(graph.path, os.R_OK)


@pytest.mark.parametrize(
    "change",
    [
        {"manifest": 2},
        {"precision": "bf16"},
        {"format": "pickle"},
        {"graph_sha256": "../../etc"},
        {"verification_sha256": "0"},
        {"made_at_s": -1},
        {"extra": 1},
        {"fp32_layers": "stem"},
        {"drift": {"mean": 0}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_manifest_with_anything_unexpected_is_refused(change: dict[str, object]) -> None:
    graph = dataclasses.replace(UNKNOWN, sha256="a" * 64, drift=DRIFT)
    sound = Manifest.of(graph, "b" * 64, 1.0).content()
    assert Manifest.read(sound).drift == DRIFT
    with pytest.raises(ModelError, match="not a manifest"):
        Manifest.read(json.dumps(json.loads(sound) | change).encode())


@given(st.binary(max_size=200))
def test_noise_is_no_manifest(content: bytes) -> None:
    with pytest.raises(ModelError):
        Manifest.read(content)


PICTURES = pictures_file.write(VerificationSet(np.zeros((2, 2, 2, 3), np.uint8), np.float32([0, 1])))


@settings(deadline=None)
@given(st.integers(0, len(PICTURES) - 1), st.integers(1, 255), st.booleans())
def test_damaged_pictures_are_refused_or_read_as_pictures(at: int, change: int, cut: bool) -> None:
    damaged = bytearray(PICTURES)
    damaged[at] ^= change
    try:
        found = pictures_file.read(bytes(damaged[:at] if cut else damaged), input_px=2)
    except ModelError:
        return
    assert found.pixels.shape == (2, 2, 2, 3)
    assert ((found.reference >= 0) & (found.reference <= 1)).all()


def _npz(folder: Path, **arrays: np.ndarray) -> bytes:
    path = folder / "made.npz"
    np.savez_compressed(path, **arrays)
    return path.read_bytes()


def test_pictures_of_another_form_are_refused(tmp_path: Path) -> None:
    pixels, scores = np.zeros((2, 2, 2, 3), np.uint8), np.float32([0, 1])
    for bad in (
        {"pixels": pixels},
        {"pixels": pixels.astype(np.float32), "reference": scores},
        {"pixels": pixels, "reference": scores[:1]},
        {"pixels": pixels[:0], "reference": scores[:0]},
        {"pixels": pixels, "reference": np.float32([0, 2])},
        {"pixels": pixels, "reference": np.float32([0, np.nan])},
        {"pixels": np.asfortranarray(pixels), "reference": scores},
        {"pixels": pixels, "reference": np.array([{"a": 1}, None])},
    ):
        with pytest.raises(ModelError, match="verification set"):
            pictures_file.read(_npz(tmp_path, **bad), input_px=2)
    with pytest.raises(ModelError, match="not \\(n, 4, 4, 3\\)"):
        pictures_file.read(PICTURES, input_px=4)


def test_pictures_that_would_fill_the_memory_are_refused_unread(tmp_path: Path) -> None:
    bomb = np.zeros((pictures_file.MAX_BYTES // 12 + 1, 2, 2, 3), np.uint8)
    content = _npz(tmp_path, pixels=bomb, reference=np.zeros(len(bomb), np.float32))
    assert len(content) < 1_000_000
    with pytest.raises(ModelError, match="more than"):
        pictures_file.read(content, input_px=2)
