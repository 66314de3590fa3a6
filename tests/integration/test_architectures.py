"""Every network keeps the same convention: raw pictures in, two logits out, normalisation inside."""

import functools

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from classifier.engines import graph
from classifier.errors import ModelError
from classifier.models import architectures
from classifier.models.open_nsfw import OpenNsfw
from classifier.torch_compat import import_torchvision

pytestmark = pytest.mark.slow
NAMES = architectures.known()


@functools.cache
def seeded(name: str, seed: int = 3) -> nn.Module:
    return architectures.build(name, seed=seed)


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    shape = (count, 3, 224, 224)
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape).astype(np.float32))


def test_the_zoo_of_the_proposal_is_complete() -> None:
    assert set(NAMES) == {
        "open_nsfw",
        "resnet50",
        "squeezenet1_0",
        "squeezenet1_1",
        "mobilenet_v2",
        "mobilenet_v3_large",
        "efficientnet_b0",
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_seeded_network_gives_usable_logits_for_any_pictures(name: str) -> None:
    with torch.inference_mode():
        logits = seeded(name)(torch.cat([pictures(2), torch.zeros(1, 3, 224, 224)]))
    assert logits.shape == (3, 2)
    assert logits.dtype == torch.float32
    # A network whose activations explode or vanish from layer to layer ends far outside of this.
    assert logits.abs().max() < 100
    assert (logits[0] - logits[2]).abs().max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_the_head_is_the_last_layer_and_has_a_row_per_class(name: str) -> None:
    network = architectures.build(name)
    head = network.get_submodule(architectures.describe(name).head)
    assert isinstance(head, nn.Linear | nn.Conv2d)
    assert head.weight.shape[0] == 2
    weighted = [layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert weighted[-1] is head


def test_equal_seeds_give_equal_networks_and_others_do_not() -> None:
    again = architectures.build("squeezenet1_1", seed=3).state_dict()
    other = architectures.build("squeezenet1_1", seed=4).state_dict()
    for name, weight in seeded("squeezenet1_1").state_dict().items():
        torch.testing.assert_close(again[name], weight, rtol=0, atol=0)
    assert not torch.equal(other["backbone.features.0.weight"], again["backbone.features.0.weight"])


def test_building_disturbs_nobody_elses_random_numbers() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    architectures.build("squeezenet1_1", seed=9)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_normalisation_lies_inside_as_imagenet_weights_expect_it() -> None:
    network = seeded("mobilenet_v2")
    batch = pictures(2)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    backbone = network.get_submodule("backbone")
    with torch.inference_mode():
        torch.testing.assert_close(
            network(batch), backbone((batch / 255 - mean) / deviation), rtol=1e-3, atol=1e-3
        )


def test_published_weights_fit_by_their_names() -> None:
    theirs = import_torchvision().models.get_model("resnet50", weights=None).state_dict()
    network = architectures.build("resnet50", classes=1000)
    network.load_state_dict({f"backbone.{name}": weight for name, weight in theirs.items()})


@pytest.mark.parametrize("name", NAMES)
def test_a_network_is_ready_to_score_and_its_statistics_stand_still(name: str) -> None:
    network = seeded(name)
    assert not any(layer.training for layer in network.modules())
    assert all(layer.momentum is not None for layer in network.modules() if isinstance(layer, nn.BatchNorm2d))


def test_batch_statistics_are_settled_not_the_initial_ones() -> None:
    layers = [layer for layer in seeded("mobilenet_v2").modules() if isinstance(layer, nn.BatchNorm2d)]
    assert layers
    for layer in layers:
        assert layer.running_mean is not None and layer.running_mean.abs().max() > 0
        assert layer.running_var is not None and not torch.equal(
            layer.running_var, torch.ones_like(layer.running_var)
        )


def test_open_nsfw_is_the_catalogues_network_and_the_rest_take_imagenets_pictures() -> None:
    assert isinstance(architectures.build("open_nsfw"), OpenNsfw)
    assert architectures.describe("open_nsfw").preprocessing == "open_nsfw-v1"
    for name in set(NAMES) - {"open_nsfw"}:
        assert architectures.describe(name).preprocessing == "imagenet-v1"


@pytest.mark.parametrize("call", [architectures.build, architectures.describe])
def test_an_unknown_name_is_refused_with_those_that_exist(call: object) -> None:
    with pytest.raises(ModelError, match=r"unknown network 'vgg'; known: .*resnet50"):
        call("vgg")  # type: ignore[operator]


def test_open_nsfw_has_no_other_number_of_classes() -> None:
    with pytest.raises(ModelError, match="has 2 classes, not 3"):
        architectures.build("open_nsfw", classes=3)


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0"])
def test_batch_normalisation_is_folded_into_the_convolutions_by_the_export(name: str) -> None:
    model = onnx.load_model_from_string(graph.export(seeded(name), 224))
    operators = {node.op_type for node in model.graph.node}
    assert "Conv" in operators
    assert "BatchNormalization" not in operators
