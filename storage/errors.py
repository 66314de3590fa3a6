"""What can go wrong in the store; every message names the database without its password and what to do.

StoreError
├── StoreUnavailable    transient: cannot be opened, reached or written, or stayed locked too long
├── SchemaError         the tables do not fit this version of the program
├── LostClaim           the claim on an upload expired and somebody else took it; nothing was written
├── LeaseHeld           another daemon works on this database
├── AppendOnly          somebody tried to change or delete a verdict
└── UnknownItem         no review item has this id
"""

from datetime import datetime


class StoreError(Exception):
    """Root of every error this package raises on purpose."""


class StoreUnavailable(StoreError):
    """The database cannot be opened, reached or written now; trying again later is right."""


class SchemaError(StoreError):
    """The tables in the database do not fit this version of the program."""


class LostClaim(StoreError):
    """The claim that should prove the right to record an outcome no longer stands.

    Args:
        upload_id: Row id of the upload.
    """

    def __init__(self, upload_id: int) -> None:
        super().__init__(f"upload {upload_id}: the claim has expired or was released; nothing was written")
        self.upload_id = upload_id


class LeaseHeld(StoreError):
    """Another daemon lives on this database.

    Args:
        host: Host of the other daemon.
        pid: Its process id there.
        heartbeat_at: When it last gave a sign of life (UTC).
        age_s: How long ago that was, in seconds.
    """

    def __init__(self, host: str, pid: int, heartbeat_at: datetime, age_s: float) -> None:
        super().__init__(
            f"another daemon works on this database: process {pid} on {host}, last heartbeat {age_s:.0f} s "
            "ago. Stop it first, or give this one a database of its own (store.url)"
        )
        self.host = host
        self.pid = pid
        self.heartbeat_at = heartbeat_at
        self.age_s = age_s


class AppendOnly(StoreError):
    """Verdicts are never changed or deleted; a later one supersedes an earlier one."""


class UnknownItem(StoreError):
    """No review item has the given id.

    Args:
        item_id: The id that was looked for.
    """

    def __init__(self, item_id: str) -> None:
        super().__init__(f"no review item has the id {item_id!r}")
        self.item_id = item_id
