"""A pyramid makes one length of any size, from the cells of the paper."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import adaptive_max_pool2d

from classifier.errors import ModelError
from classifier.models.configured import build_model
from classifier.models.model_config import ModelConfig
from classifier.models.pyramid import SpatialPyramidPooling
from tests.torch_threads import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 20), width=st.integers(1, 20), seed=st.integers(0, 999))
def test_each_cell_is_the_maximum_that_torchs_own_pooling_finds(height: int, width: int, seed: int) -> None:
    features = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(seed))
    pooled = SpatialPyramidPooling((1, 2, 3, 5))(features).view(2, -1, 3)
    expected = [adaptive_max_pool2d(features, level).flatten(2).transpose(1, 2) for level in (1, 2, 3, 5)]
    assert torch.equal(pooled, torch.cat(expected, 1))


def test_pictures_of_any_size_and_shape_train_one_network() -> None:
    network = build_model(ModelConfig("squeezenet1_1", pooling="spatial_pyramid"), seed=0)
    for width, height in ((97, 301), (640, 480)):
        logits = network(torch.rand(1, 3, height, width) * 255)
        assert logits.shape == (1, 2)
        logits.sum().backward()  # type: ignore[no-untyped-call]
        assert network.head.weight.grad is not None and network.head.weight.grad.abs().sum() > 0


def test_what_is_at_the_left_is_told_from_what_is_at_the_right() -> None:
    features = torch.zeros(1, 1, 8, 8)
    features[..., 0] = 1
    pyramid = SpatialPyramidPooling((1, 2))
    assert pyramid(features).tolist() == [[1, 1, 0, 1, 0]]
    assert pyramid(features.flip(3)).tolist() == [[1, 0, 1, 0, 1]]
    assert pyramid.cells == 5


def test_the_gradient_is_there_and_deterministic() -> None:
    features = torch.rand(1, 2, 7, 7, requires_grad=True)
    torch.use_deterministic_algorithms(True)
    try:
        nn.Sequential(SpatialPyramidPooling())(features).sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)
    assert features.grad is not None and features.grad.sum() == pytest.approx(2 * 21)


@pytest.mark.parametrize("levels", [(), (0, 1), (2, 1), (1, 1)])
def test_what_is_no_pyramid_is_refused(levels: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="rising levels"):
        SpatialPyramidPooling(levels)
