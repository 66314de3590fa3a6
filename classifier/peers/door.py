"""The door to other people's models: a name, and what the catalogue offers for our own.

Importing this is cheap; libraries are imported when a model is loaded.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from classifier.errors import ModelError
from classifier.models import weights
from classifier.peers import hub, nsfwjs, nudenet
from classifier.peers.published import Notes
from classifier.values import Classifier, ModelCard

if TYPE_CHECKING:
    from classifier.models.catalogue import ModelDescription


def names() -> tuple[str, ...]:
    """The peers that are known beforehand; others of the hub can be named too."""
    return (nudenet.NAME, nsfwjs.NAME, hub.MARQO)


def is_peer(name: str) -> bool:
    """Whether a name is for this door: a known peer, or any that begins with `hf:`."""
    return name in names() or name.startswith(hub.PREFIX)


def card(name: str, cache_directory: Path | None = None) -> ModelCard:
    """The card of a peer.

    Args:
        name: As `names` tells them, or `hf:OWNER/NAME@COMMIT`, or `hf:` and a local folder's path.
        cache_directory: Where weights are kept; None: the user's cache folder.

    Raises:
        ModelError: Where there is none of that name, or it is one of the hub that is not here yet.
    """
    _check(name)
    if name == nudenet.NAME:
        return nudenet.CARD
    return nsfwjs.CARD if name == nsfwjs.NAME else hub.card(name, cache_directory)


def notes(name: str) -> Notes:
    """What its makers have published, and what has to be known first; empty for other models of the hub.

    Raises:
        ModelError: Where there is none of that name.
    """
    _check(name)
    if name == nudenet.NAME:
        return nudenet.NOTES
    return nsfwjs.NOTES if name == nsfwjs.NAME else hub.NOTES.get(name, Notes(published=()))


def fetch(name: str, cache_directory: Path | None = None, from_file: Path | None = None) -> Path:
    """Make sure that a peer is on this machine.

    Args:
        name: As for `card`.
        cache_directory: Where weights are kept; None: the user's cache folder, for models of the hub its own.
        from_file: For nsfwjs: the npm package's tarball, or converted weights.

    Returns:
        Path of the weights.

    Raises:
        ModelError: Where it cannot be had. NudeNet is never fetched: the message says how to install it.
    """
    _check(name)
    if from_file is not None and name != nsfwjs.NAME:
        raise ModelError(
            f"{name}: a file is taken for {nsfwjs.NAME} alone; for the hub's, name the folder: hf:/PATH"
        )
    if name == nsfwjs.NAME:
        return nsfwjs.fetch(cache_directory, from_file)
    if name != nudenet.NAME:
        return hub.fetch(name, cache_directory).weights
    if (path := nudenet.graph_path()) is None:
        raise nudenet.missing()
    return path


def load(name: str, cache_directory: Path | None = None, threads: int = 0) -> Classifier:
    """Load a peer; asks no network.

    Args:
        name: As for `card`.
        cache_directory: As for `fetch`.
        threads: Threads of one prediction; 0 leaves the number to the library.

    Raises:
        ModelError: Where it is not here, is damaged, or a library is missing; the message says what to do.
    """
    _check(name)
    try:
        if name == nudenet.NAME:
            return nudenet.load(threads)
        if name == nsfwjs.NAME:
            return nsfwjs.load(cache_directory, threads)
        return hub.load(name, cache_directory, threads)
    except ModuleNotFoundError as error:
        raise ModelError(
            f"{name} needs the package {error.name}: python -m pip install 'commons-nsfw-bot[train]'"
        ) from error


def describe(name: str, cache_directory: Path | None = None) -> "ModelDescription":
    """Tell whether a peer can be used, as `catalogue.describe` does for our own models.

    Damage is found when it is loaded. The path of what was never fetched is the folder it would come to.

    Raises:
        ModelError: Where there is none of that name, or it is one of the hub that is not here yet and is not
            known beforehand.
    """
    from classifier.models.catalogue import ModelDescription

    found_card = card(name, cache_directory)
    path = _path(name, cache_directory)
    if path is None or not path.is_file():
        return ModelDescription(found_card, weights.directory(cache_directory), "missing", None)
    return ModelDescription(found_card, path, "ready", path.stat().st_size)


def _path(name: str, cache_directory: Path | None) -> Path | None:
    if name == nudenet.NAME:
        return nudenet.graph_path()
    if name == nsfwjs.NAME:
        return weights.directory(cache_directory) / nsfwjs.SOURCE.filename
    if not hub.is_installed():
        return None
    files = hub.find(name, cache_directory)
    return None if files is None else files.weights


def _check(name: str) -> None:
    if not is_peer(name):
        raise ModelError(f"unknown peer {name!r}; known: {', '.join(names())}, and hf:OWNER/NAME@COMMIT")


__all__ = ["card", "describe", "fetch", "is_peer", "load", "names", "notes"]
