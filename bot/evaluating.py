"""`evaluate`: score a sealed test set with one model or several, and write down what that says of them.

OUT/MODEL/report.html      with plots, for people
OUT/MODEL/evaluation.json  the same for programs
OUT/MODEL/card.md          the model's card
OUT/MODEL/scores-*.jsonl   every file's score, so that another report costs nothing
OUT/MODEL/speed.json       what it costs at inference; measured again once it is deleted
OUT/comparison.*           of two models or more
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

from bot.errors import ConfigError
from bot.scoring import decode_limits
from bot.settings import Settings
from classifier import atomic_file, cgroup
from classifier.datasets import check, manifest
from classifier.datasets.values import DEFAULT_CLASSES, Classes, Dataset, DatasetError, Finding, join
from classifier.engines.values import OnStep
from classifier.evaluation import scoring, speed
from classifier.evaluation.candidate import Candidate, find_all
from classifier.evaluation.compare import Pairing, paired, turned
from classifier.evaluation.errors import EvaluationError
from classifier.evaluation.evaluate import Options, check_options, evaluate
from classifier.evaluation.scored import Scored
from classifier.evaluation.scoring import Maker, Means, Scores
from classifier.evaluation.sections import Limits
from classifier.evaluation.speed import Speed
from classifier.evaluation.values import Evaluation, Subject
from classifier.threads import budget
from classifier.training import config as configs
from classifier.training import folder as folders
from classifier.values import Classifier

MAX_GROUP_VALUES = 30
"""A column with more is an identifier, not a group; it is broken down only where somebody names it."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to evaluate, and how.

    Attributes:
        models: Catalogue names and folders of runs; the others are compared with the first.
        data: Manifest of the test set.
        validation: Manifest whose validation set chooses thresholds and the temperature; None: nothing is
            chosen.
        out: Folder for everything that is written.
        engine: What runs models of the catalogue.
        classes: The negative and the positive label; None: those of the runs, or the usual ones.
        threshold: From which score on a file is flagged; None: what the model says itself.
        options: Which figures.
        groups: Columns to break figures down by; None: all that have few values.
        limits: What a model may cost.
        with_speed: Whether to measure what it costs.
        robustness: Whether to try changes and attacks.
        defence: What to defend with then, as `classifier.models.defence.parse` reads it; empty: what the
            model's own preprocessing has, or else the usual one.
        explain: Of how many of the worst errors to show where the model looked.
        suspicious: How many suspicious labels to list.
    """

    models: tuple[str, ...]
    data: Path
    out: Path
    validation: Path | None = None
    engine: str = "torch-fp32"
    classes: Classes | None = None
    threshold: float | None = None
    options: Options = field(default_factory=Options)
    groups: tuple[str, ...] | None = None
    limits: Limits = field(default_factory=Limits)
    with_speed: bool = True
    robustness: bool = False
    explain: int = 0
    suspicious: int = 0
    defence: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """A model with its scores.

    Attributes:
        candidate: The model.
        folder: Where its files are written.
        test: Its scores of the test set.
        validation: Of the validation set, None where there is none.
        speed: What it costs; None where that was not asked.
    """

    candidate: Candidate
    folder: Path
    test: Scores
    validation: Scores | None
    speed: Speed | None


@dataclass(frozen=True, slots=True)
class Judged:
    """A model and what its scores say of it.

    Attributes:
        measured: The model with its scores.
        part: Those that count: of the files that every model has scored.
        evaluation: Its figures.
        against_first: It, compared with the first model of the request; None of that one itself.
        from_first: The same the other way around.
    """

    measured: Measured
    part: Scored
    evaluation: Evaluation
    against_first: Pairing | None = None
    from_first: Pairing | None = None

    @property
    def title(self) -> str:
        """What tells the model from all others."""
        return self.measured.candidate.title


@dataclass(frozen=True)
class Laboratory:
    """What all models of a request share.

    Args:
        settings: Sections `[classifier]` and `[decode]` are used: decoding is the daemon's.
        request: What is wanted.
        tell: Told what is being done.
    """

    settings: Settings
    request: Request
    tell: OnStep

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """The models."""
        return find_all(self.request.models, self.request.engine, self.settings.classifier.cache_directory)

    @cached_property
    def classes(self) -> Classes:
        """The labels; what a run was trained to tell apart is not to be had otherwise."""
        trained = {one.given: of for one in self.candidates if (of := one.classes()) is not None}
        wanted = self.request.classes or next(iter(trained.values()), None) or DEFAULT_CLASSES
        for given, classes in trained.items():
            if classes != wanted:
                raise EvaluationError(
                    f"{given} was trained to tell {classes[1]!r} from {classes[0]!r}, not {wanted[1]!r} from "
                    f"{wanted[0]!r}: column 'label'."
                )
        return wanted

    @cached_property
    def test(self) -> Dataset:
        """The test set."""
        return manifest.read(self.request.data, self.classes).for_evaluation("test")

    @cached_property
    def validation(self) -> Dataset | None:
        """The validation set."""
        path = self.request.validation
        return None if path is None else manifest.read(path, self.classes).for_evaluation("validation")

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns that figures are broken down by."""
        found = {
            name: {item.groups.get(name, "") for item in self.test.items} for name in _columns(self.test)
        }
        if self.request.groups is None:
            return tuple(name for name, of in found.items() if 1 < len(of) <= MAX_GROUP_VALUES)
        for name in self.request.groups:
            if name not in found:
                known = ", ".join(found) or "none"
                message = f"is missing; group columns there are {known}"
                raise DatasetError(message, self.request.data, None, manifest.GROUP_PREFIX + name)
        return self.request.groups

    @cached_property
    def threads(self) -> int:
        """Of one prediction, as the daemon has them."""
        return budget(cgroup.usable_cores(), self.settings.classifier.threads).engine

    @cached_property
    def leaks(self) -> tuple[Finding, ...]:
        """What the test set shares with data that a model was trained, or a threshold chosen on."""
        known = [path for one in self.candidates if (path := _trained_on(one)) is not None]
        if self.request.validation is not None:
            known.append(self.request.validation.absolute())
        parts = [manifest.read(path, self.classes) for path in dict.fromkeys(known)]
        seen = [part.with_items(item for item in part.items if item.split != "test") for part in parts]
        if not seen:
            return ()
        findings = check.check(join([self.test, *seen]), with_files=False)
        # What two models were trained on may well be the same.
        return tuple(one for one in findings if one.code.startswith("leak") and "test" in one.message)

    def threshold(self, candidate: Candidate) -> float:
        """From which score on a model flags."""
        wanted = self.request.threshold
        return candidate.threshold(self.settings.classifier.level) if wanted is None else wanted

    def score(self, loaded: "Loaded", dataset: Dataset, file: Path) -> Scores:
        """Score a dataset with a model, or read its scores where they are at hand."""
        candidate, limits = loaded.candidate, decode_limits(self.settings)
        maker = Maker.of(candidate.card, candidate.engine, self.threads, limits)
        means = Means(loaded.get, limits, self.settings.decode.workers)
        what = f"{candidate.title}, {dataset.name}"
        return scoring.score(dataset, maker, means, file, lambda done, total: self.tell(what, done, total))


