"""`imagefolder/`: for `datasets.load_dataset("imagefolder", data_dir=…)`, with a `metadata.jsonl` a split.

The loader insists on a picture for each row, so rows without one are not here. Its types come from the
values: there are no nulls, and verdicts are JSON text.
"""

import json
from pathlib import Path
from typing import IO

from bot.export import private
from bot.export.record import Values, flat


class HuggingFace:
    """Writes the folder.

    Args:
        folder: The export's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "imagefolder"
        self._metadata: dict[str, IO[bytes]] = {}

    def add(self, row: Values, picture: Path | None) -> None:
        """See `Writer.add`."""
        if picture is None:
            return
        split = row["split"]
        name = f"{row['item_id']}{picture.suffix}"
        private.same(picture, self._folder / split / name)
        if split not in self._metadata:
            self._metadata[split] = private.create(self._folder / split / "metadata.jsonl")
        values = {"file_name": name, **flat(row)}
        for unknown, number in (("worst_at_s", -1.0), ("worst_page", -1)):
            values[unknown] = number if values[unknown] == "" else values[unknown]
        del values["path"]
        self._metadata[split].write(json.dumps(values, ensure_ascii=False).encode() + b"\n")

    def close(self) -> None:
        """See `Writer.close`."""
        for file in self._metadata.values():
            private.close(file)


__all__ = ["HuggingFace"]
