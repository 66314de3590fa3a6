"""Bundles: what was exported elsewhere comes in whole and of the right model, or not at all."""

import dataclasses
import io
import json
import sys
import zipfile
from pathlib import Path

import pytest

from classifier.engines import artefacts, bundles
from classifier.engines.values import ExportedGraph
from classifier.errors import ModelError
from classifier.models import catalogue
from tests import tiny_model

CARD = tiny_model.CARD


@pytest.fixture
def exported(tmp_path: Path) -> ExportedGraph:
    graph = ExportedGraph(CARD, Path("unused"), "onnx", "int8", "", {"torch": "2.13"}, ("stem",))
    return artefacts.put(graph, b"graph", tiny_model.verification(), cache_directory=tmp_path / "there")


@pytest.fixture
def bundle(exported: ExportedGraph, tmp_path: Path) -> Path:
    return bundles.pack(exported, tmp_path / "bundle.zip")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "here"


def _rewritten(
    bundle: Path, replaced: dict[str, bytes | None], added: dict[str, bytes] | None = None
) -> Path:
    with zipfile.ZipFile(bundle) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts = {name: content for name, content in (parts | replaced).items() if content is not None}
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (parts | (added or {})).items():
            archive.writestr(name, content)
    return bundle


def _manifest(bundle: Path, **changes: object) -> bytes:
    with zipfile.ZipFile(bundle) as archive:
        return json.dumps(json.loads(archive.read("manifest.json")) | changes).encode()


def test_a_bundle_brings_everything(exported: ExportedGraph, bundle: Path, here: Path) -> None:
    installed = bundles.install(bundle, CARD, here)
    assert installed == artefacts.find(CARD, "int8", cache_directory=here)
    assert artefacts.read(installed) == b"graph"
    assert (installed.sha256, installed.made_with, installed.fp32_layers) == (
        exported.sha256,
        exported.made_with,
        exported.fp32_layers,
    )
    before, after = artefacts.read_verification(exported), artefacts.read_verification(installed)
    assert (before.pixels == after.pixels).all()
    assert (before.reference == after.reference).all()


def test_equal_graphs_make_equal_bundles(exported: ExportedGraph, bundle: Path, tmp_path: Path) -> None:
    assert bundles.pack(exported, tmp_path / "again.zip").read_bytes() == bundle.read_bytes()


def test_a_bundle_that_came_last_is_taken_first(bundle: Path, here: Path) -> None:
    other = ExportedGraph(CARD, Path("unused"), "onnx", "int8", "", {"torch": "2.99"})
    artefacts.put(other, b"made here", None, cache_directory=here)
    installed = bundles.install(bundle, CARD, here)
    assert artefacts.find(CARD, "int8", cache_directory=here) == installed


@pytest.mark.parametrize("part", ["graph.onnx", "verification.npz", "manifest.json"])
def test_a_bundle_with_a_missing_or_changed_part_is_refused(bundle: Path, here: Path, part: str) -> None:
    whole = bundle.read_bytes()
    for changed in (None, b"", b"something else"):
        bundle.write_bytes(whole)
        with pytest.raises(ModelError, match=r"bundle\.zip"):
            bundles.install(_rewritten(bundle, {part: changed}), CARD, here)
    assert not here.exists()


@pytest.mark.parametrize("name", ["../../outside", "/tmp/outside", "graph.onnx.data", "manifest.json/x"])
def test_a_bundle_with_anything_else_in_it_is_refused(bundle: Path, here: Path, name: str) -> None:
    with pytest.raises(ModelError, match="not a bundle"):
        bundles.install(_rewritten(bundle, {}, {name: b"x"}), CARD, here)
    assert not here.exists()


