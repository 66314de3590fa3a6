"""A shadow changes nothing that anybody reads: outcomes, estimates, reports, exports, draws and status."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from storage import (
    draws,
    estimates,
    export,
    models,
    outcomes,
    reviews,
    sampling,
    shadow_scores,
    status,
)
from storage.engine import Database
from storage.feedback_tables import SampleDrawRow
from storage.metric_values import Grouping, Selection
from storage.metrics import headline, metrics
from storage.review_values import VerdictCode
from storage.tables import ClassificationRow
from storage.uploads import Transaction
from storage.values import ReviewReason
from tests.review_items import give, put_up, verdict
from tests.storage_database import NOW, after, classification, fresh_database, model_version

DAY = timedelta(days=1)
SELECTION = Selection(NOW - DAY, NOW + DAY)
EDGES = (0.2, 0.8)


@pytest.fixture(params=[True, False], ids=["with draws", "without draws"])
def database(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Database]:
    """Flagged and audited uploads with verdicts, and others that nobody is asked about."""
    with fresh_database(tmp_path) as opened:
        put_up(opened, dict.fromkeys(range(1, 9), 0.9))
        put_up(opened, dict.fromkeys(range(10, 30), 0.1), probability=0.5, reason=ReviewReason.AUDIT)
        give(
            opened,
            *(
                verdict(number, VerdictCode.NSFW_DELETE if number % 3 else VerdictCode.SFW)
                for number in (*range(1, 9), 12, 15, 18)
            ),
        )
        if request.param:
            draw_all(opened)
        yield opened


def draw_all(database: Database) -> None:
    with database.transaction() as tx:
        for row in tx.scalars(select(ClassificationRow)).all():
            tx.add(
                SampleDrawRow(
                    upload_id=row.upload_id,
                    classification_id=row.id,
                    stratum="flagged 0.8 1 still" if row.score > 0.8 else "unflagged 0 0.2 still",
                    probability=1.0 if row.score > 0.8 else 0.5,
                    draw=0.1,
                    chosen=True,
                    drawn_at=NOW,
                )
            )


def watched(database: Database) -> None:
    """A shadow says the opposite of everything, later and more surely."""
    with database.transaction() as tx:
        shadow = replace(model_version("shadow"), weights_sha256="c" * 64)
        version = models.register(tx, shadow, after(50), decides=False)
        for row in tx.scalars(select(ClassificationRow)).all():
            opposite = classification(version, 1.0 - row.score)
            assert shadow_scores.add(tx, row.upload_id, opposite, after(60), representative=True)


def plain(value: object) -> str:
    return json.dumps(value, default=lambda one: asdict(one) if hasattr(one, "__slots__") else str(one))


READERS: dict[str, Callable[[Transaction], Any]] = {
    "outcomes": lambda tx: list(outcomes.recorded(tx)),
    "status": lambda tx: status.snapshot(tx, after(100)),
    "flagged queue": lambda tx: reviews.flagged(tx, 100),
    "precision of the index page": lambda tx: (
        estimates.precision(tx) if hasattr(estimates, "precision") else 0
    ),
    "metrics": lambda tx: metrics(tx, SELECTION, NOW + DAY),
    "metrics of the active model": lambda tx: metrics(tx, replace(SELECTION, model="open_nsfw"), NOW + DAY),
    "metrics by model": lambda tx: metrics(tx, replace(SELECTION, by=Grouping.MODEL), NOW + DAY),
    "metrics at a threshold": lambda tx: metrics(tx, replace(SELECTION, threshold=0.5), NOW + DAY),
    "drift and headline": lambda tx: headline(tx, NOW + DAY),
    "export": lambda tx: export.page(tx, export.ExportFilter()),
    "plan of the next day": lambda tx: draws.evidence_before(tx, sampling.strata_between(EDGES), NOW + DAY),
    "last model": models.last_used,
}


@pytest.mark.parametrize("reader", READERS)
def test_a_shadow_changes_nothing_that_is_read(database: Database, reader: str) -> None:
    with database.read() as tx:
        before = plain(READERS[reader](tx))
    watched(database)
    with database.read() as tx:
        assert plain(READERS[reader](tx)) == before
