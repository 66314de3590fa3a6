"""Decides who is active: comparison, promotion, the way back, and thresholds from what people ask for.

A candidate is judged on feedback that both it and the active model scored, which a shadow gathers; where
there is too little of that, on the evaluation that `retrain` kept with it, if that was against the very model
that is active now. The measure that decides is F1 at each model's own threshold: a candidate that is not at
least as good, by the lower end of the interval and but for a margin, needs somebody who says so (`force`).
"""

import getpass
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from bot.errors import BotError
from classifier.values import Level, ModelCard
from storage import model_comparison, model_registry, threshold_choice
from storage.engine import Database
from storage.model_comparison import Maker
from storage.model_registry import ModelStanding, RegisteredModel
from storage.paired_estimates import Comparison, compare
from storage.threshold_choice import Choice, TooLittleFeedback
from storage.uploads import Transaction

LEVELS: tuple[Level, ...] = ("cautious", "balanced", "sensitive")
LEAST_PAIRED = 50
"""Labelled uploads that both scored below which feedback alone decides nothing."""
BUDGET_DAYS = 28.0
Cards = Callable[[str], ModelCard]


class Refused(BotError):
    """A model is not promoted, or no threshold is chosen; the message gives the figures."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a promotion rests on.

    Attributes:
        basis: `feedback` (both scored it), `evaluation` (on held-out feedback, by `retrain`), or `none`.
        low: Lower end of the interval of the difference in F1; None with `none`.
        value: The difference; None where it is not known.
        high: Upper end; None with `none`.
        labelled: Labelled items behind it.
    """

    basis: str
    low: float | None
    value: float | None
    high: float | None
    labelled: int

    def sentence(self, name: str, against: str) -> str:
        """The figures, for a person."""
        if self.low is None or self.high is None:
            return (
                f"{name} and {against} have {self.labelled} labelled uploads in common, {LEAST_PAIRED} "
                "are needed, and there is no evaluation of it against that model"
            )
        value = "unknown" if self.value is None else f"{self.value:+.3f}"
        return (
            f"F1 of {name} less that of {against}: {value} ({self.low:+.3f} to {self.high:+.3f}, 95 %, "
            f"{self.labelled} labelled items, from {self.basis})"
        )


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
    """

    database: Database
    cards: Cards
    configured: str
    level: Level
    by: str
    now: datetime

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
    ) -> Comparison:
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
            makers = [self._maker(tx, name) for name in (first, second)]
            return compare(model_comparison.paired(tx, makers[0], makers[1], since, until))

    def promote(
        self, name: str, *, margin: float = 0.0, force: bool = False, note: str = ""
    ) -> tuple[list[RegisteredModel], Judgement]:
        """Make a model the active one.

        Args:
            name: A candidate or a shadow.
            margin: How much worse its F1 may be, at the lower end of the interval.
            force: Promote it whatever the figures say; they are kept with the decision.
            note: Why.

        Returns:
            What was written, the new active model last, and what it rests on.

        Raises:
            Refused: Where it is not shown to be good enough.
            IllegalStanding: Where it is neither a candidate nor a shadow.
            ModelError: Where it, or the model that is active, does not exist.
        """
        active = self.begin()
        card = self.cards(name)
        with self.database.read() as tx:
            before = model_registry.find(tx, name)
        stood = None if before is None else before.standing
        if not model_registry.is_legal(stood, ModelStanding.ACTIVE):
            came = "not registered" if stood is None else stood.value
            raise model_registry.IllegalStanding(f"{name} is {came} and cannot become active")
        judged = self._judge(active, before, card)
        if not force and (judged.low is None or judged.low < -margin):
            told = judged.sentence(name, active.name)
            raise Refused(f"not promoted: {told}. Allowed is {-margin:+.3f} at the lower end (or --force)")
        wanted = RegisteredModel(
            name,
            card.weights_sha256,
            ModelStanding.ACTIVE,
            self.now,
            self.by,
            note,
            evidence={
                "promotion": {**asdict(judged), "against": active.name, "margin": margin, "forced": force}
            },
        )
        with self.database.transaction() as tx:
            present = model_registry.holder(tx, ModelStanding.ACTIVE)
            if present is None or present.name != active.name:
                raise Refused("not promoted: another model became active meanwhile; try again")
            return model_registry.change(tx, wanted), judged

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

    def calibrate(
        self, name: str, *, precision: float | None = None, per_day: float | None = None
    ) -> tuple[RegisteredModel, Choice]:
        """Set a model's threshold by what the community asks for; exactly one of the two.

        Args:
            name: A registered model, or the configured one.
            precision: Share of the flagged that has to be explicit.
            per_day: Flags a day at most.

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
            maker = self._maker(tx, name)
            found = model_registry.find(tx, name)
            rows = model_comparison.reviewed(tx, maker)
            scores: list[float] = []
            days = 0.0
            if per_day is not None:
                limit = int(per_day * BUDGET_DAYS) + 1000
                scores, days = model_comparison.highest_scores(tx, maker, self.now, BUDGET_DAYS, limit)
        feedback = (rows.scores, rows.labels, rows.probabilities)
        try:
            if precision is not None:
                choice = threshold_choice.for_precision(*feedback, precision, rows.strata)
            else:
                assert per_day is not None
                choice = threshold_choice.for_budget(*feedback, scores, days, per_day, rows.strata)
        except TooLittleFeedback as error:
            raise Refused(f"no threshold is chosen for {name}: {error}") from error
        known: dict[str, float] = {}
        known.update(self.cards(name).thresholds.items())
        known.update(found.thresholds if found else {})
        thresholds = threshold_choice.levels_with(known, self.level, choice.threshold, LEVELS)
        asked: Mapping[str, Any] = {"level": self.level, "precision": precision, "per_day": per_day}
        with self.database.transaction() as tx:
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

    def _judge(self, active: RegisteredModel, before: RegisteredModel | None, card: ModelCard) -> Judgement:
        found = self.compare(active.name, card.name)
        if found.labelled >= LEAST_PAIRED:
            f1 = found.f1
            return Judgement("feedback", f1.low, f1.value, f1.high, found.labelled)
        kept = {} if before is None or before.weights_sha256 != card.weights_sha256 else before.evidence
        evaluation = kept.get("evaluation", {})
        if evaluation.get("against_sha256") == active.weights_sha256:
            f1 = evaluation["f1"]
            return Judgement("evaluation", f1["low"], f1["value"], f1["high"], evaluation["labelled"])
        return Judgement("none", None, None, None, found.labelled)

    def _maker(self, tx: Transaction, name: str) -> Maker:
        card, found = self.cards(name), model_registry.find(tx, name)
        thresholds = found.thresholds if found and found.weights_sha256 == card.weights_sha256 else {}
        return Maker(name, card.weights_sha256, thresholds.get(self.level, card.thresholds[self.level]))


def person() -> str:
    """Whoever is logged in, for the record; `unknown` where the system does not tell."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


__all__ = ["BUDGET_DAYS", "LEAST_PAIRED", "LEVELS", "Deciding", "Judgement", "Refused", "person"]
