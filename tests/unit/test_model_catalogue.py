"""What the catalogue says about its models."""

import subprocess
import sys
from pathlib import Path

import pytest

from classifier import preprocess
from classifier.errors import ModelError
from classifier.models import catalogue


def test_the_default_model_is_known() -> None:
    assert catalogue.DEFAULT_MODEL in catalogue.known()


@pytest.mark.parametrize("name", catalogue.known())
def test_every_card_is_complete(name: str) -> None:
    card = catalogue.card(name)
    assert card.name == name
    assert card.input_px == preprocess.get(card.preprocessing).input_px
    assert 0 < card.thresholds["sensitive"] < card.thresholds["balanced"] < card.thresholds["cautious"] < 1
    assert card.licence
    assert card.source
    assert card.failure_modes
    assert card.weights_sha256 == catalogue.weights_source(name).safetensors_sha256


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    for ask in (catalogue.card, catalogue.describe, catalogue.fetch, catalogue.load):
        with pytest.raises(ModelError, match=r"unknown model 'mobilenot'.*open_nsfw"):
            ask("mobilenot")


def test_listing_models_does_not_import_torch() -> None:
    code = "import sys; from classifier.models import catalogue as c; c.describe('open_nsfw')"
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_missing_weights_are_described_and_loading_them_says_what_to_do(tmp_path: Path) -> None:
    description = catalogue.describe("open_nsfw", tmp_path)
    assert (description.state, description.size_bytes) == ("missing", None)
    with pytest.raises(ModelError, match="python -m bot models fetch open_nsfw"):
        catalogue.load("open_nsfw", tmp_path)


def test_damaged_weights_are_described(tmp_path: Path) -> None:
    (tmp_path / catalogue.weights_source("open_nsfw").filename).write_bytes(b"short")
    description = catalogue.describe("open_nsfw", tmp_path)
    assert (description.state, description.size_bytes) == ("damaged", 5)
