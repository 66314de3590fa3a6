"""The items that people were asked about, as columns, and what the verdicts on them come to.

There are as many as people were asked about, tens of thousands in two months, and the estimates look at all
of them dozens of times: an array a column costs a tenth of a Python object an item.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from storage import metric_rows
from storage.feedback_tables import SampleDrawRow
from storage.metric_values import Selection
from storage.review_values import VerdictCode
from storage.standing import CastVote, is_nsfw, latest_per_person
from storage.tables import ClassificationRow, ReviewItemRow, VerdictRow
from storage.weighted_estimates import Bools, Floats

Known = tuple[str, bool, int, str]
"""Stratum, whether it is flagged, bin and group: what uploads are counted by."""
_AT_ONCE = 5000
_NOBODY: Sequence[Any] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Items that people were asked about; every column has the shape (items,).

    Attributes:
        strata: That each was drawn from.
        probabilities: With which each was chosen.
        scores: In 0..1.
        flagged: Whether the bot flagged it.
        bins: How many of the edges its score reaches.
        groups: Its group; an empty string where none was asked for.
        created_at: When it was put up for review, as aware datetimes.
        labels: What people agree on, 1.0 explicit and 0.0 harmless; NaN where they do not, or nobody decided.
        blind: What those agree on who saw neither the score nor a hint at another file.
        hinted: What those agree on who saw a hint, but not the score.
        unblinded: What those agree on who saw the score.
        decided_at: When the first decision was given; None where none was.
        ayes: How many say that it is explicit, those who saw a hint left out.
        noes: How many say that it is not, likewise.
        decisions: How many trusted verdicts were ever given on it, `unsure` included.
    """

    strata: NDArray[np.str_]
    probabilities: Floats
    scores: Floats
    flagged: Bools
    bins: NDArray[np.int64]
    groups: NDArray[np.str_]
    created_at: NDArray[np.object_]
    labels: Floats
    blind: Floats
    hinted: Floats
    unblinded: Floats
    decided_at: NDArray[np.object_]
    ayes: NDArray[np.int64]
    noes: NDArray[np.int64]
    decisions: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, mask: Bools) -> "Asked":
        """Some of them.

        Args:
            mask: Which, (items,).

        Returns:
            Their columns.
        """
        return Asked(*(getattr(self, column.name)[mask] for column in fields(self)))

    def unresolved(self) -> Bools:
        """Which of them somebody looked at without a decision that all agree on."""
        return np.isnan(self.labels) & (self.decisions > 0)


_TYPES: tuple[Any, ...] = (
    np.str_,
    np.float64,
    np.float64,
    np.bool_,
    np.int64,
    np.str_,
    np.object_,
    np.float64,
    np.float64,
    np.float64,
    np.float64,
    np.object_,
    np.int64,
    np.int64,
    np.int64,
)
"""Of the columns of `Asked`, in their order."""


def asked(tx: Session, chosen: Selection, edges: Sequence[float], known: Collection[Known]) -> Asked:
    """Read the items of the selected period that people were asked about.

    What was put up for another reason than its draw has no known probability, and is left out; so is what
    was not counted, such as the score of a model's second version.

    Args:
        tx: Any session of the database.
        chosen: Which uploads.
        edges: Rising scores that divide the bins.
        known: What was counted.

    Returns:
        The items, in no order.
    """
    groups = metric_rows.Groups.of(chosen)
    columns: list[Any] = [
        ReviewItemRow.id,
        metric_rows.stratum_of(),
        ReviewItemRow.inclusion_probability,
        ClassificationRow.score,
        ClassificationRow.label,
        metric_rows.bin_of(edges),
        groups.number,
        ClassificationRow.model_version_id,
        ReviewItemRow.created_at,
    ]
    votes = _votes(tx, chosen)
    rows = []
    for item, stratum, probability, score, label, bin_, group, model, created_at in _stream(
        tx, _asked(select(*columns), chosen)
    ):
        flagged, name = label == metric_rows.NSFW, groups.name(group, model)
        if (stratum, flagged, bin_, name) in known:
            outcome = come_to(votes.get(item, _NOBODY))
            rows.append((stratum, probability, score, flagged, bin_, name, created_at, *outcome))
    every = list(zip(*rows, strict=True)) or [()] * len(_TYPES)
    return Asked(*(np.array(column, dtype) for column, dtype in zip(every, _TYPES, strict=True)))


