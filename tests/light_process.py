"""A command of the bot in a process that writes down, when it ends, what it has imported.

The daemon may run in the tests' own environment or in another one: only its Python is named.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from bot.settings import ROOT

MODEL_LIBRARIES = {"torch", "torchvision", "safetensors", "onnx", "onnxruntime", "openvino", "scipy", "sympy"}
DECODERS = {"cv2", "av"}

_RECORDER = """
import atexit, json, sys
target = sys.argv.pop(1)
def record():
    with open(target, "w") as file:
        json.dump(sorted({name.partition(".")[0] for name, module in sys.modules.items() if module}), file)
atexit.register(record)
from bot.cli import main
main()
"""


class Recorded:
    """A process of the bot.

    Args:
        folder: Where what it prints and what it imported are kept.
        arguments: Of `python -m bot`.
        python: The interpreter; None: the one that runs the tests.
        environment: All environment variables; None: those of the tests.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        python: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._modules = folder / f"modules-{time.monotonic_ns()}.json"
        self._output = folder / f"output-{time.monotonic_ns()}.txt"
        self._errors = self._output.with_suffix(".err")
        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [python or sys.executable, "-c", _RECORDER, self._modules, *arguments],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )

    def output(self) -> str:
        """What it has printed so far."""
        return self._output.read_text()

    def errors(self) -> str:
        """What it has written to its standard error so far."""
        return self._errors.read_text()

    def ended(self, code: int | None = 0, timeout_s: float = 120) -> set[str]:
        """Wait for its end.

        Args:
            code: The exit code that it must have; None: any.
            timeout_s: How long to wait.

        Returns:
            The top-level names of everything that it had imported.
        """
        found = self.process.wait(timeout_s)
        assert code is None or found == code, f"exit code {found}\n{self.output()}\n{self.errors()}"
        return set(json.loads(self._modules.read_text()))
