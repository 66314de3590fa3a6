"""The sections of the settings that only `python -m bot serve` reads."""

from typing import Annotated

from pydantic import Field

from bot.settings_values import Count, Section


class AccessSettings(Section):
    """Whom the prediction API lets in; the console always asks for a token."""

    anonymous: bool = Field(description="Score files for those without a token.")
    anonymous_per_minute: Count = Field(description="Files a minute, of all of them together.")
    anonymous_beyond_loopback: bool = Field(description="Allow that on other addresses than loopback.")
    per_minute: Annotated[int, Field(ge=0)] = Field(description="Of tokens that name none; 0: no limit.")
    per_day: Annotated[int, Field(ge=0)] = Field(description="Of tokens that name none; 0: no limit.")


__all__ = ["AccessSettings"]
