"""What trials found on this machine, kept on disk so that a start need not repeat them.

A trial holds for the circumstances that may change its result, and is kept under them: the graph, the
library's version, the processor and the cores. Elsewhere, or after an update, it is as if it had never been.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import logging
import math
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import filelock

from classifier import atomic_file, cgroup
from classifier.engines.trial import TIMEOUT_S, run_trial
from classifier.engines.values import DriftReport, EngineId, ExportedGraph, Trial

_log = logging.getLogger(__name__)

RETRY_FAILED_S = 86_400.0
"""A trial that crashed or hung is tried again after a day: the machine may have been short of something."""
_FORM = 1
"""Counts the ways in which trials have been made and judged; those of another way are made anew."""


class TrialStore:
    """Trials on disk, one small file each; a store that cannot be written forgets, and says so in the log.

    Args:
        folder: Where they lie; made when the first is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, engine: EngineId, graph: ExportedGraph) -> Trial | None:
        """Look for a trial that still holds.

        Args:
            engine: Which.
            graph: What it was to run.

        Returns:
            The trial; None where there is none under these circumstances, or one that failed a day ago.
        """
        circumstances = _circumstances(engine, graph)
        path = self._path(engine, circumstances)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["circumstances"] != circumstances:
                return None
            trial = _trial(engine, graph, content["trial"])
            age_s = time.time() - float(content["tried_at_s"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("trial_unreadable", extra={"path": str(path), "error": str(error)})
            return None
        if math.isnan(trial.picture_s) and not 0 <= age_s < RETRY_FAILED_S:
            return None
        return trial

    def find_or_try(
        self,
        engine: EngineId,
        graph: ExportedGraph,
        attempt: Callable[[EngineId, ExportedGraph], Trial] = run_trial,
    ) -> Trial:
        """Give the trial that holds, after making it where there is none; one at a time on this machine.

        Args:
            engine: Which.
            graph: What it is to run.
            attempt: Makes the trial.

        Returns:
            The trial.
        """
        if known := self.find(engine, graph):
            return known
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self._folder / "trials.lock", timeout=2 * TIMEOUT_S)
            lock.acquire()
        except (OSError, filelock.Timeout, NotImplementedError) as error:
            _log.warning("trials_not_kept", extra={"folder": str(self._folder), "error": str(error)})
            return attempt(engine, graph)
        try:
            if known := self.find(engine, graph):
                return known
            trial = attempt(engine, graph)
            self.keep(trial, graph)
        finally:
            lock.release()
        return trial

    def keep(self, trial: Trial, graph: ExportedGraph) -> None:
        """Remember a trial; where that is impossible, the log says so.

        Args:
            trial: What came of it.
            graph: What was tried.
        """
        circumstances = _circumstances(trial.engine, graph)
        path = self._path(trial.engine, circumstances)
        content = {
            "circumstances": circumstances,
            "tried_at_s": time.time(),
            "trial": {
                "drift": dataclasses.asdict(trial.drift),
                "picture_s": trial.picture_s,
                "load_s": trial.load_s,
                "resident_bytes": trial.resident_bytes,
                "refused": trial.refused,
            },
        }
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            atomic_file.write(path, json.dumps(content).encode())
        except OSError as error:
            _log.warning("trials_not_kept", extra={"folder": str(self._folder), "error": str(error)})

    def _path(self, engine: EngineId, circumstances: Mapping[str, Any]) -> Path:
        digest = hashlib.sha256(json.dumps(circumstances, sort_keys=True).encode()).hexdigest()
        return self._folder / f"{engine}-{digest[:16]}.json"


def processor() -> str:
    """The processor's model and a digest of its abilities, because libraries choose their kernels by them."""
    lines: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            lines.setdefault(name.strip(), value.strip())
    except OSError:  # not Linux
        pass
    model = lines.get("model name") or platform.processor() or platform.machine()
    # A virtual machine may hide abilities of the same model.
    abilities = " ".join(sorted((lines.get("flags") or lines.get("Features") or "").split()))
    return f"{model} {hashlib.sha256(abilities.encode()).hexdigest()[:12]}"


def _circumstances(engine: EngineId, graph: ExportedGraph) -> dict[str, Any]:
    try:
        version = importlib.metadata.version(engine.library)
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"
    return {
        "engine": str(engine),
        "graph_sha256": graph.sha256,
        "verification": graph.verification.stem if graph.verification else None,  # its hash is in its name
        "library_version": version,
        "processor": processor(),
        "cores": cgroup.usable_cores(),
        "trial": _FORM,
    }


def _trial(engine: EngineId, graph: ExportedGraph, values: Mapping[str, Any]) -> Trial:
    return Trial(
        engine=engine,
        graph_sha256=graph.sha256,
        drift=DriftReport(**values["drift"]),
        picture_s=float(values["picture_s"]),
        load_s=float(values["load_s"]),
        resident_bytes=int(values["resident_bytes"]),
        refused=str(values["refused"]),
    )
