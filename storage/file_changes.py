"""What happened to known files after their upload: moves, deletions, restorations.

A move changes the title under which the file is looked for; deletions and restorations are kept as weak
signals beside the verdicts. Changes of files that we never saw are dropped: they are most of the firehose.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from storage.insertion import insert_new
from storage.tables import FileChangeRow, UploadRow
from storage.values import ChangeKind, FileChange


def apply(tx: Session, changes: Sequence[FileChange], now: datetime) -> int:
    """Store changes of known files and follow their moves.

    Args:
        tx: A session of `Database.transaction()`.
        changes: In any order; repeats by `(wiki, log_id)` are dropped.
        now: The present.

    Returns:
        How many were new and about a known file.
    """
    return sum(
        _apply_one(tx, change, now)
        for change in sorted(changes, key=lambda change: (change.wiki, change.logged_at, change.log_id))
    )


def _apply_one(tx: Session, change: FileChange, now: datetime) -> bool:
    # Only versions that were there when it happened: the old title may be in use again since.
    affected = (
        UploadRow.wiki == change.wiki,
        UploadRow.current_title == change.title,
        UploadRow.logged_at <= change.logged_at,
    )
    if tx.scalar(select(UploadRow.id).where(*affected).limit(1)) is None:
        return False
    row = {
        "wiki": change.wiki,
        "log_id": change.log_id,
        "kind": change.kind.value,
        "title": change.title,
        "target_title": change.target_title,
        "user": change.user,
        "logged_at": change.logged_at,
        "recorded_at": now,
    }
    if not insert_new(tx, FileChangeRow, [row]):
        return False
    if change.kind is ChangeKind.MOVE and change.target_title is not None:
        tx.execute(
            update(UploadRow)
            .where(*affected)
            .values(current_title=change.target_title)
            .execution_options(synchronize_session=False)
        )
    return True
