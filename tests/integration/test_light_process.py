"""With a light engine, no command loads torch or any other model library but the engine's own."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bot.demo import CORPUS
from bot.minicommons.corpus import prepare_corpus
from bot.minicommons.recipes import SMALL
from bot.minicommons.server import MiniCommons
from classifier import predict
from tests.daemon_process import read_store, settings_values, write_config
from tests.light_process import DECODERS, MODEL_LIBRARIES, Recorded

pytestmark = pytest.mark.slow

ENGINES = ["onnxruntime-fp32", "openvino-fp32"]
UPLOADS = 12


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """An engine whose model is in the cache: exporting it, at the first use, needs torch."""
    name = str(request.param)
    predict.load("open_nsfw", name)
    return name


def library_of(engine: str) -> str:
    return engine.partition("-")[0]


@pytest.fixture
def config(tmp_path: Path, engine: str) -> Path:
    return write_config(tmp_path / "bot.toml", values_for(tmp_path, engine))


def values_for(folder: Path, engine: str) -> dict[str, Any]:
    """A configuration that keeps everything in one folder; its wiki cannot be reached."""
    return {
        "identity": {"contact": "tests@localhost.invalid"},
        "wiki": {"api_url": "http://127.0.0.1:9/w/api.php"},
        "api": {"max_attempts": 1},
        "classifier": {"engine": engine},
        "store": {"url": f"sqlite:///{folder / 'bot.sqlite3'}"},
        "media": {"directory": str(folder / "media")},
        "report": {"directory": str(folder / "report")},
        "decode": {"workers": 1},
    }


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("--help",), 0),
        (("status", "--json"), 0),
        (("models", "list"), 0),
        (("setup-wiki",), None),  # fails: there is no wiki; by then it has imported everything
        (("run",), 4),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_command_that_needs_no_model_loads_no_model_library(
    tmp_path: Path, command: tuple[str, ...], code: int | None
) -> None:
    config = write_config(tmp_path / "bot.toml", values_for(tmp_path, "onnxruntime-int8"))
    arguments = command if command == ("--help",) else (*command, "--config", str(config))
    assert Recorded(tmp_path, *arguments).ended(code) & MODEL_LIBRARIES == set()


def test_classify_loads_the_engines_library_alone(tmp_path: Path, config: Path, engine: str) -> None:
    picture = tmp_path / "grey.png"
    Image.fromarray(np.full((240, 320, 3), 128, dtype=np.uint8)).save(picture)
    command = Recorded(tmp_path, "classify", str(picture), "--json", "--config", str(config))
    loaded = command.ended()
    assert json.loads(command.output())["label"] == "sfw"
    assert loaded & MODEL_LIBRARIES == {library_of(engine)}


def test_check_config_loads_the_engines_library_alone_and_names_the_engine(
    tmp_path: Path, config: Path, engine: str
) -> None:
    environment = {**os.environ, "COLUMNS": "200"}
    command = Recorded(
        tmp_path, "check-config", "--offline", "--config", str(config), environment=environment
    )
    assert command.ended() & MODEL_LIBRARIES == {library_of(engine)}
    assert engine in command.output()


def test_a_daemon_that_scores_loads_the_engines_library_alone_and_no_decoder(
    tmp_path: Path, engine: str
) -> None:
    with MiniCommons(prepare_corpus(CORPUS, SMALL)) as commons:
        values = settings_values(commons, tmp_path, classifier={"engine": engine})
        config = write_config(tmp_path / "bot.toml", values)
        daemon = Recorded(tmp_path, "run", "--config", str(config))
        assert commons.wait_for_stream(100), daemon.errors()
        commons.publish_many(UPLOADS, rate_per_s=20)
        deadline = time.monotonic() + 100
        while time.monotonic() < deadline:
            assert daemon.process.poll() is None, daemon.errors()
            if len(read_store(values["store"]["url"])[1]) == UPLOADS:
                break
            time.sleep(0.2)
        daemon.process.send_signal(signal.SIGTERM)
        loaded = daemon.ended()
    _, outcomes = read_store(values["store"]["url"])
    assert [outcome.label for outcome in outcomes] == ["sfw"] * UPLOADS
    assert loaded & MODEL_LIBRARIES == {library_of(engine)}
    # Pictures and videos are decoded by the workers; here the decoders would only cost memory.
    assert loaded & DECODERS == set()
