"""A machine without torch: `requirements-light.txt` in a fresh environment, and a model exported elsewhere.

The tests' own environment exports the model and plays the wiki; everything else runs in the new one, with a
cache of its own, from the bundle to the report of a daemon.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.demo import CORPUS, compare
from bot.minicommons.corpus import prepare_corpus
from bot.minicommons.server import MiniCommons
from bot.settings import ROOT
from tests.daemon_process import read_store, settings_values, write_config
from tests.light_process import DECODERS, MODEL_LIBRARIES, Recorded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ENGINE = "onnxruntime-fp32"
NAMES = (
    "jpeg-baseline",
    "jpeg-progressive",
    "png-alpha",
    "gif",
    "webp",
    "vp9",
    "opus",
    "positive",
    "positive-png",
)
"""Specimens of every decoder, and two that must be flagged."""
UNREACHABLE = ("Could not find a version", "No matching distribution", "Temporary failure in name resolution")


class Machine:
    """An environment of its own: interpreter, home and cache.

    Args:
        folder: Where all of it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "venv" / "bin" / "python"
        self.environment = {
            "PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "LANG": "C.UTF-8",
            "COLUMNS": "200",
        }

    def install(self) -> None:
        """Make the environment, or end the test with the reason why it cannot be had."""
        subprocess.run([sys.executable, "-m", "venv", self.python.parents[1]], check=True)
        requirements = ["--requirement", str(ROOT / "requirements-light.txt")]
        # With the operator's own settings of pip: index, proxy, certificates.
        installed = subprocess.run(
            [self.python, "-m", "pip", "install", "--quiet", "--no-compile", *requirements],
            capture_output=True,
            text=True,
            check=False,
        )
        if installed.returncode == 0:
            return
        if any(words in installed.stderr for words in UNREACHABLE) and not os.environ.get("CI"):
            pytest.skip(f"no package index from here: {installed.stderr.strip().splitlines()[-1]}")
        pytest.fail(installed.stderr)

    def start(self, *arguments: str) -> Recorded:
        """Start a command of the bot."""
        return Recorded(self.folder, *arguments, python=self.python, environment=self.environment)

    def bot(self, *arguments: str, code: int = 0) -> str:
        """Run a command of the bot, hold that it has loaded nothing heavy, and return what it printed."""
        command = self.start(*arguments)
        assert command.ended(code) & MODEL_LIBRARIES <= {"onnxruntime"}
        return command.output() + command.errors()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine on which everything is installed but no model."""
    machine = Machine(tmp_path_factory.mktemp("light"))
    machine.install()
    return machine


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as the tests' own environment exports it."""
    path = tmp_path_factory.mktemp("bundle") / "open_nsfw.zip"
    command = [sys.executable, "-m", "bot", "models", "export", "open_nsfw"]
    library, precision = ENGINE.split("-")
    command += ["--engine", library, "--precision", precision, "--output", str(path)]
    exported = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert exported.returncode == 0, exported.stderr
    return path


@pytest.fixture(scope="module")
def machine(bare: Machine, bundle: Path) -> Machine:
    """A machine that has been given the model."""
    bare.bot("models", "fetch", "open_nsfw", "--from", str(bundle))
    return bare


@pytest.fixture(scope="module")
def commons() -> Iterator[MiniCommons]:
    with MiniCommons(prepare_corpus(CORPUS, NAMES)) as server:
        yield server


@pytest.fixture
def config(tmp_path: Path, commons: MiniCommons) -> Path:
    return write_config(
        tmp_path / "bot.toml", settings_values(commons, tmp_path, classifier={"engine": ENGINE})
    )


def test_torch_is_not_there_and_what_is_there_fits_together(bare: Machine) -> None:
    program = "import importlib.util as u, sys; sys.exit(any(u.find_spec(n) for n in sys.argv[1:]))"
    heavy = sorted(MODEL_LIBRARIES - {"onnxruntime"})
    subprocess.run([bare.python, "-c", program, *heavy], check=True, cwd=bare.folder)
    subprocess.run([bare.python, "-m", "pip", "check"], check=True)


def test_without_an_exported_model_the_way_to_one_is_told(
    bare: Machine, config: Path, tmp_path: Path
) -> None:
    empty = {**bare.environment, "XDG_CACHE_HOME": str(tmp_path)}
    for arguments in (("models", "fetch", "open_nsfw"), ("run",)):
        command = Recorded(
            tmp_path, *arguments, "--config", str(config), python=bare.python, environment=empty
        )
        command.ended(3)
        assert "python -m bot models export" in command.errors()
        assert "Traceback" not in command.errors()


def test_check_config_finds_a_model_and_every_decoder(machine: Machine, config: Path) -> None:
    assert ENGINE in machine.bot("check-config", "--offline", "--config", str(config))


def test_a_file_is_scored_as_it_is_where_the_model_was_exported(machine: Machine, tmp_path: Path) -> None:
    config = write_config(tmp_path / "bot.toml", {"classifier": {"engine": ENGINE}})
    pictures = [str(path) for path in sorted((CORPUS / "positive").glob("*.jpg"))]
    pictures += [str(path) for path in sorted((CORPUS / "jpeg-baseline").glob("*.jpg"))]
    assert len(pictures) > 1
    arguments = ("classify", *pictures, "--json", "--config", str(config))
    here = Recorded(tmp_path, *arguments)
    here.ended()
    wanted = [json.loads(line) for line in here.output().splitlines()]
    command = machine.start(*arguments)
    command.ended()
    found = [json.loads(line) for line in command.output().splitlines()]
    assert {one["label"] for one in found} == {"sfw", "nsfw"}
    assert [one["score"] for one in found] == pytest.approx([one["score"] for one in wanted], abs=1e-5)


def test_a_daemon_scores_uploads_as_planned_and_writes_its_report(
    machine: Machine, config: Path, commons: MiniCommons, tmp_path: Path
) -> None:
    daemon = machine.start("run", "--config", str(config))
    assert commons.wait_for_stream(100), daemon.errors()
    commons.publish_corpus()
    planned = len(commons.plan().outcomes)
    report = tmp_path / "report" / "index.html"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert daemon.process.poll() is None, daemon.errors()
        outcomes = read_store(f"sqlite:///{tmp_path / 'bot.sqlite3'}")[1]
        if len(outcomes) == planned and report.exists() and "Striped gradient.png" in report.read_text():
            break
        time.sleep(0.3)
    daemon.process.send_signal(signal.SIGTERM)
    loaded = daemon.ended()
    assert compare(commons.plan(), outcomes) == []
    assert "Striped gradient.png" in report.read_text()
    assert loaded & MODEL_LIBRARIES == {"onnxruntime"}
    assert loaded & DECODERS == set()