@dataclass(slots=True)
class Loaded:
    """A model that is loaded once somebody needs it.

    Args:
        candidate: The model.
        threads: Of one prediction.
    """

    candidate: Candidate
    threads: int
    _classifier: Classifier | None = None

    def get(self) -> Classifier:
        """The running model."""
        if self._classifier is None:
            self._classifier = self.candidate.load(self.threads)
        return self._classifier


def evaluate_models(lab: Laboratory) -> tuple[Judged, ...]:
    """Evaluate one model or several, and write everything down.

    Args:
        lab: What is wanted, and with what settings.

    Returns:
        What was found out, in the order of the request.

    Raises:
        ConfigError: Where the folder cannot be written.
        ClassifierError: Where data or models are not fit to be evaluated; the message names them.
    """
    from bot import evaluating_files

    # Before hours of scoring: whatever is wrong with the request or the data.
    check_options(lab.request.options)
    _ = lab.candidates, lab.test, lab.validation, lab.columns, lab.leaks
    measured = [_measured(lab, candidate) for candidate in lab.candidates]
    common = _common(measured)
    judged: list[Judged] = []
    for number, one in enumerate(measured):
        lab.tell("figures and their intervals", number, len(measured))
        judged.append(_judged(lab, one, common, judged[0] if judged else None))
    for number, done in enumerate(judged):
        lab.tell("reports", number, len(judged))
        evaluating_files.write_model(lab, done, judged)
    if len(judged) > 1:
        evaluating_files.write_comparison(lab, judged)
    return tuple(judged)


