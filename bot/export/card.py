"""`README.md`: the data card of an export, and the counts that it tells. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bot.export.record import Values
from bot.export.splits import SPLITS
from bot.export.writing import is_labelled

_BREAKDOWNS = ("label", "split", "reason", "stratum", "model", "media_state", "licence")
_UNKNOWN = "–"
_MAX_LICENCES = 50


@dataclass(slots=True)
class Tally:
    """Counts that grow row by row.

    Attributes:
        rows: Items.
        by: How many by the values of a column.
        labels: How many by split and label.
        weights: By split, of items with an agreed label: how many, sum of weights, sum of their squares.
        smallest: Smallest weight.
        largest: Largest weight.
    """

    rows: int = 0
    by: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in _BREAKDOWNS})
    labels: Counter[tuple[str, str]] = field(default_factory=Counter)
    weights: dict[str, tuple[int, float, float]] = field(default_factory=dict)
    smallest: float = float("inf")
    largest: float = 0.0

    def add(self, row: Values) -> None:
        """Count a row."""
        self.rows += 1
        for name, counter in self.by.items():
            counter[row[name] or _UNKNOWN] += 1
        self.labels[row["split"], row["label"]] += 1
        weight = row["weight"]
        self.smallest, self.largest = min(self.smallest, weight), max(self.largest, weight)
        if is_labelled(row):
            for part in (row["split"], "all"):
                n, total, squares = self.weights.get(part, (0, 0.0, 0.0))
                self.weights[part] = (n + 1, total + weight, squares + weight * weight)

    def effective(self, part: str = "all") -> float:
        """Kish's effective sample size: what the labelled items are worth in equally weighted ones."""
        _, total, squares = self.weights.get(part, (0, 0.0, 0.0))
        return total * total / squares if squares else 0.0


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What else the card tells.

    Attributes:
        name: Name of the export.
        made_at: When.
        wiki: Domain of the wiki.
        chosen: What was asked for, by option.
        missing: Items without a picture, by code.
        suppressed: How many items were left out since the wiki suppressed them.
        unchanged: How many were left out since an earlier export has them as they are.
        withdrawn: How many of earlier exports were suppressed since.
        with_names: Whether moderators are named.
        hashes: SHA-256 by file, pictures left out: theirs are their names.
        licences_asked: Whether the wiki was asked for licences and authors.
    """

    name: str
    made_at: datetime
    wiki: str
    chosen: Mapping[str, str]
    missing: Mapping[str, int]
    suppressed: int
    unchanged: int
    withdrawn: int
    with_names: bool
    hashes: Mapping[str, str]
    licences_asked: bool = False


def card(tally: Tally, facts: CardFacts) -> str:
    """Write the data card.

    Args:
        tally: The counts.
        facts: The rest.

    Returns:
        Markdown.
    """
    chosen = ", ".join(f"`{name} {value}`" for name, value in facts.chosen.items()) or "everything reviewed"
    parts = [
        f"# Feedback export {facts.name}",
        f"{tally.rows:,} uploads to {facts.wiki} that moderators were asked about, with what the model said "
        f"and what they decided. Made {facts.made_at:%Y-%m-%d %H:%M} UTC. Chosen: {chosen}.",
        "**These pictures may be explicit, and may show people.** Keep them where nobody comes across them; "
        "nothing here may be published, and what the wiki deletes or suppresses later has to go here too.",
        _counts(tally),
        _weights(tally),
        _licences(tally, facts),
        _left_out(facts),
        _RULES,
        _people(facts),
        "## Files\n\n" + _table(("file", "SHA-256"), [(f"`{n}`", f"`{h}`") for n, h in facts.hashes.items()]),
    ]
    return "\n\n".join(parts) + "\n"


def _counts(tally: Tally) -> str:
    found = sorted({label for _, label in tally.labels})
    rows = [(split, *(f"{tally.labels[split, label]:,}" for label in found)) for split in SPLITS]
    blocks = ["## Counts\n\n" + _table(("split", *found), rows)]
    for name in ("reason", "stratum", "model", "media_state"):
        values = [(_cell(value), f"{count:,}") for value, count in sorted(tally.by[name].items())]
        blocks.append(_table((name, "items"), values))
    return "\n\n".join(blocks)


def _weights(tally: Tally) -> str:
    rows = [
        (part, f"{n:,}", f"{total:,.1f}", f"{tally.effective(part):,.1f}")
        for part, (n, total, _) in sorted(tally.weights.items())
    ]
    spread = f" Weights lie between {tally.smallest:,.4g} and {tally.largest:,.4g}." if tally.rows else ""
    return (
        "## Weights\n\nItems were chosen for review with unequal probabilities (`inclusion_probability`); "
        "each stands for `weight` = 1 / that many uploads. Counts without weights say nothing of all "
        f"uploads.{spread} The effective sample size is Kish's: what the labelled items are worth in equally "
        "weighted ones.\n\n"
        + _table(("part", "labelled", "sum of weights", "effective"), rows)
        + "\n\nThe weights do not know which of the chosen items people got round to: `label` is `open` "
        "where nobody decided."
    )


def _licences(tally: Tally, facts: CardFacts) -> str:
    told = (
        "## Licences\n\nThis export grants no licence. Each file has the one that its file page tells "
        "(`file_page`), and its author has to be named as it says there.\n\n"
    )
    if not facts.licences_asked:
        return told + (
            f"The wiki was not asked: that takes `--fetch`. So the licences of all {tally.rows:,} files are "
            "unknown, and `licence`, `licence_url` and `author` are empty."
        )
    found = [(name, count) for name, count in tally.by["licence"].most_common() if name != _UNKNOWN]
    rows = [(_strange(name), f"{count:,}") for name, count in found[:_MAX_LICENCES]]
    if rest := found[_MAX_LICENCES:]:
        rows.append((f"{len(rest):,} others, see `export.json`", f"{sum(count for _, count in rest):,}"))
    rows.append(("unknown", f"{tally.by['licence'][_UNKNOWN]:,}"))
    return (
        told
        + f"What the pages said on {facts.made_at:%Y-%m-%d}, unchecked (`licence`, `licence_url`, `author`). "
        "Unknown is what a page does not tell, and what is gone or was overwritten.\n\n"
        + _table(("licence", "files"), rows)
    )


def _left_out(facts: CardFacts) -> str:
    rows = [(f"without a picture: {code}", f"{count:,}") for code, count in sorted(facts.missing.items())]
    rows += [
        ("suppressed on the wiki: not exported", f"{facts.suppressed:,}"),
        ("unchanged since an earlier export: not repeated", f"{facts.unchanged:,}"),
        ("of earlier exports, suppressed since: `withdrawn.csv`", f"{facts.withdrawn:,}"),
    ]
    told = "## What is not here\n\nItems without a picture have their row; `missing.csv` says why.\n\n"
    if facts.withdrawn:
        told += "**Delete what `withdrawn.csv` names wherever an earlier export was copied to.**\n\n"
    return told + _table(("what", "items"), rows)


_RULES = """## Labels and splits

