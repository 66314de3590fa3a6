"""Pure: a row of the report, from values to one line of wikitext and back again.

Writing is strict: exactly one line, named parameters in a fixed order, every user-made value escaped.
Reading is lenient: people move, reorder, double, damage and reformat rows, and none of it may raise or lose
a verdict.  What the bot wrote is read back unchanged.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from html.entities import html5
from typing import Final, Literal

import mwparserfromhell
from mwparserfromhell.nodes import Template

from bot.review.local_report import position
from bot.review.row_finder import find_calls
from bot.review.wikitext import escape, printable
from storage.review_values import NO_HINT, Hint, VerdictCode
from storage.values import FrameScore, ReviewReason

FileState = Literal["deleted", "overwritten", "moved"]
FILE_STATES: Final[tuple[FileState, ...]] = ("deleted", "overwritten", "moved")
FACTS: Final = ("file", "at", "uploader", "edits", "since", "groups", "others", "inuse", "state")
"""Parameters that the bot refreshes, in their order."""
OPINION: Final = ("verdict", "comment")
"""Parameters that belong to people; the bot only ever writes them into a row that was gone."""
SCORED: Final = ("score", "reason")
"""Parameters that are there only when nobody can be influenced by them any more."""
HINTED: Final = ("like", "judged", "likestate", "deletedas")
"""Parameters that tell of other files, while there is something to decide."""
DISCLOSED: Final = (*SCORED, "disputed", *HINTED)
"""Parameters of the bot's that are there only where they have something to say."""
MAX_COMMENT_CHARS: Final = 500
"""As much of a comment is put back into a row that was gone."""

_ID: Final = re.compile(r"(?!.*__)[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?")
_REFERENCE: Final = re.compile(r"&(?:#([0-9]{1,7})|#[xX]([0-9a-fA-F]{1,6})|([A-Za-z][A-Za-z0-9]{0,31}));")
_MARKUP: Final = re.compile(r"\{\{|\[|<|\{\||''|//")
_MAX_MARKUP: Final = 60
_MAX_ROW_CHARS: Final = 8_000
_MUTED: Final = {ord(mark): 0xE000 + number for number, mark in enumerate("{}[]<")}
_UNMUTED: Final = {private: mark for mark, private in _MUTED.items()}


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """What the bot wants a row to say.

    Attributes:
        item_id: Public id of the review item.
        title: Full title of the file, `File:Example.jpg`.
        worst: The frame that gave the score; only its position is shown.
        uploader: Who uploaded it; None where hidden.
        uploader_edits: The uploader's edits; None where unknown.
        uploader_since: The uploader's registration; None where unknown. Month and year are shown.
        uploader_groups: The uploader's explicit groups.
        other_flagged: How many other uploads of the same uploader were flagged.
        in_use: Whether the file is used in a page; None where unknown.
        states: What happened to the file since.
        verdict: A verdict that stands; written only into a row that is missing.
        comment: Its comment, likewise.
        score: Score in 0..1; None while it is hidden from reviewers.
        reason: Why the file was chosen; None while that is hidden.
        disputed: Whether reviewers disagree, so that one more is asked to look.
        hint: What is known of files like it, as far as it may be told now.
    """

    item_id: str
    title: str
    worst: FrameScore
    uploader: str | None = None
    uploader_edits: int | None = None
    uploader_since: date | None = None
    uploader_groups: tuple[str, ...] = ()
    other_flagged: int = 0
    in_use: bool | None = None
    states: frozenset[FileState] = frozenset()
    verdict: VerdictCode | None = None
    comment: str = ""
    score: float | None = None
    reason: ReviewReason | None = None
    disputed: bool = False
    hint: Hint = NO_HINT

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.item_id):
            raise ValueError(f"not an item's id: {self.item_id!r}")


