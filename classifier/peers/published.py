"""What a peer's makers say about it: their numbers, each with where it stands and what it was measured on.

They are quoted, not confirmed: most come from sets that nobody else has seen.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PublishedNumber:
    """One number of somebody else's.

    Attributes:
        what: What was measured, with its value and unit.
        source: Where it is published.
        measured_on: The pictures, as far as they are described.
    """

    what: str
    source: str
    measured_on: str


@dataclass(frozen=True, slots=True)
class Notes:
    """What belongs to a peer's card beyond `ModelCard`.

    Attributes:
        published: Numbers of theirs.
        notice: What whoever uses it has to know first, such as a licence that binds; may be empty.
    """

    published: tuple[PublishedNumber, ...]
    notice: str = ""


__all__ = ["Notes", "PublishedNumber"]