def _stream(tx: Session, statement: Select[Any]) -> Iterator[Sequence[Any]]:
    """Plain rows; those of a session would pass through the mapping of objects first."""
    for rows in tx.connection().execute(statement.execution_options(yield_per=_AT_ONCE)).partitions():
        yield from rows


def _votes(tx: Session, chosen: Selection) -> dict[int, list[Any]]:
    """Trusted verdicts by item: code, author, author's id, time, revision, row id, blind, hinted."""
    columns: list[Any] = [
        VerdictRow.review_item_id,
        VerdictRow.code,
        VerdictRow.author,
        VerdictRow.author_id,
        VerdictRow.given_at,
        VerdictRow.revision_id,
        VerdictRow.id,
        VerdictRow.blind,
        VerdictRow.hinted,
    ]
    found: dict[int, list[Any]] = {}
    # Whatever tells the items apart is read with them, and may take a pass over all uploads.
    whole = replace(chosen, by=None)
    statement = _asked(select(*columns), whole, with_verdicts=True).where(VerdictRow.trusted)
    for item, *vote in _stream(tx, statement):
        found.setdefault(item, []).append(vote)
    return found


Outcome = tuple[float, float, float, float, datetime | None, int, int, int]
"""The last columns of `Asked`, from `labels` on."""


def come_to(votes: Sequence[Any]) -> Outcome:
    """What the verdicts on one item come to; nearly all have none or one, which needs no rule.

    Args:
        votes: Trusted verdicts, each the fields of a `CastVote` in their order, the code as it is stored.

    Returns:
        The item's last columns.
    """
    if not votes:
        return (np.nan, np.nan, np.nan, np.nan, None, 0, 0, 0)
    if len(votes) > 1:
        return _of_several([CastVote(VerdictCode(code), *rest) for code, *rest in votes])
    code, _author, _author_id, given_at, _revision, _id, blind, hinted = votes[0]
    label = _OF_ONE[code]
    if label != label:  # NaN: unsure
        return (label, label, label, label, None, 0, 0, 1)
    blindly = label if blind and not hinted else np.nan
    by_hint = label if blind and hinted else np.nan
    seeing = np.nan if blind else label
    ayes, noes = (0, 0) if hinted else (int(label), 1 - int(label))
    return (label, blindly, by_hint, seeing, given_at, ayes, noes, 1)


def _of_several(votes: Sequence[CastVote]) -> Outcome:
    # Whoever saw a hint was told what others think of such a file: that is no independent opinion.
    own = latest_per_person([vote for vote in votes if not vote.hinted])
    each = [is_nsfw([vote.code]) for vote in own]
    return (
        _label(votes),
        _label([vote for vote in votes if vote.uninfluenced]),
        _label([vote for vote in votes if vote.blind and vote.hinted]),
        _label([vote for vote in votes if not vote.blind]),
        min((vote.given_at for vote in votes if vote.code is not VerdictCode.UNSURE), default=None),
        each.count(True),
        each.count(False),
        len(votes),
    )


def _label(votes: Sequence[CastVote]) -> float:
    return _number(is_nsfw([vote.code for vote in latest_per_person(votes)]))


def _number(label: bool | None) -> float:
    return np.nan if label is None else float(label)


_OF_ONE = {code.value: _number(is_nsfw([code])) for code in VerdictCode}


def _asked(statement: Select[Any], chosen: Selection, *, with_verdicts: bool = False) -> Select[Any]:
    statement = statement.select_from(ReviewItemRow)
    if with_verdicts:
        statement = statement.join(VerdictRow, VerdictRow.review_item_id == ReviewItemRow.id)
    same = (
        ClassificationRow.id == ReviewItemRow.classification_id
        if chosen.model is None
        else ClassificationRow.upload_id == ReviewItemRow.upload_id
    )
    statement = statement.join(ClassificationRow, same)
    return metric_rows.narrowed(statement, chosen).where(
        or_(SampleDrawRow.upload_id.is_(None), SampleDrawRow.chosen),
        *metric_rows.scored_between(chosen.since, chosen.until),
    )


__all__ = ["Asked", "Known", "asked", "come_to"]
