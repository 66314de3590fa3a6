"""Other people's models through the doors that everybody uses: the catalogue, scoring, and the commands."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bot.cli import app
from classifier import predict
from classifier.engines import exporting
from classifier.engines.values import REFERENCE
from classifier.errors import ModelError
from classifier.models import catalogue
from classifier.peers import door
from tests.integration.test_peers_hub import files, laid
from tests.torch_threads import one_thread

__all__ = ["one_thread"]

pytestmark = pytest.mark.usefixtures("one_thread")


def test_models_list_shows_peers_as_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMONSBOT_CLASSIFIER__CACHE_DIRECTORY", str(tmp_path))
    shown = CliRunner().invoke(app, ["models", "list"])
    assert shown.exit_code == 0, shown.output
    for name in door.names():
        assert name[:12] in shown.stdout
        assert catalogue.describe(name, tmp_path).kind == "peer"
    assert shown.stdout.count("peer") >= len(door.names())


def test_a_peer_is_loaded_by_its_name_whatever_the_engine(tmp_path: Path) -> None:
    name = laid(tmp_path / "tiny", files())
    model = predict.load(name, "auto", cache_directory=tmp_path)
    side = model.card.input_px
    pixels = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), np.uint8)
    expected = door.load(name, tmp_path).predict(pixels)
    assert np.array_equal(np.asarray(model.predict(pixels)), np.asarray(expected))
    assert predict.provenance(model, tmp_path) == {}


def test_a_peer_is_not_exported_and_the_refusal_says_why(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nsfwjs is another project's model"):
        exporting.export("nsfwjs", REFERENCE, cache_directory=tmp_path)


def test_fetching_a_peer_that_is_never_fetched_says_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"AGPL-3.0.*pip install --no-deps nudenet"):
        catalogue.fetch("nudenet", tmp_path)
