"""Models that were trained here and added under a name: what is kept of them, beside the published weights.

Two files each, and the second makes the first count: `NAME-<hash>.safetensors`, named after its content, and
`added/NAME.json`, replaced with one rename. Whoever is killed between the two leaves the model as it was. The
record holds card and architecture, so that listing and scoring with an exported graph need no torch.
"""

import logging
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import filelock
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from classifier import atomic_file, preprocess
from classifier.errors import ModelError
from classifier.models import weights
from classifier.models.model_config import ModelConfig
from classifier.models.weights import WeightsSource
from classifier.values import ModelCard

_log = logging.getLogger(__name__)

_VERSION: Final = 1
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_FIELD = 128
"""The store keeps so many characters of a model's architecture and preprocessing."""
_LOCK_TIMEOUT_S = 120
_CARD = TypeAdapter(ModelCard)


class AddedModel(BaseModel):
    """The content of a record.

    Attributes:
        added: Version of this form.
        card: Who makes the scores.
        config: What the network is made of, as `ModelConfig.to_values` gives it.
        run: What `run.json` said, for whoever wants to know where the model comes from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    added: int = Field(default=_VERSION, ge=_VERSION, le=_VERSION)
    card: ModelCard
    config: Mapping[str, Any]
    run: Mapping[str, Any]

    @property
    def architecture(self) -> ModelConfig:
        """What the network is made of."""
        return ModelConfig.from_values(self.config)

    @property
    def weights(self) -> WeightsSource:
        """Its file, and the hash that this must have."""
        digest = self.card.weights_sha256
        return WeightsSource(self.card.name, digest, f"{self.card.name}-{digest[:12]}.safetensors")


def names(cache_directory: Path | None = None) -> tuple[str, ...]:
    """The names of all added models, sorted; those whose record is damaged too."""
    return tuple(sorted(path.stem for path in _folder(cache_directory).glob("*.json") if _safe(path.stem)))


def find(name: str, cache_directory: Path | None = None) -> AddedModel | None:
    """Read a model's record.

    Args:
        name: Its name.
        cache_directory: Where weights are kept; None: the user's cache folder.

    Returns:
        The record; None where no model was added under that name.

    Raises:
        ModelError: Where the record is damaged.
    """
    if not _safe(name):
        return None
    path = _path(name, cache_directory)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        model = AddedModel.model_validate_json(content)
        _check(model, name)
    except (ValidationError, ModelError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"{path}: is not the record of a model: {reason}. Run: python -m bot models remove {name}"
        ) from error
    return model


def put(
    model: AddedModel,
    content: bytes,
    *,
    reserved: Collection[str],
    replace: bool = False,
    cache_directory: Path | None = None,
) -> Path:
    """Keep a model; one that is there already and equal is only repaired.

    Args:
        model: Its record.
        content: Its safetensors file; the caller has verified its hash.
        reserved: Names that are taken.
        replace: Whether another model of that name is replaced.
        cache_directory: Where weights are kept; None: the user's cache folder.

    Returns:
        Path of the weights.

    Raises:
        ModelError: Where the name is taken or not safe, another model has it, or the folder cannot be
            written.
    """
    name = model.card.name
    check_name(name, reserved)
    _check(model, name)
    directory = weights.directory(cache_directory)
    target = directory / model.weights.filename
    with _locked(cache_directory):
        before = _readable(name, cache_directory)
        taken = _path(name, cache_directory).exists() and before != model
        if taken and not replace:
            raise ModelError(
                f"another model, or another card of it, was added as {name}: choose another name (--name), "
                "or replace it (--replace)"
            )
        if taken:
            _forget_exports(name, directory)
        atomic_file.write(target, content, atomic_file.SHARED)
        record = model.model_dump_json(indent=1).encode() + b"\n"
        atomic_file.write(_path(name, cache_directory), record, atomic_file.SHARED)
        _forget_weights(name, directory, keep=target)
    _log.info("model_added", extra={"model": name, "sha256": model.card.weights_sha256})
    return target


def remove(name: str, cache_directory: Path | None = None) -> None:
    """Forget a model with its weights and whatever was exported from it.

    Args:
        name: Its name.
        cache_directory: Where weights are kept; None: the user's cache folder.

    Raises:
        ModelError: Where none was added under that name, or the folder cannot be written.
    """
    if not _safe(name) or not _path(name, cache_directory).exists():
        known = ", ".join(names(cache_directory)) or "none"
        raise ModelError(f"no model was added as {name!r}; added here: {known}")
    directory = weights.directory(cache_directory)
    with _locked(cache_directory):
        _path(name, cache_directory).unlink(missing_ok=True)
        _forget_weights(name, directory)
        _forget_exports(name, directory)
    _log.info("model_removed", extra={"model": name})


def check_name(name: str, reserved: Collection[str]) -> None:
    """Refuse a name that is taken, or is no safe name of a file.

    Raises:
        ModelError: The reason.
    """
    if not _safe(name):
        raise ModelError(
            f"{name!r} cannot be a model's name: 1 to 64 letters, digits, '.', '_' and '-', with a letter or "
            "digit at both ends (--name chooses another one)"
        )
    # Some disks do not tell upper from lower case.
    if name.lower() in {other.lower() for other in reserved}:
        raise ModelError(f"{name} is a model of the catalogue: choose another name (--name)")


def _safe(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def _folder(cache_directory: Path | None) -> Path:
    return weights.directory(cache_directory) / "added"


def _path(name: str, cache_directory: Path | None) -> Path:
    return _folder(cache_directory) / f"{name}.json"


def _readable(name: str, cache_directory: Path | None) -> AddedModel | None:
    try:
        return find(name, cache_directory)
    except ModelError:
        return None


def _check(model: AddedModel, name: str) -> None:
    """Refuse a record that contradicts itself or cannot be kept with a score."""
    card = model.card
    if card.name != name:
        raise ModelError(f"it is of the model {card.name!r}")
    if not _SHA256.fullmatch(card.weights_sha256):
        raise ModelError("its weights have no SHA-256")
    if preprocess.get(card.preprocessing).input_px != card.input_px:
        raise ModelError(f"{card.preprocessing} does not make pictures of {card.input_px} px")
    for what in ("architecture", "preprocessing"):
        if len(value := getattr(card, what)) > _MAX_FIELD:
            raise ModelError(f"its {what} is described in more than {_MAX_FIELD} characters: {value}")
    _ = model.architecture  # raises where it is none


@contextmanager
def _locked(cache_directory: Path | None) -> Iterator[None]:
    folder = _folder(cache_directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / ".lock", timeout=_LOCK_TIMEOUT_S):
            yield
    except filelock.Timeout as error:
        raise ModelError(f"{folder}/.lock: another process has held it for {_LOCK_TIMEOUT_S} s") from error
    except OSError as error:
        raise ModelError(f"{folder}: models cannot be kept there: {error}") from error


def _forget_weights(name: str, directory: Path, keep: Path | None = None) -> None:
    for path in directory.glob(f"{name}-{'?' * 12}.safetensors"):
        if path != keep:
            path.unlink(missing_ok=True)
            path.with_name(f"{path.name}.lock").unlink(missing_ok=True)


def _forget_exports(name: str, directory: Path) -> None:
    """What was compared at other thresholds, or made of other weights, is made again."""
    graph = re.compile(re.escape(name) + r"-[0-9a-f]{12}-(fp32|int8)-.*")
    pictures = re.compile(rf"sets-{re.escape(name)}-[0-9a-f]{{16}}\.npz")
    engines = directory / "engines"
    for path in list(engines.iterdir()) if engines.is_dir() else []:
        if graph.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)
        elif pictures.fullmatch(path.name):
            path.unlink(missing_ok=True)


__all__ = ["AddedModel", "check_name", "find", "names", "put", "remove"]
