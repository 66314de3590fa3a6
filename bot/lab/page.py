"""The page of a laboratory, in Markdown: what was asked, what was found, and what must not be concluded."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.lab.plan import LabPlan
from bot.lab.proofs import LabelProof, LeakProof
from classifier.evaluation.comparison import COLUMNS, READING, Quoted, Row, Run, rows, shown
from classifier.evaluation.markdown import escaped, table
from classifier.evaluation.report import Section

QUOTED = tuple(
    Quoted(name, figure, "Outreachy proposal, its comparison of published work")
    for name, figure in (
        ("ResNet-50", "92.5 %; 95.3 % after cleaning; 96.0 % with augmentation too"),
        ("MobileNetV2", "95.6 %"),
        ("MobileNetV1", "96.4 %"),
        ("SqueezeNet 1.0", "95.2 %"),
        ("SqueezeNet 1.1", "94.5 %"),
    )
)
NOTHING_ABOUT_NSFW = (
    "Everything here was measured on pictures that are drawn: striped discs among other discs. It says "
    "whether the laboratory works and what these networks learn from so few small pictures from scratch. "
    "**It says nothing about how well any of them tells NSFW from SFW.**"
)


@dataclass(frozen=True, slots=True)
class Findings:
    """What a laboratory found out.

    Attributes:
        plan: What was compared.
        counts: Pictures by split.
        drawn: How many were drawn.
        removed: How many of them went as copies of others.
        noise: Pictures in all splits whose label is wrong.
        runs: All of them.
        robustness: Of the dissected run.
        labels: How doubts rank planted wrong labels.
        leak: The planted leak.
        minutes: What all took on this machine; None where some runs were finished before.
        cores: Of this machine.
        dissected: Title of the run that was looked at closely.
    """

    plan: LabPlan
    counts: dict[str, int]
    drawn: int
    removed: int
    noise: int
    runs: tuple[Run, ...]
    robustness: Section
    labels: LabelProof
    leak: LeakProof
    minutes: float | None
    cores: int
    dissected: str


def render(found: Findings) -> str:
    """Write the page.

    Args:
        found: What is told.

    Returns:
        Markdown; pictures and pages that it links lie beside it.
    """
    parts = (
        f"# {escaped(found.plan.title)}\n\nWritten by `make lab`; changes made by hand are lost.\n",
        NOTHING_ABOUT_NSFW + "\n",
        _task(found),
        _architectures(found),
        _options(found),
        _attacks(found),
        _proofs(found),
        _others(),
    )
    return "\n".join(parts)


def compared(found: Findings, names: Sequence[str]) -> tuple[Row, ...]:
    """The rows of some models, the best mean accuracy first."""
    return rows([run for run in found.runs if run.name in names])


def reaches(option: Row, plain: Row) -> bool | None:
    """Whether an option's mean accuracy is at least the lower end of the plain one's interval.

    Returns:
        None where there are too few seeds to say.
    """
    one, other = option.spreads[0], plain.spreads[0]
    if one.mean is None or other.mean is None or other.half is None:
        return None
    return one.mean >= other.mean - other.half


def _task(found: Findings) -> str:
    task, counts = found.plan.task, found.counts
    parts = f"{counts['train']:,} to train, {counts['validation']:,} to choose by, {counts['test']:,} to test"
    took = "" if found.minutes is None else _took(found.minutes, found.cores)
    return (
        "## The task\n\n"
        "![Some pictures of each class, the negative one above](images/task.jpg)\n\n"
        "Is there a striped disc? Discs of other textures are everywhere, and some pictures of either class "
        f"have a striped polygon. Of {found.drawn:,} pictures drawn, each of {task.side_px} px, "
        f"{found.removed:,} are left out as copies of others. The rest is divided: {parts}, the last part "
        "sealed; what is alike, and what comes from one camera, stays on one side. "
        f"{found.noise:,} labels are wrong on purpose, so nobody can be right about all of the test set. "
        "[More about the data](data.html).\n\n"
        f"Every configuration was trained with {len(found.plan.seeds)} seeds from drawn weights, with the "
        "settings in the plan (`config/lab/`), which nobody has tuned for each network. In practice one "
        f"begins with ImageNet's weights, and large networks gain most from those.{took}\n"
    )


def _took(minutes: float, cores: int) -> str:
    return f" All of it took {minutes:.0f} minutes on {cores} cores."


def _architectures(found: Findings) -> str:
    return (
        "## Architectures\n\n"
        f"{READING}\n\n{_table(compared(found, found.plan.architectures))}\n"
        "![Accuracy of each architecture, seed by seed](images/architectures.svg)\n\n"
        "![Accuracy over the time a picture takes](images/cost.svg)\n\n"
        "Latency and memory are this machine's, in a process of its own, a picture of "
        f"{found.plan.task.side_px} px at a time. Epochs to converge: the one whose weights were kept. "
        "Item by item, with McNemar's test: [comparison](comparison.html).\n"
        + "".join(f"\n{escaped(note)}\n" for note in found.plan.notes)
    )


def _options(found: Findings) -> str:
    if not found.plan.options:
        return ""
    gathered = compared(found, (found.plan.plain, *found.plan.options))
    plain = next(row for row in gathered if row.name == found.plan.plain)
    told = "\n".join(f"- {_verdict(row, plain)}" for row in gathered if row.name != plain.name)
    return (
        f"## Options, on {escaped(plain.name)}\n\n{_table(gathered)}\n"
        "![Accuracy of each option, seed by seed](images/options.svg)\n\n"
        f"The band is the interval of {escaped(plain.name)}. An option reaches it where its mean lies in the "
        f"band or to the right of it:\n\n{told}\n"
    )


def _verdict(option: Row, plain: Row) -> str:
    one, other = (shown(row.spreads[0], COLUMNS[0]) for row in (option, plain))
    told = f"{escaped(option.name)}, {one} against {other}"
    reached = reaches(option, plain)
    if reached is None:
        return f"{told}: a single seed cannot say."
    verb = "reaches" if reached else "does not reach"
    return f"{told}: **{verb}** the plain variant's accuracy within its interval."


def _attacks(found: Findings) -> str:
    section = found.robustness
    paragraphs = "\n\n".join(map(escaped, section.paragraphs))
    rows = [tuple(map(escaped, row)) for row in section.rows]
    return (
        f"## Attacks and the defence, on {escaped(found.dissected)}\n\n{paragraphs}\n\n"
        f"{table(tuple(map(escaped, section.header)), rows)}\n"
        "With plots, its worst errors under Grad-CAM, calibration and groups: [its report](report.html).\n"
    )


def _proofs(found: Findings) -> str:
    labels, leak = found.labels, found.leak
    first = "is" if labels.first_is_planted else "is not"
    told = f"found ({escaped(leak.found)})" if leak.found else "**not found**"
    return (
        "## What was planted\n\n"
        "- A picture of the test set, half as large again and compressed anew, put into training: "
        f"{told}. Without it, the check finds {leak.before} leaks.\n"
        f"- {labels.planted} of {labels.items} labels of the test set are wrong. Ranked by the doubts of "
        f"{escaped(found.plan.doubts)}, the most suspicious one {first} wrong, and {labels.found} "
        f"of the first {labels.planted} are; any order would have {labels.by_chance:.1f} there in the mean.\n"
    )


def _others() -> str:
    theirs = [(escaped(one.name), escaped(one.figure), escaped(one.source)) for one in QUOTED]
    return (
        "## Figures of others\n\n"
        "Validation accuracies on NSFW pictures, on balanced, private sets of about 6,000, without a test "
        "set. Not to be compared with anything above, which is another task. And where 1 % of uploads are "
        "positive, a false-positive rate of 3.7 % makes four of five flags wrong: balanced accuracy "
        "misleads.\n\n"
        f"{table(('Model', 'Published', 'Source'), theirs)}"
    )


def _table(gathered: Sequence[Row]) -> str:
    header = ("Model", "Seeds", *(column.title for column in COLUMNS))
    body = [
        (
            escaped(row.name),
            str(len(row.seeds)),
            *(shown(*cell) for cell in zip(row.spreads, COLUMNS, strict=True)),
        )
        for row in gathered
    ]
    return table(header, body)


__all__ = ["Findings", "compared", "reaches", "render"]
