"""Which parts of a network train in which epoch: a pure plan, and what carries it out on a network.

The head is drawn and the rest may be pretrained: while the head is still wrong, its gradients would spoil the
rest. So training can begin with the head and go deeper later ("gradual unfreezing", Howard and Ruder,
arXiv:1801.06146). The plan depends on the epoch alone, so a resumed run does what an unbroken one does.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self, get_args

from classifier.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

    from classifier.models.configured import ConfiguredNetwork

Group = Literal["head", "late", "middle", "early"]
GROUPS: tuple[Group, ...] = get_args(Group)
"""From the output to the input. `head`: all that is new or small, that is head, neck and attention; the
others: a third of the trunk's blocks each."""


@dataclass(frozen=True, slots=True)
class FreezingSchedule:
    """How deep training goes.

    Attributes:
        steps: Epochs, counted from 0 and rising, each with the deepest group that trains from then on; the
            groups before it in `GROUPS` train too. The first epoch is 0.

    Raises:
        ModelError: Where the steps are others.
    """

    steps: tuple[tuple[int, Group], ...] = ((0, "early"),)

    def __post_init__(self) -> None:
        epochs = [epoch for epoch, _ in self.steps]
        if not epochs or epochs[0] != 0 or epochs != sorted(set(epochs)):
            raise ModelError(f"a freezing schedule begins at epoch 0 and rises: {self.steps}")
        for _, group in self.steps:
            if group not in GROUPS:
                raise ModelError(
                    f"unknown group {group!r} in a freezing schedule; known: {', '.join(GROUPS)}"
                )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a schedule such as `head@0, late@2, early@5`.

        Raises:
            ModelError: Where it is none.
        """
        steps = []
        for step in text.split(","):
            group, at, epoch = step.strip().partition("@")
            if not at or not epoch.isdecimal():
                raise ModelError(
                    f"{step.strip()!r}: a step of a freezing schedule is a group, @ and an epoch"
                )
            steps.append((int(epoch), group))
        return cls(tuple(steps))  # type: ignore[arg-type]

    @property
    def name(self) -> str:
        """As `parse` reads it."""
        return ", ".join(f"{group}@{epoch}" for epoch, group in self.steps)

    def groups_at(self, epoch: int) -> frozenset[Group]:
        """Which groups train in an epoch, counted from 0."""
        deepest = [group for first, group in self.steps if first <= epoch][-1]
        return frozenset(GROUPS[: GROUPS.index(deepest) + 1])


def parameter_groups(network: "ConfiguredNetwork") -> Mapping[Group, tuple[str, ...]]:
    """Sort a network's parameters into groups by their place.

    Returns:
        Every parameter's name, in exactly one group; a group may be empty where the trunk has few blocks.
    """
    groups: OrderedDict[Group, list[str]] = OrderedDict((group, []) for group in GROUPS)
    blocks = _blocks(network.trunk)
    thirds: tuple[Group, ...] = ("early", "middle", "late")
    place = {name: thirds[index * 3 // len(blocks)] for index, name in enumerate(blocks)}
    for name, _ in network.named_parameters():
        inside = name.removeprefix("trunk.")
        owner = next((block for block in blocks if inside.startswith(f"{block}.")), None)
        if inside == name or _is_attention(network, name):
            groups["head"].append(name)
        else:
            # What a trunk holds beside its blocks, such as a class token, belongs to its beginning.
            groups["early" if owner is None else place[owner]].append(name)
    return {group: tuple(names) for group, names in groups.items()}


def train_only(network: "ConfiguredNetwork", groups: frozenset[Group]) -> None:
    """Put a network into training mode for some groups and freeze the others.

    To be called at the start of each epoch, instead of `train()`: a frozen normalisation must not go on
    adapting its statistics to the new pictures, so what has only frozen parameters is put into eval mode.

    Args:
        network: Changed in place.
        groups: Which train.
    """
    from torch import nn

    network.train()
    sorted_names = parameter_groups(network)
    trained = {name for group in groups for name in sorted_names[group]}
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in trained)
    for module in network.trunk.modules():
        own = list(module.parameters(recurse=False))
        if isinstance(module, nn.Dropout) or (own and not any(one.requires_grad for one in own)):
            module.train(any(one.requires_grad for one in own))


def _blocks(trunk: "nn.Module") -> list[str]:
    """Names of a trunk's blocks from the input on: its parts, and of those that are sequences their parts."""
    from torch import nn

    blocks = []
    for name, child in trunk.named_children():
        parts = [name]
        if isinstance(child, nn.Sequential):
            parts = [f"{name}.{part}" for part, _ in child.named_children()]
        blocks += [part for part in parts if any(True for _ in trunk.get_submodule(part).parameters())]
    return blocks


def _is_attention(network: "ConfiguredNetwork", name: str) -> bool:
    from classifier.models.attention import Cbam, SqueezeExcitation

    parts = name.split(".")
    owners = (network.get_submodule(".".join(parts[:end])) for end in range(1, len(parts)))
    return any(isinstance(owner, SqueezeExcitation | Cbam) for owner in owners)


__all__ = ["GROUPS", "FreezingSchedule", "Group", "parameter_groups", "train_only"]
