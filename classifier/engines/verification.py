"""Which engines may score on this machine, and which of them `auto` takes.

A graph that was exact where it was made may not be so under another version of a library or on another
processor, so `auto` takes nothing that has not been tried here. What is missing is made on the way:
graphs are exported where torch and onnx are installed, trials are run; both are kept, so it costs time once.
An engine that cannot be had or fails is no error as long as another one can be used.
"""

import hashlib
import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from classifier import cgroup
from classifier.engines import artefacts, exporting, opening, selection
from classifier.engines.trial import failed, run_trial
from classifier.engines.trial_store import TrialStore
from classifier.engines.values import (
    ENGINES,
    REFERENCE,
    EngineId,
    ExportedGraph,
    Library,
    OnStep,
    Precision,
    Trial,
)
from classifier.errors import ModelError
from classifier.models import catalogue
from classifier.values import ModelCard

_log = logging.getLogger(__name__)

_MIB = 1024**2
BESIDE_ENGINE_BYTES = 256 * _MIB
"""What the daemon needs besides what a trial sees: its other modules 115 MB, two decode workers 37 MB each
and room for the pictures that they decode."""
_LEAST_BYTES: dict[Library, int] = {"torch": 300 * _MIB}
"""What a library takes at least. One that cannot fit is not even tried: a trial beside the daemon could make
the container's kernel kill both."""
MAKING_BYTES = 1536 * _MIB
"""What exporting takes at its peak; `auto` does not begin it where there is less."""
_ONLY_BY_NAME = {
    EngineId("torch", "int8"): "only used when named: it takes torch's memory and is never the fastest"
}
# Light ones first: exporting for them makes the pictures that the reference is tried with, too.
_ORDER = tuple(reversed(ENGINES))
_PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")


@dataclass(frozen=True, slots=True)
class EngineRow:
    """An engine as `check-config` and `models list` show it.

    Attributes:
        engine: Which.
        trial: What is known of it on this machine; None where it was not tried.
        chosen: Whether `auto` takes it.
        reason: Why it is not taken; empty for the one that is.
    """

    engine: EngineId
    trial: Trial | None
    chosen: bool
    reason: str

    @property
    def verified(self) -> bool:
        """Whether it was tried here and may be used."""
        return self.trial is not None and not self.trial.refused


def choose(
    name: str,
    *,
    cache_directory: Path | None = None,
    memory_limit_bytes: int | None = None,
    progress: OnStep | None = None,
) -> EngineId:
    """Choose the engine that `auto` stands for; tries what was not tried yet.

    Args:
        name: Catalogue name of a model whose weights were fetched, or for which a bundle was installed.
        cache_directory: Where weights are kept; None: the user's cache folder.
        memory_limit_bytes: What the process with the model may use; None: what machine and container allow,
            less what the daemon needs for everything else.
        progress: Is told what takes time.

    Returns:
        The engine.

    Raises:
        ModelError: Where the name is unknown, or no engine can be used; the message gives each one's reason.
    """
    card = catalogue.card(name, cache_directory)
    limit = process_limit_bytes() if memory_limit_bytes is None else memory_limit_bytes
    trials: list[Trial] = []
    untried: dict[EngineId, str] = {}
    for done, engine in enumerate(_ORDER):
        if reason := _out_of_question(engine, limit):
            untried[engine] = reason
            continue
        if progress is not None:
            progress(f"engine {engine}", done, len(ENGINES))
        try:
            if limit < MAKING_BYTES:
                _require_exported(card, engine, cache_directory, limit)
            trials.append(verify(name, engine, cache_directory=cache_directory, progress=progress))
        except ModelError as error:
            untried[engine] = str(error)
            _log.warning("engine_not_tried", extra={"engine": str(engine), "reason": str(error)})
    choice = selection.choose(trials, limit, untried)
    for trial in trials:
        if trial.refused:
            _log.warning("engine_refused", extra={"engine": str(trial.engine), "reason": trial.refused})
    _log.info("engine_chosen", extra={"model": card.name, "engine": str(choice.engine)})
    return choice.engine


def verify(
    name: str,
    engine: EngineId,
    *,
    cache_directory: Path | None = None,
    progress: OnStep | None = None,
) -> Trial:
    """Give the trial of one engine on this machine; makes graph and trial where they are missing.

    Args:
        name: Catalogue name of the model.
        engine: Which engine.
        cache_directory: Where weights are kept; None: the user's cache folder.
        progress: Is told what takes time.

    Returns:
        The trial; whether the engine may be used stands in `refused`.

    Raises:
        ModelError: Where the engine is not installed, or there is no graph for it and none can be made.
    """
    opening.require(engine)
    card, store = catalogue.card(name, cache_directory), _store(cache_directory)
    graph = _exported(card, engine, cache_directory)
    if graph is None:
        attempt = _unexported(card, engine)
        if known := store.find(engine, attempt):
            return known
        try:
            exporting.export(name, engine, cache_directory=cache_directory, progress=progress)
        except ModelError as error:
            if not exporting.can_make(card, engine, cache_directory):
                raise
            # Making takes minutes; the next start need not find out again.
            trial = failed(engine, attempt, str(error))
            store.keep(trial, attempt)
            return trial
        graph = _exported(card, engine, cache_directory)
        if graph is None:
            raise ModelError(f"{name}: the export for {engine} has vanished; was the cache deleted?")
    return store.find_or_try(engine, graph, run_trial)


