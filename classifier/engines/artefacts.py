"""Exported models on disk: put there whole or not at all, and never used without their hash being right.

Below the folder of the weights lies `engines/`, in it one folder per graph, named after what went into it and
what came out, with the graph and its manifest; verification sets lie beside them under their own hash, as
several graphs share one. Everything in there can be made again, so deleting it costs only time. Nothing is
ever unpickled.
"""

import hashlib
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import filelock

from classifier import atomic_file
from classifier.engines import manifest, pictures_file
from classifier.engines.manifest import Manifest
from classifier.engines.values import ExportedGraph, GraphFormat, Precision, VerificationSet
from classifier.errors import ModelError
from classifier.models import weights
from classifier.values import ModelCard

log = logging.getLogger(__name__)

LOCK_TIMEOUT_S = 120
GRAPH_FILENAMES: dict[GraphFormat, str] = {"onnx": "graph.onnx", "torchscript": "graph.pt"}


def directory(cache_directory: Path | None = None) -> Path:
    """Where exported graphs are kept.

    Args:
        cache_directory: Where weights are kept; None: the user's cache folder.
    """
    return weights.directory(cache_directory) / "engines"


def find(
    card: ModelCard,
    precision: Precision,
    graph_format: GraphFormat = "onnx",
    *,
    cache_directory: Path | None = None,
    made_with: Mapping[str, str] | None = None,
) -> ExportedGraph | None:
    """Look for a sound graph; what is damaged is passed over with a line in the log.

    Args:
        card: The model's card; graphs of other weights or preprocessing are none of its.
        precision: Of the graph.
        graph_format: Of the graph.
        cache_directory: Where weights are kept; None: the user's cache folder.
        made_with: Only a graph made with exactly these versions; None: whatever made it.

    Returns:
        The latest such graph, or None. Its files' hashes were right.
    """
    candidates = []
    prefix = _folder_prefix(card, precision, graph_format)
    for path in directory(cache_directory).glob(f"{prefix}-*/{manifest.FILENAME}"):
        try:
            found = Manifest.read(path.read_bytes())
            found.check_model(card)
        except (OSError, ModelError) as error:
            log.warning("engine_graph_unusable", extra={"path": str(path), "reason": str(error)})
            continue
        if made_with is None or dict(found.made_with) == dict(made_with):
            candidates.append((found.made_at_s, path, found))
    for _made_at_s, path, found in sorted(candidates, key=lambda candidate: candidate[:2], reverse=True):
        graph = _located(found, card, path.parent)
        try:
            check(graph)
            if graph.verification is not None:
                read_pictures_file(graph)
        except ModelError as error:
            log.warning("engine_graph_unusable", extra={"path": str(path), "reason": str(error)})
            continue
        return graph
    return None


def put(
    graph: ExportedGraph,
    content: bytes,
    verification: VerificationSet | None,
    *,
    cache_directory: Path | None = None,
) -> ExportedGraph:
    """Keep a graph.

    Args:
        graph: What is known of it; path, hash and verification are filled in here.
        content: Of its file.
        verification: The set that travels along.
        cache_directory: Where weights are kept; None: the user's cache folder.

    Returns:
        The graph with path, hash and verification.

    Raises:
        ModelError: Where the folder cannot be written.
    """
    graph = replace(graph, sha256=sha256_of(content))
    pictures = None if verification is None else pictures_file.write(verification)
    return put_files(graph, content, pictures, cache_directory=cache_directory)


