"""`items.parquet`: the same rows with their types, for pyarrow, pandas, DuckDB or Spark."""

from pathlib import Path
from typing import Any

from bot.errors import ConfigError
from bot.export import private
from bot.export.record import FIELDS, VERDICT_FIELDS, Values

_ROWS_A_GROUP = 2000


class Parquet:
    """Writes the table, some thousand rows at a time.

    Args:
        folder: The export's folder.

    Raises:
        ConfigError: pyarrow is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError as error:
            raise ConfigError(
                "Parquet needs pyarrow: pip install 'commons-nsfw-bot[train]', or leave --format parquet out"
            ) from error
        self._arrow = pa
        self._schema = _schema(pa)
        self._file = private.create(folder / "items.parquet")
        self._table = pq.ParquetWriter(self._file, self._schema, compression="zstd")
        self._rows: list[Values] = []

    def add(self, row: Values, picture: Path | None) -> None:  # noqa: ARG002 - the row names it
        """See `Writer.add`."""
        self._rows.append(row)
        if len(self._rows) >= _ROWS_A_GROUP:
            self._write()

    def close(self) -> None:
        """See `Writer.close`."""
        self._write()
        self._table.close()
        private.close(self._file)

    def _write(self) -> None:
        if self._rows:
            self._table.write_table(self._arrow.Table.from_pylist(self._rows, self._schema))
            self._rows.clear()


def _schema(pa: Any) -> Any:
    types = {
        "text": pa.string(),
        "number": pa.float64(),
        "count": pa.int64(),
        "time": pa.timestamp("us", "UTC"),
        "flag": pa.bool_(),
    }
    types["verdicts"] = pa.list_(pa.struct([(name, types[kind]) for name, kind in VERDICT_FIELDS.items()]))
    return pa.schema([(name, types[kind]) for name, kind in FIELDS.items()])


__all__ = ["Parquet"]
