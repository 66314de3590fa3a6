"""How far the converted nsfwjs lies from nsfwjs itself on TensorFlow.js, on pictures of nothing.

Both score the same arrays of 224x224 (that is the network alone, and has to agree within 3e-5), and the same
whole pictures (which adds the resizing: once with fractions of a grey level kept, as nsfwjs does, and once
rounded, as this project's arrays are). nsfwjs and TensorFlow.js are installed with npm into a temporary
folder, from whatever registry npm is set up for; nothing of them stays.

    python -m benchmarks.nsfwjs_parity [--pictures 24] [--seed 7]
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from classifier.engines.procedural import picture
from classifier.peers import nsfwjs
from classifier.peers.grouped_logits import GroupedLogits
from classifier.peers.preparing import CornersV1
from classifier.values import Pixels

PACKAGES = ("@tensorflow/tfjs@4.22.0", "buffer@6.0.3", nsfwjs.SOURCE.requirement)
TOLERANCE = 3e-5
_SCRIPT = Path(__file__).with_suffix(".mjs")


@dataclass(frozen=True, slots=True)
class Parity:
    """The largest differences of a probability, over all pictures and the five classes.

    Attributes:
        pictures: How many were compared.
        network: On equal arrays of 224x224.
        resized: On whole pictures, with our resizing and no rounding.
        rounded: On whole pictures as this project prepares them; of the score, not of single classes.
        scores: The least and the largest score, to see that they are not all alike.
    """

    pictures: int
    network: float
    resized: float
    rounded: float
    scores: tuple[float, float]


def measure(count: int, seed: int, folder: Path) -> Parity:
    """Score pictures both ways.

    Args:
        count: How many pictures.
        seed: Of the set.
        folder: Empty; packages and pictures are laid into it.

    Returns:
        The differences.
    """
    _install(folder)
    way = CornersV1()
    whole = [picture(seed, index) for index in range(count)]
    small = np.stack([way.prepare_array(pixels, "rgb") for pixels in whole])
    theirs = _theirs([*small, *whole], folder)
    nsfwjs.fetch()
    network = nsfwjs.load().network
    assert isinstance(network, GroupedLogits)
    mine = _probabilities(network, small.astype(np.float32))
    kept = _probabilities(network, np.stack([way.unrounded(pixels) for pixels in whole]))
    scored = [nsfwjs.CLASSES.index(name) for name in nsfwjs.SCORED]
    scores = mine[:, scored].sum(axis=1)
    return Parity(
        pictures=count,
        network=float(np.abs(mine - theirs[:count]).max()),
        resized=float(np.abs(kept - theirs[count:]).max()),
        rounded=float(np.abs(scores - theirs[count:][:, scored].sum(axis=1)).max()),
        scores=(float(scores.min()), float(scores.max())),
    )


def _install(folder: Path) -> None:
    if (npm := shutil.which("npm")) is None or shutil.which("node") is None:
        raise SystemExit("node and npm are needed; Debian has them as nodejs and npm")
    (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
    command = [npm, "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", *PACKAGES]
    subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)


def _theirs(pictures: Sequence[Pixels], folder: Path) -> NDArray[np.float64]:
    """Probabilities (n, 5) by nsfwjs; about four seconds a picture, so progress is shown."""
    listed = []
    for number, pixels in enumerate(pictures):
        (folder / f"{number}.rgb").write_bytes(pixels.tobytes())
        listed.append({"file": f"{number}.rgb", "height": pixels.shape[0], "width": pixels.shape[1]})
    (folder / "pictures.json").write_text(json.dumps(listed), encoding="utf-8")
    command = ["node", str(_SCRIPT), str(folder)]
    with (
        Progress(console=Console(stderr=True)) as progress,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process,
    ):
        bar = progress.add_task("nsfwjs", total=len(pictures))
        assert process.stdout is not None
        for line in process.stdout:
            progress.advance(bar, line.startswith("done "))
    if process.returncode:
        raise SystemExit(f"node ended with {process.returncode}; try: {' '.join(command)}")
    return np.array(json.loads((folder / "probabilities.json").read_text(encoding="utf-8")))


def _probabilities(network: GroupedLogits, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.inference_mode():
        logits = network.logits(torch.from_numpy(pixels).permute(0, 3, 1, 2))
        found: NDArray[np.float32] = torch.softmax(logits, dim=1).numpy()
    return found


def main() -> None:
    """Measure, print the table, and the figures as JSON on the last line; fails beyond the tolerance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nsfwjs-parity-") as folder:
        found = measure(arguments.pictures, arguments.seed, Path(folder))
    table = Table("compared", "largest difference", title=f"nsfwjs, {found.pictures} pictures")
    table.add_row("network alone, per class", f"{found.network:.2g}")
    table.add_row("whole picture, fractions kept, per class", f"{found.resized:.2g}")
    table.add_row("whole picture as prepared here, score", f"{found.rounded:.2g}")
    Console(stderr=True).print(table)
    figures = {
        "pictures": found.pictures,
        "network": found.network,
        "resized": found.resized,
        "rounded": found.rounded,
        "scores": found.scores,
        "packages": PACKAGES,
    }
    print(json.dumps({"benchmark": "nsfwjs_parity", "figures": figures}))
    if max(found.network, found.resized) > TOLERANCE:
        raise SystemExit(f"beyond the tolerance of {TOLERANCE}")


if __name__ == "__main__":
    main()
