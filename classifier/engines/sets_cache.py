"""The pictures that exports are calibrated and compared with, kept on disk because making them takes minutes.

One file of some 50 MB per model and version of torch, below the exported graphs; whoever needs the room may
delete it.
"""

import json
import logging
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from classifier.engines import artefacts, calibration, exporting
from classifier.engines.calibration import CalibrationSets
from classifier.engines.torch_engine import TorchEngine
from classifier.engines.values import VerificationSet

log = logging.getLogger(__name__)

_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def get(
    reference: TorchEngine, cache_directory: Path | None, progress: exporting.Progress | None = None
) -> CalibrationSets:
    """Read the sets of a model, or make and keep them.

    Args:
        reference: The model.
        cache_directory: Where weights are kept; None: the user's cache folder.
        progress: Told how far the making is.

    Returns:
        The sets.

    Raises:
        ModelError: Where they cannot be made.
    """
    card = reference.card
    path = artefacts.directory(cache_directory) / f"sets-{card.name}-{_key(card.weights_sha256)}.npz"
    try:
        with np.load(path, allow_pickle=False) as found:
            return _sets(found)
    except FileNotFoundError:
        pass
    except _UNREADABLE as error:
        log.warning("calibration_sets_unusable", extra={"path": str(path), "reason": str(error)})
    sets = calibration.make_sets(reference.network, card.preprocessing, card.input_px, progress)
    try:
        _keep(path, sets)
    except OSError as error:
        # A full disk costs the time of making them again, not the export.
        log.warning("calibration_sets_not_kept", extra={"path": str(path), "reason": str(error)})
    return sets


def _key(weights_sha256: str) -> str:
    sizes = [repr(calibration.CALIBRATION_SIZE), repr(calibration.EVALUATION_SIZE)]
    made_of = [weights_sha256, torch.__version__, exporting.REVISION, *sizes]
    return artefacts.sha256_of(json.dumps(made_of).encode())[:16]


def _sets(found: Mapping[str, np.ndarray]) -> CalibrationSets:
    return CalibrationSets(
        calibration=found["calibration"],
        evaluation=VerificationSet(found["evaluation"], found["evaluation_scores"]),
        verification=VerificationSet(found["verification"], found["verification_scores"]),
    )


def _keep(path: Path, sets: CalibrationSets) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez_compressed(
                file,
                calibration=sets.calibration,
                evaluation=sets.evaluation.pixels,
                evaluation_scores=sets.evaluation.reference,
                verification=sets.verification.pixels,
                verification_scores=sets.verification.reference,
            )
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
