"""Attacks on a network that has learnt something, and what the report makes of them."""

import dataclasses
import json
import re
from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from classifier.errors import ModelError
from classifier.evaluation import robustness, robustness_values
from classifier.evaluation.attacks import Attack, fgsm, perturb, scores
from classifier.evaluation.errors import EvaluationError
from classifier.evaluation.proportions import wilson
from classifier.evaluation.robustness import Options, measure, sample, section
from classifier.evaluation.robustness_values import Change, Outcome
from classifier.models import defence
from tests import proxy_network

pytestmark = pytest.mark.slow
QUICK = Options(
    defence="jpeg:50",
    jpeg_qualities=(50,),
    resize_factors=(0.5,),
    crop_shares=(0.9,),
    blur_shares=(0.01,),
    epsilons=(1, 4),
    pgd_steps=8,
    limit=48,
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread_also_for_what_all_tests_share() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def result() -> robustness.Robustness:
    return measure(proxy_network.trained(), *proxy_network.drawn(1000, 100), model="tiny", options=QUICK)


def test_pgd_at_4_of_255_succeeds_on_most_pictures_of_an_undefended_network(result) -> None:
    assert result.clean.undefended.accuracy.value > 0.8
    attack = result.attack("pgd", 4)
    assert attack.undefended.turned.low > 0.5
    assert attack.undefended.turned.value > result.attack("fgsm", 4).undefended.turned.value - 0.05
    assert result.attack("pgd", 1).undefended.turned.value < attack.undefended.turned.value


def test_attacked_pictures_look_the_same_and_come_out_the_same_again() -> None:
    network, (pixels, labels) = proxy_network.trained(), proxy_network.drawn(1000, 100)
    attack = Attack(4, 10, restarts=2, seed=3)
    once = perturb(network, pixels[:16], labels[:16], attack)
    assert 1 <= np.abs(once.astype(int) - pixels[:16]).max() <= 4
    assert np.array_equal(once, perturb(network, pixels[:16], labels[:16], attack))
    more = scores(network, once) - scores(network, perturb(network, pixels[:16], labels[:16], fgsm(4)))
    assert np.mean(np.where(labels[:16], -more, more)) > 0


def test_who_knows_the_defence_gets_further_and_never_less_far(result) -> None:
    for change in result.changes:
        if change.informed is not None:
            assert change.informed.accuracy.value <= change.defended.accuracy.value
            assert change.informed.accuracy.value <= change.through_alone.accuracy.value
    attack = result.attack("pgd", 4)
    assert attack.informed.accuracy.value < attack.defended.accuracy.value
    assert attack.defended.accuracy.value > attack.undefended.accuracy.value + 0.2


def test_the_report_shows_what_the_defence_restores_and_what_it_costs(result) -> None:
    shown = section(result)
    text = " ".join(shown.paragraphs)
    attack, clean = result.attack("pgd", 4), result.clean
    for outcome in (attack.undefended, attack.defended, attack.informed, clean.undefended, clean.defended):
        assert f"{outcome.accuracy.value * 100:.1f}" in text
    assert "succeeds on most pictures" in text
    assert "as long as the attacker does not know" in text and "would mislead" in text
    assert f"{result.price.decisions.only_first} decisions right only without it" in text
    assert {len(row) for row in shown.rows} == {len(shown.header)} == {7}
    assert [row[0] for row in shown.rows] == [change.name for change in result.changes]
    assert len(shown.figures) == 2
    for figure in shown.figures:
        svg = re.search(r"<svg.*</svg>", figure, re.DOTALL)[0]
        assert ElementTree.fromstring(svg).tag.endswith("svg")
        assert "#0a0b" not in svg


def test_a_result_survives_json_and_comes_out_the_same_again(result) -> None:
    content = robustness.to_json(result)
    assert robustness.from_json(content) == result
    json.loads(content, parse_constant=pytest.fail)
    short = dataclasses.replace(QUICK, epsilons=(4,), pgd_steps=2, limit=12)
    first, again = (
        measure(proxy_network.trained(), *proxy_network.drawn(1000, 100), model="tiny", options=short)
        for _ in range(2)
    )
    assert again.changes == first.changes and again.price.decisions == first.price.decisions
    with pytest.raises(EvaluationError, match="pictures"):
        robustness.from_json(content.replace(b'"pictures"', b'"picture"'), "it")


def test_progress_reaches_its_end_and_a_model_without_defence_has_one_side() -> None:
    told: list[tuple[str, int, int]] = []
    for defended in ("", "bits:5"):
        told.clear()
        options = dataclasses.replace(QUICK, defence=defended, epsilons=(2,), pgd_steps=2, limit=10)
        found = measure(
            proxy_network.trained(),
            *proxy_network.drawn(1000, 100),
            model="tiny",
            options=options,
            available=5000,
            progress=lambda *now: told.append(now),
        )
        assert told[-1][1] == told[-1][2] == max(done for _, done, _ in told)
        assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert "10 pictures (4 positive), chosen by chance from 5,000" in section(found).paragraphs[0]
    assert {what for what, _, _ in told} >= {"unchanged", "PGD, 2/255", "PGD, 2/255, through the defence"}
    alone = dataclasses.replace(found, options=dataclasses.replace(found.options, defence=""), price=None)
    alone = dataclasses.replace(
        alone, changes=tuple(Change(c.kind, c.strength, c.name, c.undefended) for c in found.changes)
    )
    assert len(section(alone).header) == 3
    assert "defence" not in " ".join(section(alone).rows[0])


def outcome(right: int, turned: int, of: int = 200) -> Outcome:
    return Outcome(wilson(right, of), wilson(turned, 180))


def test_a_defence_that_does_not_help_is_not_praised(result) -> None:
    def with_attack(clean_defended: int, defended: Outcome, informed: Outcome, through: Outcome) -> str:
        clean = Change("none", 0, "Unchanged", outcome(180, 0), outcome(clean_defended, 0))
        attack = Change("pgd", 4, "PGD, 4/255", outcome(20, 160), defended, informed, through)
        made = dataclasses.replace(result, pictures=200, positives=100, changes=(clean, attack))
        return " ".join(section(made).paragraphs)

    good = with_attack(175, outcome(150, 30), outcome(80, 100), outcome(82, 98))
    useless = with_attack(175, outcome(150, 30), outcome(22, 158), outcome(22, 158))
    blind = with_attack(104, outcome(103, 1), outcome(102, 2), outcome(102, 2))
    weak = with_attack(175, outcome(90, 90), outcome(88, 92), outcome(140, 40))
    assert "harder, and does not stop them" in good and "hardly better" not in good
    assert "no gain is certain" in useless and "harder, and" not in useless
    assert "always gives the same answer" in blind and "harder, and" not in blind
    assert "that attack is weak here" in weak and "that attack is weak here" not in good


def test_pictures_are_chosen_by_chance_with_the_classes_shares() -> None:
    labels = np.arange(1000) % 10 == 0
    chosen = sample(labels, 50, seed=1)
    assert len(chosen) == 50 and labels[chosen].sum() == 5 and (np.diff(chosen) > 0).all()
    assert np.array_equal(chosen, sample(labels, 50, seed=1))
    assert not np.array_equal(chosen, sample(labels, 50, seed=2))
    assert len(sample(labels, None)) == len(sample(labels, 5000)) == 1000
    rare = np.arange(1000) == 7
    assert rare[sample(rare, 20)].sum() == 1


def test_what_cannot_be_measured_says_so() -> None:
    network, (pixels, labels) = proxy_network.trained(), proxy_network.drawn(1000, 100)
    with pytest.raises(EvaluationError, match="negative"):
        measure(network, pixels, np.zeros(100, bool), model="tiny")
    with pytest.raises(ModelError, match="unknown step"):
        measure(network, pixels, labels, model="tiny", options=Options(defence="prayer:1"))
    for wrong in ({"threshold": 1.0}, {"limit": 0}, {"jpeg_qualities": (0,)}, {"crop_shares": (1.5,)}):
        with pytest.raises(EvaluationError):
            Options(**wrong)
    assert robustness.without_defence("imagenet-v1@64+jpeg:75+bits:5") == ("imagenet-v1@64", "jpeg:75+bits:5")
    assert robustness_values.FORMAT == 1 and defence.parse(Options().defence).name == Options().defence
