"""Renders the pages: one environment, where everything is escaped and an undefined name is an error."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bot.console import words
from bot.review.local_report import position
from bot.review.wikitext import printable

TEMPLATES: Final = Path(__file__).with_name("templates")
NAVIGATION: Final = (
    ("", "Overview"),
    ("review", "Review"),
    ("queue", "Queue"),
    ("scores", "Scores"),
    ("quality", "Quality"),
    ("models", "Models"),
    ("purges", "Purge log"),
)


def environment(address_of: Any) -> Environment:
    """The template environment.

    Args:
        address_of: Gives the address of a wiki page by its title.

    Returns:
        The environment, to be kept.
    """
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        moment=words.moment,
        minute=words.minute,
        duration=words.duration,
        number=words.number,
        percent=words.percent,
        share=words.share,
        bytes=words.bytes_of,
        plain=lambda text: printable(str(text)),
        address=address_of,
        position=position,
    )
    made.globals.update(
        ago=words.ago,
        until=words.until,
        VERDICTS=words.VERDICTS,
        REASONS=words.REASONS,
        STATES=words.STATES,
        NAVIGATION=NAVIGATION,
    )
    return made


def render(made: Environment, name: str, values: Mapping[str, Any]) -> str:
    """Render a page.

    Args:
        made: From `environment`.
        name: Of the template, without its ending.
        values: What it is filled with.

    Returns:
        HTML.
    """
    return made.get_template(f"{name}.html").render(values)


__all__ = ["environment", "render"]
