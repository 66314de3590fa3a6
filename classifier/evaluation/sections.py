"""The parts of a report that no score tells: what could not be scored, leaks, speed, suspicious labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from classifier.datasets.sheets import Sheet
from classifier.datasets.values import Finding
from classifier.evaluation import wording
from classifier.evaluation.report import Section, picture
from classifier.evaluation.scoring import Failure
from classifier.evaluation.speed import BATCH, Speed
from classifier.evaluation.suspicious import Suspect

MAX_ROWS: Final = 200
"""Of a table; more are counted, not listed."""
_MEGA: Final = 1e6


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model may cost at most; None: anything.

    Attributes:
        latency_ms: Milliseconds a picture that comes alone.
        memory_mb: Megabytes (10^6 bytes) of a process with the model.
    """

    latency_ms: float | None = None
    memory_mb: float | None = None

    def over(self, speed: Speed) -> tuple[str, ...]:
        """Which of the limits a model does not keep, as sentence parts."""
        found = []
        if self.latency_ms is not None and speed.latency_ms > self.latency_ms:
            found.append(f"{speed.latency_ms:.1f} ms a picture, over the limit of {self.latency_ms:g}")
        if self.memory_mb is not None and speed.peak_bytes / _MEGA > self.memory_mb:
            found.append(f"{speed.peak_bytes / _MEGA:.0f} MB, over the limit of {self.memory_mb:g}")
        return tuple(found)


def failures(found: Sequence[Failure]) -> Section:
    """What has no score."""
    return Section(
        "Not scored",
        (
            f"{wording.count(len(found))} files could not be scored, so no figure on this page knows them. "
            "The daemon would record the same code for them; they are not harmless because of that."
            + _left_out(len(found)),
        ),
        ("File", "Label", "Code", "Why"),
        tuple((one.path, one.label, one.code, one.message) for one in found[:MAX_ROWS]),
    )


def leaks(found: Sequence[Finding]) -> Section:
    """What the test set has in common with training or validation data."""
    return Section(
        "Leaks",
        (
            "What a model was trained on, or what a threshold was chosen on, is in the test set too: the "
            "figures of this page flatter the model. Divide the dataset anew (dataset split)."
            + _left_out(len(found)),
        ),
        ("File", "What", "Also"),
        tuple((one.file, one.message, "; ".join(one.others)) for one in found[:MAX_ROWS]),
    )


def speed(found: Speed, limits: Limits) -> Section:
    """What the model costs at inference."""
    threads = (
        f"{found.threads} thread{'s' * (found.threads != 1)}" if found.threads else "the library's threads"
    )
    over = limits.over(found)
    rows = [
        ("A picture alone", f"{found.latency_ms:.1f} ms", _limit(limits.latency_ms, "ms")),
        (f"A picture in a batch of {BATCH}", f"{found.batch_latency_ms:.1f} ms", wording.MISSING),
        (
            "Most memory of the process",
            f"{found.peak_bytes / _MEGA:,.0f} MB",
            _limit(limits.memory_mb, "MB"),
        ),
        (
            "Weights",
            wording.MISSING if found.weights_bytes is None else f"{found.weights_bytes / _MEGA:,.1f} MB",
            wording.MISSING,
        ),
        (
            "Parameters",
            wording.MISSING if found.parameters is None else f"{found.parameters:,}",
            wording.MISSING,
        ),
    ]
    paragraphs = [
        f"Measured on this machine in a process of its own, with {threads}; the memory includes the "
        "libraries, the time neither downloading nor decoding."
    ]
    if over:
        paragraphs.append(f"Over what was allowed: {'; '.join(over)}.")
    return Section("Speed and memory", tuple(paragraphs), ("What", "Measured", "Limit"), tuple(rows))


def suspects(found: Sequence[Suspect], sheet: Sheet | None, how: str, first: int) -> Section:
    """Labels that are probably wrong.

    Args:
        found: All pictures, the most suspicious first.
        sheet: The pictures that are listed, or None.
        how: Where the probabilities come from, as a sentence.
        first: How many are listed.
    """
    issues = sum(one.is_issue for one in found)
    listed = found[:first]
    figures: tuple[Markup, ...] = ()
    if sheet is not None:
        caption = "Row by row in the order of the table" + (", blurred." if sheet.is_blurred else ".")
        alt = f"Contact sheet of the {len(sheet.items)} pictures in the table"
        figures = (picture(sheet.jpeg, alt, caption=caption),)
    return Section(
        "Suspicious labels",
        (
            f"Confident learning calls {wording.count(issues)} of {wording.count(len(found))} labels "
            f"probably wrong. {how} The table lists the {len(listed)} that are worth a look first; a "
            "model's doubt is no proof, so look at the picture before a label is changed.",
        ),
        ("File", "Label", "Suggested", "Probability of the label", "Probably wrong"),
        tuple(
            (
                one.item.path,
                one.item.label,
                one.suggested if one.suggested != one.item.label else wording.MISSING,
                wording.percent(one.confidence),
                "yes" if one.is_issue else "",
            )
            for one in listed
        ),
        figures,
    )


def _limit(value: float | None, unit: str) -> str:
    return wording.MISSING if value is None else f"{value:g} {unit}"


def _left_out(count: int) -> str:
    return f" The first {MAX_ROWS} are listed." if count > MAX_ROWS else ""


__all__ = ["MAX_ROWS", "Limits", "failures", "leaks", "speed", "suspects"]
