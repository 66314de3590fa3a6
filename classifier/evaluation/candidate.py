"""What is to be measured: a model of the catalogue, a peer, or a run's folder, named as on the command line.

Nothing is loaded before it has to be: with scores at hand, a report needs the model's card alone.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from classifier import predict
from classifier.engines.values import REFERENCE, EngineId
from classifier.errors import ModelError
from classifier.evaluation.card import Facts
from classifier.evaluation.errors import EvaluationError
from classifier.models import catalogue
from classifier.peers import door, nudenet
from classifier.peers.published import PublishedNumber
from classifier.training import folder as folders
from classifier.training.folder import RunRecord
from classifier.values import Classifier, Level, ModelCard

RUN_THRESHOLD = 0.5
"""From which score a run flags: none was chosen for it yet, and its validation figures are those at 0.5."""

_PEER_ENGINES = {nudenet.NAME: "onnxruntime-fp32"}
"""The others are networks on torch."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model to be measured.

    Attributes:
        given: How it was named: a catalogue name, a peer's, or a folder.
        card: What is stored with its scores.
        engine: What runs it, such as `torch-fp32`.
        cache_directory: Where weights are kept; None: the user's cache folder.
        run: What the run noted; None of other models.
        weights_bytes: Size of its weights' file.
    """

    given: str
    card: ModelCard
    engine: str
    cache_directory: Path | None = None
    run: RunRecord | None = None
    weights_bytes: int | None = None

    @property
    def name(self) -> str:
        """What tables call it; runs that differ by seed alone share it."""
        return self.card.name

    @property
    def seed(self) -> int:
        """The run's, 0 of others."""
        return self.run.seed if self.run else 0

    @property
    def title(self) -> str:
        """What tells it from all others."""
        return f"{self.name} (seed {self.seed})" if self.run else self.name

    @property
    def slug(self) -> str:
        """As the title, fit for a file's name."""
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", self.name).strip("-.") or "model"
        return f"{name}-seed-{self.seed}" if self.run else name

    def threshold(self, level: Level) -> float:
        """From which score it flags when nobody says otherwise."""
        return RUN_THRESHOLD if self.run else self.card.thresholds[level]

    def classes(self) -> tuple[str, str] | None:
        """The labels a run was trained to tell apart; None of others."""
        if self.run is None:
            return None
        negative, positive = self.run.data["classes"]
        return str(negative), str(positive)

    def load(self, threads: int = 0, calls: int = 1) -> Classifier:
        """Load it.

        Args:
            threads: Of one prediction; 0 leaves the number to the library.
            calls: Predictions that may run side by side.

        Returns:
            The running model.

        Raises:
            ModelError: Where its weights are missing or damaged, or the engine cannot run it.
        """
        if door.is_peer(self.given):
            return door.load(self.given, self.cache_directory, threads)
        if self.run is None:
            return predict.load(
                self.given, self.engine, cache_directory=self.cache_directory, threads=threads, calls=calls
            )
        from classifier.models import trained

        return trained.load(Path(self.given), threads)

    def facts(self, parameters: int | None = None) -> Facts:
        """What its card says beside the figures.

        Args:
            parameters: How many it has; None where nobody counted.
        """
        return Facts(
            architecture=self.card.architecture,
            weights_sha256=self.card.weights_sha256,
            parameters=parameters,
            licence=self.card.licence,
            source=self.card.source,
            preprocessing=self.card.preprocessing,
            training=_training(self.run) if self.run else (),
            limitations=(*self._notice(), *self.card.failure_modes),
            quoted=tuple(f"{one.what}, on {one.measured_on} ({one.source})" for one in self.published),
        )

    @property
    def published(self) -> tuple[PublishedNumber, ...]:
        """What its makers say it reaches, on pictures of their own."""
        return door.notes(self.given).published if door.is_peer(self.given) else ()

    def _notice(self) -> tuple[str, ...]:
        notice = door.notes(self.given).notice if door.is_peer(self.given) else ""
        return (notice,) if notice else ()


def find(given: str, engine: str = str(REFERENCE), cache_directory: Path | None = None) -> Candidate:
    """Find a model.

    Args:
        given: The folder of a finished run, a name in the catalogue, or a peer's (`classifier.peers.door`).
        engine: What is to run it; a peer has an engine of its own.
        cache_directory: Where weights are kept; None: the user's cache folder.

    Returns:
        The model, not loaded yet; a catalogue's is fetched where it is missing.

    Raises:
        ModelError: Where there is none of that name, the run is not finished, or the engine is unknown or
            cannot run it.
        TrainingError: Where the folder holds something else.
    """
    wanted = EngineId.parse(engine)
    if door.is_peer(given):
        weights_bytes = door.fetch(given, cache_directory).stat().st_size
        own = _PEER_ENGINES.get(given, str(REFERENCE))
        return Candidate(given, door.card(given, cache_directory), own, cache_directory, None, weights_bytes)
    folder = Path(given)
    if not folder.is_dir():
        if given not in catalogue.known(cache_directory):
            known = ", ".join((*catalogue.known(cache_directory), *door.names()))
            raise ModelError(f"{given!r} is neither a run's folder nor a known model; known: {known}")
        catalogue.fetch(given, cache_directory)
        size = catalogue.describe(given, cache_directory).size_bytes
        return Candidate(given, catalogue.card(given, cache_directory), engine, cache_directory, None, size)
    if wanted != REFERENCE:
        raise ModelError(
            f"{given}: a run's folder is measured on {REFERENCE}; for {engine}, add it to the catalogue "
            "(models add) and name it"
        )
    from classifier.models import trained

    model = trained.read(folder)
    record = folders.read(folder)
    assert record.result is not None
    return Candidate(given, model.card, engine, cache_directory, record, record.result.weights_bytes)


def find_all(
    given: Sequence[str], engine: str = str(REFERENCE), cache_directory: Path | None = None
) -> tuple[Candidate, ...]:
    """Find several models; arguments as for `find`.

    Raises:
        EvaluationError: Where two of them cannot be told apart: the same model, or name and seed.
        ModelError: As for `find`.
        TrainingError: As for `find`.
    """
    found: dict[str, Candidate] = {}
    for name in given:
        candidate = find(name, engine, cache_directory)
        if (other := found.setdefault(candidate.slug, candidate)) is not candidate:
            raise EvaluationError(f"{name} and {other.given} are both {candidate.title}: rename one of them.")
    return tuple(found.values())


def _training(record: RunRecord) -> tuple[tuple[str, str], ...]:
    assert record.result is not None
    result = record.result
    libraries: Mapping[str, str] = record.provenance.get("libraries", {})
    counts = "; ".join(
        f"{split}: " + ", ".join(f"{count} {label}" for label, count in of.items())
        for split, of in record.data["counts"].items()
    )
    facts = (
        ("Trained on", f"{record.data['name']}, {counts}"),
        ("Training data, content hash", str(record.data["hash"])),
        ("Epochs", f"{result.epochs}, those of epoch {result.kept_epoch} kept"),
        ("Seed", str(record.seed)),
        ("Code", str(record.provenance.get("git_commit") or "not in a checkout")),
        ("Libraries", ", ".join(f"{name} {version}" for name, version in libraries.items())),
    )
    return tuple((name, value) for name, value in facts if value)


__all__ = ["RUN_THRESHOLD", "Candidate", "find", "find_all"]
