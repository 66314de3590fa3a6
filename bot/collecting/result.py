"""Pure: from what became of the files to a dataset, to what is said of each picture, and to what is missing.

The dataset follows from the plan and the outcomes alone, so it can be made anew at any time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bot.collecting.collector import Collected
from bot.collecting.plan import CategoryPlan, CollectingPlan
from bot.collecting.tree import Candidates
from bot.collecting.values import LeftOut, Outcome
from bot.describing.values import Description
from classifier.datasets.values import Dataset, Item

_NOBODY = frozenset(
    {"", "anonymous", "author unknown", "n/a", "none", "unknown", "unknown author", "various"}
)


@dataclass(frozen=True, slots=True)
class Result:
    """What a collection amounts to.

    Attributes:
        dataset: Its pictures, neither verified nor divided.
        sources: For each of them a record of where it comes from and under which licence.
        left_out: Everything that was met and is not among them.
        pending: How many of those are missing for now: another run may bring them.
    """

    dataset: Dataset
    sources: tuple[Mapping[str, Any], ...]
    left_out: tuple[LeftOut, ...]
    pending: int


@dataclass(frozen=True, slots=True)
class _Taken:
    title: str
    outcome: Outcome
    description: Description
    wanted: Candidates


def summarise(
    plan: CollectingPlan, collected: Collected, outcomes: Mapping[str, Outcome], folder: Path, page_url: str
) -> Result:
    """Make a dataset of what was collected.

    Args:
        plan: What was wanted.
        collected: Which files may be taken.
        outcomes: What became of them, by title.
        folder: The collection.
        page_url: Address of a page, with `{title}`.

    Returns:
        The dataset and what belongs to it.
    """
    left_out = list(collected.left_out)
    pending = 0
    taken: dict[str, list[_Taken]] = {}
    for wanted in collected.candidates:
        mine: set[str] = set()
        unsettled = 0
        for title in wanted.titles:
            outcome = outcomes.get(title)
            if outcome is None:
                continue
            if outcome.description is None or not outcome.file:
                left_out.append(_failed(title, outcome, wanted.plan))
                unsettled += not outcome.is_final
                continue
            if len(mine | {outcome.file}) > wanted.plan.limit:
                break
            mine.add(outcome.file)
            taken.setdefault(outcome.file, []).append(_Taken(title, outcome, outcome.description, wanted))
        pending += unsettled if len(mine) < wanted.plan.limit else 0
    kept: list[_Taken] = []
    for group in taken.values():
        # A file's own title before one that leads to it.
        group.sort(key=lambda one: one.title != one.description.title)
        left_out += _spare(group)
        if len({one.wanted.plan.label for one in group}) == 1:
            kept.append(group[0])
    items = tuple(_item(one, plan) for one in kept)
    return Result(
        Dataset(items, folder, folder.name, plan.classes),
        tuple(_record(one, page_url) for one in kept),
        tuple(left_out),
        pending,
    )


def _failed(title: str, outcome: Outcome, plan: CategoryPlan) -> LeftOut:
    again = "" if outcome.is_final else " Another run tries again."
    return LeftOut(title, outcome.code, f"{outcome.message}{again}", plan.label, plan.name)


def _spare(group: Sequence[_Taken]) -> list[LeftOut]:
    """Titles that show the same bytes: all but the first, or all of them where their labels differ."""
    first = group[0]
    labels = sorted({one.wanted.plan.label for one in group})
    spare = []
    for one in group:
        plan, target = one.wanted.plan, one.description.title
        if len(labels) > 1:
            titles = ", ".join(other.title for other in group[:5])
            message = f"The same file is labelled {' and '.join(labels)}: {titles}."
            spare.append(LeftOut(one.title, "label_conflict", message, plan.label, plan.name))
        elif one.title != target:
            has_it = "which was collected" if target == first.description.title else f"like {first.title}"
            spare.append(
                LeftOut(one.title, "redirect", f"It leads to {target}, {has_it}.", plan.label, plan.name)
            )
        elif one is not first:
            spare.append(
                LeftOut(one.title, "duplicate", f"It has the bytes of {first.title}.", plan.label, plan.name)
            )
    return spare


def _item(one: _Taken, plan: CollectingPlan) -> Item:
    described, category = one.description, one.wanted.plan
    groups = {
        **category.groups,
        "category": category.name.removeprefix("Category:"),
        "licence": described.licence,
        "media": described.media_type.lower(),
    }
    return Item(one.outcome.file, category.label, source_of(described, plan.source), groups)


def source_of(described: Description, kind: str) -> str:
    """Whom a picture comes from, so that one person's pictures stay in one split.

    Args:
        described: What the wiki says.
        kind: `author`, `uploader` or `none`.

    Returns:
        Such as `author:Jane Doe`; empty where nobody is named, since all the unknown are not one person.
    """
    if kind == "author" and described.author:
        is_nobody = described.author.casefold().strip(" .") in _NOBODY
        return "" if is_nobody else f"author:{described.author}"
    return f"uploader:{described.uploader}" if kind != "none" and described.uploader else ""


def _record(one: _Taken, page_url: str) -> Mapping[str, Any]:
    described, plan = one.description, one.wanted.plan
    return {
        "path": one.outcome.file,
        "title": described.title,
        "page": page_url.replace("{title}", quote(described.title.replace(" ", "_"), safe=":/")),
        "label": plan.label,
        "category": one.wanted.met_in.get(one.title, ""),
        "collected_for": plan.name,
        "author": described.author,
        "credit": described.credit,
        "licence": described.licence,
        "licence_url": described.licence_url,
        "uploader": described.uploader,
        "sha1": described.sha1_hex,
        "file_timestamp": described.file_timestamp,
        "revision_id": described.revision_id,
        "revision_timestamp": described.revision_timestamp,
        "media_type": described.media_type,
        "mime": described.mime,
        "rendition": one.outcome.rendition,
        "fetched_at": one.outcome.fetched_at,
    }


__all__ = ["Result", "source_of", "summarise"]
