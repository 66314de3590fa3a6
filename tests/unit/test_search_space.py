"""A search's file is checked wholly before anything starts, and draws by place alone."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.training.errors import TrainingError
from classifier.training.search import samplers, space
from classifier.training.search.space import Parameter

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted((ROOT / "config" / "search").glob("*.toml"))
HEAD = 'name = "x"\n[model]\nname = "squeezenet1_1"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "search.toml"
    path.write_text(HEAD + text)
    return path


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "search: the table is missing"),
        ("[search]", "search.space: Dictionary should have at least 1 item"),
        ("[search]\nsampel = 1", "search.sampel: unknown key"),
        ('[search]\nsampler = "luck"', "search.sampler: Input should be"),
        ("[search.space]\n'optimizer.rate' = 3", "search.space.optimizer.rate: has to be a table"),
        ("[search.space]\n'optimizer.rate' = {kind='float', low=0, high=1}", "optimizer.rate: "),
        ("[search.space]\n'optimizer.speed' = {kind='float', low=1, high=2}", "optimizer.speed: unknown key"),
        ("[search.space]\n'optimizer.rate' = {kind='log', low=0, high=1}", "needs more than 0"),
        ("[search.space]\n'optimizer.rate' = {kind='float', low=2, high=1}", "low below high"),
        ("[search.space]\n'optimizer.rate' = {kind='float', low=1, high=2, most=3}", "most: unknown key"),
        ("[search.space]\n'training.batch' = {kind='int', low=1.5, high=3}", "int has whole numbers"),
        (
            "[search.space]\n'training.batch' = {kind='int', low=1, high=8, step=4}",
            "no whole number of steps",
        ),
        ("[search.space]\n'optimizer.name' = {kind='categorical'}", "categorical needs choices"),
        (
            "[search.space]\n'optimizer.name' = {kind='categorical', choices=['adam', 'magic']}",
            "search.space: optimizer.name: ",
        ),
        ("[search.space]\n'training.seed' = {kind='int', low=0, high=9}", "all trials share it"),
        (
            "[search]\nsampler='grid'\n[search.space]\n'optimizer.rate' = {kind='log', low=1e-4, high=1}",
            "a grid needs points",
        ),
        ("[optimizer]\nspeed = 1\n[search.space]", "optimizer.speed: unknown key"),
        ("[search]\nbase = 'none.toml'", "none.toml: cannot be read"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_key(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(TrainingError) as caught:
        space.load(path)
    assert str(caught.value).startswith(str(tmp_path))
    assert told in str(caught.value)


def test_a_search_is_laid_over_its_base(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text('name = "base"\n[optimizer]\nrate = 0.5\n[data]\nmanifest = "m.csv"')
    keys = "[search.space]\noptimizer.weight_decay = {kind='log', low=1e-6, high=1e-2}"
    path = written(tmp_path, f"[training]\nepochs = 2\n[search]\nbase = 'base.toml'\n{keys}")
    found = space.load(path)
    assert (found.base.name, found.base.optimizer.rate, found.base.training.epochs) == ("x", 0.5, 2)
    assert found.base.data.manifest == str(tmp_path / "m.csv")
    assert list(found.space) == ["optimizer.weight_decay"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_is_shipped_can_be_searched(path: Path) -> None:
    found = space.load(path)
    assert found.base.model
    assert found.sampler == "random"


def test_the_proposals_network_is_searched_around_its_settings() -> None:
    found = space.load(ROOT / "config" / "search" / "resnet50.toml")
    assert found.base.architecture.name == "resnet50"
    assert (found.base.optimizer.rate, found.base.training.batch) == (0.003, 64)


def test_a_grid_has_every_point_once_and_never_leaves_the_range() -> None:
    rate = Parameter(kind="log", low=1e-3, high=1e-1, points=3)
    batch = Parameter(kind="int", low=4, high=12, step=4)
    assert batch.grid == (4, 8, 12)
    assert rate.grid is not None
    assert rate.grid == pytest.approx((1e-3, 1e-2, 1e-1))
    assert (rate.grid[0], rate.grid[-1]) == (1e-3, 1e-1)


def test_choices_may_be_lists() -> None:
    parameter = Parameter(kind="categorical", choices=([1, 2], [1, 2, 4], True, "1"))
    assert [parameter.value_of(label) for label in parameter.labels] == [[1, 2], [1, 2, 4], True, "1"]


@pytest.mark.parametrize("choices", [("a", "a"), (1, True), ([1], "[1]"), ()])
def test_choices_that_could_be_confused_are_refused(choices: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="each once"):
        Parameter(kind="categorical", choices=choices)


PARAMETERS: list[dict[str, Any]] = [
    {"kind": "float", "low": -1, "high": 0.5},
    {"kind": "float", "low": 0.1, "high": 0.7, "step": 0.2},
    {"kind": "log", "low": 1e-5, "high": 1e-1},
    {"kind": "int", "low": 3, "high": 9, "step": 3},
    {"kind": "categorical", "choices": ["a", "b", 3]},
]


def running(place: int) -> optuna.trial.FrozenTrial:
    state = optuna.trial.TrialState.RUNNING
    return optuna.trial.create_trial(state=state, user_attrs={"place": place})


@pytest.mark.parametrize("values", PARAMETERS, ids=lambda values: values["kind"])
@given(number=st.integers(0, 10_000), seed=st.integers(0, 2**32 - 1))
def test_random_values_are_in_range_and_depend_on_seed_and_place_alone(
    values: dict[str, Any], number: int, seed: int
) -> None:
    distribution = samplers.distribution_of(Parameter.model_validate(values))
    trial = running(number)
    study = optuna.create_study()
    drawn = [
        samplers.RandomByPlace(seed, "place").sample_independent(study, trial, "key", distribution)
        for _ in range(2)
    ]
    assert drawn[0] == drawn[1]
    assert distribution._contains(distribution.to_internal_repr(drawn[0]))


def test_random_values_cover_their_range() -> None:
    distribution = samplers.distribution_of(Parameter(kind="log", low=1e-4, high=1e-1))
    study = optuna.create_study()
    drawn = []
    for number in range(200):
        trial = running(number)
        drawn.append(samplers.RandomByPlace(0, "place").sample_independent(study, trial, "key", distribution))
    thirds = [sum(low <= value < low * 10 for value in drawn) for low in (1e-4, 1e-3, 1e-2)]
    assert min(thirds) > 40
    assert len(set(drawn)) == 200
