"""A wiki on which retraining is proven: drawn uploads, a deployed model with a weakness, people who review.

Explicit stands for a striped disc of the laboratory's drawn task (`classifier.datasets.proxy`); nothing here
is. The base model learnt from photographs and drawings by day. Uploads are photographs, many of them by
night, which it never saw: that is the weakness that feedback can correct. Drawings are what it can forget,
for no upload is one.

Scores, draws, kept copies and verdicts go the ways that the daemon's go: limited workers decode, the sampler
draws within the day's budget, the keeper reduces, verdicts are added as they are read from pages. Reviewers
err, are unsure, disagree and leave items open.
"""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image

from bot.media.sha1 import base36_from_hex
from bot.retention.folder import CopyFolder
from bot.retention.keeping import CopyKeeper
from bot.retraining.evaluating import Scoring
from bot.sampling import Sampler, Write, load_key
from bot.settings import Settings
from classifier.datasets import manifest, proxy
from classifier.datasets.values import DEFAULT_CLASSES, Dataset, Item
from classifier.decode.limits import DecodeLimits
from classifier.decode.sandbox import DecodePool
from classifier.models import catalogue
from classifier.training import config as configs
from classifier.training.config import TrainConfig
from classifier.values import FrameResult, MediaPart
from storage import models, reviews, shadow_scores, uploads
from storage.engine import Database
from storage.review_values import Verdict, VerdictCode, VerdictSource
from storage.values import (
    ClaimedUpload,
    Classification,
    FrameScore,
    ModelVersion,
    Upload,
    UploadAction,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
BASE_SEED, UPLOADS_SEED = 0, 1
NIGHT_SHARE = 0.4
POSITIVES_KEPT = 0.35
"""Of what is drawn with a striped disc, so much is uploaded: about a quarter of the uploads."""
REVIEWERS = 12
Spoil = Callable[[Sequence[str]], list[str]]
ERRS, UNSURE, OPEN, SECOND_OPINION = 0.03, 0.02, 0.05, 0.1


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the world is.

    Attributes:
        side_px: Of the pictures; the network sees `input_px`.
        input_px: Of the network.
        base: Pictures of the base data.
        base_epochs: Of the base model's training.
        period: Uploads of each of the two periods.
        days: Of a period.
        daily_budget: Items that people are asked about in a day.
        network: The base model's.
        epochs: Of each retraining; 0: as `retrain` does by itself.
    """

    side_px: int = 96
    input_px: int = 64
    base: int = 2000
    base_epochs: int = 10
    period: int = 1200
    days: int = 8
    daily_budget: int = 120
    network: str = "timm:test_resnet"
    epochs: int = 0


def base_data(folder: Path, scale: Scale) -> Dataset:
    """Draw the base data: photographs and drawings by day, divided, with the labels that the bot knows.

    Args:
        folder: Gets the pictures and `base.csv`.
        scale: How many.

    Returns:
        The dataset; its split `test` is for the benchmark alone and not in the manifest.
    """
    settings = _settings(BASE_SEED, scale, night_share=0.0, drawing_share=0.5)
    items = []
    for index in range(scale.base):
        picture = proxy.draw(index, settings)
        path = _write(folder, picture)
        split = "test" if index % 5 == 0 else "validation" if index % 5 == 1 else "train"
        items.append(
            Item(
                path,
                _label(picture.label),
                picture.source,
                {"medium": picture.medium},
                split,
                _sha256(folder / path),
            )
        )
    dataset = Dataset(tuple(items), folder.absolute(), "base.csv")
    manifest.write(dataset.with_items(item for item in items if item.split != "test"), folder / "base.csv")
    return dataset


def base_config(scale: Scale, file: Path) -> TrainConfig:
    """How the base model is trained, from drawn weights."""
    table = {
        "name": "base",
        "model": {"name": scale.network},
        "data": {
            "manifest": str(file),
            "preprocessing": f"imagenet-v1@{scale.input_px}",
            "require_verified": False,
        },
        "augment": {"flip": 0.5},
        "optimizer": {"rate": 0.003, "schedule": "cosine", "warmup_steps": 30, "gradient_clip": 1.0},
        "training": {"epochs": scale.base_epochs, "batch": 32, "accelerator": "cpu", "threads": 1},
    }
    return configs.parse(table, "the base model")


@dataclass(frozen=True, slots=True)
class Arrival:
    """An upload before anybody has looked at it.

    Attributes:
        number: Names it.
        path: Its file, below the world's folder.
        label: The truth.
        uploader: Whoever uploaded it: those of one camera are one person's.
        light: `day` or `night`.
        at: When.
    """

    number: int
    path: str
    label: str
    uploader: str
    light: str
    at: datetime


def arrivals(folder: Path, scale: Scale) -> list[Arrival]:
    """Draw the uploads of both periods; now and then one is an altered copy of another, by somebody else."""
    settings = _settings(UPLOADS_SEED, scale, night_share=NIGHT_SHARE, drawing_share=0.0)
    found: list[Arrival] = []
    every = timedelta(days=scale.days) / scale.period
    for index in range(100 * scale.period):
        if len(found) == 2 * scale.period:
            break
        rng = np.random.default_rng((UPLOADS_SEED, index, 9))
        chance = rng.random()
        picture = proxy.draw(index, settings)
        if picture.true_label == proxy.CLASSES[1] and chance >= POSITIVES_KEPT:
            continue
        uploader = picture.source or f"Uploader {index}"
        path = _write(folder, picture)
        at = START + every * len(found)
        found.append(Arrival(index + 1, path, _label(picture.true_label), uploader, picture.light, at))
    return found


class World:
    """The store with everything that belongs to it, and what people and daemon do to it.

    Args:
        folder: Where the uploads' files lie.
        settings: The bot's.
        database: The store.
    """

    def __init__(self, folder: Path, settings: Settings, database: Database) -> None:
        self._folder, self._settings, self._database = folder, settings, database
        self._now = START
        self._sampler = Sampler(settings.sampling, load_key(settings.sampling.key_file), lambda: self._now)
        self._revision = 0
        self._rows: dict[int, int] = {}
        self._asked: set[int] = set()

    def scores(self, arrivals: Sequence[Arrival], model: str) -> Mapping[int, float]:
        """What a model says of uploads, decoded and prepared as the daemon does, by number."""
        folder = self._folder
        items = [Item(one.path, DEFAULT_CLASSES[0], sha256=_sha256(folder / one.path)) for one in arrivals]
        means = Scoring(folder, cache_directory=self._settings.classifier.cache_directory)
        found = means.scores(Dataset(tuple(items), folder.absolute(), "uploads"), model, "uploads")
        return {one.number: found[one.path] for one in arrivals}

    def score(self, arrivals: Sequence[Arrival], model: str, keep: bool = True) -> int:
        """Let the deployed model score uploads: outcomes, draws, review items and kept copies.

        Args:
            arrivals: In the order of time.
            model: Name of the model.
            keep: Whether copies of what people are asked about are kept.

        Returns:
            How many people are asked about.
        """
        scores = self.scores(arrivals, model)
        version, threshold = self._version(model)
        by_number = {one.number: one for one in arrivals}
        with self._database.transaction() as tx:
            uploads.add(tx, [self._upload(one) for one in arrivals], arrivals[0].at)
        before = len(self._asked)
        with DecodePool(DecodeLimits(), 1) as pool:
            copies = CopyFolder(self._settings.retention.directory, self._database.name)
            keeper = CopyKeeper(self._database, copies, pool, self._settings.retention)
            for claimed in self._claimed(arrivals[-1].at):
                one = by_number[claimed.upload.log_id]
                self._now, self._rows[one.number] = one.at, claimed.id
                scored = _classification(version, scores[one.number], threshold)
                if self._sampler.record(self._commit, claimed, scored):
                    self._asked.add(one.number)
                    parts, worst = [MediaPart(self._folder / one.path)], FrameResult(scored.score)
                    if keep:
                        keeper.keep(claimed.id, parts, worst, self._now)
        return len(self._asked) - before

    def watch(self, arrivals: Sequence[Arrival], model: str) -> None:
        """Let a shadow score the same uploads: nobody is asked about what it says."""
        scores = self.scores(arrivals, model)
        version, threshold = self._version(model)
        with self._database.transaction() as tx:
            for one in arrivals:
                scored = _classification(version, scores[one.number], threshold)
                shadow_scores.add(tx, self._rows[one.number], scored, one.at, representative=True)

    def review(self, arrivals: Sequence[Arrival]) -> None:
        """Let people answer what they are asked: right as a rule, wrong, unsure, at odds or not at all."""
        given = [verdict for one in arrivals if one.number in self._asked for verdict in self._verdicts(one)]
        with self._database.transaction() as tx:
            reviews.add_verdicts(tx, given, arrivals[-1].at + timedelta(hours=12))

    def _verdicts(self, one: Arrival) -> Iterator[Verdict]:
        rng = np.random.default_rng((7, one.number))
        if rng.random() < OPEN:
            return
        people = rng.permutation(REVIEWERS)[: 2 if rng.random() < SECOND_OPINION else 1]
        for person in people.tolist():
            self._revision += 1
            explicit = (one.label == DEFAULT_CLASSES[1]) != (rng.random() < ERRS)
            code = VerdictCode.NSFW_DELETE if explicit else VerdictCode.SFW
            yield Verdict(
                item_id=f"{self._settings.wiki.id}-{one.number}",
                code=VerdictCode.UNSURE if rng.random() < UNSURE else code,
                comment="",
                author=f"Reviewer {person}",
                author_id=person,
                author_groups=("patroller",),
                trusted=True,
                untrusted_reason=None,
                blind=True,
                revision_id=self._revision,
                given_at=one.at + timedelta(hours=6),
                source=VerdictSource.WIKI,
            )

    def _upload(self, one: Arrival) -> Upload:
        content = (self._folder / one.path).read_bytes()
        return Upload(
            self._settings.wiki.id,
            one.number,
            UploadAction.UPLOAD,
            f"File:Drawn {one.number}{Path(one.path).suffix}",
            one.uploader,
            base36_from_hex(hashlib.sha1(content, usedforsecurity=False).hexdigest()),
            one.at,
            one.at,
        )

    def _claimed(self, until: datetime) -> Iterator[ClaimedUpload]:
        while True:
            with self._database.transaction() as tx:
                page = uploads.claim(tx, worker="world", limit=500, now=until, ttl_s=1e9)
            if not page:
                return
            yield from page

    def _commit(self, write: Write) -> bool:
        with self._database.transaction() as tx:
            write(tx)
        return True

    def _version(self, name: str) -> tuple[int, float]:
        """The model's row, and its threshold."""
        card = catalogue.card(name, self._settings.classifier.cache_directory)
        told = {**asdict(card), "thresholds": dict(card.thresholds)}
        version = ModelVersion(
            name,
            card.architecture,
            card.weights_sha256,
            card.preprocessing,
            "torch-fp32",
            {},
            told,
        )
        with self._database.transaction() as tx:
            return models.register(tx, version, START), card.thresholds[self._settings.classifier.level]


def shuffled(labels: Sequence[str]) -> list[str]:
    """Deal labels out anew: what is trained on them knows nothing."""
    return [str(label) for label in np.random.default_rng(0).permutation(list(labels))]


def exchanged(labels: Sequence[str]) -> list[str]:
    """Say the opposite: what is trained on them errs."""
    return [DEFAULT_CLASSES[1 - DEFAULT_CLASSES.index(label)] for label in labels]


def mislabelled(export: Path, target: Path, spoil: Spoil) -> Path:
    """Copy an export with wrong labels on what is trained on: a worse candidate is made of it.

    Args:
        export: A finished one.
        target: Gets the copy; pictures are linked.
        spoil: Makes wrong labels of right ones.

    Returns:
        The copy.
    """
    shutil.copytree(export, target, copy_function=os.link)
    file = target / "feedback.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    trained = [row for row in rows if row["split"] != "test" and row["label"] in DEFAULT_CLASSES]
    for row, label in zip(trained, spoil([row["label"] for row in trained]), strict=True):
        row["label"] = label
    file.unlink()  # a link to the other export's
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return target


def _settings(seed: int, scale: Scale, *, night_share: float, drawing_share: float) -> proxy.ProxySettings:
    return proxy.ProxySettings(
        seed=seed,
        sizes_px=((scale.side_px, scale.side_px),),
        clutter=0.0,
        decoy_share=0.1,
        noise_share=0.02 if seed == BASE_SEED else 0.0,
        copy_share=0.03 if seed == UPLOADS_SEED else 0.0,
        night_share=night_share,
        drawing_share=drawing_share,
    )


def _classification(version: int, score: float, threshold: float) -> Classification:
    frame = FrameScore(score, None, None)
    label = "nsfw" if score >= threshold else "sfw"
    return Classification(version, score, label, threshold, (frame,), frame, {"kind": "original"}, "pillow")


def _label(name: str) -> str:
    return DEFAULT_CLASSES[proxy.CLASSES.index(name)]


def _write(folder: Path, picture: proxy.ProxyPicture) -> str:
    """As a JPEG, as most uploads are; kept copies are compressed anew, which should change little."""
    path = folder / f"{picture.index:06d}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(io.BytesIO(picture.content)) as image:
        image.convert("RGB").save(path, quality=90)
    return path.name


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
