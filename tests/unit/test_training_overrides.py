"""Settings of the command line are checked exactly as those of a file."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.training import config as configs
from classifier.training import overrides
from classifier.training.errors import TrainingError

BASE = configs.parse({"name": "a", "model": {"name": "resnet50"}}, "here")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("optimizer.rate=0.1", ("optimizer.rate", 0.1)),
        ("optimizer.name=sgd", ("optimizer.name", "sgd")),
        ('optimizer.name = "sgd"', ("optimizer.name", "sgd")),
        ("data.classes=['a', 'b']", ("data.classes", ["a", "b"])),
        ("training.deterministic=false", ("training.deterministic", False)),
        ("data.manifest=/x/a=b.csv", ("data.manifest", "/x/a=b.csv")),
    ],
)
def test_a_value_is_toml_or_else_text(setting: str, expected: tuple[str, Any]) -> None:
    assert overrides.parse(setting) == expected


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    key, _, value = (part.strip() for part in text.partition("="))
    if key and value:
        assert overrides.parse(text)[0] == key
        return
    with pytest.raises(TrainingError, match=r"section\.key=value"):
        overrides.parse(text)


def test_settings_are_laid_over_the_rest() -> None:
    changed = overrides.applied(
        BASE, {"optimizer.rate": 0.1, "model.dropout": 0.5, "name": "b", "data.manifest": "m.csv"}, "--set"
    )
    assert (changed.optimizer.rate, changed.architecture.dropout, changed.name) == (0.1, 0.5, "b")
    assert changed.architecture.name == "resnet50"
    assert changed.data.manifest == str(Path("m.csv").absolute())
    assert BASE.optimizer.rate == 0.003


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("optimizer.speed", 1, "--set: optimizer.speed: unknown key"),
        ("optimiser.rate", 1, "--set: optimiser: unknown key"),
        ("optimizer.rate", -1, "--set: optimizer.rate: "),
        ("optimizer", 1, "--set: optimizer: is a section"),
        ("name.first", 1, "--set: name.first: name is a value"),
        ("model.dropout", 2.0, "--set: model: dropout has to be"),
    ],
)
def test_what_is_wrong_is_told_with_its_key(key: str, value: Any, told: str) -> None:
    with pytest.raises(TrainingError) as caught:
        overrides.applied(BASE, {key: value}, "--set")
    assert str(caught.value).startswith(told)
