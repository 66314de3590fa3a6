"""Decides who is active: comparison, promotion, the way back, and thresholds from what people ask for.

A candidate is judged on feedback that both it and the active model scored, which a shadow gathers; where
there is too little of that, on the evaluation that `retrain` kept with it, if that was against the very model
that is active now. What is judged stands in `bot.judging`; a candidate that does not pass needs somebody who
says so (`force`). On feedback, both models are compared at the thresholds that the level in use asks for,
found for both on the same verdicts, and the one that is promoted keeps the thresholds found for it; where
there are too few verdicts for that, thresholds stay as they are.
"""

import getpass
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

import numpy as np

from bot.errors import BotError
from bot.judging import Judgement, Margins, figures_of, figures_told
from bot.level_settings import Target
from bot.recalibration import LEVELS, Recalibrated, choose, evidence_of, recalibrate
from classifier.values import Level, ModelCard
from storage import model_comparison, model_registry, threshold_choice
from storage.engine import Database
from storage.equal_load import flags_at_load
from storage.model_comparison import Maker, Pairs
from storage.model_registry import ModelStanding, RegisteredModel
from storage.paired_estimates import Comparison, Difference, compare
from storage.threshold_choice import Choice, TooLittleFeedback
from storage.uploads import Transaction

LEAST_PAIRED = 50
"""Labelled uploads that both scored below which feedback alone decides nothing."""
UNAUDITED = (
    "only flagged uploads were reviewed, so nobody knows what the active model missed (sampling.enabled)"
)
Cards = Callable[[str], ModelCard]


class Refused(BotError):
    """A model is not promoted, or no threshold is chosen; the message gives the figures."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Two models on the feedback that both scored.

    Attributes:
        found: B's figures less A's, each at its own threshold.
        equal_load: Recall where B flags as many files as A.
        thresholds: From which score A flags, and B.
        alone: Reviewed uploads of that time that only one of them scored.
        audited: Whether there are any that nobody had flagged; without them recall says nothing.
    """

    found: Comparison
    equal_load: Difference
    thresholds: tuple[float, float]
    alone: int
    audited: bool


@dataclass(frozen=True, slots=True)
class Promoted:
    """A promotion.

    Attributes:
        written: The changes, the new active model last.
        judged: What it rests on.
        thresholds: What it flags from now, by level, and which of that could not be found from feedback.
    """

    written: list[RegisteredModel]
    judged: Judgement
    thresholds: Recalibrated


