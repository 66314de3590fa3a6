"""Image classifiers from the Hugging Face hub: two files of one pinned revision, or of a local folder.

`config.json` and `model.safetensors` are all that is ever fetched or opened. Weights in the form of pickles
can run code when they are opened, and code that comes with a repository does run: neither is touched.
"""

import hashlib
import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from classifier.errors import ModelError, ModelUnreachable
from classifier.peers import timm_config
from classifier.peers.published import Notes, PublishedNumber
from classifier.values import Level, ModelCard

if TYPE_CHECKING:
    from classifier.engines.torch_engine import TorchEngine

PREFIX = "hf:"
MARQO = "hf:Marqo/nsfw-image-detection-384@0c26ec22111b83f106d72a55f611ec35962bcb65"
"""The one that is known beforehand: the newest revision when this was written."""
_CONFIG, _WEIGHTS = "config.json", "model.safetensors"
_PICKLES = ("pytorch_model.bin", "model.bin", "model.pt", "model.pth", "model.ckpt")
_NAME = re.compile(r"hf:([\w][\w.-]*/[\w][\w.-]*)@([0-9a-f]{40})", re.ASCII)
_UNPINNED = re.compile(r"hf:[\w][\w.-]*/[\w][\w.-]*(@.*)?", re.ASCII)
_FOLDER_STARTS = ("/", "./", "../", "~")
_SHA256 = re.compile(r"[0-9a-f]{64}")

_THRESHOLDS: dict[Level, float] = {"cautious": 0.9, "balanced": 0.7, "sensitive": 0.5}
"""No repository publishes any; choose from `evaluate` on pictures of one's own."""
_UNKNOWN_FAILURES = (
    "Somebody else's model of which nothing is known here: read the repository's own card.",
    "Changes that people hardly see can move a score; single frames are judged, without context.",
)
_MARQO_FAILURES = (
    "The training and test pictures are proprietary; what counts as NSFW is their makers' view, and 'may not "
    "be 100% aligned with every use case', says its card.",
    "The centre square alone is seen: what lies at the ends of a long or tall picture is missed.",
    "Its card tells nothing about groups of people, skin tones, art or medicine; errors there have to be "
    "expected.",
    "Changes that people hardly see can move a score; single frames are judged, without context.",
)
_MARQO_SHA256 = "6bf2e0f64a1d20169736c2836e3a787b12379fdc08ba87f7d94a7a3d58eeefce"
"""As two other projects that pin this file have recorded it; a file with another hash is refused."""

MARQO_CARD = ModelCard(
    name=MARQO,
    architecture="vit_tiny_patch16_384 (timm), 5.6 M parameters",
    weights_sha256=_MARQO_SHA256,
    preprocessing="centre-crop-v1@384:384:bicubic",
    input_px=384,
    thresholds=_THRESHOLDS,
    licence="Apache-2.0",
    source="https://huggingface.co/Marqo/nsfw-image-detection-384",
    failure_modes=_MARQO_FAILURES,
)
NOTES = {
    MARQO: Notes(
        published=(
            PublishedNumber(
                what="98.56 % accuracy",
                source="the repository's model card",
                measured_on="their own proprietary test set, 10,000 NSFW and 10,000 SFW pictures (photos, "
                "drawings, Rule 34, memes, AI-generated)",
            ),
        )
    )
}
_CARDS = {MARQO: MARQO_CARD}


@dataclass(frozen=True, slots=True)
class Repository:
    """Where a model's files come from.

    Attributes:
        name: As the model is asked for.
        repository: Owner and name on the hub; empty for a local folder.
        revision: Full commit; empty for a local folder.
        folder: The local folder, else None.
    """

    name: str
    repository: str = ""
    revision: str = ""
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Files:
    """The two files.

    Attributes:
        config: `config.json`.
        weights: `model.safetensors`.
    """

    config: Path
    weights: Path


def parse(name: str) -> Repository:
    """Read the name of a model of the hub.

    Args:
        name: `hf:OWNER/NAME@COMMIT` with all 40 digits of the commit, or `hf:` and the path of a local folder
            that begins with `/`, `./`, `../` or `~`.

    Raises:
        ModelError: Where it is neither.
    """
    rest = name.removeprefix(PREFIX)
    if name.startswith(PREFIX) and rest.startswith(_FOLDER_STARTS):
        return Repository(name, folder=Path(rest).expanduser())
    if match := _NAME.fullmatch(name):
        return Repository(name, match[1], match[2])
    if _UNPINNED.fullmatch(name):
        raise ModelError(
            f"{name}: name the commit with all of its 40 digits, {PREFIX}OWNER/NAME@COMMIT; what a branch or "
            "a tag points to can change, and with it the scores"
        )
    raise ModelError(f"{name}: not {PREFIX}OWNER/NAME@COMMIT, nor {PREFIX} and the path of a folder")


def fetch(name: str, cache_directory: Path | None = None) -> Files:
    """Make sure that a model's files are on this machine.

    Where they are kept is the hub's own matter (`HF_HOME`), unless a folder is given. `HF_ENDPOINT` and
    `HF_HUB_OFFLINE` are obeyed.

    Args:
        name: As for `parse`.
        cache_directory: Where to keep them instead, in `huggingface/` below it.

    Raises:
        ModelUnreachable: Where the hub cannot be reached, or may not be.
        ModelError: Where there is no such model, or no safetensors file in it.
    """
    repository = parse(name)
    if repository.folder is not None:
        return _local(repository.folder)
    return Files(*(_download(repository, file, cache_directory) for file in (_CONFIG, _WEIGHTS)))


