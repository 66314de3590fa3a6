"""A store with two months of made-up uploads for the console's tests and pictures; all of it is harmless.

Rows go in by bulk inserts and in the shape the real doors give them; pictures are drawn discs and stripes.
"""

import hashlib
import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from sqlalchemy import insert

from storage import models, reviews
from storage.engine import Database
from storage.feedback_tables import KeptCopyRow, ModelStandingRow, PurgeRow, SampleDrawRow
from storage.review_values import Verdict, VerdictCode, VerdictSource
from storage.tables import (
    Base,
    ClassificationRow,
    FileChangeRow,
    GapRow,
    LeaseRow,
    PositionRow,
    ReconciliationRow,
    ReviewItemRow,
    UploadRow,
    VerdictRow,
)
from tests.storage_database import WIKI, model_version

DAYS = 60
A_DAY = 40
LAST_DAY = 260
THRESHOLD = 0.8
FIRST_LOG_ID = 330_000_000
HOSTILE = '<script>alert("x")</script>\u202e{{7*7}}"onmouseover=alert(1)'
SUBJECTS = (
    "Harbour at dusk",
    "Marble statue, north side",
    "Beach volleyball final",
    "Map of the old town",
    "Red disc",
)
ENDINGS = ("jpg", "jpg", "png", "webm", "pdf", "svg")
ACCOUNTS = ("Ann", "Boris", "Chidi")
REGISTRY = (
    ("open_nsfw", "active", 58, "configuration"),
    ("better", "candidate", 40, "operator"),
    ("better", "active", 25, "operator"),
    ("open_nsfw", "retired", 25, "operator"),
    ("watcher", "candidate", 6, "operator"),
    ("watcher", "shadow", 3, "operator"),
)


@dataclass(slots=True)
class _Rows:
    """What is inserted, by table."""

    by_table: dict[type[Base], list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, table: type[Base], **row: Any) -> None:
        """Add a row."""
        self.by_table.setdefault(table, []).append(row)


def drawn_picture(number: int) -> bytes:
    """A JPEG of a disc on stripes, another for every number."""
    chance = random.Random(number)
    picture = Image.new("RGB", (640, 440), tuple(chance.randrange(150, 240) for _ in range(3)))
    drawing = ImageDraw.Draw(picture)
    for x in range(0, 640, 80):
        drawing.rectangle((x, 0, x + 38, 440), tuple(chance.randrange(100, 230) for _ in range(3)))
    x, y, size = chance.randrange(80, 420), chance.randrange(40, 240), chance.randrange(90, 180)
    drawing.ellipse((x, y, x + size, y + size), tuple(chance.randrange(20, 200) for _ in range(3)))
    with io.BytesIO() as buffer:
        picture.save(buffer, "JPEG", quality=85)
        return buffer.getvalue()


def keep_picture(folder: Path, content: bytes) -> str:
    """Put a picture where `CopyFolder` looks for it."""
    sha256 = hashlib.sha256(content).hexdigest()
    path = folder / sha256[:2] / sha256[2:4] / f"{sha256}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return sha256


def fill(database: Database, folder: Path, now: datetime, *, pictures: int = 90, seed: int = 8) -> None:
    """Fill an empty store.

    Args:
        database: Where.
        folder: Of the kept pictures.
        now: The present of the story.
        pictures: Of how many items one is kept.
        seed: Of all that is drawn.
    """
    chance = random.Random(seed)
    names = ("open_nsfw", "better", "watcher")
    with database.transaction() as tx:
        versions = [models.register(tx, model_version(name), now) for name in names]
        models.register(tx, model_version("better"), now + timedelta(seconds=1))
    rows = _Rows()
    for number, at in enumerate(_times(now, chance), 1):
        _upload(rows, number, at, now, versions, chance)
    _around(rows, now)
    _gaps(rows, now)
    _keep(rows, folder, now, pictures)
    order = (UploadRow, ClassificationRow, SampleDrawRow, ReviewItemRow, FileChangeRow)
    with database.transaction() as tx:
        for table in sorted(rows.by_table, key=lambda one: order.index(one) if one in order else len(order)):
            tx.execute(insert(table), rows.by_table[table])


def _times(now: datetime, chance: random.Random) -> list[datetime]:
    steady = [now - timedelta(days=DAYS) * (1 - n / (DAYS * A_DAY)) for n in range(DAYS * A_DAY)]
    today = [now - timedelta(seconds=20 + 86_000 * chance.random() ** 1.5) for _ in range(LAST_DAY)]
    just_now = [now - timedelta(seconds=20 + 55 * n) for n in range(12)]
    return sorted([*steady, *today, *just_now])


