"""Pure: the text of the index page and of the list of finished pages, from numbers.

The bot owns these pages as a whole and writes them anew each time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bot.review.control import ConfigProblem
from bot.review.messages import Messages
from bot.review.templates import subpage
from bot.review.wikitext import escape

PRECISION_DAYS = 30


@dataclass(frozen=True, slots=True)
class Precision:
    """An estimated share with its 95 % interval.

    Attributes:
        share: The estimate in 0..1.
        low: Lower end.
        high: Upper end.
        count: How many reviews it comes from.
    """

    share: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class PageNumbers:
    """A line of the list of pages.

    Attributes:
        title: Full title, one of the bot's own.
        open: Rows that wait.
        disputed: Rows whose reviewers disagree.
        done: Rows that are decided.
    """

    title: str
    open: int
    disputed: int
    done: int


@dataclass(frozen=True, slots=True)
class IndexNumbers:
    """Everything the index page tells.

    Attributes:
        open: Items that wait.
        disputed: Items whose reviewers disagree.
        done: Items that are decided.
        precision: Of the last 30 days; None before there is an estimate.
        recall: Of the last 30 days; None where the audit sample cannot tell it.
        pages: The pages that are not archived, in the order in which they are listed.
        has_archive: Whether there is a list of finished pages.
        problems: What is wrong on the configuration page.
        config_broken: Whether the last valid configuration had to be kept.
    """

    open: int
    disputed: int
    done: int
    precision: Precision | None
    pages: Sequence[PageNumbers]
    has_archive: bool = False
    problems: Sequence[ConfigProblem] = ()
    config_broken: bool = False
    recall: Precision | None = None


def render_index(numbers: IndexNumbers, bot_name: str, messages: Messages, now: datetime) -> str:
    """Write the index page.

    Args:
        numbers: What it tells.
        bot_name: The bot's account.
        messages: The texts.
        now: The time it tells; leave it the same where nothing else changed, so that no edit is made for it.

    Returns:
        Wikitext.
    """
    say = messages.text
    totals = (
        ("index.open", numbers.open),
        ("index.disputed", numbers.disputed),
        ("index.done", numbers.done),
    )
    lines = [
        "__NOINDEX__",
        f"'''{say('index.title')}'''",
        "",
        f"{say('index.lead')} {say('header.advice')}",
        "",
        *(f"* {say(key)}: {count}" for key, count in totals),
        "",
        " ".join([_precision(numbers.precision, messages), *_recall(numbers.recall, messages)]),
        "",
        f"== {say('index.pages')} ==",
        *_table(numbers.pages, messages),
        "",
        f"* {say('index.guide', link=_link(bot_name, 'Guide'))}",
        f"* {say('index.switch_off', link=_link(bot_name, 'Run'))}",
        f"* {say('index.config', link=_link(bot_name, 'Config.json'))}",
    ]
    if numbers.has_archive:
        lines.append(f"* [[{subpage(bot_name, 'Archive')}|{say('index.archive')}]]")
    lines += _note(numbers, messages)
    lines += ["", say("index.updated", time=f"{now.astimezone(UTC):%Y-%m-%d %H:%M}")]
    return "\n".join(lines) + "\n"


def render_archive(titles: Sequence[str], messages: Messages) -> str:
    """Write the list of finished pages.

    Args:
        titles: Their full titles, the bot's own, in the order in which they are listed.
        messages: The texts.

    Returns:
        Wikitext.
    """
    say = messages.text
    lines = ["__NOINDEX__", f"'''{say('archive.title')}'''", "", say("archive.lead"), ""]
    return "\n".join([*lines, *(f"* [[{title}]]" for title in titles)]) + "\n"


def _precision(precision: Precision | None, messages: Messages) -> str:
    if precision is None:
        return messages.text("index.no_precision", days=PRECISION_DAYS)
    return messages.text(
        "index.precision",
        days=PRECISION_DAYS,
        share=_percent(precision.share),
        low=_percent(precision.low),
        high=_percent(precision.high),
        count=precision.count,
    )


def _recall(recall: Precision | None, messages: Messages) -> list[str]:
    if recall is None:
        return []
    shares = {"share": recall.share, "low": recall.low, "high": recall.high}
    told = {name: _percent(value) for name, value in shares.items()}
    return [messages.text("index.recall", count=recall.count, **told)]


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _table(pages: Sequence[PageNumbers], messages: Messages) -> list[str]:
    say = messages.text
    if not pages:
        return [say("index.no_pages")]
    head = " !! ".join(say(f"index.{name}") for name in ("page", "open", "disputed", "done"))
    lines = ['{| class="wikitable"', f"! {head}"]
    for page in pages:
        lines += ["|-", f"| [[{page.title}]] || {page.open} || {page.disputed} || {page.done}"]
    return [*lines, "|}"]


def _note(numbers: IndexNumbers, messages: Messages) -> list[str]:
    """What is wrong on the configuration page; its keys are user-made."""
    if not numbers.problems:
        return []
    lead = messages.text("index.config_broken" if numbers.config_broken else "index.config_unknown")
    details = [
        messages.text(f"problem.{problem.code}", key=f"<code>{escape(problem.key)}</code>")
        for problem in numbers.problems
    ]
    return ["", f"'''{lead}'''", *(f"* {detail}" for detail in details)]


def _link(bot_name: str, name: str) -> str:
    return f"[[{subpage(bot_name, name)}]]"


__all__ = [
    "PRECISION_DAYS",
    "IndexNumbers",
    "PageNumbers",
    "Precision",
    "render_archive",
    "render_index",
]
