"""From scores to one value, and from that to pages, cards and tables."""

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from classifier.evaluation import card, comparison, report, values, wording
from classifier.evaluation.compare import paired
from classifier.evaluation.errors import EvaluationError
from classifier.evaluation.evaluate import Options, evaluate
from classifier.evaluation.metrics import MEASURES, confusion, pr_auc
from classifier.evaluation.pairs import Pair
from classifier.evaluation.prevalence import WHY
from classifier.evaluation.proportions import Estimate, wilson
from classifier.evaluation.scored import Scored, scored

HOSTILE = "<script>alert(1)</script>|`$x$`[a](b)"
QUICK = Options(resamples=60)
SUBJECT = values.Subject("tiny", "the proxy", "ab12", ("plain", "striped"))


def made(items: int = 240, seed: int = 0, **more) -> Scored:
    random = np.random.default_rng(seed)
    labels = np.arange(items) % 3 == 0
    scores = 1 / (1 + np.exp(-2 * random.normal(np.where(labels, 1.2, -1.2), 1)))
    return scored(scores, labels, **more)


@pytest.fixture(scope="module")
def full() -> values.Evaluation:
    names = ["photo", "drawing"] * 120
    options = replace(
        QUICK, reviews_per_day=(50.0, 0.001), uploads_per_day=25_000.0, target_precisions=(0.1, 1.0)
    )
    return evaluate(
        made(groups={"medium": names}), SUBJECT, threshold=0.5, validation=made(seed=1), options=options
    )


@pytest.fixture(scope="module")
def page(full) -> str:
    return report.render(full)


@pytest.fixture(scope="module")
def hostile() -> values.Evaluation:
    part = made(groups={HOSTILE: [HOSTILE] * 240})
    subject = values.Subject(HOSTILE, HOSTILE, HOSTILE, (HOSTILE, HOSTILE))
    return evaluate(part, subject, threshold=0.5, validation=made(seed=1), options=QUICK)


def test_an_evaluation_survives_json(full, tmp_path) -> None:
    values.write(full, tmp_path / "evaluation.json")
    assert values.read(tmp_path / "evaluation.json") == full
    plain = json.loads(values.to_json(full), parse_constant=pytest.fail)
    assert plain["measures"][0]["name"] == "accuracy"


def test_equal_scores_give_equal_bytes(full, page) -> None:
    again = evaluate(made(), SUBJECT, threshold=0.5, options=QUICK)
    assert values.to_json(again) == values.to_json(evaluate(made(), SUBJECT, threshold=0.5, options=QUICK))
    assert report.render(full) == page


def test_all_that_is_measured_belongs_to_the_test_set(full) -> None:
    part = made()
    assert full.measure("pr_auc").value == pytest.approx(pr_auc(part.scores, part.labels))
    assert [measure.name for measure in full.measures] == list(MEASURES)
    assert full.measure("recall").method == "wilson"
    assert full.counts == confusion(part.scores, part.labels, 0.5)
    for point in full.points:
        if point.threshold is not None:
            assert point.counts == confusion(part.scores, part.labels, point.threshold)
    assert sum(full.histogram.positives) + sum(full.histogram.negatives) == full.items


def test_thresholds_come_from_the_validation_set_and_say_when_there_is_none(full) -> None:
    kinds = [(point.kind, point.asked, point.threshold is None) for point in full.points]
    assert kinds == [
        ("given", 0.5, False),
        ("precision", 0.1, False),
        ("precision", 1.0, False),
        ("budget", 50.0, False),
        ("budget", 0.001, True),
    ]
    assert "too few" in full.points[-1].note
    validation = made(seed=1)
    assert all(point.threshold in validation.scores for point in full.points[1:-1])
    budget = full.points[3]
    assert budget.flags_per_day == pytest.approx(budget.outside.flags_per_1000 * 25)


def test_without_a_validation_set_nothing_is_chosen() -> None:
    found = evaluate(made(), SUBJECT, threshold=0.5, options=QUICK)
    assert [point.kind for point in found.points] == ["given"]
    assert (found.calibration.temperature.fitted, found.calibration.after) == (False, ())
    assert "needs a validation set" in report.render(found)


