"""What the wiki does not let us do, so that `status` can tell it long after the log line is gone."""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from storage.feedback_tables import RefusalRow


def note(tx: Session, service: str, reason: str, now: datetime) -> None:
    """Remember that the wiki refuses something.

    Args:
        tx: A session of `Database.transaction()`.
        service: What it is needed for, such as `reuploads`.
        reason: What the wiki said.
        now: The present.
    """
    clear(tx, service)
    tx.add(RefusalRow(service=service, reason=reason, refused_at=now))


def clear(tx: Session, service: str) -> None:
    """Forget a refusal: the wiki answers.

    Args:
        tx: A session of `Database.transaction()`.
        service: As for `note`.
    """
    tx.execute(delete(RefusalRow).where(RefusalRow.service == service))


def standing(tx: Session) -> dict[str, str]:
    """What is refused now.

    Args:
        tx: Any session of the database.

    Returns:
        What the wiki said, by service.
    """
    rows = tx.execute(select(RefusalRow.service, RefusalRow.reason).order_by(RefusalRow.service))
    return {service: reason for service, reason in rows}  # noqa: C416 - rows are not pairs to mypy


__all__ = ["clear", "note", "standing"]
