"""Pure: bring a report page up to date without changing anything that a person wrote.

The bot owns the facts in its rows and nothing else.  Verdicts and comments in a row are never touched,
whatever the store says; what stands outside the rows stays as it is, character by character.  Rows that are
gone come back with the verdict that the store knows.
"""

from collections.abc import Sequence
from typing import Final

from mwparserfromhell.nodes import Template

from bot.review.row_finder import find_calls
from bot.review.rows import (
    DISCLOSED,
    FACTS,
    OPINION,
    FoundRow,
    ReviewRow,
    parse_rows,
    render_row,
    row_call,
    values,
)

_AFTER: Final = (*OPINION, *DISCLOSED)


def header_call(bot_name: str) -> str:
    """The line above the rows.

    Args:
        bot_name: The bot's account.
    """
    return f"{{{{User:{bot_name}/Review/header}}}}"


def footer_call(bot_name: str) -> str:
    """The line below the rows.

    Args:
        bot_name: The bot's account.
    """
    return f"{{{{User:{bot_name}/Review/footer}}}}"


def new_page(rows: Sequence[ReviewRow], bot_name: str) -> str:
    """The text of a page that does not exist yet.

    Args:
        rows: Its rows in their order; see `rows.shuffled`.
        bot_name: The bot's account.

    Returns:
        Header, one line per row, footer.
    """
    return merge_page("", rows, bot_name)


def merge_page(current_text: str, wanted_rows: Sequence[ReviewRow], bot_name: str) -> str:
    """Bring a page up to date.

    Facts are refreshed in place.  A row that is missing comes back behind the row that precedes it in
    `wanted_rows`, or before the one that follows, or at the end.  Of several rows of one id, those that
    nobody wrote into go away; several that people wrote into all stay, for people to sort out, and each
    verdict in them belongs to whoever wrote it.  A row that lost its braces gets them back.  Rows of other
    ids, and rows too broken to be rewritten, stay as they are.  Doing it twice changes nothing.

    Args:
        current_text: The page as it stands; empty where it does not exist or was blanked.
        wanted_rows: What is to stand on it, in its order.
        bot_name: The bot's account.

    Returns:
        The new text.
    """
    wanted = {row.item_id: row for row in wanted_rows}
    found = [row for row in parse_rows(current_text, bot_name) if row.item_id in wanted]
    surplus = {row.start for row in _surplus(found)}
    pieces: list[str] = []
    places: dict[str, int] = {}
    at = 0
    for row in found:
        pieces.append(current_text[at : row.start])
        at = row.end
        if row.start in surplus:
            pieces[-1], at = _without_line(pieces[-1], current_text, at)
            continue
        places.setdefault(row.item_id, len(pieces))
        pieces.append(_refreshed(row, wanted[row.item_id]) or current_text[row.start : row.end])
    pieces.append(current_text[at:])
    text = _with_missing(pieces, places, wanted, bot_name)
    return _framed(text, bot_name)


def _surplus(found: Sequence[FoundRow]) -> list[FoundRow]:
    """The doubled rows that nobody wrote into; one row of each id is always left."""
    surplus = []
    for item_id in {row.item_id for row in found}:
        same = [row for row in found if row.item_id == item_id]
        kept = next(
            (row for row in same if row.verdict), next((row for row in same if row.has_opinion), same[0])
        )
        surplus += [row for row in same if row is not kept and not row.has_opinion and not _has_more(row)]
    return surplus


def _has_more(row: FoundRow) -> bool:
    """Whether somebody added parameters of their own, or markup that cannot be understood."""
    return row.locked or not row.parameters.keys() <= {"id", *FACTS, *_AFTER}


def _without_line(before: str, text: str, end: int) -> tuple[str, int]:
    """Where to go on after a removed row: a line that held nothing else goes with it."""
    if (not before or before.endswith("\n")) and text[end : end + 1] == "\n":
        return before, end + 1
    return before, end


def _refreshed(row: FoundRow, wanted: ReviewRow) -> str | None:
    """The row with today's facts; None where it cannot be rewritten without guessing."""
    call = None if row.locked else row_call(row.source)
    if call is None:
        return None
    target = values(wanted)
    for name in (*FACTS, *DISCLOSED):
        if name in target:
            _set(call, name, target[name])
        elif call.has(name):
            call.remove(name)
    for name in OPINION:
        if not call.has(name):
            call.add(
                name,
                "",
                before=_first(call, OPINION[OPINION.index(name) + 1 :] + DISCLOSED),
                preserve_spacing=False,
            )
    return str(call)


def _set(call: Template, name: str, value: str) -> None:
    if not call.has(name):
        following = (
            FACTS[FACTS.index(name) + 1 :] + _AFTER
            if name in FACTS
            else DISCLOSED[DISCLOSED.index(name) + 1 :]
        )
        call.add(name, value, before=_first(call, following), preserve_spacing=False)
        return
    parameter = call.get(name)
    current = str(parameter.value)
    shown = current.strip()
    if shown != value:
        parameter.value = current.replace(shown, value, 1) if shown else value


def _first(call: Template, names: Sequence[str]) -> str | None:
    return next((name for name in names if call.has(name)), None)


def _with_missing(
    pieces: list[str], places: dict[str, int], wanted: dict[str, ReviewRow], bot_name: str
) -> str:
    """Put back what is gone, each beside its neighbours."""
    order = list(wanted)
    behind: dict[int, list[str]] = {}
    before: dict[int, list[str]] = {}
    lost: list[str] = []
    anchor: int | None = None
    for number, item_id in enumerate(order):
        if item_id in places:
            anchor = places[item_id]
            continue
        line = render_row(wanted[item_id], bot_name)
        following = next((places[later] for later in order[number + 1 :] if later in places), None)
        if anchor is not None:
            behind.setdefault(anchor, []).append(line)
        elif following is not None:
            before.setdefault(following, []).append(line)
        else:
            lost.append(line)
    for index in places.values():
        first, last = before.get(index, []), behind.get(index, [])
        pieces[index] = "\n".join([*first, pieces[index], *last])
    return _appended("".join(pieces), lost, bot_name)


def _appended(text: str, lines: Sequence[str], bot_name: str) -> str:
    """Lines at the end, but above the footer."""
    if not lines:
        return text
    block = "\n".join(lines) + "\n"
    footers = find_calls(text, f"User:{bot_name}/Review/footer")
    at = footers[-1].start if footers else len(text)
    head, tail = text[:at], text[at:]
    gap = "\n" if head and not head.endswith("\n") else ""
    return head + gap + block + tail


def _framed(text: str, bot_name: str) -> str:
    """Header and footer come back too; how people capitalise or move them does not matter."""
    if not find_calls(text, f"User:{bot_name}/Review/header"):
        text = f"{header_call(bot_name)}\n{text}"
    if not find_calls(text, f"User:{bot_name}/Review/footer"):
        text = text + ("" if text.endswith("\n") else "\n") + footer_call(bot_name) + "\n"
    return text


__all__ = ["footer_call", "header_call", "merge_page", "new_page"]
