"""A model card in Markdown: what the model is, what it may be used for, and how it did, with intervals.

After Mitchell et al. 2019, "Model Cards for Model Reporting". Figures come from an `Evaluation`; nothing here
claims anything about other sets than the one that was measured.
"""

from dataclasses import dataclass

from classifier.evaluation import wording
from classifier.evaluation.markdown import escaped, table
from classifier.evaluation.prevalence import WHY
from classifier.evaluation.values import Evaluation, OperatingPoint


@dataclass(frozen=True, slots=True)
class Facts:
    """What a card says that no evaluation can know; plain text, "" or empty where it is not known.

    Attributes:
        architecture: The network.
        description: What it is, in a sentence or two.
        weights_sha256: Of the safetensors file.
        parameters: How many.
        licence: SPDX identifier of the weights.
        source: Where the starting weights come from.
        preprocessing: Id in `classifier.preprocess`.
        training: Facts about how it was trained, by their name.
        intended_use: What it is for.
        not_for: What it must not be used for.
        limitations: Known weaknesses, one sentence each.
        quoted: Figures that others published, each a sentence with its source.
    """

    architecture: str = ""
    description: str = ""
    weights_sha256: str = ""
    parameters: int | None = None
    licence: str = ""
    source: str = ""
    preprocessing: str = ""
    training: tuple[tuple[str, str], ...] = ()
    intended_use: str = "Advice for people, who look for themselves before anything is done."
    not_for: str = "Decisions without a person, and conclusions about people who are shown or who upload."
    limitations: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ()


def render(facts: Facts, evaluation: Evaluation) -> str:
    """Write the card.

    Args:
        facts: What is known of the model.
        evaluation: How it did.

    Returns:
        Markdown, with everything escaped that is somebody's words.
    """
    parts = [
        f"# {escaped(evaluation.subject.model)}\n",
        escaped(facts.description) + "\n" if facts.description else "",
        _model(facts),
        "## Use\n",
        f"- For: {escaped(facts.intended_use)}\n- Not for: {escaped(facts.not_for)}\n",
        _measured(evaluation),
        _rare(evaluation),
        _thresholds(evaluation),
        _groups(evaluation),
        _calibration(evaluation),
        _list("## Known weaknesses\n", facts.limitations),
        _list(
            "## Figures of others\n\nOn other data, so not to be compared with those above.\n", facts.quoted
        ),
    ]
    return "\n".join(part for part in parts if part)


def _model(facts: Facts) -> str:
    known = [
        ("Architecture", escaped(facts.architecture)),
        ("Parameters", "" if facts.parameters is None else f"{facts.parameters:,}"),
        ("Preprocessing", escaped(facts.preprocessing)),
        ("Starting weights", escaped(facts.source)),
        ("Licence", escaped(facts.licence)),
        ("Weights, SHA-256", escaped(facts.weights_sha256)),
        *((escaped(name), escaped(value)) for name, value in facts.training),
    ]
    return table(("Fact", "Value"), [row for row in known if row[1]]).replace("---:", "---")


def _measured(evaluation: Evaluation) -> str:
    negative, positive = (escaped(name) for name in evaluation.subject.classes)
    digest = evaluation.subject.data_hash
    text = (
        f"## Measured on {escaped(evaluation.subject.dataset)}\n\n"
        f"{evaluation.items:,} items of the test set, {evaluation.positives:,} of them {positive}, the "
        f"others {negative}. Flagged from {evaluation.threshold:.4g} up. Intervals hold with "
        f"{wording.percent(evaluation.confidence, 0)} confidence. These figures hold for this set and for "
        "nothing else.\n\n"
    )
    if digest:
        text += f"Data hash: `{digest.replace('`', '')}`\n\n"
    rows = [
        (wording.TITLES[one.name], wording.measure_value(one), wording.measure_span(one) or wording.MISSING)
        for one in evaluation.measures
    ]
    return text + table(("Measure", "Value", "Interval"), rows)


def _rare(evaluation: Evaluation) -> str:
    rows = [
        (
            wording.prevalence(row.prevalence),
            wording.percent(row.precision.value),
            wording.span(row.precision),
            wording.count(row.flags_per_1000),
        )
        for row in evaluation.prevalences
    ]
    header = ("Positives among uploads", "Flags that are right", "Interval", "Flags per 1,000 uploads")
    return f"## Where positives are rare\n\n{WHY}\n\n" + table(header, rows)


def _thresholds(evaluation: Evaluation) -> str:
    prevalence = wording.prevalence(evaluation.expected_prevalence)
    header = ("For", "Threshold", "Recall", "False-positive rate", f"Flags that are right at {prevalence}")
    return (
        "## Thresholds\n\nThose for a purpose were chosen on the validation set; all were measured on the "
        "test set.\n\n" + table(header, [_threshold(point) for point in evaluation.points])
    )


def _threshold(point: OperatingPoint) -> tuple[str, ...]:
    if point.threshold is None or point.outside is None:
        return (wording.purpose(point), escaped(point.note), *[wording.MISSING] * 3)
    shares = (point.recall, point.false_positive_rate, point.outside.precision)
    return (wording.purpose(point), f"{point.threshold:.4g}", *map(wording.estimate, shares))


def _groups(evaluation: Evaluation) -> str:
    if not evaluation.groups:
        return ""
    text = "## Groups\n\nSmall groups say little: look at the intervals.\n"
    header = ("Group", "Items", "Recall", "False-positive rate", "Remark")
    for group in evaluation.groups:
        rows = [
            (
                escaped(row.value),
                f"{row.items:,}",
                wording.estimate(row.recall),
                wording.estimate(row.false_positive_rate),
                "; ".join(filter(None, (wording.stands_out(row), "small" if row.small else ""))),
            )
            for row in group.rows
        ]
        text += f"\n### {escaped(group.column)}\n\n" + table(header, rows)
    return text


def _calibration(evaluation: Evaluation) -> str:
    found = evaluation.calibration
    before = f"## Calibration\n\nCalibration error (ECE) {found.ece_before:.3f}"
    if found.ece_after is None:
        return f"{before}; no temperature was fitted: {escaped(found.temperature.note)}.\n"
    temperature = f"{found.temperature.value:.3f}, fitted on the validation set"
    return f"{before}, with a temperature of {temperature}, {found.ece_after:.3f}.\n"


def _list(heading: str, sentences: tuple[str, ...]) -> str:
    return heading + "\n" + "".join(f"- {escaped(one)}\n" for one in sentences) if sentences else ""


__all__ = ["Facts", "render"]
