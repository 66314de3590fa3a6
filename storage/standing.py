"""What the verdicts on an item come to. Pure: the one place that knows the rule of promise 4.

Only trusted verdicts count, and of each person only the latest trusted one: a person who lost the right
since keeps the vote given while it stood, and cannot take it back without it. `unsure` is no decision, so it
neither closes an item nor disagrees with anybody.
"""

from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from storage.review_values import ReviewState, Standing, Verdict, VerdictCode

NSFW = frozenset((VerdictCode.NSFW_DELETE, VerdictCode.NSFW_KEEP))


class Vote(Protocol):
    """What the rule needs of a verdict."""

    @property
    def code(self) -> VerdictCode:
        """The decision."""
        ...

    @property
    def author(self) -> str:
        """Who decided."""
        ...

    @property
    def author_id(self) -> int | None:
        """The author's user id, which survives a renaming."""
        ...

    @property
    def given_at(self) -> datetime:
        """When."""
        ...

    @property
    def revision_id(self) -> int | None:
        """In which revision; tells the order within one second."""
        ...

    @property
    def id(self) -> int | None:
        """Row id."""
        ...


@dataclass(frozen=True, slots=True)
class CastVote:
    """A verdict as queries over many items read it: what the rule needs, and what its author had seen."""

    code: VerdictCode
    author: str
    author_id: int | None
    given_at: datetime
    revision_id: int | None
    id: int
    blind: bool
    hinted: bool

    @property
    def uninfluenced(self) -> bool:
        """Whether its author saw neither score and reason nor a hint."""
        return self.blind and not self.hinted


VoteT = TypeVar("VoteT", bound=Vote)


def latest_per_person(votes: Iterable[VoteT]) -> list[VoteT]:
    """Drop what the same person superseded.

    Args:
        votes: Verdicts on one item, in any order.

    Returns:
        One per person, in the order given.
    """
    latest: dict[Hashable, VoteT] = {}
    for vote in sorted(votes, key=_order):
        person = vote.author if vote.author_id is None else vote.author_id
        latest.pop(person, None)
        latest[person] = vote
    return list(latest.values())


def state_of(codes: Collection[VerdictCode]) -> ReviewState:
    """Where an item stands.

    Args:
        codes: The standing trusted decisions, one per person.

    Returns:
        Disputed where two decisions differ, closed where all decisions are the same, open where there is
        none but `unsure`.
    """
    decisions = set(codes) - {VerdictCode.UNSURE}
    if len(decisions) > 1:
        return ReviewState.DISPUTED
    return ReviewState.CLOSED if decisions else ReviewState.OPEN


def is_nsfw(codes: Collection[VerdictCode]) -> bool | None:
    """The label that the decisions agree on, which they can do while they dispute what to do with the file.

    Args:
        codes: The standing trusted decisions, one per person.

    Returns:
        True or False; None where they disagree or nobody decided.
    """
    labels = {code in NSFW for code in codes if code is not VerdictCode.UNSURE}
    return labels.pop() if len(labels) == 1 else None


def standing_of(verdicts: Sequence[Verdict]) -> Standing:
    """What an item's verdicts come to.

    Args:
        verdicts: Every verdict on one item, in any order.

    Returns:
        The state, the votes behind it, and what does not count.
    """
    votes = latest_per_person(verdict for verdict in verdicts if verdict.trusted)
    decisions = [vote for vote in votes if vote.code is not VerdictCode.UNSURE]
    shown = decisions or votes
    return Standing(
        state=state_of([vote.code for vote in votes]),
        votes=tuple(votes),
        untrusted=tuple(latest_per_person(verdict for verdict in verdicts if not verdict.trusted)),
        verdict=shown[-1] if shown else None,
    )


def _order(vote: Vote) -> tuple[datetime, int, int]:
    return (vote.given_at, vote.revision_id or 0, vote.id or 0)
