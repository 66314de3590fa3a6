"""How much memory and time an export of many reviewed items takes: constant memory is the promise.

A store with verdicts and a folder of kept pictures (harmless noise) are generated, then all formats are
exported in a process of its own, whose peak memory is read from the kernel. A smaller export beside it tells
what grows.

    python -m benchmarks.export [--items 50000 --kilobytes 20]
"""

import argparse
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import insert

from bot.export.formats import Format
from bot.export.pictures import KeptPictures
from bot.export.record import Teller
from bot.export.run import Exporter, Request
from storage import models
from storage.engine import Database
from storage.feedback_tables import KeptCopyRow
from storage.insertion import insert_new
from storage.tables import ClassificationRow, ReviewItemRow, UploadRow, VerdictRow
from storage.values import ModelVersion

START = datetime(2026, 1, 1, tzinfo=UTC)
BATCH = 2000
DISTINCT_PICTURES = 2000


def pictures(folder: Path, size_bytes: int) -> list[str]:
    """Kept pictures: bytes that begin like a JPEG, for nothing here looks into them."""
    names = []
    for number in range(DISTINCT_PICTURES):
        content = b"\xff\xd8\xff" + random.Random(number).randbytes(size_bytes)
        sha256 = hashlib.sha256(content).hexdigest()
        path = folder / sha256[:2] / sha256[2:4] / f"{sha256}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        names.append(sha256)
    return names


def generate(database: Database, items: int, names: list[str], size_bytes: int) -> None:
    """Reviewed uploads, a few by each uploader, some of the same bytes, two verdicts each."""
    model = ModelVersion("open_nsfw", "resnet50-thin", "ab" * 32, "v1", "torch-fp32", {}, {})
    with database.transaction() as tx:
        model_id = models.register(tx, model, START)
    chance = random.Random(7)
    for first in range(1, items + 1, BATCH):
        ids = range(first, min(first + BATCH, items + 1))
        with database.transaction() as tx:
            insert_new(tx, UploadRow, [upload(n) for n in ids])
            insert_new(tx, ClassificationRow, [classification(n, model_id, chance) for n in ids])
            insert_new(tx, ReviewItemRow, [item(n) for n in ids])
            tx.execute(insert(VerdictRow), [verdict(n, who, chance) for n in ids for who in (1, 2)])
            insert_new(tx, KeptCopyRow, [copy(n, names, size_bytes) for n in ids if n % 50])


def upload(n: int) -> dict[str, object]:
    """One upload."""
    at = START + timedelta(seconds=n)
    return {
        "id": n,
        "wiki": "commonswiki",
        "log_id": n,
        "action": "upload",
        "title": f"File:Generated picture number {n} of a longish name.jpg",
        "current_title": f"File:Generated picture number {n} of a longish name.jpg",
        "user": f"Uploader {n // 3}",
        "sha1": f"{n - (n % 100 == 0):031d}",
        "file_timestamp": at,
        "logged_at": at,
        "source": "stream",
        "received_at": at,
        "state": "done",
        "lane": 0,
        "attempts": 1,
        "crashes": 0,
        "next_attempt_at": at,
        "outcome": "scored",
        "finished_at": at,
    }


def classification(n: int, model_id: int, chance: random.Random) -> dict[str, object]:
    """Its score."""
    score = chance.random()
    frame = {"score": score, "at_s": None, "page": None}
    return {
        "id": n,
        "upload_id": n,
        "model_version_id": model_id,
        "score": score,
        "label": "nsfw" if score > 0.8 else "sfw",
        "threshold": 0.8,
        "worst": frame,
        "frame_count": 1,
        "frames": [frame],
        "rendition": {"url": f"https://upload.wikimedia.org/{n}.jpg", "kind": "thumbnail", "width_px": 330},
        "decoder": "pillow",
        "timings_s": {},
        "created_at": START,
    }


def item(n: int) -> dict[str, object]:
    """Its review."""
    return {
        "id": n,
        "item_id": f"commonswiki-{n}",
        "upload_id": n,
        "classification_id": n,
        "reason": "audit" if n % 3 else "flagged",
        "inclusion_probability": 0.01 if n % 3 else 1.0,
        "stratum": "low" if n % 3 else "flagged",
        "state": "closed",
        "created_at": START + timedelta(seconds=n),
        "uploader": f"Uploader {n // 3}",
    }


def verdict(n: int, who: int, chance: random.Random) -> dict[str, object]:
    """What somebody decided."""
    return {
        "review_item_id": n,
        "code": "nsfw-delete" if chance.random() < 0.2 else "sfw",
        "comment": "a remark of some length about this file",
        "author": f"Moderator {who}",
        "author_id": who,
        "author_groups": ["patroller"],
        "trusted": True,
        "blind": True,
        "revision_id": 2 * n + who,
        "given_at": START + timedelta(hours=1),
        "recorded_at": START + timedelta(hours=1),
        "source": "wiki",
    }


def copy(n: int, names: list[str], size_bytes: int) -> dict[str, object]:
    """Its kept picture."""
    return {
        "upload_id": n,
        "sha256": names[n % len(names)],
        "media_type": "image/jpeg",
        "size_bytes": size_bytes,
        "kept_at": START,
        "expires_at": START + timedelta(days=30),
    }


def export(folder: Path, target: Path, *, only_new: bool, formats: tuple[Format, ...]) -> dict[str, float]:
    """Export in this process, and say what it took."""
    database = Database.open(f"sqlite:///{folder / 'bot.sqlite3'}", folder)
    before = time.monotonic(), time.process_time()
    teller = Teller(b"k" * 32, "https://commons.wikimedia.org/wiki/{title}")
    request = Request(formats=formats, only_new=only_new)
    done = Exporter(database, teller, KeptPictures(folder / "copies")).run(target, request)
    return {
        "rows": done.tally.rows,
        "wall_s": time.monotonic() - before[0],
        "cpu_s": time.process_time() - before[1],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measured(folder: Path, target: Path, *, only_new: bool = False) -> dict[str, float]:
    """Export in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.export", "--child", str(folder), str(target)]
    done = subprocess.run(
        [*command, *(["--new"] if only_new else [])],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Generate, export, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--kilobytes", type=int, default=20)
    parser.add_argument("--child", nargs=2, type=Path)
    parser.add_argument("--new", action="store_true")
    given = parser.parse_args()
    console = Console()
    if given.child:
        folder, target = given.child
        result = export(folder, target, only_new=given.new, formats=tuple(Format))
        console.print(json.dumps(result), soft_wrap=True, highlight=False)
        return
    table = Table("items", "what", "rows", "wall s", "CPU s", "peak MB", box=None)
    for items in (given.items // 10, given.items):
        with tempfile.TemporaryDirectory(prefix="export-") as name:
            folder = Path(name)
            database = Database.open(f"sqlite:///{folder / 'bot.sqlite3'}", folder)
            database.migrate()
            names = pictures(folder / "copies", given.kilobytes * 1024)
            generate(database, items, names, given.kilobytes * 1024)
            database.close()
            for what, only_new in (("all formats", False), ("--new, unchanged", True)):
                took = measured(folder, folder / "out", only_new=only_new)
                table.add_row(
                    f"{items:,}",
                    what,
                    f"{took['rows']:,.0f}",
                    *(f"{took[key]:.1f}" for key in ("wall_s", "cpu_s", "peak_mb")),
                )
    console.print(table)


if __name__ == "__main__":
    main()
