"""Alembic's entry point: runs migrations on the connection that `storage.schema` hands over."""

from alembic import context
from sqlalchemy import Connection

from storage.tables import Base

_connection = context.config.attributes.get("connection")
if not isinstance(_connection, Connection):
    raise TypeError("migrations are run by storage.engine.Database.migrate(), not by the alembic command")
context.configure(
    connection=_connection,
    target_metadata=Base.metadata,
    render_as_batch=_connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
