"""Attention changes nothing until it is trained, and sits in every block that it belongs to."""

import pytest
import torch
from torch import nn

from classifier.errors import ModelError
from classifier.models import architectures, attention
from classifier.models.attention import Cbam, SqueezeExcitation
from classifier.models.open_nsfw import OpenNsfw
from tests.torch_threads import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")

PLACES = {
    ("resnet50", "cbam"): 16,
    ("open_nsfw", "se"): 16,
    ("squeezenet1_1", "cbam"): 8,
    ("mobilenet_v2", "se"): 17,
    ("mobilenet_v3_large", "cbam"): 15,
    ("efficientnet_b0", "cbam"): 16,
}


@pytest.mark.parametrize(("name", "kind"), PLACES)
def test_pretrained_weights_give_exactly_the_output_that_they_gave(
    name: str, kind: attention.Attention
) -> None:
    torch.manual_seed(0)
    network = architectures.build(name)
    pictures = torch.rand(2, 3, 40, 32) * 255
    with torch.inference_mode():
        before = network(pictures)
        assert attention.insert(name, network, kind) == PLACES[name, kind]
        assert torch.equal(network.eval()(pictures), before)
    blocks = [one for one in network.modules() if isinstance(one, SqueezeExcitation | Cbam)]
    assert len(blocks) == PLACES[name, kind]


@pytest.mark.parametrize("make", [SqueezeExcitation, Cbam])
def test_every_part_of_a_block_learns(make: type[nn.Module]) -> None:
    torch.manual_seed(0)
    block = make(32)
    optimizer = torch.optim.SGD(block.parameters(), lr=1e-2)
    features = torch.rand(4, 32, 6, 6)
    before = {name: weight.clone() for name, weight in block.named_parameters()}
    for _ in range(3):
        optimizer.zero_grad()
        (block(features).mean((2, 3)) * torch.linspace(-1, 1, 32)).pow(2).sum().backward()
        optimizer.step()
    for name, weight in block.named_parameters():
        assert not torch.equal(weight, before[name]), name


def test_squeeze_and_excitation_weighs_channels_and_cbam_places_too() -> None:
    torch.manual_seed(0)
    features = torch.rand(1, 16, 9, 9) + 0.1
    for make, varies in ((SqueezeExcitation, False), (Cbam, True)):
        block = make(16)
        for weight in block.parameters():
            nn.init.normal_(weight)
        ratio = (block(features) / features).detach()
        assert bool((ratio.std((2, 3)) > 1e-4).any()) == varies
        assert ratio.mean((2, 3)).std() > 1e-3
        assert ratio.min() >= 0 and ratio.max() <= (4 if varies else 2)


def test_networks_that_have_it_already_say_so() -> None:
    for name in ("mobilenet_v3_large", "efficientnet_b0"):
        with pytest.raises(ModelError, match=rf"{name} has squeeze-and-excitation of its own"):
            attention.insert(name, nn.Sequential(), "se")


def test_a_network_without_a_known_place_is_refused() -> None:
    with pytest.raises(ModelError, match="not known where attention belongs"):
        attention.insert("mine", nn.Sequential(nn.Conv2d(3, 3, 1)), "cbam")


def test_open_nsfws_branch_is_weighed_and_not_the_shortcut() -> None:
    network = OpenNsfw().eval()
    attention.insert("open_nsfw", network, "se")
    block = network.stages[0][1]
    nn.init.constant_(block.expand.attention.gate[2].bias, -200.0)  # shut: the branch gives nothing
    features = torch.rand(1, 128, 4, 4)
    torch.testing.assert_close(block(features.clone()), features)
