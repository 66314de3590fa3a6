"""A run's configuration is strict, and can be written down and read back."""

from pathlib import Path

import pytest

from classifier.training import config as configs
from classifier.training.errors import TrainingError

ROOT = Path(__file__).resolve().parents[2]
FULL_SIZE = sorted((ROOT / "config" / "train").glob("*.toml"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('name = "x"\n[optimizer]\nlearning_rate = 1', "optimizer.learning_rate: unknown key"),
        ('name = "x"\n[trainig]\nbatch = 1', "trainig: unknown key"),
        ('name = "x"\n[training]\nbatch = 0', "training.batch: "),
        ('name = "x"\n[optimizer]\nrate = nan', "optimizer.rate: "),
        (
            'name = "x"\n[model]\nname = "resnet50"\npoling = "average"',
            "model: unknown model option 'poling'",
        ),
        ('name = "x"\n[data]\npreprocessing = "other"', "data.preprocessing: unknown preprocessing"),
        ('name = "x"\n[training]\nfreezing = "tail@0"', "training.freezing: unknown group 'tail'"),
        ('name = "x"\n[loss]\nkind = "hinge"\nlabel_smoothing = 0.1', "loss: label_smoothing belongs"),
        ('name = "x"\n[data]\nshapes = "buckets"\n[augment]\ncrop_min_share = 0.5', "buckets never crop"),
        ('name = "x"\n[model]\nname = "resnet50"\nhead = "hinge"', "loss.kind: a hinge loss belongs to"),
        ('name = "x"\n[training]\nepochs = 0', "training.epochs: without any, only model.head = 'svm'"),
        (
            'name = "x"\n[model]\nname = "resnet50"\nhead = "svm"\n[loss]\nkind = "hinge"',
            "loss.kind: a hinge loss belongs to",
        ),
        ('name = "x"\n[svm]\nfolds = 1', "svm.folds: "),
        (
            'name = "x"\n[training]\nstrategy = "ddp_spawn"',
            "training.strategy: 'ddp_spawn' copies this process",
        ),
        ('name = "x"\n[training]\nstrategy = "fsdp"', "training.strategy: 'fsdp' is not supported"),
        (
            'name = "x"\n[training]\nstrategy = "ddp"\ndevices = 2\nfreezing = "head@0"',
            "use 'ddp_find_unused_parameters_true'",
        ),
        (
            'name = "x"\n[training]\nprecision = "16-mixed"\naccelerator = "cpu"',
            "training.precision: '16-mixed' is for GPUs",
        ),
        ("[data]", "name: Field required"),
        ('name = "../x"', "name: "),
        ("name = ", "is not TOML"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_key(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(TrainingError) as caught:
        configs.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert told in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"none\.toml: cannot be read: No such file"):
        configs.load(tmp_path / "none.toml")


def test_a_configuration_is_frozen_and_survives_being_written(tmp_path: Path) -> None:
    table = {
        "name": "a",
        "model": {"name": "resnet50", "pooling": "spatial_pyramid", "pyramid_levels": [1, 2]},
        "data": {"manifest": 'odd "näme"\\\t\x7f.csv', "classes": ["no", "yes"]},
        "optimizer": {"rate": 1e-05},
    }
    config = configs.parse(table, "here")
    with pytest.raises(ValueError, match="frozen"):
        config.name = "b"
    path = tmp_path / "run.toml"
    path.write_text(configs.to_toml(config), encoding="utf-8")
    found = configs.load(path)
    assert found == configs.with_manifest(config, tmp_path / 'odd "näme"\\\t\x7f.csv')
    assert found.architecture.pyramid_levels == (1, 2)


def test_a_run_without_data_says_so() -> None:
    with pytest.raises(TrainingError, match=r"data\.manifest"):
        configs.read_dataset(configs.parse({"name": "a"}, "here"))


@pytest.mark.parametrize("path", FULL_SIZE, ids=lambda path: path.stem)
def test_the_full_size_settings_are_the_proposals(path: Path) -> None:
    config = configs.load(path)
    assert config.name == path.stem
    assert (config.optimizer.name, config.optimizer.rate, config.training.batch) == ("adam", 0.003, 64)
    assert config.optimizer.schedule == "constant"


def test_there_is_one_for_each_architecture() -> None:
    names = {configs.load(path).architecture.name for path in FULL_SIZE}
    assert names >= {
        "open_nsfw",
        "resnet50",
        "squeezenet1_0",
        "squeezenet1_1",
        "mobilenet_v2",
        "mobilenet_v3_large",
        "efficientnet_b0",
    }
