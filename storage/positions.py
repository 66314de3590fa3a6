"""Where each stream was read up to; saved with the uploads it covers in one transaction (promise 1)."""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from storage.insertion import insert_new
from storage.tables import PositionRow
from storage.values import StreamPosition


def save(tx: Session, stream: str, event_id: str, event_time: datetime, now: datetime) -> None:
    """Remember a position; one that lies before the saved one is ignored, for repeats arrive out of order.

    Args:
        tx: A session of `Database.transaction()`.
        stream: Name of the stream.
        event_id: Raw `Last-Event-ID`.
        event_time: Time of that event.
        now: The present.
    """
    values = {"event_id": event_id, "event_time": event_time, "saved_at": now}
    if insert_new(tx, PositionRow, [{"stream": stream, **values}]):
        return
    tx.execute(
        update(PositionRow)
        .where(PositionRow.stream == stream, PositionRow.event_time <= event_time)
        .values(values)
        .execution_options(synchronize_session=False)
    )


def load(tx: Session, stream: str) -> StreamPosition | None:
    """Read a position.

    Args:
        tx: Any session of the database.
        stream: Name of the stream.

    Returns:
        The position, or None where the stream was never read.
    """
    row = tx.scalars(select(PositionRow).where(PositionRow.stream == stream)).one_or_none()
    return None if row is None else _value(row)


def latest(tx: Session) -> StreamPosition | None:
    """The position saved last, of whatever stream.

    Args:
        tx: Any session of the database.

    Returns:
        The position, or None where none was ever saved.
    """
    row = tx.scalars(select(PositionRow).order_by(PositionRow.saved_at.desc()).limit(1)).one_or_none()
    return None if row is None else _value(row)


def _value(row: PositionRow) -> StreamPosition:
    return StreamPosition(row.stream, row.event_id, row.event_time, row.saved_at)
