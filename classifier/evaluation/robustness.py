"""How decisions hold when pictures change: by what happens to every file, and by what an attacker does.

All changes are made to what the network sees, the pixels that its preprocessing leaves; that is where an
attacker is strongest, and it makes models with different preprocessings comparable. With a defence there are
three sides to measure, and a figure without the others misleads: what it restores under attackers who do not
know it, what is left of that under those who do, and what it costs where nobody attacks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from torch import nn

from classifier.engines.values import OnStep
from classifier.evaluation import attacks
from classifier.evaluation.compare import mcnemar
from classifier.evaluation.proportions import wilson
from classifier.evaluation.robustness_changes import (
    PlannedAttack,
    UsualChange,
    changed,
    planned_attacks,
    usual,
)
from classifier.evaluation.robustness_report import section
from classifier.evaluation.robustness_values import (
    Change,
    DefencePrice,
    Options,
    Outcome,
    Robustness,
    from_json,
    to_json,
)
from classifier.evaluation.scored import Flags, Indexes, checked_labels, require_both
from classifier.models import defence as defences
from classifier.models.defence import Defence
from classifier.preprocess import ChannelOrder
from classifier.values import Pixels

_TIMED_PICTURES = 16
"""So many tell what a defence costs in time."""


def measure(
    network: nn.Module,
    pixels: Pixels,
    labels: ArrayLike,
    *,
    model: str,
    order: ChannelOrder = "rgb",
    options: Options | None = None,
    available: int | None = None,
    progress: OnStep | None = None,
) -> Robustness:
    """Measure a model's robustness.

    Args:
        network: In eval mode; float32 (n, 3, h, w), 0..255, to logits (n, 2) of which the second is the
            positive class.
        pixels: uint8 (n, h, w, 3), as the model's preprocessing leaves them without a defence.
        labels: (n,), True or 1 for the positive class; both classes occur.
        model: Its name.
        order: The pictures' channel order, as its preprocessing says.
        options: What to try; None: the defaults.
        available: Of how many pictures these were chosen by `sample`; None: they are all there are.
        progress: Told what is being tried, how many pictures have gone through the network, and how many
            will have in the end.

    Returns:
        The result. On the CPU, equal arguments give equal ones but for `price.cpu_ms`.

    Raises:
        EvaluationError: Pictures and labels do not fit each other, or only one class occurs.
        ModelError: There is no such defence.
    """
    options = options or Options()
    truths = checked_labels(labels, len(pixels), "the pictures")
    require_both(truths, "the pictures")
    chosen = sample(truths, options.limit, options.seed)
    bench = _Bench(
        network,
        pixels[chosen],
        truths[chosen],
        order,
        options,
        defences.parse(options.defence) if options.defence else None,
        progress,
    )
    changes = tuple(bench.changes())
    return Robustness(
        model=model,
        pictures=len(chosen),
        positives=int(truths[chosen].sum()),
        available=available or len(truths),
        options=options,
        changes=changes,
        price=bench.price(),
    )


def sample(labels: Flags, limit: int | None, seed: int = 0) -> Indexes:
    """Choose pictures by chance so that the classes keep their shares, and none vanishes.

    Args:
        labels: (n,), True for the positive class.
        limit: Most that are wanted; None: all. Of two classes there are two at least.
        seed: Decides which.

    Returns:
        Indexes in rising order.
    """
    if limit is None or limit >= len(labels):
        return np.arange(len(labels), dtype=np.int64)
    random = np.random.default_rng(seed)
    kept = []
    for one_class in (np.flatnonzero(labels), np.flatnonzero(~labels)):
        wanted = max(round(limit * len(one_class) / len(labels)), 1)
        kept.append(random.permutation(one_class)[:wanted])
    return np.sort(np.concatenate(kept)).astype(np.int64)


def without_defence(preprocessing: str) -> tuple[str, str]:
    """Take a preprocessing apart, for models that are defended in daily use too.

    Args:
        preprocessing: Id, such as `imagenet-v1+jpeg:75`.

    Returns:
        The id that the pictures for `measure` have to be made with, and the defence's name for
        `Options.defence`, empty where there is none.
    """
    base, _, steps = preprocessing.partition("+")
    return base, steps


@dataclass(slots=True)
class _Bench:
    """One model, the pictures it is tried on, and what it decided about them unchanged.

    Attributes:
        network: See `measure`.
        pixels: The chosen ones.
        labels: Theirs.
        order: See `measure`.
        options: See `measure`.
        defence: The one to measure, if any.
        progress: See `measure`.
        right: (n,), which pictures the network alone decides rightly as they are; from `_clean`.
        right_defended: Likewise behind the defence.
        what: What is being tried.
        done: Pictures that have gone through the network.
        total: How many will have.
    """

    network: nn.Module
    pixels: Pixels
    labels: Flags
    order: ChannelOrder
    options: Options
    defence: Defence | None
    progress: OnStep | None
    right: Flags = field(init=False)
    right_defended: Flags | None = field(init=False, default=None)
    what: str = ""
    done: int = 0
    total: int = 0

    def changes(self) -> Iterator[Change]:
        """Try everything; the pictures as they are come first."""
        happenings, hostile = tuple(usual(self.options)), tuple(planned_attacks(self.options))
        sides = 1 if self.defence is None else 2
        # An attack through the defence is judged once by the defended network, as the other one is.
        passes = sides * (1 + len(happenings)) + sum(
            sides * one.attack.passes + 2 * sides - 1 for one in hostile
        )
        self.total = passes * len(self.pixels)
        yield self._clean()
        for happening in happenings:
            yield self._happening(happening)
        for one in hostile:
            yield self._attack(one)

    def price(self) -> DefencePrice | None:
        """What the defence costs on pictures that nobody changed."""
        if self.defence is None or self.right_defended is None:
            return None
        cost = defences.measure(self.defence, list(self.pixels[:_TIMED_PICTURES]), self.order)
        return DefencePrice(mcnemar(self.right, self.right_defended), cost.cpu_ms, cost.mean_change)

    def _clean(self) -> Change:
        self.what = "unchanged"
        self.right = self._right(self.pixels)
        defended = None
        if self.defence is not None:
            self.right_defended = self._right(self.pixels, self.defence)
            defended = self._outcome(self.right_defended, self.right_defended)
        return Change("none", 0, "Unchanged", self._outcome(self.right, self.right), defended)

    def _happening(self, happening: UsualChange) -> Change:
        self.what = happening.name
        after = changed(self.pixels, happening.apply, self.order)
        return Change(happening.kind, happening.strength, happening.name, *self._sides(after)[:2])

    def _attack(self, planned: PlannedAttack) -> Change:
        self.what = planned.name
        name, epsilon = planned.name, planned.attack.epsilon
        undefended, defended, transferred = self._sides(self._perturbed(planned.attack))
        if self.defence is None or transferred is None:
            return Change(planned.kind, epsilon, name, undefended)
        self.what = f"{name}, through the defence"
        through = self._right(self._perturbed(planned.attack, self.defence), self.defence)
        return Change(
            planned.kind,
            epsilon,
            name,
            undefended,
            defended,
            # Who knows the defence may still ignore it.
            informed=self._outcome(through & transferred, self.right_defended),
            through_alone=self._outcome(through, self.right_defended),
        )

    def _perturbed(self, attack: attacks.Attack, defence: Defence | None = None) -> Pixels:
        return attacks.perturb(
            self.network,
            self.pixels,
            self.labels,
            attack,
            defence=defence,
            order=self.order,
            batch=self.options.batch,
            progress=self._passed,
        )

    def _sides(self, pixels: Pixels) -> tuple[Outcome, Outcome | None, Flags | None]:
        undefended = self._outcome(self._right(pixels), self.right)
        if self.defence is None:
            return undefended, None, None
        right = self._right(pixels, self.defence)
        return undefended, self._outcome(right, self.right_defended), right

    def _right(self, pixels: Pixels, defence: Defence | None = None) -> Flags:
        found = attacks.scores(
            self.network,
            pixels,
            defence=defence,
            order=self.order,
            batch=self.options.batch,
            progress=self._passed,
        )
        return np.asarray((found >= self.options.threshold) == self.labels)

    def _outcome(self, right: Flags, before: Flags | None) -> Outcome:
        assert before is not None  # what was decided about unchanged pictures comes first
        confidence = self.options.confidence
        return Outcome(
            wilson(int(right.sum()), len(right), confidence),
            wilson(int((before & ~right).sum()), int(before.sum()), confidence),
        )

    def _passed(self, pictures: int) -> None:
        self.done += pictures
        if self.progress:
            self.progress(self.what, self.done, self.total)


__all__ = [
    "Options",
    "Robustness",
    "from_json",
    "measure",
    "sample",
    "section",
    "to_json",
    "without_defence",
]
