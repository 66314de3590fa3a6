"""Pure: where an item belongs whose row people moved or copied to another report page.

An item stands on one page. People may move its row, in one edit or in two: where the row is gone from its own
page and stands on another, the item follows it. Of copies on several pages those go away that say nothing of
their own, so that nothing a person wrote is lost.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bot.review.rows import DISCLOSED, FACTS, OPINION, FoundRow, parse_rows

_OURS = frozenset({"id", *FACTS, *OPINION, *DISCLOSED})


@dataclass(frozen=True, slots=True)
class Settlement:
    """What follows from where rows were found.

    Attributes:
        moves: The page that an item belongs on from now, by item id.
        surplus: Ids of rows to be taken off a page, by its title.
    """

    moves: Mapping[str, str]
    surplus: Mapping[str, Collection[str]]


def settle(homes: Mapping[str, str], found: Mapping[str, Sequence[FoundRow]]) -> Settlement:
    """Decide for items that were found anywhere.

    Args:
        homes: Title by item id, as the bot knows it; other items are left as they are.
        found: The rows of every page that was read, by title.

    Returns:
        Moves and surplus rows. Nothing is said of items whose own page was not read.
    """
    places: dict[str, dict[str, list[FoundRow]]] = {}
    for title in sorted(found):
        for row in found[title]:
            places.setdefault(row.item_id, {}).setdefault(title, []).append(row)
    moves: dict[str, str] = {}
    surplus: dict[str, set[str]] = {}
    for item_id, rows in places.items():
        home = homes.get(item_id)
        if home is None or home not in found:
            continue
        written_into = [title for title in rows if any(_says_something(row) for row in rows[title])]
        if home in rows and (home in written_into or not written_into):
            stays = home
        else:
            stays = (written_into or list(rows))[0]
            moves[item_id] = stays
        kept = {(row.word, row.comment) for row in rows[stays]} | {("", "")}
        for title in rows:
            if title != stays and all(_adds_nothing(row, kept) for row in rows[title]):
                surplus.setdefault(title, set()).add(item_id)
    return Settlement(moves, surplus)


def without_rows(text: str, item_ids: Collection[str], bot_name: str) -> str:
    """Take rows off a page, each with its line.

    Args:
        text: Wikitext of the page.
        item_ids: Whose rows.
        bot_name: The bot's account.

    Returns:
        The text without them; all else is as it was.
    """
    pieces, at = [], 0
    for row in parse_rows(text, bot_name) if item_ids else ():
        if row.item_id in item_ids:
            pieces.append(text[at : row.start])
            alone = row.start == 0 or text[row.start - 1] == "\n"
            at = row.end + (alone and text[row.end : row.end + 1] == "\n")
    return "".join([*pieces, text[at:]])


def _says_something(row: FoundRow) -> bool:
    return row.has_opinion or row.locked or not row.parameters.keys() <= _OURS


def _adds_nothing(row: FoundRow, kept: Collection[tuple[str, str]]) -> bool:
    """Whether the same stands where the item stays."""
    return not row.locked and row.parameters.keys() <= _OURS and (row.word, row.comment) in kept


__all__ = ["Settlement", "settle", "without_rows"]
