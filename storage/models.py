"""Who makes scores: every difference that can change one is a version of its own (promise 6)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from storage.insertion import insert_new
from storage.tables import ModelVersionRow
from storage.values import ModelVersion

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""When a model that has only watched was used last."""


def register(tx: Session, version: ModelVersion, now: datetime, *, decides: bool = True) -> int:
    """Store a model version where it is new; the same content always gives the same id.

    Args:
        tx: A session of `Database.transaction()`.
        version: The model and everything that takes part in its scores.
        now: The present.
        decides: Whether outcomes follow from its scores; False for a shadow, which nobody uses.

    Returns:
        The row id that classifications refer to.
    """
    content = _plain(version)
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    row = {**content, "content_sha256": digest, "created_at": now, "last_used_at": now if decides else NEVER}
    if not insert_new(tx, ModelVersionRow, [row]) and decides:
        tx.execute(
            update(ModelVersionRow)
            .where(ModelVersionRow.content_sha256 == digest)
            .values(last_used_at=now)
            .execution_options(synchronize_session=False)
        )
    return tx.scalars(select(ModelVersionRow.id).where(ModelVersionRow.content_sha256 == digest)).one()


def last_used(tx: Session) -> str | None:
    """Name the model registered last of those whose scores decide.

    Args:
        tx: Any session of the database.

    Returns:
        Its name and the first 12 digits of its weights' hash, or None where there is none.
    """
    newest = (ModelVersionRow.last_used_at.desc(), ModelVersionRow.id.desc())
    used = select(ModelVersionRow).where(ModelVersionRow.last_used_at > NEVER)
    row = tx.scalars(used.order_by(*newest).limit(1)).one_or_none()
    return None if row is None else f"{row.name} {row.weights_sha256[:12]}"


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A model version that made scores.

    Attributes:
        version: The model and everything that takes part in its scores.
        created_at: When it was first used.
        last_used_at: When a process last began to score with it.
    """

    version: ModelVersion
    created_at: datetime
    last_used_at: datetime


def versions(tx: Session) -> list[StoredVersion]:
    """Every version that ever made a score.

    Args:
        tx: Any session of the database.

    Returns:
        The one used last first.
    """
    newest = (ModelVersionRow.last_used_at.desc(), ModelVersionRow.id.desc())
    return [
        StoredVersion(
            ModelVersion(
                name=row.name,
                architecture=row.architecture,
                weights_sha256=row.weights_sha256,
                preprocessing=row.preprocessing,
                engine=row.engine,
                libraries=row.libraries,
                card=row.card,
            ),
            row.created_at,
            row.last_used_at,
        )
        for row in tx.scalars(select(ModelVersionRow).order_by(*newest))
    ]


def _plain(version: ModelVersion) -> dict[str, object]:
    """Plain JSON values; a card with tuples or its own mappings hashes like the one read back."""
    fields = {name: getattr(version, name) for name in ModelVersion.__dataclass_fields__}
    fields["libraries"] = dict(version.libraries)
    fields["card"] = json.loads(json.dumps(dict(version.card), default=_as_json))
    return fields


def _as_json(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a model card holds plain JSON values, not {type(value).__name__}")
