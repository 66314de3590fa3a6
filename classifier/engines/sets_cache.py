"""The pictures that exports are calibrated and compared with, kept on disk because making them takes minutes.

One file of some 50 MB per model and version of torch, below the exported graphs; whoever needs the room may
delete it.
"""

import json
import logging
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from classifier import atomic_file
from classifier.engines import artefacts, calibration, exporting
from classifier.engines.calibration import CalibrationSets
from classifier.engines.torch_engine import TorchEngine
from classifier.engines.values import OnStep, VerificationSet
from classifier.values import ModelCard

log = logging.getLogger(__name__)

_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def get(
    reference: TorchEngine, cache_directory: Path | None, progress: OnStep | None = None
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
    path = location(card, cache_directory)
    try:
        with np.load(path, allow_pickle=False) as found:
            return _sets(found)
    except FileNotFoundError:
        pass
    except _UNREADABLE as error:
        log.warning("calibration_sets_unusable", extra={"path": str(path), "reason": str(error)})
    sets = calibration.make_sets(reference.network, card.preprocessing, card.input_px, progress)
    try:
        keep(path, sets)
    except OSError as error:
        # A full disk costs the time of making them again, not the export.
        log.warning("calibration_sets_not_kept", extra={"path": str(path), "reason": str(error)})
    return sets


def location(card: ModelCard, cache_directory: Path | None) -> Path:
    """Where a model's sets are kept; another file as soon as anything that they follow from has changed."""
    sizes = [repr(calibration.CALIBRATION_SIZE), repr(calibration.EVALUATION_SIZE)]
    follows_from = [card.weights_sha256, card.preprocessing, torch.__version__, exporting.REVISION, *sizes]
    key = artefacts.sha256_of(json.dumps(follows_from).encode())[:16]
    return artefacts.directory(cache_directory) / f"sets-{card.name}-{key}.npz"


def _sets(found: Mapping[str, NDArray[Any]]) -> CalibrationSets:
    return CalibrationSets(
        calibration=found["calibration"],
        evaluation=VerificationSet(found["evaluation"], found["evaluation_scores"]),
        verification=VerificationSet(found["verification"], found["verification_scores"]),
    )


def keep(path: Path, sets: CalibrationSets) -> None:
    """Write the file, whole or not at all.

    Raises:
        OSError: Where it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file.replacing(path) as file:
        np.savez_compressed(
            file,
            calibration=sets.calibration,
            evaluation=sets.evaluation.pixels,
            evaluation_scores=sets.evaluation.reference,
            verification=sets.verification.pixels,
            verification_scores=sets.verification.reference,
        )
