"""A model in the form that an engine reads: taken from the cache, or made now and verified.

Making needs torch and gigabytes of passing memory, so it happens in a process of its own
(`classifier.engines.making`): the daemon that asked for it goes on without torch. A machine without torch
uses what was made elsewhere, with whatever versions; a machine that can export makes it anew when its own
libraries have changed.
"""

import importlib.metadata
import importlib.util
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from classifier.engines import artefacts, opening, own_process
from classifier.engines.values import REFERENCE, EngineId, ExportedGraph, OnStep
from classifier.errors import ModelError
from classifier.models import catalogue, weights
from classifier.peers import door
from classifier.values import ModelCard

REVISION = "2"
"""Changes whenever an equal network is written down differently, so that old graphs are made anew."""


def export(
    name: str, engine: EngineId, *, cache_directory: Path | None = None, progress: OnStep | None = None
) -> ExportedGraph:
    """Get what an engine reads, making it where it is not there yet.

    Args:
        name: Catalogue name.
        engine: For which it is; whether that is installed here does not matter.
        cache_directory: Where weights are kept; None: the user's cache folder.
        progress: Told how far the making is; not called where nothing has to be made.

    Returns:
        The graph. For the reference the weights themselves.

    Raises:
        ModelError: Where it cannot be made here, or its scores are too far off; the message says what to do.
    """
    if door.is_peer(name):
        raise ModelError(f"{name} is another project's model and runs as it was published: nothing to export")
    card = catalogue.card(name, cache_directory)
    if found := available(card, engine, cache_directory=cache_directory):
        return found
    if engine == REFERENCE:
        source = catalogue.weights_source(name, cache_directory)
        raise weights.missing(source, weights.directory(cache_directory))
    if missing := missing_packages(engine):
        raise ModelError(
            f"{name} is not exported for {engine} yet, and cannot be here without {', '.join(missing)}. "
            f"Where they are installed run `python -m bot models export {name} --engine {engine.library} "
            f"--precision {engine.precision} --output FILE.zip`, bring the file here, and run: "
            f"python -m bot models fetch {name} --from FILE.zip"
        )
    _make_elsewhere(name, engine, cache_directory, progress)
    if found := available(card, engine, cache_directory=cache_directory):
        return found
    raise ModelError(f"{name}: was exported for {engine}, but is not in the cache: was it deleted meanwhile?")


def available(
    card: ModelCard, engine: EngineId, *, cache_directory: Path | None = None
) -> ExportedGraph | None:
    """What there is for an engine without making anything, None where it would have to be made.

    Args:
        card: The model's card.
        engine: For which it is.
        cache_directory: Where weights are kept; None: the user's cache folder.
    """
    if engine == REFERENCE:
        return _reference(card, cache_directory)
    return artefacts.find(
        card,
        engine.precision,
        opening.format_of(engine),
        cache_directory=cache_directory,
        made_with=made_with(engine) if can_make(card, engine, cache_directory) else None,
    )


def can_make(card: ModelCard, engine: EngineId, cache_directory: Path | None = None) -> bool:
    """Whether everything is here that making a graph needs, so that what fails once will fail again.

    Args:
        card: The model's card.
        engine: For which the graph would be.
        cache_directory: Where weights are kept; None: the user's cache folder.
    """
    return not missing_packages(engine) and _reference(card, cache_directory) is not None


def missing_packages(engine: EngineId) -> list[str]:
    """What would have to be installed to export for an engine; empty where nothing is missing."""
    return [package for package in _packages(engine) if importlib.util.find_spec(package) is None]


def made_with(engine: EngineId) -> dict[str, str]:
    """The versions of everything installed here that decides what an export for an engine looks like."""
    versions = {package: importlib.metadata.version(package) for package in _packages(engine)}
    return {"exporter": REVISION, **versions}


def _packages(engine: EngineId) -> tuple[str, ...]:
    if engine.library == "torch":
        return ("torch",)
    # The quantiser is ONNX Runtime's, whichever library is to run the result.
    return ("torch", "onnx", "onnxruntime") if engine.precision == "int8" else ("torch", "onnx")


def _reference(card: ModelCard, cache_directory: Path | None) -> ExportedGraph | None:
    """The weights themselves, if they are there."""
    source = catalogue.weights_source(card.name, cache_directory)
    path = weights.directory(cache_directory) / source.filename
    if not path.exists():
        return None
    return ExportedGraph(card, path, "safetensors", "fp32", source.safetensors_sha256)


def _make_elsewhere(
    name: str, engine: EngineId, cache_directory: Path | None, progress: OnStep | None
) -> None:
    """Run the maker in a process of its own and pass on what it tells."""
    folder = str(weights.directory(cache_directory).absolute())
    command = own_process.command("classifier.engines.making", name, str(engine), folder)
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            errors="replace",
            env=own_process.environment(),
        ) as process:
            assert process.stdout is not None
            reason = ""
            try:
                for said in _messages(process.stdout):
                    if "error" in said:
                        reason = str(said["error"])
                    elif progress is not None and "progress" in said:
                        progress(*said["progress"])
            except BaseException:
                process.kill()
                raise
        if process.returncode != 0:
            errors.seek(0)
            last = (errors.read().strip().splitlines() or [f"it ended with status {process.returncode}"])[-1]
            raise ModelError(reason or f"{name} could not be exported for {engine}: {last}")


def _messages(lines: IO[str]) -> Iterator[dict[str, Any]]:
    """The maker's messages, one JSON object a line; libraries may print other things in between."""
    for line in lines:
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict):
            yield said