def test_the_temperature_comes_from_the_validation_set() -> None:
    one = evaluate(made(), SUBJECT, threshold=0.5, validation=made(seed=1), options=QUICK)
    other = evaluate(made(seed=5), SUBJECT, threshold=0.5, validation=made(seed=1), options=QUICK)
    assert one.calibration.temperature == other.calibration.temperature
    assert one.calibration.temperature.fitted


def test_clusters_are_reported() -> None:
    together = evaluate(
        made(clusters=[str(i // 12) for i in range(240)]), SUBJECT, threshold=0.5, options=QUICK
    )
    alone = evaluate(made(), SUBJECT, threshold=0.5, options=QUICK)
    assert (together.clusters, together.measure("recall").method) == (20, "cluster_bootstrap")
    assert together.measure("recall").value == alone.measure("recall").value
    assert "in 20 clusters" in report.render(together)


def test_a_perfect_model_on_a_small_set_is_not_called_certain() -> None:
    labels = np.arange(40) % 2 == 0
    perfect = evaluate(scored(np.where(labels, 0.9, 0.1), labels), SUBJECT, threshold=0.5, options=QUICK)
    assert (perfect.measure("recall").value, perfect.measure("recall").high) == (1.0, 1.0)
    assert perfect.measure("recall").low < 0.85
    assert perfect.prevalences[1].precision.low < 0.1


def test_a_model_that_flags_nothing_can_be_reported() -> None:
    silent = evaluate(made(), SUBJECT, threshold=1.0, options=QUICK)
    assert silent.measure("precision").value is None
    assert silent.prevalences[0].precision == Estimate(None, 0.0, 1.0)
    assert values.from_json(values.to_json(silent)) == silent
    assert wording.MISSING in report.render(silent)
    assert wording.MISSING in card.render(card.Facts(), silent)


def test_a_constant_model_can_be_reported() -> None:
    constant = evaluate(scored([0.5] * 30, [0, 1, 1] * 10), SUBJECT, threshold=0.5, options=QUICK)
    assert constant.measure("roc_auc").value == 0.5
    assert "<svg" in report.render(constant)


def test_a_curve_of_many_items_keeps_its_ends_and_its_shape() -> None:
    part = made(6000)
    found = evaluate(part, SUBJECT, threshold=0.5, options=QUICK)
    assert len(found.curve) <= 401
    assert (found.curve[-1].recall, found.curve[-1].false_positive_rate) == (1.0, 1.0)
    assert found.curve[0].threshold == part.scores.max()
    alarms, recall = zip(*((point.false_positive_rate, point.recall) for point in found.curve), strict=True)
    assert np.trapezoid(recall, alarms) == pytest.approx(found.measure("roc_auc").value, abs=0.002)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(reviews_per_day=(10.0,)), "together with the uploads per day"),
        (Options(expected_prevalence=0.0), "prevalence of 0 cannot be"),
        (Options(resamples=5), "5 resamples"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message) -> None:
    with pytest.raises(EvaluationError, match=message):
        evaluate(made(), SUBJECT, threshold=0.5, validation=made(seed=1), options=options)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"format": 1}'])
def test_another_file_is_not_taken_for_an_evaluation(content, tmp_path) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(EvaluationError, match=r"other\.json"):
        values.read(path)


def test_an_evaluation_of_another_format_is_refused(full) -> None:
    with pytest.raises(EvaluationError, match="format 2, expected 1"):
        values.from_json(values.to_json(replace(full, format=2)))
    with pytest.raises(EvaluationError, match="no-such"):
        full.measure("no-such")


def test_the_page_stands_alone_and_runs_nothing(page) -> None:
    html = page
    # Namespaces are names; nothing else may look like an address.
    addresses = set(re.findall(r"https?://[^\"' )]+", html))
    assert addresses <= {"http://www.w3.org/1999/xlink", "http://www.w3.org/2000/svg"}
    assert "<script" not in html
    assert html.count("<svg") == 6
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", html))
    assert used <= set(ids)
    assert not re.search(r"#0a0b0\d", html)
    for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ElementTree.fromstring(svg)


def test_the_page_says_why_balanced_accuracy_misleads_and_claims_nothing_more(full, page) -> None:
    for text in (page, card.render(card.Facts(), full)):
        assert WHY in text
        assert "nothing else" in text
        assert "nsfw" not in text.lower()


def test_nobodys_words_become_markup(hostile) -> None:
    pairing = paired(made(), made(seed=3), thresholds=(0.5, 0.5), resamples=30)
    shown = report.picture(b"bytes", HOSTILE + '" onerror="', HOSTILE, HOSTILE)
    section = report.Section(HOSTILE, (HOSTILE,), (HOSTILE,), ((HOSTILE,),), (shown,))
    html = report.render(hostile, pairings=[(HOSTILE, pairing)], sections=[section])
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert 'onerror="' not in html
    facts = card.Facts(description=HOSTILE, limitations=(HOSTILE,), training=((HOSTILE, HOSTILE),))
    text = card.render(facts, hostile)
    assert not re.search(r"(?<!\\)<script", text.replace(f"`{HOSTILE.replace('`', '')}`", ""))
    for line in text.splitlines():
        if line.startswith("| "):
            assert len(re.findall(r"(?<!\\)\|", line)) in {3, 4, 5, 6}
    runs = [comparison.Run(HOSTILE, 0, 0.5)]
    quoted = [comparison.Quoted(HOSTILE, HOSTILE, HOSTILE)]
    assert "<script" not in comparison.render_html(runs, title=HOSTILE, note=HOSTILE, quoted=quoted)
    assert "](b)" not in comparison.render_markdown(runs, title=HOSTILE, note=HOSTILE, quoted=quoted).replace(
        r"\]\(b\)", ""
    )


def test_the_page_shows_groups_comparisons_and_what_others_measured(full) -> None:
    pairing = paired(made(), made(seed=3), thresholds=(0.5, 0.5), resamples=30)
    figures = (report.plot("<svg></svg>", caption="Slower"), report.picture(b"\xff", "a bar", kind="png"))
    section = report.Section("Speed", ("On two cores.",), ("Engine", "ms"), (("torch", "12"),), figures)
    html = report.render(full, pairings=[("rival", pairing)], sections=[section])
    for expected in ("drawing", "Compared with rival", "can’t tell", "On two cores.", "<td>12</td>"):
        assert expected in html
    assert "<figure><svg></svg><figcaption>Slower</figcaption></figure>" in html
    assert '<img src="data:image/png;base64,/w==" alt="a bar">' in html


def test_the_card_holds_the_figures_with_their_intervals(full) -> None:
    facts = card.Facts(architecture="resnet50", parameters=23_512_130, licence="MIT", limitations=("Slow.",))
    text = card.render(facts, full)
    assert "| Parameters | 23,512,130 |" in text
    accuracy = full.measure("accuracy")
    assert f"| Accuracy | {wording.measure_value(accuracy)} | {wording.measure_span(accuracy)} |" in text
    assert "- Slow." in text
    assert "### medium" in text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.5, "50.0"), (1.0, "100.0"), (0.0, "0.0"), (0.0004, "0.04"), (0.99996, "99.996"), (0.9996, "99.96")],
)
def test_a_share_is_never_rounded_to_none_or_all(share, text) -> None:
    assert wording.percent(share) == f"{text}\u202f%"