def find(name: str, cache_directory: Path | None = None) -> Files | None:
    """The model's files where they are on this machine already, else None; asks no network.

    Raises:
        ModelError: Where the name is none of a model, or a local folder lacks a file.
    """
    repository = parse(name)
    if repository.folder is not None:
        return _local(repository.folder)
    hub = _import_hub()
    found: list[Path] = []
    for file in (_CONFIG, _WEIGHTS):
        path = hub.try_to_load_from_cache(
            repository.repository, file, cache_dir=_folder(cache_directory), revision=repository.revision
        )
        if not isinstance(path, str):
            return None
        found.append(Path(path))
    return Files(*found)


def card(name: str, cache_directory: Path | None = None) -> ModelCard:
    """A model's card; of one that is not known beforehand, made from its files.

    Raises:
        ModelError: Where its files are not here or cannot be read.
    """
    return _CARDS[name] if name in _CARDS else _read(name, cache_directory)[0]


def load(name: str, cache_directory: Path | None = None, threads: int = 0) -> "TorchEngine":
    """Load a model; asks no network.

    Args:
        name: As for `parse`.
        cache_directory: As for `fetch`.
        threads: As for `TorchEngine`.

    Raises:
        ModelError: Where its files are not here, are damaged, or leave open what has to be known.
    """
    found, config, content = _read(name, cache_directory)
    from classifier.peers import timm_network

    return timm_network.load(content, config, found, threads)


def _read(name: str, cache_directory: Path | None) -> tuple[ModelCard, timm_config.TimmConfig, bytes]:
    files = find(name, cache_directory)
    if files is None:
        raise ModelError(f"{name} is not here yet. Run: python -m bot models fetch {name}")
    try:
        config = timm_config.parse(files.config.read_bytes(), str(files.config))
        content = files.weights.read_bytes()
    except OSError as error:
        raise ModelError(f"{error.filename}: cannot be read: {error}") from error
    digest = hashlib.sha256(content).hexdigest()
    # The hub names what it has downloaded by its hash, which the commit in the model's name stands for.
    stored = files.weights.resolve().name
    expected = (
        _CARDS[name].weights_sha256 if name in _CARDS else stored if _SHA256.fullmatch(stored) else digest
    )
    if digest != expected:
        raise ModelError(
            f"{files.weights}: SHA-256 {digest}, expected {expected}: the file is damaged or was changed. "
            f"Delete it and run: python -m bot models fetch {name}"
        )
    return _made_card(name, config, digest), config, content


def _made_card(name: str, config: timm_config.TimmConfig, digest: str) -> ModelCard:
    known = _CARDS.get(name)
    repository = parse(name).repository
    return ModelCard(
        name=name,
        architecture=known.architecture if known else f"{config.architecture} (timm)",
        weights_sha256=digest,
        preprocessing=config.preprocessing,
        input_px=config.input_px,
        thresholds=_THRESHOLDS,
        licence=known.licence if known else "NOASSERTION",
        source=f"https://huggingface.co/{repository}" if repository else "a local folder",
        failure_modes=known.failure_modes if known else _UNKNOWN_FAILURES,
    )


def _local(folder: Path) -> Files:
    files = Files(folder / _CONFIG, folder / _WEIGHTS)
    if not files.config.is_file():
        raise ModelError(f"{files.config}: there is no such file")
    if not files.weights.is_file():
        found = next((name for name in _PICKLES if (folder / name).exists()), "")
        raise _no_safetensors(str(folder), found)
    return files


def _no_safetensors(where: str, found: str = "") -> ModelError:
    what = f"only {found}" if found else "nothing in that form"
    return ModelError(
        f"{where}: there is no {_WEIGHTS}, {what}. Other forms are pickles, which can run code when they are "
        "opened, and are refused; ask for a safetensors file, or convert it yourself where that does no harm"
    )


def _folder(cache_directory: Path | None) -> Path | None:
    return None if cache_directory is None else cache_directory / "huggingface"


def _download(repository: Repository, file: str, cache_directory: Path | None) -> Path:
    hub = _import_hub()
    errors = hub.errors
    where = f"{repository.repository}@{repository.revision}"
    try:
        path: str = hub.hf_hub_download(
            repository.repository,
            file,
            revision=repository.revision,
            cache_dir=_folder(cache_directory),
            endpoint=os.environ.get("HF_ENDPOINT"),
        )
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise ModelError(f"{where}: the hub has no such repository or revision, or not for you") from error
    except errors.LocalEntryNotFoundError as error:
        raise _unreachable(repository, error) from error
    except errors.EntryNotFoundError as error:
        raise _no_safetensors(where) if file == _WEIGHTS else ModelError(f"{where}: has no {file}") from error
    except (OSError, ValueError, errors.HTTPError) as error:
        raise _unreachable(repository, error) from error
    return Path(path)


def _unreachable(repository: Repository, error: Exception) -> ModelUnreachable:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ModelUnreachable(
        f"{repository.repository} cannot be fetched from the hub: {reason} Bring {_CONFIG} and {_WEIGHTS} of "
        f"revision {repository.revision} here in a folder, and ask for {PREFIX}/PATH/OF/THE/FOLDER"
    )


def is_installed() -> bool:
    """Whether the hub's library is here; imports nothing."""
    return importlib.util.find_spec("huggingface_hub") is not None


def _import_hub() -> ModuleType:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ModuleNotFoundError as error:
        raise ModelError(
            f"models of the Hugging Face hub need the package {error.name}: "
            "python -m pip install 'commons-nsfw-bot[train]'"
        ) from error
    return huggingface_hub


__all__ = [
    "MARQO",
    "MARQO_CARD",
    "NOTES",
    "PREFIX",
    "Files",
    "Repository",
    "card",
    "fetch",
    "find",
    "is_installed",
    "load",
    "parse",
]