def _upload(
    rows: _Rows, number: int, at: datetime, now: datetime, versions: Sequence[int], chance: random.Random
) -> None:
    """One upload and what became of it."""
    ending = ENDINGS[number % len(ENDINGS)]
    title = f"File:{SUBJECTS[number % len(SUBJECTS)]} {number}.{ending}"
    fate = chance.random()
    state, outcome, code, last = "done", "scored", None, None
    if now - at < timedelta(minutes=11) and number % 4:
        state, outcome = ("pending", "claimed", "pending")[number % 4 - 1], None
        last = ("timeout", "upload.wikimedia.org did not answer for 30 s") if number % 4 == 1 else None
    elif fate < 0.06:
        outcome, code = "skipped", chance.choice(("audio", "audio", "deleted", "undecodable", "too_large"))
    rows.add(
        UploadRow,
        id=number,
        wiki=WIKI,
        log_id=FIRST_LOG_ID + number,
        action="upload",
        title=title,
        current_title=title,
        user=f"Uploader {number % 97}",
        sha1=f"{number:031x}",
        file_timestamp=at,
        logged_at=at,
        source="stream",
        received_at=at + timedelta(seconds=2),
        state=state,
        lane=1 if last else 0,
        attempts=2 if last else 1 if outcome else 0,
        crashes=0,
        next_attempt_at=now + timedelta(minutes=4) if last else at,
        last_code=last and last[0],
        last_message=last and last[1],
        claim="c" if state == "claimed" else None,
        claim_expires_at=now + timedelta(minutes=20) if state == "claimed" else None,
        outcome=outcome,
        outcome_code=code,
        outcome_message=code and f"it ended in {code}",
        finished_at=at + timedelta(seconds=9) if outcome else None,
    )
    if outcome == "scored":
        _scored(rows, number, at, now, versions, chance, moves=ending == "webm")


def _scored(
    rows: _Rows,
    number: int,
    at: datetime,
    now: datetime,
    versions: Sequence[int],
    chance: random.Random,
    *,
    moves: bool,
) -> None:
    explicit = chance.random() < 0.08
    score = chance.betavariate(5, 0.9) if explicit else chance.betavariate(0.5, 9)
    active = versions[0] if now - at > timedelta(days=25) else versions[1]
    _classification(rows, number, active, at, score, chance, moves=moves)
    if now - at < timedelta(days=3):
        other = min(1.0, max(0.0, score + chance.gauss(0, 0.08)))
        _classification(rows, number, versions[2], at + timedelta(seconds=1), other, chance, moves=moves)
    flagged = score >= THRESHOLD
    probability = 1.0 if flagged else 0.05 if score < 0.2 else 0.4
    draw = chance.random()
    chosen = draw < probability
    # A classification's number follows from its upload's: the deciding one is even.
    shared = {"upload_id": number, "classification_id": 2 * number}
    stratum = "flagged 0.8" if flagged else f"audit {0.2 if score >= 0.2 else 0}"
    when = at + timedelta(seconds=9)
    rows.add(
        SampleDrawRow,
        **shared,
        plan_id=None,
        stratum=stratum,
        probability=probability,
        draw=draw,
        chosen=chosen,
        drawn_at=when,
    )
    if chosen:
        _item(rows, number, when, now, shared, flagged, probability, stratum, explicit, chance)


def _classification(
    rows: _Rows, number: int, version: int, at: datetime, score: float, chance: random.Random, *, moves: bool
) -> None:
    frames: list[dict[str, Any]] = [{"score": score, "at_s": None, "page": None}]
    if moves:
        worst = chance.randrange(4, 40)
        frames = [
            {
                "score": score * (0.98 ** abs(t - worst)) * (1 if t == worst else 0.9),
                "at_s": t * 1.0,
                "page": None,
            }
            for t in range(45)
        ]
    decides = not any(row["upload_id"] == number for row in rows.by_table.get(ClassificationRow, [])[-1:])
    rows.add(
        ClassificationRow,
        id=2 * number + (not decides),
        upload_id=number,
        model_version_id=version,
        score=score,
        label="nsfw" if score >= THRESHOLD else "sfw",
        threshold=THRESHOLD,
        worst=max(frames, key=lambda one: float(one["score"])),
        frame_count=len(frames),
        frames=frames,
        rendition={
            "url": "https://upload.wikimedia.org/x.jpg",
            "kind": "thumbnail",
            "width_px": 330,
            "bytes": 41_200,
        },
        decoder="pyav" if moves else "simplejpeg",
        timings_s={"locate": 0.12, "download": 0.3, "decode": 0.02, "classify": 0.1, "total": 0.6},
        coverage={"mode": "exact", "duration_s": 46.0} if moves else None,
        created_at=at + timedelta(seconds=9),
    )


def _item(
    rows: _Rows,
    number: int,
    when: datetime,
    now: datetime,
    shared: Mapping[str, int],
    flagged: bool,
    probability: float,
    stratum: str,
    explicit: bool,
    chance: random.Random,
) -> None:
    says = [_code(explicit, chance), _code(explicit, chance)]
    second = chance.random() < (0.4 if now - when < timedelta(days=8) else 0.1)
    said = says[: 0 if now - when < timedelta(days=1) else 1 + second]
    if now - when > timedelta(days=8):
        said = said[:1] * len(said)  # what is disputed is looked at again within a week
    states = {0: "open", 1: "closed"}
    rows.add(
        ReviewItemRow,
        id=number,
        item_id=f"{WIKI}-{FIRST_LOG_ID + number}",
        **shared,
        reason="flagged" if flagged else "audit",
        inclusion_probability=probability,
        stratum=stratum,
        state=states.get(len(set(said)), "disputed"),
        created_at=when,
        uploader=f"Uploader {number % 97}",
        state_changed_at=when + timedelta(hours=4) if said else None,
    )
    _verdicts(rows, number, when, said)


