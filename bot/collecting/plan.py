"""What is to be collected: categories with a label each, from a small TOML file, from options, or both."""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from bot.errors import ConfigError
from bot.settings_values import Section
from classifier.datasets.values import DEFAULT_CLASSES

DEFAULT_LIMIT = 1000
MAX_LIMIT = 100_000
MAX_DEPTH = 10
_UNASKABLE = re.compile(r"[|\[\]{}<>#\x00-\x1f\x7f]")
_GROUP_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
OWN_GROUPS = ("category", "licence", "media")
"""Groups that every collected picture has; a plan cannot set them."""

Pattern = Annotated[str, Field(min_length=1, max_length=300)]


class CategoryPlan(Section):
    """One category, and what its files are labelled."""

    name: str = Field(description="With or without `Category:`.")
    label: str
    depth: Annotated[int, Field(ge=0, le=MAX_DEPTH)] = Field(
        default=0, description="How many levels of subcategories are followed; 0: none."
    )
    limit: Annotated[int, Field(gt=0, le=MAX_LIMIT)] = Field(
        default=DEFAULT_LIMIT, description="Most pictures, chosen by chance with the plan's seed."
    )
    exclude: tuple[Pattern, ...] = Field(
        default=(), description="Titles with * and ?: categories not entered, and File:… not taken."
    )
    groups: dict[str, str] = Field(
        default_factory=dict, description="Further columns of its pictures, such as medium."
    )

    @field_validator("name")
    @classmethod
    def _is_a_title(cls, name: str) -> str:
        title = category_title(name)
        if title is None:
            raise ValueError(f"{name!r} is no category's name")
        return title

    @field_validator("groups")
    @classmethod
    def _are_columns(cls, groups: dict[str, str]) -> dict[str, str]:
        for name in groups:
            if name in OWN_GROUPS or not _GROUP_NAME.fullmatch(name):
                raise ValueError(f"{name!r} cannot be the name of a group")
        return groups


class CollectingPlan(Section):
    """Everything that is to be collected."""

    classes: tuple[str, str] = Field(
        default=DEFAULT_CLASSES, description="The negative and the positive label."
    )
    category: tuple[CategoryPlan, ...] = Field(min_length=1)
    exclude: tuple[Pattern, ...] = Field(default=(), description="As for a category, for all of them.")
    media: tuple[Literal["BITMAP", "DRAWING", "VIDEO"], ...] = Field(
        default=("BITMAP", "DRAWING"), min_length=1, description="MediaWiki's media types."
    )
    source: Literal["author", "uploader", "none"] = Field(
        default="author", description="Whose pictures are never divided between splits."
    )
    seed: int = 0
    max_categories: Annotated[int, Field(gt=0)] = Field(
        default=500, description="Most categories entered below one of the named ones."
    )
    max_listed: Annotated[int, Field(gt=0)] = Field(
        default=20_000, description="Most files listed of one category, in the category's order."
    )

    @model_validator(mode="after")
    def _labels_are_known(self) -> "CollectingPlan":
        if len(set(self.classes)) != 2 or not all(self.classes):
            raise ValueError("classes have to be two different names")
        for one in self.category:
            if one.label not in self.classes:
                raise ValueError(f"{one.name}: the label {one.label!r} is not one of {self.classes}")
        names = [one.name for one in self.category]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name} is named twice")
        return self


def category_title(name: str) -> str | None:
    """A category's title as the wiki spells it.

    Args:
        name: With or without `Category:`, perhaps with underscores.

    Returns:
        `Category:Name`; None where that cannot be a title.
    """
    text = " ".join(name.replace("_", " ").split())
    head, colon, rest = text.partition(":")
    bare = rest.strip() if colon and head.strip().lower() == "category" else text
    if not bare or _UNASKABLE.search(bare) or len(bare.encode()) > 255:
        return None
    return f"Category:{bare[0].upper()}{bare[1:]}"


def read_plan(
    path: Path | None, categories: Sequence[CategoryPlan] = (), exclude: Sequence[str] = ()
) -> CollectingPlan:
    """Read a plan, and add what options say.

    Args:
        path: A TOML file with `[[category]]` tables, or None.
        categories: Further categories.
        exclude: Further exclusions for all categories.

    Returns:
        The plan.

    Raises:
        ConfigError: Names file and key, and what is wrong.
    """
    try:
        values = {} if path is None else tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    named = values.get("category", [])
    if not isinstance(named, list):
        raise ConfigError(f"{path}: category: write one [[category]] table for each")
    excluded = values.get("exclude", [])
    values["category"] = [*named, *(one.model_dump() for one in categories)]
    values["exclude"] = [*excluded, *exclude] if isinstance(excluded, list) else excluded
    if not values["category"]:
        raise ConfigError(f"{path or 'options'}: category: nothing is named to collect")
    try:
        return CollectingPlan(**values)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'plan'}: "
            f"{'unknown key' if one['type'] == 'extra_forbidden' else one['msg']}"
            for one in error.errors()
        )
        raise ConfigError(f"in {path or 'the options'}: {problems}") from error


__all__ = [
    "DEFAULT_LIMIT",
    "MAX_DEPTH",
    "MAX_LIMIT",
    "OWN_GROUPS",
    "CategoryPlan",
    "CollectingPlan",
    "category_title",
    "read_plan",
]
