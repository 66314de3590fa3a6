"""`webdataset/<split>-000000.tar`: shards for `webdataset`; what has no agreed label is not here.

Each sample is a picture, `.cls` (0 safe, 1 nsfw, as everywhere in this project) and `.json` with the row.
"""

import io
import json
import tarfile
from pathlib import Path
from typing import IO

from bot.export import private
from bot.export.record import Values, jsonable
from bot.export.writing import is_labelled

SHARD_SAMPLES = 1000
SHARD_BYTES = 256 << 20


class WebDataset:
    """Writes the shards.

    Args:
        folder: The export's folder.
        samples: A shard has at most so many.
    """

    def __init__(self, folder: Path, samples: int = SHARD_SAMPLES) -> None:
        self._folder, self._samples = folder / "webdataset", samples
        self._open: dict[str, _Shard] = {}
        self._next: dict[str, int] = {}

    def add(self, row: Values, picture: Path | None) -> None:
        """See `Writer.add`."""
        if picture is None or not is_labelled(row):
            return
        split = row["split"]
        shard = self._open.get(split)
        if shard is not None and (shard.samples >= self._samples or shard.file.tell() > SHARD_BYTES):
            shard.close()
            shard = None
        if shard is None:
            number = self._next.get(split, 0)
            self._next[split] = number + 1
            shard = self._open[split] = _Shard(private.create(self._folder / f"{split}-{number:06}.tar"))
        key = row["item_id"]
        shard.put(f"{key}{picture.suffix}", picture.read_bytes())
        shard.put(f"{key}.cls", b"1" if row["label"] == "nsfw" else b"0")
        shard.put(f"{key}.json", json.dumps(jsonable(row), ensure_ascii=False).encode())
        shard.samples += 1

    def close(self) -> None:
        """See `Writer.close`."""
        for shard in self._open.values():
            shard.close()


class _Shard:
    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.samples = 0
        self._tar = tarfile.TarFile(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)

    def put(self, name: str, content: bytes) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), private.FILE_MODE
        self._tar.addfile(entry, io.BytesIO(content))

    def close(self) -> None:
        self._tar.close()
        private.close(self.file)


__all__ = ["SHARD_SAMPLES", "WebDataset"]
