"""`card.md`: what a retrained model is made of, what it was not shown, and how it did. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from bot.retraining.evaluating import Evaluation
from bot.retraining.feedback import Feedback
from bot.retraining.preparing import Prepared
from bot.retraining.weighting import LEAST_EFFECTIVE
from classifier.evaluation.markdown import escaped, table
from classifier.values import ModelCard
from storage.paired_estimates import Comparison, Difference

_MEASURES = ("precision", "recall", "f1")


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the card tells.

    Attributes:
        card: The new model's.
        against: Name of the model that it started from.
        against_sha256: Hash of that one's weights.
        feedback: The export.
        prepared: What was made of it.
        evaluation: On the held-out part.
        forgetting: On base data that was not shown again; None without any.
        base: Name and content hash of the base data; empty without any.
        config: The training configuration, and which epoch it keeps.
    """

    card: ModelCard
    against: str
    against_sha256: str
    feedback: Feedback
    prepared: Prepared
    evaluation: Evaluation
    forgetting: Comparison | None
    base: str
    config: str


def origin(against: str, against_sha256: str, feedback: Feedback, prepared: Prepared) -> str:
    """Where a retrained model comes from, in one line, for its entry in the catalogue."""
    return (
        f"retrained from {against} (weights {against_sha256[:12]}) on feedback export {feedback.name} "
        f"(manifest {feedback.sha256[:12]}), {prepared.trained_on} pictures, "
        f"{sum(prepared.replayed.values())} of them base data"
    )


def render(facts: Facts) -> str:
    """Write the card.

    Args:
        facts: What it tells.

    Returns:
        Markdown.
    """
    feedback, prepared = facts.feedback, facts.prepared
    made_of = [
        ("Model", facts.card.name),
        ("Weights", facts.card.weights_sha256),
        ("Base", f"{facts.against}, weights {facts.against_sha256}"),
        ("Export", f"{feedback.name}, SHA-256 of its manifest {feedback.sha256}"),
        ("Data", f"content hash {prepared.data_sha256}"),
        ("Base data", facts.base or "none: feedback alone"),
        ("Training", facts.config),
        ("Licence", facts.card.licence),
    ]
    return "\n".join(
        (
            f"# {escaped(facts.card.name)}\n",
            *(f"- {name}: {escaped(value)}" for name, value in made_of),
            "\n## Trained on\n",
            table(("", "safe", "nsfw"), _counts(prepared)),
            _weights(prepared),
            "\n## Not trained on\n",
            table(("What", "Items"), _left_out(facts)),
            "## On held-out feedback\n",
            _measured(facts),
            "## Use\n",
            "Advice for people, who look for themselves before anything is done. Its threshold is the base "
            "model's until `models calibrate` finds one of its own.\n",
        )
    )


def told(counts: Mapping[str, int]) -> str:
    """Counts as a half sentence: `3 near copy, 1 same source`; `none` where there are none."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "none"


def _counts(prepared: Prepared) -> list[tuple[str, str, str]]:
    rows = [
        (f"feedback, {split}", f"{of['safe']:,}", f"{of['nsfw']:,}") for split, of in prepared.counts.items()
    ]
    if prepared.replayed:
        of = prepared.replayed
        rows.append(("base data, train", f"{of['safe']:,}", f"{of['nsfw']:,}"))
    return rows


def _weights(prepared: Prepared) -> str:
    worth = ", ".join(f"{value:,.1f} {label}" for label, value in prepared.effective.items())
    return (
        "Both classes are shown equally often. Within each, a picture of the feedback is shown in proportion "
        "to 1 / the probability with which it was drawn for review, cut so that Kish's effective size is "
        f"{LEAST_EFFECTIVE:.0%} or more of the pictures (here: {worth}; the heaviest weighs "
        f"{prepared.heaviest:.1f} times the mean)."
    )


def _left_out(facts: Facts) -> list[tuple[str, str]]:
    feedback, prepared = facts.feedback, facts.prepared
    rows = [("held out, for evaluation alone", f"{len(feedback.held_out):,}")]
    rows += [(f"not trained on: {why}", f"{count:,}") for why, count in sorted(feedback.left_out.items())]
    rows += [(f"tied to what is held out: {why}", f"{count:,}") for why, count in prepared.leaks.items()]
    rows += [(f"left out: {code}", f"{count:,}") for code, count in sorted(prepared.removed.items())]
    rows += [
        (f"base data tied to what is held out: {why}", f"{n:,}") for why, n in prepared.replay_leaks.items()
    ]
    return rows


def _measured(facts: Facts) -> str:
    found = facts.evaluation
    parts = [
        f"Both models at the threshold {found.threshold:g}, weighted by 1 / inclusion probability: "
        f"{found.comparison.labelled:,} labelled items, {found.comparison.positives:,} explicit. "
        f"{found.disputed:,} are disputed: counted in the least favourable way, the difference in F1 is "
        f"{_interval(found.least['f1'])}. {found.without_score:,} held-out uploads have no picture that can "
        "be scored.\n",
        _table(facts, found.comparison),
        "Both saw the reduced copies of the export, of moving pictures one frame "
        f"({facts.feedback.moving:,} in all).",
    ]
    if found.copies is not None:
        parts.append(
            f"On {found.copies.compared:,} of them {escaped(facts.against)} scored the file itself before: "
            f"scores of the copies differ by {found.copies.mean_difference:.4f} in the mean, and "
            f"{found.copies.turned:,} lie on the other side of the threshold."
        )
    if facts.forgetting is not None:
        parts += [
            f"\n## Forgetting\n\nOn {facts.forgetting.labelled:,} pictures of the base data that retraining "
            "did not see, each counting once:\n",
            _table(facts, facts.forgetting),
        ]
    return "\n".join(parts) + "\n"


def _table(facts: Facts, found: Comparison) -> str:
    rows = []
    for name in _MEASURES:
        one = getattr(found, name)
        value = "unknown" if one.value is None else f"{one.value:+.3f} ({one.low:+.3f} to {one.high:+.3f})"
        rows.append((name, _figure(one.first), _figure(one.second), value))
    return table(("Measure", facts.against, facts.card.name, "Difference, 95 %"), rows)


def _interval(one: Difference) -> str:
    return "unknown" if one.value is None else f"{one.value:+.3f} ({one.low:+.3f} to {one.high:+.3f}, 95 %)"


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


__all__ = ["Facts", "origin", "render", "told"]
