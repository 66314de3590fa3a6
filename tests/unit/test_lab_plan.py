"""What a laboratory compares, read from TOML: every mistake names its key."""

from pathlib import Path

import pytest

from bot.lab import plan as plans
from classifier.training.errors import TrainingError

PLAN = """
title = "Two"
seeds = [0, 1]
architectures = ["a"]
plain = "a"
options = ["b"]
dissected = "a"

[task]
count = 120
side_px = 32

[base.training]
epochs = 2

[runs.a]
"model.name" = "squeezenet1_1"

[runs.b]
"model.name" = "squeezenet1_1"
"model.attention" = "se"
"optimizer.rate" = 0.01
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "plan.toml"
    path.write_text(text)
    return path


def test_each_run_is_the_base_with_its_own_settings_laid_over(tmp_path: Path) -> None:
    plan = plans.read(written(tmp_path, PLAN))
    a, b = plan.configurations(tmp_path / "built.csv")
    assert (a.name, b.name) == ("a", "b")
    assert a.training.epochs == b.training.epochs == 2
    assert (a.architecture.attention, b.architecture.attention) == ("none", "se")
    assert b.optimizer.rate == 0.01
    assert a.data.preprocessing == "imagenet-v1@32"
    assert a.data.classes == ("absent", "present")
    assert Path(a.data.manifest) == (tmp_path / "built.csv").absolute()


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("count = 120", "count = 3", "task.count"),
        ("count = 120", "cuont = 120", "task.cuont"),
        ('dissected = "a"', 'dissected = "c"', "runs.c"),
        ('dissected = "a"', 'dissected = "a"\ndoubting = "c"', "runs.c"),
        ("[runs.b]", "[runs.d]", "runs.b"),
        ("seeds = [0, 1]", "seeds = [1, 1]", "seeds"),
        ("[task]", "[task", "TOML"),
    ],
)
def test_a_mistake_names_the_file_and_the_key(tmp_path: Path, before: str, after: str, named: str) -> None:
    path = written(tmp_path, PLAN.replace(before, after))
    with pytest.raises(TrainingError) as error:
        plans.read(path)
    assert str(path) in str(error.value)
    assert named in str(error.value)


def test_the_dissected_run_doubts_labels_unless_another_one_is_named(tmp_path: Path) -> None:
    assert plans.read(written(tmp_path, PLAN)).doubts == "a"
    named = PLAN.replace('dissected = "a"', 'dissected = "a"\ndoubting = "b"')
    assert plans.read(written(tmp_path, named)).doubts == "b"


def test_a_setting_that_training_does_not_know_names_run_and_key(tmp_path: Path) -> None:
    plan = plans.read(written(tmp_path, PLAN.replace('"optimizer.rate"', '"optimizer.rat"')))
    with pytest.raises(TrainingError, match=r"runs\.b.*optimizer\.rat"):
        plan.configurations(tmp_path / "built.csv")


def test_a_missing_plan_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"nowhere\.toml"):
        plans.read(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("path", sorted(Path("config/lab").glob("*.toml")), ids=lambda path: path.name)
def test_the_plans_that_come_with_the_project_are_sound(path: Path, tmp_path: Path) -> None:
    plan = plans.read(path)
    assert len(plan.configurations(tmp_path / "built.csv")) == len(plan.runs)
    assert len(plan.architectures) >= 5
    assert len(plan.seeds) >= 3
