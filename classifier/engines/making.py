"""Make what an engine reads, compare it with the reference, and keep it only if its scores are near enough.

Runs as `python -m classifier.engines.making NAME ENGINE FOLDER`, started by `classifier.engines.exporting`,
because it loads torch; tells how far it is in lines of JSON.
"""

import json
import logging
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import filelock
import numpy as np
from numpy.typing import NDArray

from classifier.engines import artefacts, drift, exporting, graph, opening, sets_cache
from classifier.engines.calibration import CalibrationSets
from classifier.engines.torch_engine import TorchEngine
from classifier.engines.values import DriftReport, EngineId, ExportedGraph, OnStep
from classifier.errors import ModelError
from classifier.models import catalogue
from classifier.values import Pixels

log = logging.getLogger(__name__)

_LOCK_TIMEOUT_S = 3600
_BATCH = 16


def make(
    name: str, engine: EngineId, *, cache_directory: Path | None = None, progress: OnStep | None = None
) -> ExportedGraph:
    """Make, verify and keep a graph; where another process is at it, wait for that.

    Args:
        name: Catalogue name; its weights have to be here.
        engine: For which it is; not the reference.
        cache_directory: Where weights are kept; None: the user's cache folder.
        progress: Told how far it is.

    Returns:
        The graph.

    Raises:
        ModelError: Where it cannot be made, or its scores are too far off.
    """
    folder = artefacts.directory(cache_directory)
    lock = folder / f".making-{name}.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(lock, timeout=_LOCK_TIMEOUT_S):
            card = catalogue.card(name, cache_directory)
            if found := exporting.available(card, engine, cache_directory=cache_directory):
                return found
            reference = catalogue.load(name, cache_directory)
            return _Maker(reference, cache_directory, progress or (lambda _what, _done, _total: None)).make(
                engine
            )
    except filelock.Timeout as error:
        raise ModelError(f"{lock}: another process has been exporting for {_LOCK_TIMEOUT_S} s") from error
    except OSError as error:
        raise ModelError(f"{folder}: exported models cannot be kept there: {error}") from error


@dataclass
class _Maker:
    """One model's making; the sets of pictures are made once, and only if something has to be compared."""

    reference: TorchEngine
    cache_directory: Path | None
    tell: OnStep

    @cached_property
    def sets(self) -> CalibrationSets:
        return sets_cache.get(self.reference, self.cache_directory, self.tell)

    def make(self, engine: EngineId) -> ExportedGraph:
        if engine.library == "torch":
            return self._torch_int8(engine)
        if engine.precision == "int8":
            return self._int8(engine)
        self.tell("exporting", 0, 1)
        content = graph.export(self.reference.network, self.reference.card.input_px)
        self.tell("exporting", 1, 1)
        return self._keep(engine, content)

    def _int8(self, engine: EngineId) -> ExportedGraph:
        from classifier.engines import quantise

        self._require_both_sides(engine)
        plain = EngineId(engine.library, "fp32")
        card = self.reference.card
        fp32 = exporting.available(card, plain, cache_directory=self.cache_directory) or self.make(plain)
        self.tell("quantising", 0, 1)
        made = quantise.quantise(
            artefacts.read(fp32), self.sets.calibration, self.sets.evaluation, card.thresholds
        )
        self.tell("quantising", 1, 1)
        return self._keep(engine, made.content, made.fp32_layers)

    def _torch_int8(self, engine: EngineId) -> ExportedGraph:
        from classifier.engines import torch_int8

        self._require_both_sides(engine)
        self.tell("quantising", 0, 1)
        with tempfile.TemporaryDirectory(prefix="commons-nsfw-bot-") as directory:
            path = Path(directory) / "graph.pt"
            torch_int8.quantise(self.reference.network, self.sets.calibration, path)
            content = path.read_bytes()
        self.tell("quantising", 1, 1)
        return self._keep(engine, content)

    def _require_both_sides(self, engine: EngineId) -> None:
        """Refuse to make what could not be judged: a trained model may score all of our pictures alike.

        Raises:
            ModelError: Where nearly all scores of the reference lie at one end.
        """
        scores = self.sets.evaluation.reference
        high = int((scores >= 0.5).sum())
        if min(high, len(scores) - high) < drift.MIN_INT8_POSITIVES:
            raise ModelError(
                f"{self.reference.card.name}: {engine} could not be verified: of the {len(scores)} generated "
                f"pictures that it would be compared on, the model scores {high} at 0.5 or more and "
                f"{len(scores) - high} below, and {drift.MIN_INT8_POSITIVES} of each are needed. Use fp32"
            )

    def _keep(self, engine: EngineId, content: bytes, fp32_layers: tuple[str, ...] = ()) -> ExportedGraph:
        """Compare with the reference; keep what is near enough.

        Raises:
            ModelError: Where it is not, or no library is here that could tell.
        """
        with tempfile.TemporaryDirectory(prefix="commons-nsfw-bot-") as directory:
            path = Path(directory) / "graph"
            path.write_bytes(content)
            made = ExportedGraph(
                card=self.reference.card,
                path=path,
                format=opening.format_of(engine),
                precision=engine.precision,
                sha256=artefacts.sha256_of(content),
                made_with=exporting.made_with(engine),
                fp32_layers=fp32_layers,
            )
            report, small_report = self._compare(engine, made)
        if refusal := drift.refusal(engine.precision, report):
            raise ModelError(
                f"{made.card.name}: {engine} is refused, it is too far from the reference: {refusal}"
            )
        kept = replace(made, drift=report, verification_drift=small_report)
        return artefacts.put(kept, content, self.sets.verification, cache_directory=self.cache_directory)

    def _compare(self, engine: EngineId, made: ExportedGraph) -> tuple[DriftReport, DriftReport]:
        """Measure on the evaluation and the verification set, with a library that reads the file."""
        readers = [
            other
            for other in opening.installed()
            if opening.format_of(other) == made.format and other.precision == engine.precision
        ]
        if not readers:
            raise ModelError(
                f"{made.card.name}: nothing here could verify an export for {engine}: "
                f"run `pip install {engine.library}`"
            )
        reader = engine if engine in readers else readers[0]
        classifier = opening.open_engine(reader, made)
        large, small = (
            drift.measure(
                some.reference, _scores(classifier.predict, some.pixels, self.tell), made.card.thresholds
            )
            for some in (self.sets.evaluation, self.sets.verification)
        )
        return large, small


def _scores(
    predict: Callable[[Pixels], NDArray[np.float32]], pixels: Pixels, tell: OnStep
) -> NDArray[np.float32]:
    parts = []
    for start in range(0, len(pixels), _BATCH):
        parts.append(predict(pixels[start : start + _BATCH]))
        tell("comparing scores", min(start + _BATCH, len(pixels)), len(pixels))
    return np.concatenate(parts)


def main() -> int:
    """Make what the arguments name; print what is happening."""
    name, engine, folder = sys.argv[1:]

    def tell(what: str, done: int, total: int) -> None:
        _say({"progress": [what, done, total]})

    try:
        make(name, EngineId.parse(engine), cache_directory=Path(folder), progress=tell)
    except ModelError as error:
        _say({"error": str(error)})
        return 1
    return 0


def _say(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