def describe(
    name: str, *, cache_directory: Path | None = None, memory_limit_bytes: int | None = None
) -> tuple[EngineRow, ...]:
    """Tell what is known of every engine, from what was kept; makes and tries nothing.

    Args:
        name: Catalogue name of the model.
        cache_directory: As for `choose`.
        memory_limit_bytes: As for `choose`.

    Returns:
        A row for each engine there is. None is chosen where none can be used, or none was tried yet.

    Raises:
        ModelError: Where the name is unknown.
    """
    limit = process_limit_bytes() if memory_limit_bytes is None else memory_limit_bytes
    card, store = catalogue.card(name, cache_directory), _store(cache_directory)
    known: dict[EngineId, Trial] = {}
    untried: dict[EngineId, str] = {}
    for engine in ENGINES:
        graph = _exported(card, engine, cache_directory)
        trial = store.find(engine, graph or _unexported(card, engine))
        if reason := _out_of_question(engine, limit):
            untried[engine] = reason
        elif trial:
            known[engine] = trial
        else:
            untried[engine] = "not tried on this machine yet" if graph else "not exported yet"
    try:
        choice = selection.choose(list(known.values()), limit, untried)
    except ModelError:
        reasons = untried | {engine: selection.objection(trial, limit) for engine, trial in known.items()}
        return tuple(EngineRow(engine, known.get(engine), False, reasons[engine]) for engine in ENGINES)
    return tuple(
        EngineRow(engine, known.get(engine), engine == choice.engine, choice.passed_over.get(engine, ""))
        for engine in ENGINES
    )


def process_limit_bytes() -> int:
    """What the process with the model may use: the container's limit or the machine's memory, less the rest.

    Returns:
        Bytes, at least 0.
    """
    total = psutil.virtual_memory().total
    return max(0, min(total, cgroup.memory_limit_bytes() or total) - BESIDE_ENGINE_BYTES)


def _exported(card: ModelCard, engine: EngineId, cache_directory: Path | None) -> ExportedGraph | None:
    """What an engine runs, if it is there, with pictures to verify it."""
    graph = exporting.available(card, engine, cache_directory=cache_directory)
    if graph is None or graph.verification is not None or engine != REFERENCE:
        return graph
    # The reference brings no pictures of its own; those of any graph hold it to the scores of other machines.
    others = (artefacts.find(card, precision, cache_directory=cache_directory) for precision in _PRECISIONS)
    return replace(graph, verification=next((other.verification for other in others if other), None))


def _unexported(card: ModelCard, engine: EngineId) -> ExportedGraph:
    """Stands for the graph that could not be made, under all that decides what would be made."""
    made_with = {} if exporting.missing_packages(engine) else exporting.made_with(engine)
    ingredients = json.dumps([card.weights_sha256, made_with], sort_keys=True)
    digest = hashlib.sha256(ingredients.encode()).hexdigest()
    return ExportedGraph(card, Path(), opening.format_of(engine), engine.precision, f"unmade-{digest}")


def _require_exported(
    card: ModelCard, engine: EngineId, cache_directory: Path | None, limit_bytes: int
) -> None:
    """Refuse to export for want of memory; to be killed half-way would take the daemon along.

    Raises:
        ModelError: Where the engine's graph is not there and could be made, which must be done elsewhere.
    """
    if engine == REFERENCE or exporting.missing_packages(engine):
        return  # nothing would be made
    if _exported(card, engine, cache_directory):
        return
    command = (
        f"python -m bot models export {card.name} --engine {engine.library} --precision {engine.precision}"
    )
    raise ModelError(
        f"not exported yet, and exporting takes {MAKING_BYTES / _MIB:.0f} MiB where "
        f"{limit_bytes / _MIB:.0f} are allowed: run `{command}` where there is more"
    )


def _out_of_question(engine: EngineId, limit_bytes: int) -> str:
    """Why an engine is not worth a trial; empty where it is."""
    if engine not in opening.installed():
        return "not installed"
    if _LEAST_BYTES.get(engine.library, 0) > limit_bytes:
        return f"{engine.library} alone takes more memory than the {limit_bytes / _MIB:.0f} MiB allowed"
    return _ONLY_BY_NAME.get(engine, "")


def _store(cache_directory: Path | None) -> TrialStore:
    return TrialStore(artefacts.directory(cache_directory) / "trials")
