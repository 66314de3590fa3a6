"""Pure but for whom it asks: which files are below a category, however its subcategories are knotted.

Categories of Commons form no tree: they contain each other, and one is reached by many ways. Each is entered
once, nearest first, so that a depth means the shortest way to it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256

from bot.collecting.plan import CategoryPlan, category_title
from bot.collecting.values import LeftOut, Listing

ListingOf = Callable[[str], Listing]


@dataclass(frozen=True, slots=True)
class Walk:
    """What is below one named category.

    Attributes:
        plan: The category.
        files: For each title the category in which it was met first.
        left_out: What was not entered or not taken, and why.
        categories: How many categories were entered.
    """

    plan: CategoryPlan
    files: Mapping[str, str]
    left_out: tuple[LeftOut, ...]
    categories: int


@dataclass(frozen=True, slots=True)
class Candidates:
    """The files of one named category that may be collected, in the order in which they are tried.

    Attributes:
        plan: The category.
        titles: The files.
        met_in: For each file the category in which it was met.
    """

    plan: CategoryPlan
    titles: tuple[str, ...]
    met_in: Mapping[str, str]


def walk(
    plan: CategoryPlan, listing_of: ListingOf, exclude: Sequence[str] = (), max_categories: int = 500
) -> Walk:
    """Go through a category and its subcategories, level by level.

    Args:
        plan: The category, its depth and its exclusions.
        listing_of: Tells what is directly in a category.
        exclude: Further exclusions.
        max_categories: Most categories that are entered.

    Returns:
        The files, and what was left out.
    """
    patterns = [normalised_pattern(pattern) for pattern in (*plan.exclude, *exclude)]
    files: dict[str, str] = {}
    left_out: dict[str, LeftOut] = {}
    seen, entered = {plan.name}, 0
    waiting = deque([(plan.name, 0)])

    def leave(title: str, code: str, message: str) -> None:
        left_out.setdefault(title, LeftOut(title, code, message, plan.label, plan.name))

    while waiting:
        category, depth = waiting.popleft()
        if entered >= max_categories:
            leave(category, "too_many_categories", f"Not entered: it is beyond {max_categories} categories.")
            continue
        entered += 1
        listing = listing_of(category)
        if not listing.files and not listing.subcategories:
            leave(category, "empty_category", "There is nothing in it, or no such category.")
        if listing.is_cut:
            leave(category, "category_cut", f"It has more than the {len(listing.files)} files listed.")
        for title in listing.files:
            if (pattern := _matching(title, patterns)) is not None:
                leave(title, "excluded", f"Its title matches {pattern!r}.")
            else:
                files.setdefault(title, category)
        for title in listing.subcategories if depth < plan.depth else ():
            if title in seen:
                continue
            seen.add(title)
            if (pattern := _matching(title, patterns)) is not None:
                leave(title, "excluded", f"Not entered: its title matches {pattern!r}.")
            else:
                waiting.append((title, depth + 1))
    return Walk(plan, files, tuple(left_out.values()), entered)


def candidates(walks: Sequence[Walk], seed: int) -> tuple[tuple[Candidates, ...], tuple[LeftOut, ...]]:
    """Give every file to one named category, and shuffle them: a category's order is an order of names.

    Args:
        walks: One for each named category.
        seed: Equal seeds give equal orders, whatever else is in the categories.

    Returns:
        The candidates of each, and the files that are below categories of both labels.
    """
    labels: dict[str, set[str]] = {}
    for one in walks:
        for title in one.files:
            labels.setdefault(title, set()).add(one.plan.label)
    taken: set[str] = set()
    left_out: list[LeftOut] = []
    result = []
    for one in walks:
        mine = []
        for title in one.files:
            if len(labels[title]) > 1:
                both = " and ".join(sorted(labels[title]))
                message = f"It is below categories of {both}."
                left_out.append(LeftOut(title, "label_conflict", message, one.plan.label, one.plan.name))
            elif title not in taken:
                mine.append(title)
        taken.update(mine)
        result.append(
            Candidates(one.plan, tuple(sorted(mine, key=lambda title: _rank(seed, title))), one.files)
        )
    return tuple(result), tuple(left_out)


def normalised_pattern(pattern: str) -> str:
    """A pattern in the spelling of titles; without a namespace it is one of categories."""
    text = " ".join(pattern.replace("_", " ").split())
    head, colon, rest = text.partition(":")
    if colon and head.strip().lower() in ("file", "image"):
        name = rest.strip()
        return f"File:{name[:1].upper()}{name[1:]}"
    return category_title(text) or text


def _matching(title: str, patterns: Iterable[str]) -> str | None:
    return next((pattern for pattern in patterns if fnmatchcase(title, pattern)), None)


def _rank(seed: int, title: str) -> str:
    return sha256(f"{seed}:{title}".encode()).hexdigest()


__all__ = ["Candidates", "ListingOf", "Walk", "candidates", "normalised_pattern", "walk"]