def test_wording_of_intervals() -> None:
    assert wording.span(wilson(15, 50)) == "19.1–43.8\u202f%"
    assert wording.estimate(Estimate(None, 0, 1)) == wording.MISSING
    assert wording.signed(-0.5) == "−0.500"


def test_reports_can_be_made_where_there_is_no_torch() -> None:
    modules = "card, comparison, compare, evaluate, report"
    code = f"import sys; from classifier.evaluation import {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)


def runs_of(name: str, accuracies: list[float], **more) -> list[comparison.Run]:
    return [comparison.Run(name, seed, accuracy, **more) for seed, accuracy in enumerate(accuracies)]


def test_runs_are_gathered_over_seeds_with_students_interval() -> None:
    from scipy import stats

    found = comparison.rows(runs_of("slow", [0.7, 0.8, 0.9], size_bytes=10) + runs_of("fast", [0.85]))
    assert [(row.name, row.seeds) for row in found] == [("fast", (0,)), ("slow", (0, 1, 2))]
    accuracy = found[1].spreads[0]
    low, high = stats.t.interval(0.95, 2, 0.8, stats.sem([0.7, 0.8, 0.9]))
    assert (accuracy.mean, accuracy.half) == pytest.approx((0.8, (high - low) / 2), rel=1e-3)
    assert found[0].spreads[0].half is None
    assert found[0].spreads[4].mean is None