def put(path: Path, content: bytes) -> None:
    """Write a file into the request's folder.

    Raises:
        ConfigError: Where it cannot be written.
    """
    try:
        atomic_file.write(path, content)
    except OSError as error:
        raise ConfigError(f"--out: {path} cannot be written: {error.strerror or error}") from error


def _measured(lab: Laboratory, candidate: Candidate) -> Measured:
    folder = lab.request.out / candidate.slug
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out: {folder} cannot be made: {error.strerror or error}") from error
    loaded = Loaded(candidate, lab.threads)
    validation = None
    if lab.validation is not None:
        validation = lab.score(loaded, lab.validation, folder / "scores-validation.jsonl")
    test = lab.score(loaded, lab.test, folder / "scores-test.jsonl")
    found = _speed(lab, candidate, folder / "speed.json") if lab.request.with_speed else None
    return Measured(candidate, folder, test, validation, found)


def _speed(lab: Laboratory, candidate: Candidate, file: Path) -> Speed:
    """What a model costs, measured once."""
    of = {"weights": candidate.card.weights_sha256, "engine": candidate.engine, "threads": lab.threads}
    try:
        known = json.loads(file.read_bytes())
        if known.pop("of") == of:
            return Speed(**known)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        pass  # not there, or not ours: it is measured then
    lab.tell(f"{candidate.title}: speed and memory", 0, 1)
    found = speed.measure(candidate, lab.threads)
    put(file, json.dumps({"of": of, **asdict(found)}, indent=2).encode() + b"\n")
    return found


def _judged(lab: Laboratory, one: Measured, common: frozenset[str], first: Judged | None) -> Judged:
    request, candidate = lab.request, one.candidate
    part = one.test.only(common).measured(lab.columns)
    found = evaluate(
        part,
        Subject(candidate.title, lab.test.name, manifest.content_hash(lab.test), lab.classes),
        threshold=lab.threshold(candidate),
        validation=None if one.validation is None else one.validation.measured(),
        options=request.options,
    )
    if first is None:
        return Judged(one, part, found)
    ends = (first.evaluation.threshold, found.threshold)
    asked = request.options
    pairing = paired(
        first.part,
        part,
        thresholds=ends,
        resamples=asked.resamples,
        seed=asked.seed,
        confidence=asked.confidence,
    )
    return Judged(one, part, found, turned(pairing), pairing)


def _common(measured: Sequence[Measured]) -> frozenset[str]:
    """The files that every model has scored."""
    paths = [{item.path for item in one.test.dataset.items} for one in measured]
    return frozenset(paths[0].intersection(*paths[1:]))


def _columns(dataset: Dataset) -> tuple[str, ...]:
    return tuple(sorted({name for item in dataset.items for name in item.groups}))


def _trained_on(candidate: Candidate) -> Path | None:
    """The manifest of a run, where it still is what the run was trained on."""
    if candidate.run is None:
        return None
    config = configs.load(Path(candidate.given) / folders.CONFIG_NAME)
    path = Path(config.data.manifest)
    if not config.data.manifest or not path.is_file():
        return None
    unchanged = manifest.content_hash(manifest.read(path, config.data.classes)) == candidate.run.data["hash"]
    return path.absolute() if unchanged else None


__all__ = ["Judged", "Laboratory", "Loaded", "Measured", "Request", "evaluate_models", "put"]