@dataclass(frozen=True, slots=True)
class FoundRow:
    """A row as it stands on a page.

    Attributes:
        item_id: Its id.
        word: What stands for the verdict, trimmed and in lower case; may be empty or no code at all.
        comment: The comment as people see its source: on one line, without HTML comments and entities.
        shows_score: Whether score or reason are in it.
        shows_hint: Whether a hint at another file is in it.
        parameters: Every named parameter, decoded like the comment.
        start: Index of its first character in the page.
        end: Index after its last one.
        source: Its wikitext; of a damaged row, mended.
        damaged: Whether its closing braces were missing.
        locked: Whether it holds so much or such broken markup that it can be read but not rewritten.
    """

    item_id: str
    word: str
    comment: str
    shows_score: bool
    shows_hint: bool
    parameters: Mapping[str, str]
    start: int
    end: int
    source: str
    damaged: bool = False
    locked: bool = False

    @property
    def verdict(self) -> VerdictCode | None:
        """The verdict, where the word is one."""
        return VerdictCode(self.word) if self.word in VERDICT_WORDS else None

    @property
    def has_opinion(self) -> bool:
        """Whether somebody wrote into it."""
        return bool(self.word or self.comment)


@dataclass(frozen=True, slots=True)
class _Content:
    """What is in a row, wherever it stands; kept, because most rows are the same in the next revision."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    locked: bool = False


VERDICT_WORDS: Final = frozenset(code.value for code in VerdictCode)


def row_template(bot_name: str) -> str:
    """Title of the row's template.

    Args:
        bot_name: The bot's account.

    Returns:
        Its full title.
    """
    return f"User:{bot_name}/Review/item"


def values(row: ReviewRow) -> dict[str, str]:
    """The parameters of a row as wikitext, in their order.

    Args:
        row: The row.

    Returns:
        Every parameter; score, reason, dispute and hint only where they are to be shown.
    """
    since = row.uploader_since
    found = {
        "id": row.item_id,
        "file": _title_value(row.title),
        "at": _position_value(row.worst),
        "uploader": escape(row.uploader or ""),
        "edits": "" if row.uploader_edits is None else str(row.uploader_edits),
        "since": "" if since is None else f"{since:%Y-%m}",
        "groups": escape(", ".join(row.uploader_groups)),
        "others": str(row.other_flagged),
        "inuse": "" if row.in_use is None else "yes" if row.in_use else "no",
        "state": ", ".join(state for state in FILE_STATES if state in row.states),
        "verdict": "" if row.verdict is None else row.verdict.value,
        "comment": escape(_shortened(row.comment)),
    }
    if row.score is not None:
        found["score"] = f"{row.score:.2f}"
    if row.reason is not None:
        found["reason"] = row.reason.value
    if row.disputed:
        found["disputed"] = "yes"
    return found | _hint_values(row.hint)


def render_row(row: ReviewRow, bot_name: str) -> str:
    """Write a row.

    Args:
        row: What it is to say.
        bot_name: The bot's account.

    Returns:
        One line without a line break.
    """
    parameters = "".join(f"|{name}={value}" for name, value in values(row).items())
    return f"{{{{{row_template(bot_name)}{parameters}}}}}"


def parse_rows(text: str, bot_name: str) -> list[FoundRow]:
    """Read every row of a page.

    Args:
        text: Wikitext of a page, any text at all.
        bot_name: The bot's account.

    Returns:
        The rows in the order of the page, doubled ids included; calls without a usable id are left out.
    """
    rows = []
    for call in find_calls(text, row_template(bot_name)):
        content = _content(call.text)
        parameters = content.parameters
        item_id = parameters.get("id", "")
        if not _ID.fullmatch(item_id):
            continue
        rows.append(
            FoundRow(
                item_id=item_id,
                word=parameters.get("verdict", "").lower(),
                comment=parameters.get("comment", ""),
                shows_score=any(parameters.get(name) for name in SCORED),
                shows_hint=any(parameters.get(name) for name in HINTED),
                parameters=parameters,
                start=call.start,
                end=call.end,
                source=call.text,
                damaged=call.damaged,
                locked=content.locked,
            )
        )
    return rows


def row_call(source: str) -> Template | None:
    """Parse a row for rewriting.

    Args:
        source: Its wikitext.

    Returns:
        The template; None where the parser sees something else than exactly one template.
    """
    too_much = len(source) > _MAX_ROW_CHARS or len(_MARKUP.findall(source)) > _MAX_MARKUP
    return None if too_much else _only_template(source)


def shuffled(rows: Iterable[ReviewRow], seed: str) -> list[ReviewRow]:
    """Put rows into an order that tells nothing of score, reason or time.

    A row's place follows from the seed and its id alone: the same on every run, and a row that is added later
    does not stand at the end.

    Args:
        rows: The rows.
        seed: Something secret enough, or the page's title.

    Returns:
        The rows in random order.
    """
    return sorted(rows, key=lambda row: hashlib.sha256(f"{seed}\n{row.item_id}".encode()).digest())


def plain(value: str) -> str:
    """What a reader sees of a parameter's value.

    Args:
        value: Wikitext.

    Returns:
        One line, without HTML comments, with character references resolved; other markup stays as it is.
    """
    return printable(_REFERENCE.sub(_character, _without_comments(value)))


def _only_template(source: str) -> Template | None:
    try:
        nodes = mwparserfromhell.parse(source, skip_style_tags=True).nodes
    except (mwparserfromhell.parser.ParserError, RecursionError):
        return None
    node = nodes[0] if len(nodes) == 1 else None
    return node if isinstance(node, Template) and str(node) == source else None


@lru_cache(maxsize=20_000)
def _content(source: str) -> _Content:
    call = row_call(source)
    locked = call is None
    if call is None:
        call = _only_template("{{" + source[2:-2][: _MAX_ROW_CHARS - 4].translate(_MUTED) + "}}")
    if call is None:
        return _Content(locked=True)
    names = {str(parameter.name).strip() for parameter in call.params if parameter.showkey}
    found = {}
    for name in names:
        value = str(call.get(name).value)
        found[name] = plain(value.translate(_UNMUTED) if locked else value)
    return _Content(found, locked)


def _without_comments(value: str) -> str:
    """In linear time, which a regular expression for it would not be."""
    kept, at = [], 0
    while (start := value.find("<!--", at)) >= 0 and (end := value.find("-->", start + 4)) >= 0:
        kept.append(value[at:start])
        at = end + 3
    return "".join(kept) + value[at:]


def _character(match: re.Match[str]) -> str:
    decimal, hexadecimal, name = match.groups()
    if name:
        return html5.get(f"{name};", match[0])
    code = int(decimal) if decimal else int(hexadecimal, 16)
    return chr(code) if code <= 0x10FFFF else match[0]


def _title_value(title: str) -> str:
    """The title without its namespace; invisible characters that are allowed stay, or no link would fit."""
    _, colon, rest = title.partition(":")
    name = rest if colon else title
    if printable(name) == name or any(_is_forbidden(character) for character in name):
        return escape(name)
    return "".join(char if char.isalnum() or char in ".,()" else f"&#{ord(char)};" for char in name)


def _is_forbidden(character: str) -> bool:
    """Whether XML cannot hold it, so that MediaWiki does not either."""
    code = ord(character)
    surrogate, noncharacter = 0xD800 <= code < 0xE000, code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    return code < 0x20 or 0x7F <= code < 0xA0 or surrogate or noncharacter


def _position_value(frame: FrameScore) -> str:
    """Neither words nor escapes: `0:12` in time, `p. 2` in documents, nothing for a single picture."""
    if frame.page is not None:
        return f"p. {frame.page}"
    return "" if frame.at_s is None else position(frame)


def _hint_values(hint: Hint) -> dict[str, str]:
    found = {}
    if hint.look_alike is not None:
        found["like"] = _title_value(hint.look_alike.title)
        found["judged"] = hint.look_alike.verdict.value
        if hint.look_alike.deleted:
            found["likestate"] = "deleted"
    if hint.deleted_as:
        found["deletedas"] = _title_value(hint.deleted_as[0])
    return found


def _shortened(comment: str) -> str:
    shown = printable(comment)
    return shown if len(shown) <= MAX_COMMENT_CHARS else shown[: MAX_COMMENT_CHARS - 1].rstrip() + "…"


__all__ = [
    "DISCLOSED",
    "FACTS",
    "FILE_STATES",
    "HINTED",
    "OPINION",
    "VERDICT_WORDS",
    "FileState",
    "FoundRow",
    "ReviewRow",
    "parse_rows",
    "plain",
    "render_row",
    "row_call",
    "row_template",
    "shuffled",
    "values",
]
