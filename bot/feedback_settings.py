"""The settings of the feedback loop: who is asked about, and what is kept for that."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from bot.section import Count, Section, Share


class SamplingSettings(Section):
    """Which scored uploads people are asked about."""

    enabled: bool = Field(description="false: every flagged upload, and no others.")
    daily_budget: Annotated[int, Field(ge=2)] = Field(description="Never exceeded; a day is one of UTC.")
    audit_share: Share = Field(description="The least share of the budget for unflagged uploads.")
    uncertainty_share: Annotated[float, Field(ge=0, le=0.5)] = Field(
        description="Of the budget, for a second draw of what the models are unsure of; 0: none."
    )
    edges: tuple[Share, ...] = Field(description="Scores that divide the strata.")
    first_day_uploads: Count = Field(description="Expected of the first day; later ones are counted.")
    key_file: Path = Field(description="The secret that draws follow from; made where it is missing.")

    @model_validator(mode="after")
    def _edges_rise(self) -> "SamplingSettings":
        if sorted(set(self.edges)) != list(self.edges):
            raise ValueError("edges must rise")
        return self


class RetentionSettings(Section):
    """Which reduced pictures of flagged and sampled uploads are kept, and what is compared with them."""

    days: Annotated[float, Field(ge=0, le=3650)] = Field(description="0: nothing is ever kept.")
    directory: Path
    side_px: Annotated[int, Field(ge=64, le=2048)] = Field(description="The longer side at most.")
    jpeg_quality: Annotated[int, Field(ge=1, le=95)]
    near_duplicates: bool = Field(
        description="Compare scored pictures with reviewed ones, where pdqhash is installed."
    )
    reuploads: bool = Field(description="Look for deleted files with the bytes of what is put up for review.")


__all__ = ["RetentionSettings", "SamplingSettings"]
