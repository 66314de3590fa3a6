"""A defence is its name: the same bytes and name give the same pixels, in evaluation and in the daemon."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from classifier import preprocess
from classifier.errors import ModelError
from classifier.models import defence
from tests import media

ALL = "jpeg:75+jitter:0.8+bits:4+median:3@11"


def _photo(width: int = 64, height: int = 48, seed: int = 1) -> np.ndarray:
    return np.asarray(media.photo(width, height, seed))


@pytest.mark.parametrize("name", ["jpeg:75", "jitter:0.85", "bits:5", "median:3", ALL, "median:5+jpeg:40"])
def test_a_name_says_all_and_comes_back(name: str) -> None:
    parsed = defence.parse(name)
    assert parsed.name == name
    assert defence.parse(parsed.name) == parsed
    assert json.loads(json.dumps(parsed.provenance))["name"] == name
    assert len(parsed.provenance["steps"]) == len(parsed.steps)
    assert all({"kind", "source", "library"} <= set(step.provenance) for step in parsed.steps)


@pytest.mark.parametrize("name", ["jpeg:75", "jitter:0.8", "bits:4", "median:3", ALL])
def test_each_step_changes_pixels_but_not_the_picture(name: str) -> None:
    photo = _photo()
    kept = photo.copy()
    defended = defence.parse(name).apply(photo)
    assert defended.shape == photo.shape and defended.dtype == np.uint8 and defended.flags.c_contiguous
    assert np.array_equal(photo, kept) and not np.array_equal(photo, defended)
    assert np.array_equal(defended, defence.parse(name).apply(photo))


def test_chance_comes_from_the_seed_and_the_picture_alone() -> None:
    first, other_seed = defence.parse("jitter:0.6@1"), defence.parse("jitter:0.6@2")
    photo = _photo()
    nudged = photo.copy()
    nudged[0, 0, 0] ^= 1
    for _ in range(2):
        np.random.default_rng().random()
        batch = first.apply_batch(np.stack([nudged, photo]))
        assert np.array_equal(batch[1], first.apply(photo))
    assert not np.array_equal(first.apply(photo), other_seed.apply(photo))
    assert np.abs(first.apply(photo).astype(int) - first.apply(nudged)).mean() > 1


def test_bits_leave_so_many_levels_spread_to_both_ends() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    for bits in range(1, 8):
        levels = np.unique(defence.parse(f"bits:{bits}").apply(ramp))
        assert (len(levels), levels[0], levels[-1]) == (2**bits, 0, 255)


def test_a_median_removes_single_pixels() -> None:
    flat = np.full((9, 9, 3), 100, np.uint8)
    dotted = flat.copy()
    dotted[4, 4] = 255
    assert np.array_equal(defence.parse("median:3").apply(dotted), flat)


def test_noise_as_an_attack_adds_it_is_mostly_thrown_away() -> None:
    smooth = np.asarray(Image.linear_gradient("L").convert("RGB").resize((96, 96)))
    noise = np.random.default_rng(0).choice([-4, 4], smooth.shape)
    attacked = (smooth.astype(int) + noise).clip(0, 255).astype(np.uint8)
    for name in ("jpeg:50", "median:3"):
        one = defence.parse(name)
        left = np.abs(one.apply(attacked).astype(int) - one.apply(smooth)).mean()
        assert left < 2.2, name


def test_channels_are_taken_in_their_order() -> None:
    photo = _photo()
    parsed = defence.parse(ALL)
    bgr = parsed.apply(photo[:, :, ::-1], "bgr")
    assert np.array_equal(bgr[:, :, ::-1], parsed.apply(photo, "rgb"))


@pytest.mark.parametrize("base", ["open_nsfw-v1", "imagenet-v1", "imagenet-v1@64"])
def test_as_part_of_a_preprocessing_it_follows_what_the_model_would_have_seen(base: str) -> None:
    plain, defended = preprocess.get(base), preprocess.get(f"{base}+{ALL}")
    photo = Image.fromarray(_photo(300, 200))
    assert defended.id == f"{base}+{ALL}"
    assert (defended.input_px, defended.shorter_px) == (plain.input_px, plain.shorter_px)
    expected = defence.parse(ALL).apply(plain.prepare(photo), plain.channels)
    assert np.array_equal(defended.prepare(photo), expected)
    assert np.array_equal(defended.prepare_array(np.asarray(photo), "rgb"), expected)


def test_it_is_measured() -> None:
    photos = [_photo(seed=seed) for seed in range(3)]
    light, heavy = (defence.measure(defence.parse(name), photos) for name in ("bits:7", "bits:2"))
    assert light.name == "bits:7" and light.pictures == 3
    assert 0 < light.mean_change < 2 < heavy.mean_change
    assert light.psnr_db > 40 > heavy.psnr_db and light.cpu_ms >= 0
    unchanged = defence.measure(defence.parse("median:3"), [np.zeros((8, 8, 3), np.uint8)])
    assert unchanged.psnr_db == np.inf and unchanged.mean_change == 0
    with pytest.raises(ValueError, match="no pictures"):
        defence.measure(defence.parse("bits:2"), [])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "unknown step ''"),
        ("blur:3", "unknown step 'blur:3'.*known: jpeg"),
        ("jpeg", "not a number"),
        ("jpeg:99", "1 to 95"),
        ("jitter:nan", "0.5 to 0.99"),
        ("bits:8", "1 to 7"),
        ("median:4", "odd"),
        ("median:3@x", "seed"),
        ("median:3+", "unknown step ''"),
    ],
)
def test_other_names_are_refused_with_the_part_that_is_wrong(name: str, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        preprocess.get(f"imagenet-v1+{name}") if name else defence.parse(name)


def test_decode_workers_can_defend_without_torch() -> None:
    code = "import sys; from classifier import preprocess; preprocess.get('imagenet-v1+jpeg:75'); "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