def test_a_part_that_is_there_twice_is_refused(bundle: Path, here: Path) -> None:
    with zipfile.ZipFile(bundle, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("graph.onnx", b"another one")
    with pytest.raises(ModelError, match="not a bundle"):
        bundles.install(bundle, CARD, here)


def test_a_part_that_unpacks_to_more_than_allowed_is_refused(bundle: Path, here: Path) -> None:
    packed = _rewritten(bundle, {"manifest.json": b" " * 10_000_000})
    assert packed.stat().st_size < 1_000_000
    with pytest.raises(ModelError, match=r"manifest\.json is larger than"):
        bundles.install(packed, CARD, here)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "somebody_s"}, "this graph is of somebody_s"),
        ({"weights_sha256": "2" * 64}, "with weights 222222222222"),
        ({"preprocessing": "tiny-v2"}, "tiny-v2"),
        ({"format": "torchscript"}, "only ONNX may come from elsewhere"),
        ({"graph_sha256": "2" * 64}, "the graph has not the SHA-256"),
        ({"verification_sha256": "2" * 64}, "the verification set has not the SHA-256"),
        ({"verification_sha256": None}, "the verification set has not the SHA-256"),
    ],
)
def test_a_bundle_of_another_model_is_refused(
    bundle: Path, here: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        bundles.install(_rewritten(bundle, {"manifest.json": _manifest(bundle, **changes)}), CARD, here)
    assert not here.exists()


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + bytes(18)])
def test_a_file_that_is_no_bundle_is_refused(tmp_path: Path, here: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert not bundles.is_bundle(tmp_path / "file")
    with pytest.raises(ModelError, match="bundle"):
        bundles.install(tmp_path / "file", CARD, here)
    with pytest.raises(ModelError, match="cannot be read"):
        bundles.install(tmp_path / "absent", CARD, here)


def test_every_damaged_byte_of_a_bundle_is_noticed_or_harmless(bundle: Path, here: Path) -> None:
    whole = bundle.read_bytes()
    for at in range(0, len(whole), max(1, len(whole) // 150)):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        bundle.write_bytes(damaged)
        try:
            installed = bundles.install(bundle, CARD, here)
        except ModelError:
            continue
        assert artefacts.read(installed) == b"graph"


def test_what_only_runs_here_is_not_packed(exported: ExportedGraph, tmp_path: Path) -> None:
    graph = dataclasses.replace(exported, format="torchscript")
    with pytest.raises(ModelError, match="only exported ONNX graphs"):
        bundles.pack(graph, tmp_path / "bundle.zip")
    with pytest.raises(ModelError, match="cannot be written"):
        bundles.pack(exported, tmp_path / "no such folder" / "bundle.zip")


def _real_bundle(folder: Path) -> Path:
    """A bundle for the default model; the graph in it is never run."""
    card = catalogue.card("open_nsfw")
    graph = ExportedGraph(card, Path("unused"), "onnx", "int8", "")
    pictures = tiny_model.verification(1)
    wide = dataclasses.replace(
        pictures, pixels=pictures.pixels.repeat(7, axis=1).repeat(7, axis=2), reference=pictures.reference
    )
    return bundles.pack(
        artefacts.put(graph, b"graph", wide, cache_directory=folder / "there"), folder / "open_nsfw.zip"
    )


def test_fetching_from_a_bundle_needs_neither_weights_nor_torch(
    tmp_path: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    path = catalogue.fetch("open_nsfw", here, from_file=_real_bundle(tmp_path))
    assert path.read_bytes() == b"graph"
    described = catalogue.describe("open_nsfw", here)
    assert (described.state, described.path, described.size_bytes) == ("exported", path, 5)
    assert catalogue.fetch("open_nsfw", here) == path


def test_without_torch_and_bundle_fetching_says_how_to_bring_one(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "classifier.models.convert", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelError, match=r"models export open_nsfw .*--output FILE\.zip"):
        catalogue.fetch("open_nsfw", here)


def test_a_wheel_is_not_mistaken_for_a_bundle() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("package/__init__.py", "")
    assert not bundles.is_bundle(buffer)  # type: ignore[arg-type]