@dataclass(frozen=True, slots=True)
class Deciding:
    """Who decides, where, and with what at hand.

    Attributes:
        database: The store.
        cards: Finds a model's card by name.
        configured: Name of the model that the configuration asks for.
        level: The level at which models are compared.
        by: Who decides.
        now: The present.
        targets: What each level asks of a threshold; a level that is not named keeps its threshold.
    """

    database: Database
    cards: Cards
    configured: str
    level: Level
    by: str
    now: datetime
    targets: Mapping[str, Target] = field(default_factory=dict)

    def set_standing(self, name: str, standing: ModelStanding, note: str = "") -> list[RegisteredModel]:
        """Make a model a candidate, a shadow, or retire it.

        Args:
            name: The model.
            standing: Any but active, which `promote` gives.
            note: Why.

        Returns:
            What was written.

        Raises:
            IllegalStanding: Where it may not follow on the present one.
            ModelError: Where there is no such model.
        """
        known = None
        if standing is ModelStanding.RETIRED:
            with self.database.read() as tx:
                known = model_registry.find(tx, name)
            if known is not None and known.standing is ModelStanding.ACTIVE:
                raise model_registry.IllegalStanding(
                    f"{name} is active: promote another model, or roll back, and it is retired by that"
                )
        # A model whose files are gone already can still be retired.
        weights = known.weights_sha256 if known else self.cards(name).weights_sha256
        with self.database.transaction() as tx:
            return model_registry.change(
                tx, RegisteredModel(name, weights, standing, self.now, self.by, note)
            )

    def compare(
        self, first: str, second: str, since: datetime | None = None, until: datetime | None = None
    ) -> Compared:
        """Compare two models on feedback that both scored, each at its own threshold.

        Args:
            first: Model A.
            second: Model B.
            since: Put up for review at this time or later.
            until: Put up for review before this time.

        Returns:
            B's figures less A's.

        Raises:
            ModelError: Where there is no such model.
        """
        with self.database.read() as tx:
            one, other = (self._thresholds(tx, name)[self.level] for name in (first, second))
            found = model_comparison.pairs(tx, self._maker(first), self._maker(second), since, until)
            return _compared(found, (one, other))

    def promote(
        self, name: str, *, margins: Margins | None = None, force: bool = False, note: str = ""
    ) -> Promoted:
        """Make a model the active one, with thresholds that do what the levels ask.

        Args:
            name: A candidate or a shadow.
            margins: How much worse it may be, at the lower end of each interval.
            force: Promote it whatever the figures say; they are kept with the decision.
            note: Why.

        Returns:
            What was written, and what it rests on.

        Raises:
            Refused: Where it is not shown to be good enough, or somebody else decided meanwhile.
            IllegalStanding: Where it is neither a candidate nor a shadow.
            ModelError: Where it, or the model that is active, does not exist.
        """
        active = self.begin()
        card = self.cards(name)
        before = self._promotable(name)
        judged, found = self._judge(active, before, card, margins or Margins())
        if not force and not judged.accepts:
            raise Refused(f"not promoted: {judged.sentence(name, active.name)} (or --force)")
        evidence: dict[str, object] = {
            "promotion": {**asdict(judged), "against": active.name, "forced": force}
        }
        if found.choices:
            evidence["calibration"] = self._calibration(found)
        wanted = RegisteredModel(
            name,
            card.weights_sha256,
            ModelStanding.ACTIVE,
            self.now,
            self.by,
            note,
            thresholds=found.thresholds if found.choices else {},
            evidence=evidence,
        )
        with self.database.transaction() as tx:
            model_registry.await_turn(tx)
            present, stands = model_registry.holder(tx, ModelStanding.ACTIVE), model_registry.find(tx, name)
            if present is None or stands is None or (present.id, stands.id) != (active.id, before.id):
                raise Refused("not promoted: somebody else decided about these models meanwhile; try again")
            return Promoted(model_registry.change(tx, wanted), judged, found)

    def roll_back(self, note: str = "") -> tuple[RegisteredModel, RegisteredModel]:
        """Return to the model that was active before.

        Args:
            note: Why.

        Returns:
            The model that is active again, and the one that was retired.

        Raises:
            IllegalStanding: Where there was none.
        """
        with self.database.transaction() as tx:
            return model_registry.roll_back(tx, by=self.by, now=self.now, note=note)

    def calibrate(self, name: str, target: Target) -> tuple[RegisteredModel, Choice]:
        """Set a model's threshold by what is asked of it.

        Args:
            name: A registered model, or the configured one.
            target: A share of right flags, or flags a day.

        Returns:
            What was written, and what is known of the threshold.

        Raises:
            Refused: Where there is too little feedback.
            IllegalStanding: Where the model is not registered.
            ModelError: Where there is no such model.
        """
        if name == self.configured:
            self.begin()
        with self.database.read() as tx:
            known = self._thresholds(tx, name)
            evidence = evidence_of(tx, self._maker(name), self.now, target.per_day or 0.0)
        try:
            choice = choose(evidence, target)
        except TooLittleFeedback as error:
            raise Refused(f"no threshold is chosen for {name}: {error}") from error
        thresholds = threshold_choice.levels_with(known, self.level, choice.threshold, LEVELS)
        asked = {"level": self.level, **asdict(target)}
        with self.database.transaction() as tx:
            model_registry.await_turn(tx)
            written = model_registry.calibrate(
                tx, name, thresholds, {**asked, **asdict(choice)}, by=self.by, now=self.now
            )
        return written, choice

    def begin(self) -> RegisteredModel:
        """The active model; where the registry has none, the configured one is written down as such."""
        with self.database.read() as tx:
            active = model_registry.holder(tx, ModelStanding.ACTIVE)
        if active is not None:
            return active
        card = self.cards(self.configured)
        with self.database.transaction() as tx:
            return model_registry.begin_with(
                tx,
                RegisteredModel(
                    self.configured,
                    card.weights_sha256,
                    ModelStanding.ACTIVE,
                    self.now,
                    self.by,
                    "the configured model, active before there was a registry",
                ),
            )

    def _promotable(self, name: str) -> RegisteredModel:
        with self.database.read() as tx:
            found = model_registry.find(tx, name)
        stands = None if found is None else found.standing
        if found is None or not model_registry.is_legal(stands, ModelStanding.ACTIVE):
            came = "not registered" if stands is None else stands.value
            raise model_registry.IllegalStanding(f"{name} is {came} and cannot become active")
        return found

    def _judge(
        self, active: RegisteredModel, before: RegisteredModel, card: ModelCard, margins: Margins
    ) -> tuple[Judgement, Recalibrated]:
        """Judge the candidate, and find the thresholds that it would get."""
        with self.database.read() as tx:
            pairs = model_comparison.pairs(tx, self._maker(active.name), self._maker(card.name))
            one, other = (
                recalibrate(
                    tx, self._maker(name), self._thresholds(tx, name), self.targets, self.level, self.now
                )
                for name in (active.name, card.name)
            )
            stands = self._thresholds(tx, active.name)[self.level]
        labelled = int((~np.isnan(pairs.labels)).sum())
        if labelled >= LEAST_PAIRED:
            told = (self.level in one.choices, self.level in other.choices)
            at = (one.thresholds[self.level] if told[0] else stands, other.thresholds[self.level])
            found = _compared(pairs, at)
            objection = "" if pairs.audited else UNAUDITED
            if self.level in other.unreachable and self.level in one.choices:
                objection = f"{card.name}: {other.missing[self.level]}"
            return Judgement(
                "feedback",
                figures_of(found.found.f1, found.found.recall, found.equal_load, margins),
                labelled,
                self.level,
                at,
                told,
                objection,
            ), other
        kept = {} if before.weights_sha256 != card.weights_sha256 else before.evidence
        evaluation = kept.get("evaluation", {})
        if evaluation.get("against_sha256") == active.weights_sha256:
            figures = figures_told(evaluation, margins)
            return Judgement("evaluation", figures, evaluation["labelled"], self.level), other
        return Judgement("none", (), labelled, self.level, needed=LEAST_PAIRED), other

    def _calibration(self, found: Recalibrated) -> Mapping[str, object]:
        """What the thresholds rest on, as plain values."""
        return {
            "level": self.level,
            "targets": {name: str(target) for name, target in self.targets.items()},
            "choices": {name: asdict(choice) for name, choice in found.choices.items()},
            "missing": dict(found.missing),
        }

    def _maker(self, name: str) -> Maker:
        return Maker(name, self.cards(name).weights_sha256)

    def _thresholds(self, tx: Transaction, name: str) -> dict[str, float]:
        """A model's thresholds by level: its card's, and over them what was calibrated for its weights."""
        card, found = self.cards(name), model_registry.find(tx, name)
        own: dict[str, float] = {}
        own.update(card.thresholds.items())
        if found is not None and found.weights_sha256 == card.weights_sha256:
            own.update(found.thresholds)
        return own


def _compared(pairs: Pairs, thresholds: tuple[float, float]) -> Compared:
    found = compare(pairs.at(*thresholds))
    load = float((1.0 / pairs.probabilities)[pairs.first >= thresholds[0]].sum())
    fair = replace(pairs.at(*thresholds), second=flags_at_load(pairs.second, pairs.probabilities, load))
    return Compared(found, compare(fair).recall_at_load, thresholds, pairs.alone, pairs.audited)


def person() -> str:
    """Whoever is logged in, for the record; `unknown` where the system does not tell."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


__all__ = ["LEAST_PAIRED", "Compared", "Deciding", "Promoted", "Refused", "person"]
