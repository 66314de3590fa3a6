"""Pure: bring a report page up to date without changing anything that a person wrote.

The bot owns the facts in its rows and nothing else.  Verdicts and comments in a row are never touched,
whatever the store says; what stands outside the rows stays as it is, character by character.  Rows that are
gone come back with the verdict that the store knows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
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

_MAX_PASSES: Final = 4
"""A row put on a line of its own can make its neighbour one that can be mended in the next pass."""
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
    nobody wrote into go away, if they stand on lines of their own; several that people wrote into all stay,
    for people to sort out, and each verdict in them belongs to whoever wrote it.  A row that lost its braces
    gets them back.  Rows of other ids, and rows too broken to be rewritten, stay as they are.  Doing it twice
    changes nothing.

    Args:
        current_text: The page as it stands; empty where it does not exist or was blanked.
        wanted_rows: What is to stand on it, in its order.
        bot_name: The bot's account.

    Returns:
        The new text.
    """
    wanted = {row.item_id: row for row in wanted_rows}
    text = current_text
    for _ in range(_MAX_PASSES):
        before, text = text, _merged_once(text, wanted, bot_name)
        if text == before:
            break
    return text


def _merged_once(current_text: str, wanted: Mapping[str, ReviewRow], bot_name: str) -> str:
    found = [row for row in parse_rows(current_text, bot_name) if row.item_id in wanted]
    merged = _merged(current_text, found, wanted, bot_name)
    if _keeps_everything(found, merged, wanted, bot_name):
        return merged
    sound = [row for row in found if not row.damaged]
    return _merged(current_text, sound, wanted, bot_name, careful=True)


def _merged(
    text: str,
    found: Sequence[FoundRow],
    wanted: Mapping[str, ReviewRow],
    bot_name: str,
    *,
    careful: bool = False,
) -> str:
    """One way to do it; the careful one changes facts and adds what is missing below everything else."""
    surplus = set() if careful else {row.start for row in _surplus(text, found)}
    pieces: list[str] = []
    places: dict[str, int] = {}
    at = 0
    for row in found:
        pieces.append(text[at : row.start])
        at = row.end
        if row.start in surplus:
            at = min(text.find("\n", at) + 1 or len(text), len(text))
            continue
        places.setdefault(row.item_id, len(pieces))
        mendable = not row.damaged or _ends_line(text, row)
        refreshed = _refreshed(row, wanted[row.item_id]) if mendable else None
        pieces.append(refreshed or text[row.start : row.end])
    pieces.append(text[at:])
    if careful:
        lost = [render_row(row, bot_name) for item_id, row in wanted.items() if item_id not in places]
        return _appended(_framed("".join(pieces), bot_name), lost, bot_name)
    return _framed(_with_missing(pieces, places, wanted, bot_name), bot_name)


def _keeps_everything(
    before: Sequence[FoundRow], merged: str, wanted: Mapping[str, ReviewRow], bot_name: str
) -> bool:
    """Whether all items are there and no opinion is gone or new: broken markup has many ways to fool us."""
    after = [row for row in parse_rows(merged, bot_name) if row.item_id in wanted]
    there = {row.item_id for row in before}
    kept = Counter((row.item_id, row.word, row.comment) for row in before if row.has_opinion)
    now = Counter(
        (row.item_id, row.word, row.comment) for row in after if row.has_opinion and row.item_id in there
    )
    return now == kept and {row.item_id for row in after} == wanted.keys()


def _surplus(text: str, found: Sequence[FoundRow]) -> list[FoundRow]:
    """The doubled rows that nobody wrote into; one row of each id is always left."""
    surplus = []
    for item_id in {row.item_id for row in found}:
        same = [row for row in found if row.item_id == item_id]
        kept = next(
            (row for row in same if row.verdict), next((row for row in same if row.has_opinion), same[0])
        )
        surplus += [row for row in same if row is not kept and _is_void(text, row)]
    return surplus


def _is_void(text: str, row: FoundRow) -> bool:
    """Whether a row holds nothing but the bot's own facts, on a line of its own."""
    ours = row.parameters.keys() <= {"id", *FACTS, *_AFTER}
    return ours and not row.has_opinion and not row.locked and _is_alone(text, row)


def _is_alone(text: str, row: FoundRow) -> bool:
    """Whether nothing else stands on its line: only then can it be removed without side effects."""
    return text[max(row.start - 1, 0) : row.start] in {"", "\n"} and _ends_line(text, row)


def _ends_line(text: str, row: FoundRow) -> bool:
    line_end = text.find("\n", row.end)
    return not (text[row.end :] if line_end < 0 else text[row.end : line_end]).strip()


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
    pieces: list[str], places: dict[str, int], wanted: Mapping[str, ReviewRow], bot_name: str
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
    starts = [call.start for call in footers if text[max(call.start - 1, 0) : call.start] in {"", "\n"}]
    at = starts[-1] if starts else len(text)
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
