"""What every page is made with: the console's parts, and who looks at it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment
from starlette.responses import HTMLResponse

from bot.console.holders import Holder
from bot.console.memory import Memory
from bot.console.rendering import render
from bot.console.sessions import Session
from bot.retention.folder import CopyFolder
from bot.settings import Settings
from storage.console_overview import HourCount
from storage.console_scores import ScoreStep, ShadowScores
from storage.engine import Database
from storage.metric_values import FeedbackMetrics

QUICK_S = 30.0
SLOW_S = 600.0


@dataclass(frozen=True, slots=True)
class Console:
    """What the pages share; threads may share it.

    Attributes:
        settings: Everything that can be set.
        database: The store.
        copies: The folder of kept pictures.
        templates: The template environment.
        clock: Tells the present.
        hours: The last day by hours.
        steps: Scores over time.
        measures: What `metrics` tells; takes seconds where there are millions of uploads.
        shadows: A shadow's scores.
        charts: Charts that were drawn.
    """

    settings: Settings
    database: Database
    copies: CopyFolder
    templates: Environment
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    hours: Memory[list[HourCount]] = field(default_factory=lambda: Memory(QUICK_S))
    steps: Memory[tuple[dict[str, int], str, list[ScoreStep]]] = field(default_factory=lambda: Memory(SLOW_S))
    measures: Memory[FeedbackMetrics] = field(default_factory=lambda: Memory(SLOW_S))
    shadows: Memory[ShadowScores | None] = field(default_factory=lambda: Memory(SLOW_S))
    charts: Memory[str] = field(default_factory=lambda: Memory(SLOW_S, 64))

    @property
    def live(self) -> bool:
        """Whether verdicts are given on-wiki: then none are taken here."""
        return self.settings.review.enabled and not self.settings.review.dry_run


@dataclass(frozen=True, slots=True)
class Visit:
    """One request by somebody who is logged in.

    Attributes:
        console: The console's parts.
        session: The login.
        holder: Whose.
        base: Where the console is mounted, such as `/console`; no slash at its end.
        form_token: What forms must send along.
    """

    console: Console
    session: Session
    holder: Holder
    base: str
    form_token: str

    @property
    def blind(self) -> bool:
        """Whether scores and reasons are hidden from this visitor until the own verdict stands."""
        return self.holder.may_review and not self.console.live

    def page(self, name: str, title: str, values: Mapping[str, Any], status: int = 200) -> HTMLResponse:
        """Render a page.

        Args:
            name: Of the template.
            title: Of the page.
            values: What the template needs beside what every page needs.
            status: HTTP status.

        Returns:
            The answer.
        """
        shared = {
            "title": title,
            "base": self.base,
            "now": self.console.clock(),
            "account": self.holder.account,
            "may_review": self.holder.may_review,
            "live": self.console.live,
            "blind": self.blind,
            "form_token": self.form_token,
        }
        return HTMLResponse(render(self.console.templates, name, {**shared, **values}), status)

    def address(self, path: str, **query: str) -> str:
        """The address of a page of the console.

        Args:
            path: Below where it is mounted.
            query: Added to it; empty values are left out.

        Returns:
            The address, without the host.
        """
        given = {name: value for name, value in query.items() if value}
        return f"{self.base}/{path}" + (f"?{urlencode(given)}" if given else "")


__all__ = ["QUICK_S", "SLOW_S", "Console", "Visit"]