def put_files(
    graph: ExportedGraph, content: bytes, pictures: bytes | None, *, cache_directory: Path | None = None
) -> ExportedGraph:
    """Keep a graph and the file of its verification set, as they are; otherwise like `put`."""
    folder = directory(cache_directory)
    pictures_sha256 = None if pictures is None else sha256_of(pictures)
    described = Manifest.of(graph, pictures_sha256, time.time())
    target = folder / _folder_name(graph)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / ".lock", timeout=LOCK_TIMEOUT_S):
            if pictures is not None:
                atomic_file.write(folder / _pictures_filename(described), pictures, atomic_file.SHARED)
            _put_folder(
                target,
                {GRAPH_FILENAMES[graph.format]: content, manifest.FILENAME: described.content()},
            )
    except filelock.Timeout as error:
        raise ModelError(f"{folder}/.lock: another process has held it for {LOCK_TIMEOUT_S} s") from error
    except OSError as error:
        raise ModelError(f"{folder}: exported models cannot be kept there: {error}") from error
    log.info("engine_graph_kept", extra={"path": str(target), "sha256": graph.sha256})
    return _located(described, graph.card, target)


def check(graph: ExportedGraph) -> None:
    """Make sure that a graph's file is the one that was exported; it is not held in memory as a whole.

    Raises:
        ModelError: Where it is missing, unreadable or another one.
    """
    try:
        with graph.path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{graph.path}: the exported model cannot be read: {error}") from error
    if found != graph.sha256:
        raise ModelError(
            f"{graph.path}: not what was exported (wrong SHA-256): the file is damaged or was changed. "
            f"Delete {graph.path.parent}; it is made again, or taken again from its bundle"
        )


def read(graph: ExportedGraph) -> bytes:
    """Read a graph's file.

    Raises:
        ModelError: Where it is missing, unreadable or not what was exported.
    """
    check(graph)
    try:
        return graph.path.read_bytes()
    except OSError as error:
        raise ModelError(f"{graph.path}: the exported model cannot be read: {error}") from error


def read_verification(graph: ExportedGraph) -> VerificationSet:
    """Read the pictures and scores that travel with a graph.

    Raises:
        ModelError: Where there are none, or the file is damaged.
    """
    return pictures_file.read(read_pictures_file(graph), graph.card.input_px)


def read_pictures_file(graph: ExportedGraph) -> bytes:
    """Read the verification set's file as it is, and check its hash, of which its name is made.

    Raises:
        ModelError: Where there is none, or it is damaged.
    """
    if graph.verification is None:
        raise ModelError(f"{graph.path}: there are no pictures to verify it with")
    try:
        content = graph.verification.read_bytes()
    except OSError as error:
        raise ModelError(f"{graph.verification}: cannot be read: {error}") from error
    if graph.verification.stem != f"verification-{sha256_of(content)}":
        raise ModelError(f"{graph.verification}: damaged (wrong SHA-256). Delete it and export again")
    return content


def sha256_of(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _folder_prefix(card: ModelCard, precision: Precision, graph_format: GraphFormat) -> str:
    return f"{card.name}-{card.weights_sha256[:12]}-{precision}-{graph_format}"


def _folder_name(graph: ExportedGraph) -> str:
    versions = sha256_of(json.dumps(dict(graph.made_with), sort_keys=True).encode())
    prefix = _folder_prefix(graph.card, graph.precision, graph.format)
    return f"{prefix}-{versions[:8]}-{graph.sha256[:12]}"


def _pictures_filename(described: Manifest) -> str:
    return f"verification-{described.verification_sha256}.npz"


def _located(described: Manifest, card: ModelCard, folder: Path) -> ExportedGraph:
    verification = None
    if described.verification_sha256 is not None:
        verification = folder.parent / _pictures_filename(described)
    return described.graph(card, folder / GRAPH_FILENAMES[described.format], verification)


def _put_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Put a folder in place with one rename; in one that is there already, each file is replaced with one.

    The folder's name contains the graph's hash, so whoever reads meanwhile sees old and new alike.
    """
    if target.is_dir():
        for name, content in files.items():
            atomic_file.write(target / name, content, atomic_file.SHARED)
        return
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=".new-"))
    try:
        for name, content in files.items():
            atomic_file.write(temporary / name, content, atomic_file.SHARED)
        temporary.chmod(0o755)
        temporary.replace(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