@pytest.mark.parametrize("count", [2, 10, 31, 32, 60, 200])
def test_students_quantiles_are_right_for_any_number_of_seeds(count) -> None:
    from scipy import stats

    numbers = [float(i % 7) for i in range(count)]
    exact = stats.t.ppf(0.975, count - 1) * stats.sem(numbers)
    assert comparison.spread(numbers).half == pytest.approx(exact, rel=2e-3)


def test_the_comparison_has_the_proposals_columns_and_sources() -> None:
    runs = runs_of("one", [0.8, 0.9], latency_ms=12.34, size_bytes=94_000_000, epochs=7)
    quoted = [comparison.Quoted("theirs", "92.5 % validation accuracy", "their report")]
    text = comparison.render_markdown(runs, title="Comparison", note="On the proxy.", quoted=quoted)
    html = comparison.render_html(runs, title="Comparison", note="On the proxy.", quoted=quoted)
    for column in (
        "Accuracy",
        "Precision",
        "Recall",
        "F1",
        "Size",
        "Parameters",
        "Latency",
        "Memory",
        "Epochs",
    ):
        assert column in text
        assert column in html
    assert "| one | 2 | 85.0 ± 63.5 | – |" in text
    assert "12.3" in text
    assert "their report" in text
    assert "their report" in html
    assert comparison.NOT_COMPARABLE in text


def test_models_over_a_limit_are_marked_and_pairs_are_told() -> None:
    runs = [*runs_of("slow", [0.8], latency_ms=30.0), *runs_of("fast", [0.7], latency_ms=9.0)]
    pairing = paired(made(), made(seed=3), thresholds=(0.5, 0.5), resamples=30)
    around = {
        "pairs": [Pair("slow", HOSTILE, pairing)],
        "limits": {"latency_ms": 10.0},
        "notices": [f"2 leaks {HOSTILE}"],
    }
    text = comparison.render_markdown(runs, title="Comparison", note="On the proxy.", **around)
    html = comparison.render_html(runs, title="Comparison", note="On the proxy.", **around)
    assert "| 30.0 over 10 |" in text
    assert "9.0 over" not in text
    assert html.count("over 10") == 1
    assert "<script" not in html
    for page in (text, html):
        assert page.index("2 leaks") < page.index("On the proxy")
        assert f"{pairing.mcnemar.only_first}" in page
        assert wording.signed(pairing.differences[0].difference).strip("+−") in page
    table = json.loads(comparison.to_json(runs, **around))
    assert [model["over_limits"] for model in table["models"]] == [["latency_ms"], []]
    assert table["pairs"][0]["pairing"]["items"] == 240


def test_sections_can_stand_alone() -> None:
    html = report.render_sections(HOSTILE, [report.Section("Labels", (HOSTILE,), ("A",), ((HOSTILE,),))])
    assert "<h2>Labels</h2>" in html
    assert "<script" not in html


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([], "no runs"),
        (runs_of("one", [0.5]) + runs_of("one", [0.6]), "seed 0"),
        (runs_of("one", [math.nan]), "accuracy that is not a number"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(runs, message) -> None:
    with pytest.raises(EvaluationError, match=message):
        comparison.rows(runs)