def _verdicts(rows: _Rows, number: int, when: datetime, said: Sequence[str]) -> None:
    for turn, code in enumerate(said):
        given = when + timedelta(hours=4 + turn * 0.5)
        rows.add(
            VerdictRow,
            review_item_id=number,
            code=code,
            comment="",
            author=ACCOUNTS[(number + turn) % len(ACCOUNTS)],
            author_id=None,
            author_groups=[],
            trusted=True,
            untrusted_reason=None,
            blind=True,
            revision_id=None,
            given_at=given,
            recorded_at=given,
            source="console",
            supersedes_id=None,
        )


def _code(explicit: bool, chance: random.Random) -> str:
    right = chance.random() < 0.95
    return chance.choice(("nsfw-delete", "nsfw-keep")) if explicit == right else "sfw"


def _around(rows: _Rows, now: datetime) -> None:
    """The daemon, the stream, the registry."""
    rows.add(
        LeaseRow,
        name="daemon",
        token="t",
        host="bot-host",
        pid=4242,
        started_at=now - timedelta(hours=30),
        acquired_at=now - timedelta(hours=30),
        heartbeat_at=now - timedelta(seconds=4),
        expires_at=now + timedelta(seconds=56),
    )
    rows.add(
        PositionRow,
        stream="recentchange",
        event_id="[]",
        event_time=now - timedelta(seconds=3),
        saved_at=now - timedelta(seconds=2),
    )
    for name, standing, days, by in REGISTRY:
        rows.add(
            ModelStandingRow,
            name=name,
            weights_sha256="ab" * 32,
            standing=standing,
            since=now - timedelta(days=days),
            set_by=by,
            note="better took its place" if standing == "retired" else "",
            thresholds={"balanced": 0.8} if name == "better" else {},
            evidence={},
        )


def _gaps(rows: _Rows, now: datetime) -> None:
    """What the stream did not bring, and what was found by comparing."""
    for days, reason, done in ((9, "stale", True), (4, "jump", True), (0.01, "stale", False)):
        start = now - timedelta(days=days)
        rows.add(
            GapRow,
            wiki=WIKI,
            first_start_at=start,
            start_at=start + timedelta(minutes=3),
            end_at=start + timedelta(minutes=9),
            reason=reason,
            created_at=start + timedelta(minutes=9),
            done_at=start + timedelta(minutes=20) if done else None,
            found_missing=7 if done else 0,
        )
    for hours in range(1, 7):
        run = now - timedelta(hours=hours, minutes=-20)
        rows.add(
            ReconciliationRow,
            run_at=run,
            wiki=WIKI,
            window_start=run - timedelta(hours=3),
            window_end=run,
            found_missing=1 if hours == 4 else 0,
        )


def _keep(rows: _Rows, folder: Path, now: datetime, pictures: int) -> None:
    """Pictures of the undecided items and of the newest others, and the removals of some older ones."""
    items = rows.by_table[ReviewItemRow]
    wanted = sorted(items, key=lambda item: (item["state"] == "closed", -item["id"]))
    for item in wanted[:pictures]:
        content = drawn_picture(item["id"])
        rows.add(
            KeptCopyRow,
            upload_id=item["upload_id"],
            sha256=keep_picture(folder, content),
            media_type="image/jpeg",
            size_bytes=len(content),
            at_s=None,
            kept_at=item["created_at"],
            expires_at=item["created_at"] + timedelta(days=30),
            purged_at=None,
        )
    for index, item in enumerate(items[:20]):
        rows.add(
            PurgeRow,
            upload_id=item["upload_id"],
            sha256=f"{index:064x}",
            reason=("expired", "expired", "suppressed", "requested")[index % 4],
            purged_by="retention" if index % 4 < 3 else "operator",
            purged_at=item["created_at"] + timedelta(days=30),
        )


def make_hostile(database: Database, log_id: int) -> None:
    """Give an upload a hostile title, uploader and verdict comment."""
    with database.transaction() as tx:
        row = tx.query(UploadRow).filter(UploadRow.log_id == log_id).one()
        row.title = row.current_title = f"File:{HOSTILE}.jpg"
        row.user = HOSTILE
        item = tx.query(ReviewItemRow).filter(ReviewItemRow.upload_id == row.id).one()
        item.uploader = HOSTILE
        verdict = Verdict(
            item_id=item.item_id,
            code=VerdictCode.SFW,
            comment=HOSTILE,
            author=HOSTILE,
            author_id=None,
            author_groups=(),
            trusted=True,
            untrusted_reason=None,
            blind=True,
            revision_id=None,
            given_at=row.received_at,
            source=VerdictSource.CONSOLE,
        )
        reviews.add_verdict(tx, verdict, row.received_at)


__all__ = ["FIRST_LOG_ID", "HOSTILE", "drawn_picture", "fill", "keep_picture", "make_hostile"]
