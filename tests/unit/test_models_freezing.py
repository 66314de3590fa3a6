"""What trains when depends on the epoch alone; what is frozen stands still, its statistics too."""

import pytest
import torch

from classifier.errors import ModelError
from classifier.models.configured import build_model
from classifier.models.freezing import GROUPS, FreezingSchedule, parameter_groups, train_only
from classifier.models.model_config import ModelConfig
from tests.torch_threads import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")


def test_training_goes_deeper_with_the_epochs() -> None:
    schedule = FreezingSchedule.parse("head@0, late@2, early@5")
    assert [len(schedule.groups_at(epoch)) for epoch in (0, 1, 2, 4, 5, 99)] == [1, 1, 2, 2, 4, 4]
    assert schedule.groups_at(2) == {"head", "late"}
    assert FreezingSchedule.parse(schedule.name) == schedule
    assert FreezingSchedule().groups_at(0) == set(GROUPS)


@pytest.mark.parametrize(
    "text", ["", "head", "head@1", "head@0, late@0", "head@0, late@3, middle@2", "tail@0", "head@-1"]
)
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match=r"schedule"):
        FreezingSchedule.parse(text)


@pytest.mark.parametrize("name", ["resnet50", "squeezenet1_0", "mobilenet_v3_large"])
def test_every_parameter_is_in_exactly_one_group_and_no_group_is_empty(name: str) -> None:
    network = build_model(ModelConfig(name, attention="cbam"), seed=0)
    groups = parameter_groups(network)
    sorted_names = [parameter for names in groups.values() for parameter in names]
    assert sorted(sorted_names) == sorted(parameter for parameter, _ in network.named_parameters())
    assert all(groups.values()) and tuple(groups) == GROUPS
    first = next(parameter for parameter, _ in network.named_parameters())
    assert first in groups["early"]
    assert "head.weight" in groups["head"] and any("gate" in parameter for parameter in groups["head"])


def test_what_is_frozen_does_not_move_and_what_trains_does() -> None:
    network = build_model(ModelConfig("mobilenet_v2", attention="se", dropout=0.5), seed=0)
    groups = parameter_groups(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    train_only(network, frozenset({"head", "late"}))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(torch.rand(2, 3, 40, 40) * 255)[:, 1].sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    after = network.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    statistics = {name for name in before if name.endswith("running_mean")}
    trained = {*groups["head"], *groups["late"]}
    # The gates' hidden layers wait for their last layers, which begin at zero.
    assert moved & {*groups["middle"], *groups["early"]} == set()
    assert "head.weight" in moved and len(moved & set(groups["late"])) > 0.7 * len(groups["late"])
    for name in statistics:
        assert (name in moved) == (name.replace("running_mean", "weight") in trained), name
    assert network.dropout.training
    train_only(network, frozenset(GROUPS))
    assert all(weight.requires_grad for weight in network.parameters())
    assert all(module.training for module in network.modules())
