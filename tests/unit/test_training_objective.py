"""Losses, rates, the moving average and what is drawn to vary pictures."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from classifier.datasets.values import Dataset, DatasetError, Item
from classifier.decode.limits import DecodeLimits
from classifier.training.augment import vary
from classifier.training.config import AugmentConfig, DataConfig, LossConfig, OptimizerConfig
from classifier.training.data import Pictures, collate
from classifier.training.decoding import read_picture, read_size
from classifier.training.ema import MovingAverage
from classifier.training.objective import class_weights, loss_of, optimizer_of, rate_share
from classifier.training.order import Draw

LOGITS = torch.tensor([[0.0, 3.0], [0.0, 0.5], [2.0, 0.0]])
TARGETS = torch.tensor([1, 1, 1])


@pytest.mark.parametrize(("kind", "each"), [("hinge", (0.0, 0.5, 3.0)), ("squared_hinge", (0.0, 0.25, 9.0))])
def test_a_margin_counts_only_what_is_missing_to_one(kind: str, each: tuple[float, ...]) -> None:
    loss = loss_of(LossConfig.model_validate({"kind": kind}), (0, 1))
    assert float(loss(LOGITS, TARGETS)) == pytest.approx(sum(each) / 3)
    assert float(loss(LOGITS.flip(1), 1 - TARGETS)) == pytest.approx(sum(each) / 3)


def test_balanced_weights_make_classes_count_alike() -> None:
    assert class_weights((0, 0, 0, 1)).tolist() == pytest.approx([2 / 3, 2.0])
    for kind in ("cross_entropy", "hinge"):
        loss = loss_of(LossConfig.model_validate({"kind": kind, "class_weights": "balanced"}), (0, 0, 0, 1))
        logits = torch.tensor([[1.0, 0.0]] * 3 + [[0.5, 0.0]])
        plain = loss_of(LossConfig.model_validate({"kind": kind}), ())
        halves = [float(plain(logits[:3], torch.zeros(3, dtype=torch.long)))]
        halves.append(float(plain(logits[3:], torch.ones(1, dtype=torch.long))))
        assert float(loss(logits, torch.tensor([0, 0, 0, 1]))) == pytest.approx(sum(halves) / 2)


def test_the_rate_rises_and_falls_as_configured() -> None:
    cosine = OptimizerConfig(warmup_steps=3, schedule="cosine", final_share=0.1)
    shares = [rate_share(cosine, step, 10) for step in range(10)]
    assert shares[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert shares[-1] == pytest.approx(0.1)
    assert shares[3:] == sorted(shares[3:], reverse=True)
    assert {rate_share(OptimizerConfig(), step, 10) for step in range(10)} == {1.0}


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_weights_decay_and_biases_do_not(name: str) -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2))
    config = OptimizerConfig.model_validate({"name": name, "weight_decay": 0.1})
    groups = optimizer_of(config, network).param_groups
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert [decays[id(p)] for p in network.parameters()] == [0.1, 0.0, 0.0, 0.0]


def test_the_average_follows_slowly_and_is_never_trained() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = MovingAverage(network, 0.9)
    average.train()
    assert not any(module.training for module in average.modules())
    assert not any(parameter.requires_grad for parameter in average.parameters())
    average.update(network)
    start = copy.deepcopy(network[0].weight.detach())
    with torch.no_grad():
        network[0].weight.add_(1)
        network[1].running_mean.add_(5)
    average.update(network)
    followed = average.network.get_parameter("0.weight") - start
    # Early on less of the past stays than the decay says: (1 + 1) / (10 + 1) at the second step.
    assert followed.flatten().tolist() == pytest.approx([9 / 11] * 4)
    assert torch.equal(average.network.get_buffer("1.running_mean"), network[1].running_mean)


def _picture(width: int = 48, height: int = 40) -> Image.Image:
    rng = np.random.default_rng(3)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


EVERYTHING = AugmentConfig(
    flip=0.5,
    flip_vertical=0.5,
    rotate_deg=20,
    shift=0.1,
    shear_deg=10,
    crop_min_share=0.5,
    brightness=0.3,
    contrast=0.3,
    saturation=0.3,
    hue=0.1,
    greyscale=0.2,
    blur=0.5,
    erase=0.5,
)


def test_a_picture_is_varied_by_the_seed_and_nothing_else() -> None:
    state = torch.get_rng_state()
    first = vary(_picture(), EVERYTHING, (32, 24), 1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    assert torch.equal(vary(_picture(), EVERYTHING, (32, 24), 1), first)
    assert not torch.equal(vary(_picture(), EVERYTHING, (32, 24), 2), first)
    assert (first.shape, first.dtype) == ((3, 32, 24), torch.uint8)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("flip", 1.0),
        ("flip_vertical", 1.0),
        ("rotate_deg", 30),
        ("shift", 0.3),
        ("shear_deg", 20),
        ("brightness", 0.5),
        ("contrast", 0.5),
        ("saturation", 0.5),
        ("hue", 0.2),
        ("greyscale", 1.0),
        ("blur", 1.0),
        ("erase", 1.0),
        ("crop_min_share", 0.3),
    ],
)
def test_each_kind_of_variation_changes_something(name: str, value: float) -> None:
    plain = vary(_picture(), AugmentConfig(), (40, 48), 1)
    config = AugmentConfig.model_validate({name: value})
    assert not torch.equal(vary(_picture(), config, (40, 48), 1), plain)


def _dataset(folder: Path, sha256: str = "") -> Dataset:
    _picture().save(folder / "a.png")
    return Dataset((Item("a.png", "safe", sha256=sha256),), folder, "set.csv")


def test_pictures_come_as_the_preprocessing_of_the_daemon_leaves_them(tmp_path: Path) -> None:
    from classifier import preprocess

    config = DataConfig(preprocessing="open_nsfw-v1", require_verified=False)
    pixels, target = Pictures(_dataset(tmp_path), config)[Draw(0, 0, 0)]
    expected = preprocess.get("open_nsfw-v1").prepare(_picture())
    assert np.array_equal(pixels.permute(1, 2, 0).numpy(), expected)
    assert target == 0
    # Varying by nothing at all changes nothing: the order of channels is kept both ways.
    varied = Pictures(_dataset(tmp_path), config, AugmentConfig())
    assert torch.equal(varied[Draw(0, 0, 0)][0], pixels)


@pytest.mark.parametrize(
    ("shapes", "augment"),
    [
        ("square", None),
        ("square", {"flip": 1.0}),
        ("square", {"crop_min_share": 0.9}),
        ("buckets", None),
        ("buckets", {"flip": 1.0}),
    ],
)
@pytest.mark.parametrize(("preprocessing", "red"), [("open_nsfw-v1", 2), ("imagenet-v1@32", 0)])
def test_colours_are_in_the_order_that_the_network_wants(
    tmp_path: Path, shapes: str, augment: dict[str, float] | None, preprocessing: str, red: int
) -> None:
    Image.new("RGB", (64, 64), (250, 0, 0)).save(tmp_path / "a.png")
    data = Dataset((Item("a.png", "safe"),), tmp_path, "set.csv")
    values = {"preprocessing": preprocessing, "shapes": shapes, "require_verified": False}
    varied = None if augment is None else AugmentConfig.model_validate(augment)
    pixels, _ = Pictures(data, DataConfig.model_validate(values), varied)[Draw(0, 0, 0)]
    assert int(pixels.float().mean((1, 2)).argmax()) == red


def test_an_item_that_was_never_verified_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"set\.csv, column 'sha256': a\.png was never verified"):
        Pictures(_dataset(tmp_path), DataConfig())


def test_smaller_pictures_are_padded_not_cut() -> None:
    small, large = torch.ones(3, 4, 9, dtype=torch.uint8), torch.ones(3, 6, 5, dtype=torch.uint8)
    batch = collate([(small, 0), (large, 1)])
    assert batch.pixels.shape == (2, 3, 6, 9)
    assert torch.equal(batch.pixels[0, :, :4, :9], small)
    assert batch.targets.tolist() == [0, 1]


def test_a_turned_photo_is_read_upright_and_its_size_is_known_before(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.jpg"
    _picture().save(path, exif=exif)
    limits = DecodeLimits()
    assert read_size(path, limits) == read_picture(path, "", limits).size == (40, 48)


@pytest.mark.parametrize("content", [b"", b"nothing", b"\x89PNG\r\n\x1a\n broken", b"%PDF-1.7\n"])
def test_a_file_that_is_no_picture_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for read in (lambda: read_picture(path, "", DecodeLimits()), lambda: read_size(path, DecodeLimits())):
        with pytest.raises(DatasetError, match=r"a\.png: cannot be decoded"):
            read()


def test_a_picture_with_too_many_pixels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    _picture().save(path)
    with pytest.raises(DatasetError, match="more than the limit"):
        read_picture(path, "", DecodeLimits(max_pixels=1000))