- `label`: `nsfw` or `safe` where the trusted verdicts agree; `disputed`, `unsure` and `open` are no labels.
  The formats with classes (torchvision, WebDataset) hold labelled items with a picture only; `imagefolder`
  all with a picture. torchvision numbers folders by name (`nsfw` 0, `safe` 1), WebDataset's `.cls` is 0 safe,
  1 nsfw.
- `split`: `test` is for evaluation and never for training. One uploader's files, and files with the same
  bytes, are always in one split (`source` is equal for what belongs together). Later exports move items out
  of `test`, never into it.
- `predicted_label` is the model's, at `threshold`; `score` is no probability unless the model was
  calibrated."""


def _people(facts: CardFacts) -> str:
    authors = "Authors are named, as licences ask (`author`). " if facts.licences_asked else ""
    if facts.with_names:
        return f"## People\n\n{authors}**Moderators are named here.** Treat it as personal data."
    return (
        f"## People\n\n{authors}Moderators are pseudonyms under a secret key, the same person under "
        "the same one. Comments, groups, revisions and the time of day are left out. Where the report page "
        "is public, anybody can still look up there who decided about a file."
    )


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _strange(text: str) -> str:
    """What strangers wrote: shown as it is, never as Markdown or HTML."""
    return "`" + _cell(text).replace("`", "'") + "`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


__all__ = ["CardFacts", "Tally", "card"]
