"""An exported model as one file, for machines that cannot export: graph, manifest and verification pictures.

The hashes in a bundle find damage, not malice: whoever makes a bundle decides what it scores. So a bundle is
brought only from a machine that is trusted, and here it can at most be wrong, which its verification on this
machine would show: it is read within limits, written only to places that this project chooses, and taken only
for the weights that the catalogue knows.
"""

import zipfile
import zlib
from pathlib import Path

from classifier import atomic_file
from classifier.engines import artefacts, manifest, pictures_file
from classifier.engines.manifest import Manifest
from classifier.engines.values import ExportedGraph
from classifier.errors import ModelError
from classifier.values import ModelCard

_GRAPH = artefacts.GRAPH_FILENAMES["onnx"]
_PICTURES = "verification.npz"
_MAX_BYTES = {manifest.FILENAME: 256 * 1024, _GRAPH: 256 * 1024**2, _PICTURES: pictures_file.MAX_BYTES}
"""What a bundle holds, exactly, and how large each part may be."""
_NO_DATE = (1980, 1, 1, 0, 0, 0)
"""Equal graphs make equal bundles."""


def pack(graph: ExportedGraph, file: Path) -> Path:
    """Write a bundle.

    Args:
        graph: An ONNX graph that `exporting.export` has made.
        file: The zip file to write; replaced if it is there.

    Returns:
        The file.

    Raises:
        ModelError: Where the graph is of another form, damaged, or the file cannot be written.
    """
    if graph.format != "onnx" or graph.verification is None:
        raise ModelError(
            f"{graph.path}: only exported ONNX graphs go into a bundle, not {graph.format}: "
            "choose --engine onnxruntime or openvino"
        )
    try:
        parts = {
            manifest.FILENAME: (graph.path.parent / manifest.FILENAME).read_bytes(),
            _GRAPH: artefacts.read(graph),
            _PICTURES: artefacts.read_pictures_file(graph),
        }
        with (
            atomic_file.replacing(file, atomic_file.SHARED) as stream,
            zipfile.ZipFile(stream, "w") as archive,
        ):
            for part, content in parts.items():
                entry = zipfile.ZipInfo(part, _NO_DATE)
                archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    except OSError as error:
        raise ModelError(f"{file}: cannot be written: {error}") from error
    return file


def is_bundle(file: Path) -> bool:
    """Whether a file is a bundle, sound or not; wheels are zip files too."""
    try:
        with zipfile.ZipFile(file) as archive:
            return manifest.FILENAME in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def install(file: Path, card: ModelCard, cache_directory: Path | None = None) -> ExportedGraph:
    """Take a bundle into this machine's cache.

    Args:
        file: What `pack` has written elsewhere.
        card: Of the model that is expected.
        cache_directory: Where weights are kept; None: the user's cache folder.

    Returns:
        The graph, ready to be opened.

    Raises:
        ModelError: Where the file is no bundle, is damaged, holds anything else, is too large, or is of
            another model or other weights.
    """
    try:
        parts = _parts(file)
    except (OSError, zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, zlib.error) as error:
        raise ModelError(f"{file}: cannot be read as a bundle: {error}") from error
    try:
        described = Manifest.read(parts[manifest.FILENAME])
        described.check_model(card)
        pictures_file.read(parts[_PICTURES], card.input_px)
    except ModelError as error:
        raise ModelError(f"{file}: {error}") from error
    if described.format != "onnx":
        raise ModelError(f"{file}: holds {described.format}, and only ONNX may come from elsewhere")
    for what, content, sha256 in (
        ("graph", parts[_GRAPH], described.graph_sha256),
        ("verification set", parts[_PICTURES], described.verification_sha256),
    ):
        if artefacts.sha256_of(content) != sha256:
            raise ModelError(f"{file}: damaged: the {what} has not the SHA-256 that the manifest names")
    return artefacts.put_files(
        described.graph(card, file, None), parts[_GRAPH], parts[_PICTURES], cache_directory=cache_directory
    )


def _parts(file: Path) -> dict[str, bytes]:
    """Read exactly the parts that there have to be, by their names, each within its limit."""
    with zipfile.ZipFile(file) as archive:
        names = [entry.filename for entry in archive.infolist()]
        if sorted(names) != sorted(_MAX_BYTES):
            raise ModelError(f"{file}: not a bundle: it holds {', '.join(names[:5]) or 'nothing'}")
        parts = {}
        for name, max_bytes in _MAX_BYTES.items():
            # What an entry says of its size is not believed; reading stops at the limit.
            with archive.open(name) as part:
                parts[name] = part.read(max_bytes + 1)
            if len(parts[name]) > max_bytes:
                raise ModelError(f"{file}: {name} is larger than {max_bytes} bytes")
    return parts
