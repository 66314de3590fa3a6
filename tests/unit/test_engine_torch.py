"""Pictures in, scores out: shapes, independence of the batch, refusals."""

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from classifier.engines.torch_engine import TorchEngine, load_open_nsfw
from classifier.errors import ModelError
from classifier.models import catalogue
from classifier.models.open_nsfw import OpenNsfw
from tests.model_weights import open_nsfw

CARD = catalogue.card("open_nsfw")


def _pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 224, 224, 3), dtype=np.uint8)


class _Constant(nn.Module):
    def __init__(self, safe: float, nsfw: float) -> None:
        super().__init__()
        self.logits = torch.tensor([safe, nsfw])

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(pixels), 2)


def test_a_score_per_picture_between_0_and_1() -> None:
    scores = open_nsfw().predict(_pictures(3))
    assert scores.shape == (3,)
    assert scores.dtype == np.float32
    assert ((scores >= 0) & (scores <= 1)).all()


def test_the_score_is_the_second_class() -> None:
    assert TorchEngine(_Constant(0.0, 5.0), CARD).predict(_pictures(1))[0] > 0.99


def test_the_same_batch_gives_the_same_bits() -> None:
    pictures = _pictures(4)
    np.testing.assert_array_equal(open_nsfw().predict(pictures), open_nsfw().predict(pictures))


def test_a_score_does_not_depend_on_the_batch_it_travels_in() -> None:
    pictures = _pictures(9) // np.arange(1, 10, dtype=np.uint8).reshape(-1, 1, 1, 1)
    alone = np.concatenate([open_nsfw().predict(picture[None]) for picture in pictures])
    np.testing.assert_allclose(open_nsfw().predict(pictures), alone, rtol=0, atol=1e-5)
    np.testing.assert_allclose(open_nsfw().predict(pictures[::-1])[::-1], alone, rtol=0, atol=1e-5)


def test_read_only_and_flipped_arrays_are_scored_like_any_other() -> None:
    pictures = _pictures(2)
    expected = open_nsfw().predict(pictures.copy())
    flipped = np.ascontiguousarray(pictures[:, :, :, ::-1])[:, :, :, ::-1]
    pictures.flags.writeable = False
    np.testing.assert_array_equal(open_nsfw().predict(pictures), expected)
    np.testing.assert_array_equal(open_nsfw().predict(flipped), expected)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((224, 224, 3), np.uint8),
        np.zeros((0, 224, 224, 3), np.uint8),
        np.zeros((1, 256, 256, 3), np.uint8),
        np.zeros((1, 224, 224, 3), np.float32),
    ],
)
def test_other_shapes_and_types_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \(n, 224, 224, 3\)"):
        open_nsfw().predict(bad)


def test_a_score_that_is_not_a_number_is_an_error_and_never_safe() -> None:
    with pytest.raises(ModelError, match="not a number"):
        TorchEngine(_Constant(0.0, float("nan")), CARD).predict(_pictures(1))


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(ModelError, match="do not fit"):
        load_open_nsfw(safetensors.torch.save({"a": torch.zeros(1)}), CARD)


def test_bytes_that_are_no_safetensors_are_refused() -> None:
    with pytest.raises(ModelError, match="not a safetensors file"):
        load_open_nsfw(b"\x80\x04not this", CARD)


def test_the_number_of_threads_is_set_where_asked_for() -> None:
    before = torch.get_num_threads()
    try:
        TorchEngine(_Constant(0, 0), CARD, threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_the_network_has_the_published_number_of_parameters() -> None:
    assert sum(parameter.numel() for parameter in OpenNsfw().parameters()) == 5_891_266


def test_the_loaded_network_cannot_be_trained_by_accident() -> None:
    network = open_nsfw().network
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
