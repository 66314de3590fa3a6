"""Two models item by item, as rows of a table: what a table of means cannot tell."""

from dataclasses import dataclass
from typing import Final

from classifier.evaluation import wording
from classifier.evaluation.compare import Difference, Pairing


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models on the same items.

    Attributes:
        first: Name of the one.
        second: Name of the other.
        pairing: How they compare.
    """

    first: str
    second: str
    pairing: Pairing


PAIRED_MEASURES: Final = ("accuracy", "f1", "pr_auc")
"""Those whose difference the table of pairs shows."""

PAIRING: Final = (
    "On the same items, each at its own threshold. Differences are the second model's figure less the first "
    "one's, with the interval of a paired bootstrap: one counts where its interval leaves 0 out. McNemar's "
    "test compares right and wrong decisions and takes items as independent; with several pairs, divide the "
    "limit of its p by their number."
)
PAIR_HEADER: Final = (
    "First",
    "Second",
    "Items",
    "First alone is right",
    "Second alone is right",
    "McNemar's p",
    *(f"{wording.TITLES[name]}, difference" for name in PAIRED_MEASURES),
)


def pair_row(pair: Pair) -> tuple[tuple[str, str], ...]:
    """The cells of a pair, plain text, as `PAIR_HEADER` names them: a figure, and its interval or ""."""
    found, test = pair.pairing, pair.pairing.mcnemar
    by_name = {row.measure: row for row in found.differences}
    return (
        (pair.first, ""),
        (pair.second, ""),
        (f"{found.items:,}", ""),
        (f"{test.only_first:,}", ""),
        (f"{test.only_second:,}", ""),
        (f"{test.p_value:.3g}", ""),
        *(_apart(by_name[name]) for name in PAIRED_MEASURES),
    )


def _apart(row: Difference) -> tuple[str, str]:
    if row.difference is None or row.low is None:
        return wording.signed(row.difference), ""
    return wording.signed(row.difference), f"{wording.signed(row.low)} to {wording.signed(row.high)}"


__all__ = ["PAIRED_MEASURES", "PAIRING", "PAIR_HEADER", "Pair", "pair_row"]
