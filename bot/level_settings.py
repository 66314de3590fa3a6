"""What a level of sensitivity means: a share of right flags, or flags a day; never a raw score.

A target is one word and a number, `precision 0.5` or `per_day 40`, so that a file laid over another replaces
it whole.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, PlainSerializer

from bot.section import Section

_FORM: Final = re.compile(r"(precision|per_day)\s+([0-9]*\.?[0-9]+)")


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked of a threshold; exactly one of the two.

    Attributes:
        precision: Share of the flagged that has to be explicit, over 0 and under 1.
        per_day: Flags a day at most, over 0.
    """

    precision: float | None = None
    per_day: float | None = None

    def __str__(self) -> str:
        """As it is written in the configuration."""
        return f"per_day {self.per_day:g}" if self.precision is None else f"precision {self.precision:g}"


def parse_target(text: object) -> Target:
    """Read a target.

    Args:
        text: Such as `precision 0.5` or `per_day 40`.

    Returns:
        The target.

    Raises:
        ValueError: It is neither, or its number makes no sense.
    """
    if isinstance(text, Target):
        return text
    match = _FORM.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is no target: write 'precision 0.5' or 'per_day 40'")
    value = float(match[2])
    if match[1] == "precision":
        if not 0 < value < 1:
            raise ValueError("a precision is over 0 and under 1")
        return Target(precision=value)
    if value <= 0:
        raise ValueError("per_day is over 0")
    return Target(per_day=value)


_Target = Annotated[Target, BeforeValidator(parse_target), PlainSerializer(str)]


class LevelSettings(Section):
    """What each level asks of its threshold, once there are enough verdicts to find it."""

    cautious: _Target
    balanced: _Target
    sensitive: _Target

    def targets(self) -> dict[str, Target]:
        """The targets by level."""
        return {name: getattr(self, name) for name in type(self).model_fields}


class ShadowSettings(Section):
    """How much a shadow may cost."""

    share: Annotated[float, Field(ge=0, le=1)] = Field(
        description="Of the uploads, which it scores; besides, all that people are asked about."
    )


__all__ = ["LevelSettings", "ShadowSettings", "Target", "parse_target"]
