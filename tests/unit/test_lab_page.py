"""The laboratory's page says what was found, also when that is disappointing."""

from dataclasses import replace

import pytest

from bot.lab.page import Findings, compared, reaches, render
from bot.lab.plan import LabPlan
from bot.lab.proofs import LabelProof, LeakProof
from classifier.evaluation.comparison import Run
from classifier.evaluation.report import Section

PLAN = LabPlan(
    title="Two networks",
    seeds=(0, 1, 2),
    architectures=("plain",),
    plain="plain",
    options=("option",),
    dissected="plain",
    base={},
    runs={"plain": {}, "option": {}},
)


def runs(name: str, *accuracies: float) -> tuple[Run, ...]:
    return tuple(Run(name, seed, accuracy=accuracy) for seed, accuracy in enumerate(accuracies))


def findings(*option: float) -> Findings:
    return Findings(
        plan=PLAN,
        counts={"train": 70, "validation": 15, "test": 15},
        drawn=110,
        removed=10,
        noise=3,
        runs=runs("plain", 0.70, 0.72, 0.74) + runs("option", *option),
        robustness=Section("Robustness", ("It fell.",), ("Change", "Right"), (("PGD, 4/255", "10 %"),)),
        labels=LabelProof(items=100, planted=4, first_is_planted=True, found=3),
        leak=LeakProof("a.png", "nearly the same picture is in test and train", 0),
        minutes=12.3,
        cores=2,
        dissected="plain (seed 0)",
    )


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ((0.72, 0.72, 0.72), True),
        ((0.68, 0.68, 0.68), True),  # the plain one's interval goes down to 0.67
        ((0.60, 0.61, 0.62), False),
    ],
)
def test_an_option_reaches_the_plain_variant_within_that_one_s_interval(
    option: tuple[float, ...], expected: bool
) -> None:
    rows = {row.name: row for row in compared(findings(*option), ("plain", "option"))}
    assert reaches(rows["option"], rows["plain"]) is expected
    verb = "reaches" if expected else "does not reach"
    assert f"**{verb}**" in render(findings(*option))


def test_a_single_seed_says_nothing() -> None:
    found = replace(findings(0.9), runs=runs("plain", 0.7) + runs("option", 0.9))
    rows = {row.name: row for row in compared(found, ("plain", "option"))}
    assert reaches(rows["option"], rows["plain"]) is None
    assert "a single seed cannot say" in render(found)


def test_the_page_claims_nothing_about_nsfw_and_quotes_others_apart() -> None:
    page = render(findings(0.7, 0.7, 0.7))
    assert "says nothing about how well any of them tells NSFW from SFW" in page
    assert page.index("Figures of others") > page.index("What was planted")
    assert "92.5 %" not in page[: page.index("Figures of others")]


def test_what_was_planted_and_not_found_is_said() -> None:
    page = render(
        replace(
            findings(0.7, 0.7, 0.7),
            leak=LeakProof("a.png", "", 0),
            labels=LabelProof(100, 4, first_is_planted=False, found=0),
        )
    )
    assert "**not found**" in page
    assert "the most suspicious one is not wrong" in page
    assert "0.2 there in the mean" in page
