"""From a running daemon to a candidate: its scores, draws and kept copies, verdicts, and one command."""

import hashlib
import io
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import func, select

from bot.demo import CORPUS
from bot.minicommons.corpus import prepare_corpus
from bot.minicommons.plan import SCORED_SFW, Corpus, Specimen, StoredFile
from bot.minicommons.server import MiniCommons
from bot.settings import ROOT, Settings
from classifier.datasets import manifest, proxy
from classifier.models import catalogue
from storage import model_registry, reviews
from storage.engine import Database
from storage.feedback_tables import KeptCopyRow
from storage.model_registry import ModelStanding
from storage.review_values import Verdict, VerdictCode, VerdictSource
from storage.tables import ReviewItemRow, UploadRow
from tests.daemon_process import settings_for, settings_values, write_config
from tests.integration.test_daemon_faults import running, wait_for
from tests.retraining_store import give
from tests.torch_threads import one_thread  # noqa: F401

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

KINDS = ("webp", "gif", "tiff", "pdf", "svg", "png-alpha", "jpeg-cmyk", "jpeg-rotated", "vp9")
"""Every kind of file that a kept copy is made of: animations, documents, drawings, films."""
DRAWN, SIDE_PX = 44, 240
PURGED = "File:Drawn 3.jpg"


def corpus(folder: Path) -> Corpus:
    """Drawn pictures, no two of them alike, and one file of each kind."""
    made = prepare_corpus(CORPUS, KINDS)
    for name in KINDS:
        shutil.copytree(CORPUS / name, folder / name)
    return Corpus(str(folder), (*(drawn(folder, number) for number in range(DRAWN)), *made.specimens))


def drawn(folder: Path, number: int) -> Specimen:
    settings = proxy.ProxySettings(sizes_px=((SIDE_PX, SIDE_PX),), copy_share=0)
    name = f"drawn-{number}"
    (folder / name).mkdir(parents=True)
    with Image.open(io.BytesIO(proxy.draw(number, settings).content)) as image, io.BytesIO() as buffer:
        image.convert("RGB").save(buffer, "JPEG", quality=92)
        content = buffer.getvalue()
    (folder / name / "x.jpg").write_bytes(content)
    sha1 = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    file = StoredFile(f"{name}/x.jpg", "image/jpeg", "BITMAP", SIDE_PX, SIDE_PX, len(content), sha1)
    return Specimen(name, f"File:Drawn {number}.jpg", file, SCORED_SFW)


def decide(database: Database) -> int:
    """Verdicts on everything that people are asked about: every third is said to be explicit."""
    now = datetime.now(UTC)
    with database.read() as tx:
        asked = list(tx.scalars(select(ReviewItemRow.item_id).order_by(ReviewItemRow.id)))
    given = [
        Verdict(
            item_id=item_id,
            code=VerdictCode.NSFW_DELETE if number % 3 == 0 else VerdictCode.SFW,
            comment="",
            author="Ann",
            author_id=7,
            author_groups=("patroller",),
            trusted=True,
            untrusted_reason=None,
            blind=True,
            revision_id=number + 1,
            given_at=now,
            source=VerdictSource.WIKI,
        )
        for number, item_id in enumerate(asked)
    ]
    with database.transaction() as tx:
        reviews.add_verdicts(tx, given, now)
    return len(given)


def models(folder: Path) -> Path:
    """The default model in a folder of its own: what is trained here is added beside it."""
    catalogue.fetch("open_nsfw", folder, from_file=catalogue.fetch("open_nsfw"))
    return folder


def kept(settings: Settings) -> int:
    database = Database.open(settings.store.url, ROOT)
    try:
        with database.read() as tx:
            return tx.scalar(select(func.count()).select_from(KeptCopyRow)) or 0
    finally:
        database.close()


def test_retrain_from_the_store_of_a_daemon(tmp_path: Path) -> None:
    sampling = {
        "enabled": True,
        "daily_budget": 400,
        "first_day_uploads": DRAWN + len(KINDS),
        "key_file": str(tmp_path / "sampling.key"),
    }
    wanted = DRAWN + len(KINDS)
    with MiniCommons(corpus(tmp_path / "corpus")) as commons:
        commons.publish_noise(-1, rate_per_s=50)
        more = {"sampling": sampling, "classifier": {"cache_directory": str(models(tmp_path / "models"))}}
        settings = settings_for(commons, tmp_path, **more)
        config = write_config(tmp_path / "bot.toml", settings_values(commons, tmp_path, **more))
        with running(settings):
            commons.publish_corpus()
            wait_for(settings, lambda _, done: len(done) >= wanted, 300)
            wait_for(settings, lambda *_: kept(settings) >= wanted, 300)
    database = Database.open(settings.store.url, ROOT)
    assert decide(database) == wanted
    give(["purge", PURGED, "--config", str(config)])

    words = ["retrain", "--name", "second", "--out", str(tmp_path / "second"), "--config", str(config)]
    for setting in ("training.epochs=1", "training.threads=1", "data.workers=0", "training.batch=16"):
        words += ["--set", setting]
    told = give([*words, "--key-file", str(tmp_path / "key")])

    export = tmp_path / "second" / "export" / "0001"
    rows = [json.loads(line) for line in (export / "feedback.jsonl").read_text().splitlines()]
    held = [row for row in rows if row["split"] == "test"]
    with database.read() as tx:
        found = model_registry.find(tx, "second")
        titles = set(tx.scalars(select(UploadRow.title)))
    database.close()
    assert {row["title"] for row in rows} == titles
    assert [row["title"] for row in rows if row["path"] is None] == [PURGED]
    assert PURGED in (export / "missing.csv").read_text()
    assert "without a picture: 1 not_kept" in told
    assert found is not None
    assert found.standing is ModelStanding.CANDIDATE
    assert found.evidence["evaluation"]["against"] == "open_nsfw"
    assert found.evidence["evaluation"]["labelled"] == sum(row["path"] is not None for row in held)
    trained = manifest.read(tmp_path / "second" / "training.csv")
    assert {item.sha256 for item in trained.items}.isdisjoint({row["sha256"] for row in held})
    assert {item.source for item in trained.items}.isdisjoint({row["source"] for row in held})
    for item in trained.items:
        with Image.open(trained.path_of(item)) as image:
            assert (image.format, max(image.size) <= settings.retention.side_px) == ("JPEG", True)
    moving = sum(row["worst_at_s"] is not None and row["path"] is not None for row in rows)
    assert moving == 3  # the animations and the film: the frame that was kept of each
    assert f"moving pictures one frame ({moving} in all)" in (
        tmp_path / "second" / "card.md"
    ).read_text().replace("\\", "")
