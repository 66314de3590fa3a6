"""The sets of pictures: harmless, repeatable, spread over the scores, and without overlap."""

from functools import lru_cache

import numpy as np
import pytest
import torch
from torch import nn

from classifier.engines import calibration, procedural
from classifier.engines.calibration import CalibrationSets, SetSize
from classifier.errors import ModelError

SMALL = SetSize(harmless=6, positives=1, variants=4)


class _Brightness(nn.Module):
    """Takes pictures as open_nsfw does and cannot be convinced by a weak pattern."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        brightness = pixels.mean((1, 2, 3)) / 255
        return torch.stack([1 - brightness, brightness], dim=1)


@lru_cache(maxsize=1)
def _made() -> tuple[CalibrationSets, list[tuple[str, int, int]]]:
    """Small sets, and what was told of the progress."""
    told: list[tuple[str, int, int]] = []
    sets = calibration.make_sets(
        _Brightness(),
        "open_nsfw-v1",
        224,
        lambda what, done, total: told.append((what, done, total)),
        calibration_size=SMALL,
        evaluation_size=SMALL,
    )
    return sets, told


def test_pictures_follow_from_their_seed_and_number() -> None:
    first = procedural.picture(1, 3)
    assert first.dtype == np.uint8
    assert first.shape[1:] == (330, 3)
    assert np.array_equal(first, procedural.picture(1, 3))
    assert not np.array_equal(first, procedural.picture(2, 3)[: len(first)])


def test_every_kind_of_picture_can_be_drawn_and_none_is_uniform() -> None:
    for index in range(30):
        assert procedural.picture(5, index).std() > 1


def test_pictures_for_a_pattern_leave_room_above_and_below() -> None:
    for index in range(9):
        drawn = procedural.smooth_picture(5, index)
        assert drawn.min() >= 40
        assert drawn.max() <= 215


def test_a_network_that_cannot_be_convinced_gets_harmless_pictures_in_their_place() -> None:
    sets, _ = _made()
    assert sets.calibration.shape == (10, 224, 224, 3)
    assert sets.evaluation.pixels.shape == (10, 224, 224, 3)
    with torch.inference_mode():
        batch = torch.from_numpy(sets.evaluation.pixels).permute(0, 3, 1, 2).float()
        expected = torch.softmax(_Brightness()(batch), dim=1)[:, 1].numpy()
    assert np.abs(sets.evaluation.reference - expected).max() < 1e-6
    assert sets.evaluation.reference.dtype == np.float32


def test_calibration_and_evaluation_share_no_picture_and_verification_is_a_part() -> None:
    sets, _ = _made()
    calibrated = {picture.tobytes() for picture in sets.calibration}
    evaluated = {picture.tobytes(): score for picture, score in zip(*_parts(sets.evaluation), strict=True)}
    assert len(evaluated) == 10
    assert not calibrated & set(evaluated)
    for picture, score in zip(*_parts(sets.verification), strict=True):
        assert evaluated[picture.tobytes()] == score


def test_progress_is_told_to_the_end() -> None:
    _, told = _made()
    ended = {what for what, done, total in told if done == total}
    assert ended == {"calibration pictures", "evaluation pictures", "reference scores"}


def test_another_input_size_than_the_preprocessings_is_refused() -> None:
    with pytest.raises(ModelError, match="224 px"):
        calibration.make_sets(_Brightness(), "open_nsfw-v1", 299)


def test_pictures_are_chosen_from_all_over_the_scores() -> None:
    scores = np.concatenate([np.full(500, 0.01), [0.2, 0.4, 0.6, 0.8, 1.0]]).astype(np.float32)
    chosen = calibration.spread(scores, 8)
    assert len(chosen) == 8
    assert set(range(500, 505)) <= set(chosen.tolist())
    assert np.array_equal(chosen, calibration.spread(scores, 8))
    assert len(calibration.spread(scores[:3], 8)) == 3


def _parts(pictures):
    return pictures.pixels, pictures.reference
