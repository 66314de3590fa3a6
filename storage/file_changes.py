"""What happened to known files after their upload: moves, deletions, restorations, suppressions.

A move changes the title under which the file is looked for; the others are kept as weak signals beside the
verdicts. Each change names the uploads it was about, because a title alone cannot tell later. Changes of
files that we never saw are dropped: they are most of the firehose.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, insert, literal, select, update
from sqlalchemy.orm import Session

from storage.insertion import insert_new
from storage.review_values import FileSignal
from storage.tables import FileChangeRow, FileChangeUploadRow, ReviewItemRow, UploadRow
from storage.values import ChangeKind, FileChange

_UPLOAD_BITS = 40
"""More uploads than there will ever be; above them there is room to count."""
WEAK_SIGNALS = (ChangeKind.DELETE, ChangeKind.RESTORE, ChangeKind.SUPPRESS)


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


def note_suppressed(tx: Session, wiki: str, title: str, seen_at: datetime, now: datetime) -> bool:
    """Store that a known file was found suppressed (the API says `filehidden` or `suppressed`).

    Suppressions stand in no public log, so this one has no log id. It takes a negative one, made of the row
    id of the newest upload concerned and of how often that was suppressed and restored before: finding the
    same file still suppressed changes nothing.

    Args:
        tx: A session of `Database.transaction()`.
        wiki: Database name of the wiki.
        title: Present title of the file.
        seen_at: When it was found.
        now: The present.

    Returns:
        Whether this is new.
    """
    newest = tx.scalar(
        select(UploadRow.id)
        .where(*_affected(wiki, title, seen_at))
        .order_by(UploadRow.logged_at.desc(), UploadRow.id.desc())
        .limit(1)
    )
    if newest is None:
        return False
    before = tx.scalars(
        select(FileChangeRow.kind)
        .join(FileChangeUploadRow, FileChangeUploadRow.file_change_id == FileChangeRow.id)
        .where(
            FileChangeUploadRow.upload_id == newest,
            FileChangeRow.kind.in_((ChangeKind.SUPPRESS.value, ChangeKind.RESTORE.value)),
        )
        .order_by(FileChangeRow.logged_at, FileChangeRow.log_id)
    ).all()
    if before and before[-1] == ChangeKind.SUPPRESS:
        return False
    log_id = -(newest + (before.count(ChangeKind.SUPPRESS.value) << _UPLOAD_BITS))
    return _apply_one(tx, FileChange(wiki, log_id, ChangeKind.SUPPRESS, title, None, None, seen_at), now)


def signals_of(tx: Session, item_id: str) -> list[FileSignal]:
    """What administrators did to a reviewed file since its upload; evidence, but nobody's verdict.

    Args:
        tx: Any session of the database.
        item_id: Public id of the item.

    Returns:
        Deletions, restorations and suppressions, oldest first; empty for an unknown id.
    """
    rows = tx.execute(
        select(FileChangeRow.kind, FileChangeRow.title, FileChangeRow.user, FileChangeRow.logged_at)
        .join(FileChangeUploadRow, FileChangeUploadRow.file_change_id == FileChangeRow.id)
        .join(ReviewItemRow, ReviewItemRow.upload_id == FileChangeUploadRow.upload_id)
        .where(ReviewItemRow.item_id == item_id, FileChangeRow.kind.in_(WEAK_SIGNALS))
        .order_by(FileChangeRow.logged_at, FileChangeRow.log_id)
    )
    return [FileSignal(ChangeKind(kind), title, user, at) for kind, title, user, at in rows]


def latest(tx: Session, chosen: ColumnElement[bool]) -> dict[tuple[int, bool], ChangeKind]:
    """What was done last to reviewed files, for the other modules of this package.

    Args:
        tx: Any session of the database.
        chosen: Which review items.

    Returns:
        By row id of the upload, the latest of deletion and restoration (False) and of suppression and
        restoration (True).
    """
    rows = tx.execute(
        select(FileChangeUploadRow.upload_id, FileChangeRow.kind)
        .join_from(
            ReviewItemRow, FileChangeUploadRow, FileChangeUploadRow.upload_id == ReviewItemRow.upload_id
        )
        .join(FileChangeRow, FileChangeRow.id == FileChangeUploadRow.file_change_id)
        .where(chosen, FileChangeRow.kind.in_(WEAK_SIGNALS))
        .order_by(FileChangeRow.logged_at, FileChangeRow.log_id)
    )
    found: dict[tuple[int, bool], ChangeKind] = {}
    for upload_id, kind in rows:
        if kind != ChangeKind.SUPPRESS:
            found[upload_id, False] = ChangeKind(kind)
        if kind != ChangeKind.DELETE:
            found[upload_id, True] = ChangeKind(kind)
    return found


def _affected(wiki: str, title: str, at: datetime) -> tuple[ColumnElement[bool], ...]:
    """Only versions that were there when it happened: the old title may be in use again since."""
    return (UploadRow.wiki == wiki, UploadRow.current_title == title, UploadRow.logged_at <= at)


def _apply_one(tx: Session, change: FileChange, now: datetime) -> bool:
    affected = _affected(change.wiki, change.title, change.logged_at)
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
    stored = tx.scalar(
        select(FileChangeRow.id).where(
            FileChangeRow.wiki == change.wiki, FileChangeRow.log_id == change.log_id
        )
    )
    tx.execute(
        insert(FileChangeUploadRow).from_select(
            ["upload_id", "file_change_id"], select(UploadRow.id, literal(stored)).where(*affected)
        )
    )
    if change.kind is ChangeKind.MOVE and change.target_title is not None:
        tx.execute(
            update(UploadRow)
            .where(*affected)
            .values(current_title=change.target_title)
            .execution_options(synchronize_session=False)
        )
    return True
