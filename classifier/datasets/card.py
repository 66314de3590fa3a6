"""The data card: what a dataset is, in Markdown, for whoever has to decide whether to trust a model of it.

What can be counted is counted; what only a person knows (where it comes from, who may use it, what it must
not be used for) is asked for, and said to be unknown until somebody answers.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from classifier import atomic_file
from classifier.datasets.balance import BalanceRow, balance
from classifier.datasets.manifest import content_hash
from classifier.datasets.near import duplicate_groups
from classifier.datasets.values import Dataset, DatasetError, Finding

_UNKNOWN = "*Not stated.*"
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~])")
_MAX_FINDINGS = 20


@dataclass(frozen=True, slots=True)
class Statements:
    """What only people know of a dataset; plain text.

    Attributes:
        purpose: What it was made for.
        origin: Where the pictures come from, and when they were collected.
        labelling: Who labelled them, by which rule.
        licence: Under which terms pictures and labels may be used.
        consent: What is known of the people in the pictures.
        not_for: What it must not be used for.
        limits: Known gaps and biases.
    """

    purpose: str = ""
    origin: str = ""
    labelling: str = ""
    licence: str = ""
    consent: str = ""
    not_for: str = ""
    limits: str = ""


_HEADINGS: Mapping[str, str] = {
    "purpose": "Purpose",
    "origin": "Where the pictures come from",
    "labelling": "Who labelled them, and how",
    "licence": "Terms of use",
    "consent": "People in the pictures",
    "not_for": "Not to be used for",
    "limits": "Known gaps and biases",
}


def data_card(
    dataset: Dataset, findings: Sequence[Finding] = (), statements: Statements | None = None
) -> str:
    """Write the card.

    Args:
        dataset: The dataset; to describe a divided one wholly, join both manifests.
        findings: What `check` and `verify` found.
        statements: What people say of it.

    Returns:
        Markdown; names and values from the data are escaped.

    Raises:
        DatasetError: Where a label is neither of the classes.
    """
    said = statements or Statements()
    parts = [f"# {escaped(dataset.name)}", _table(("", ""), facts(dataset).items())]
    parts += [f"## {heading}\n\n{getattr(said, name) or _UNKNOWN}" for name, heading in _HEADINGS.items()]
    rows = balance(dataset)
    parts.append("## Balance")
    for column in dict.fromkeys(row.column for row in rows):
        parts.append(_balance(dataset, column, [row for row in rows if row.column == column]))
    parts.append("## What was found")
    parts.append(_findings(findings))
    return "\n\n".join(parts) + "\n"


def write(
    path: Path, dataset: Dataset, findings: Sequence[Finding] = (), statements: Statements | None = None
) -> Path:
    """Write the card into a file; otherwise like `data_card`.

    Returns:
        The file.

    Raises:
        DatasetError: Also where the file cannot be written.
    """
    content = data_card(dataset, findings, statements)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_file.write(path, content.encode())
    except OSError as error:
        raise DatasetError(f"cannot be written: {error.strerror or error}", path) from error
    return path


def facts(dataset: Dataset) -> dict[str, str]:
    """What can be said of a dataset in a line each.

    Args:
        dataset: The dataset.

    Returns:
        Values for people, by what they are.
    """
    sources = {item.source for item in dataset.items if item.source}
    labels = duplicate_groups(dataset.items)
    spare = len(dataset) - len(set(labels.tolist()))
    verified = sum(bool(item.sha256) for item in dataset.items)
    kinds = Counter(item.label for item in dataset.items)
    return {
        "Pictures": f"{len(dataset):,}",
        "Labels": ", ".join(f"{label}: {kinds[label]:,}" for label in dataset.classes),
        "Verified": f"{verified:,} of {len(dataset):,}",
        "Duplicates and near duplicates": f"{spare:,}",
        "Sources": f"{len(sources):,}" if sources else "none named",
        "Content hash (SHA-256)": content_hash(dataset),
    }


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _balance(dataset: Dataset, column: str, rows: Sequence[BalanceRow]) -> str:
    header = (column or "all pictures", *dataset.classes, "together", f"{dataset.classes[1]}, share")
    lines = (
        (
            row.value or "(none)",
            f"{row.negatives:,}",
            f"{row.positives:,}",
            f"{row.count:,}",
            f"{row.positive_share:.1%}",
        )
        for row in rows
    )
    return _table(header, lines)


def _findings(findings: Sequence[Finding]) -> str:
    if not findings:
        return "Nothing."
    counts = Counter((finding.severity, finding.code) for finding in findings)
    summary = _table(
        ("severity", "what", "how often"),
        ((severity, code, f"{count:,}") for (severity, code), count in sorted(counts.items())),
    )
    errors = [finding for finding in findings if finding.severity == "error"]
    lines = [f"- {escaped(str(finding))}" for finding in errors[:_MAX_FINDINGS]]
    if len(errors) > _MAX_FINDINGS:
        lines.append(f"- and {len(errors) - _MAX_FINDINGS:,} more errors")
    return "\n\n".join(filter(None, (summary, "\n".join(lines))))


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(cell if cell == "---" else escaped(cell) for cell in line) + " |" for line in lines
    )


__all__ = ["Statements", "data_card", "escaped", "facts", "write"]
