"""What a model of the laboratory is made of, as plain values: written into a run's folder and read back.

No torch here, so that configs can be read and checked anywhere.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from classifier.errors import ModelError

Pooling = Literal["average", "spatial_pyramid"]
AttentionKind = Literal["none", "se", "cbam"]
Head = Literal["linear", "hinge", "svm"]
TIMM_PREFIX = "timm:"
PRETRAINED_WORDS = ("none", "torchvision", "open_nsfw", "timm")


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A model before it is built.

    Attributes:
        name: One of `classifier.models.architectures.known`, or `timm:` and a name that timm knows.
        pretrained: Where the weights begin: `none` (drawn), `torchvision` (ImageNet weights, downloaded by
            torchvision), `timm` (likewise by timm), `open_nsfw` (the deployed model's, for that network), or
            the path of a safetensors or pth file.
        pooling: How a feature map becomes a vector: its mean, or a spatial pyramid, which sees where things
            are and makes a head as many times larger as it has cells.
        pyramid_levels: Cells a side of each grid of the pyramid.
        attention: Blocks put into the network, see `classifier.models.attention`.
        attention_reduction: How many times narrower their hidden layers are.
        head: How the last layer is found: by cross-entropy (`linear`), by the hinge loss, trained end to end
            like it (`hinge`), or by a support vector machine on frozen features (`svm`). All three are a
            linear layer in the end and are run alike.
        dropout: Share of the features that are left out before the head while training, 0 to below 1.

    Raises:
        ModelError: Where a value is none of these, or two of them do not go together.
    """

    name: str
    pretrained: str = "none"
    pooling: Pooling = "average"
    pyramid_levels: tuple[int, ...] = (1, 2, 4)
    attention: AttentionKind = "none"
    attention_reduction: int = 16
    head: Head = "linear"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for what, value, known in (
            ("pooling", self.pooling, get_args(Pooling)),
            ("attention", self.attention, get_args(AttentionKind)),
            ("head", self.head, get_args(Head)),
        ):
            if value not in known:
                raise ModelError(f"{what} has to be one of {', '.join(known)}, not {value!r}")
        if not 0 <= self.dropout < 1:
            raise ModelError(f"dropout has to be 0 to below 1, not {self.dropout}")
        if self.attention_reduction < 1:
            raise ModelError(f"attention_reduction has to be at least 1, not {self.attention_reduction}")
        levels = self.pyramid_levels
        if not levels or levels[0] < 1 or list(levels) != sorted(set(levels)):
            raise ModelError(f"pyramid_levels have to be rising numbers of at least 1, not {levels}")
        self._check_together()

    def _check_together(self) -> None:
        if not self.pretrained:
            raise ModelError(f"pretrained has to be one of {', '.join(PRETRAINED_WORDS)}, or a file")
        if self.pretrained == "open_nsfw" and self.name != "open_nsfw":
            raise ModelError(f"the weights of open_nsfw do not fit {self.name}: only the network open_nsfw")
        if self.pretrained == "torchvision" and (self.is_timm or self.name == "open_nsfw"):
            raise ModelError(f"torchvision has no weights for {self.name}")
        if self.pretrained == "timm" and not self.is_timm:
            raise ModelError(f"timm's weights are for models of timm, such as {TIMM_PREFIX}{self.name}")
        if self.is_timm and self.attention != "none":
            raise ModelError(
                f"{self.name}: attention is not put into timm's models; some there have it: timm:seresnet50"
            )

    @property
    def is_timm(self) -> bool:
        """Whether timm makes the network."""
        return self.name.startswith(TIMM_PREFIX)

    @property
    def is_trained_end_to_end(self) -> bool:
        """Whether gradients find the head; False for a support vector machine."""
        return self.head != "svm"

    def to_values(self) -> dict[str, Any]:
        """As values that JSON and TOML know; `from_values` reads them back."""
        values = dataclasses.asdict(self)
        return {**values, "pyramid_levels": list(self.pyramid_levels)}

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_values` gave, or a table of a config file.

        Args:
            values: Names and values; what is left out has its default.

        Raises:
            ModelError: Where a name is unknown, a type wrong, or a value.
        """
        types = {"pyramid_levels": list | tuple, "attention_reduction": int, "dropout": int | float}
        names = [field.name for field in dataclasses.fields(cls)]
        for name, value in values.items():
            if name not in names:
                raise ModelError(f"unknown model option {name!r}; known: {', '.join(names)}")
            if isinstance(value, bool) or not isinstance(value, types.get(name, str)):
                raise ModelError(f"model option {name}: {value!r} is of the wrong type")
        if "name" not in values:
            raise ModelError("a model needs a name")
        if not all(type(level) is int for level in values.get("pyramid_levels", ())):
            raise ModelError(
                f"model option pyramid_levels: {values['pyramid_levels']!r} are not whole numbers"
            )
        if "pyramid_levels" in values:
            values = {**values, "pyramid_levels": tuple(values["pyramid_levels"])}
        return cls(**values)


__all__ = ["PRETRAINED_WORDS", "TIMM_PREFIX", "AttentionKind", "Head", "ModelConfig", "Pooling"]
