"""The formats by name, and all of those that are wanted written at once."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from bot.export.huggingface import HuggingFace
from bot.export.jsonl import JsonLines
from bot.export.label_studio import LabelStudio
from bot.export.parquet import Parquet
from bot.export.record import Values
from bot.export.table_csv import CsvTable
from bot.export.torchvision_folder import TorchvisionFolder
from bot.export.webdataset import WebDataset
from bot.export.writing import Writer


class Format(StrEnum):
    """What can be written beside `feedback.jsonl`, which always is."""

    PARQUET = "parquet"
    CSV = "csv"
    IMAGEFOLDER = "imagefolder"
    TORCHVISION = "torchvision"
    WEBDATASET = "webdataset"
    LABEL_STUDIO = "label-studio"


class Writers:
    """All wanted formats as one.

    Args:
        formats: Which.
        folder: The export's folder.
        name: How it will be called below the folder that was exported to.

    Raises:
        ConfigError: A format needs a library that is not installed.
    """

    def __init__(self, formats: Sequence[Format], folder: Path, name: str) -> None:
        self._writers: list[Writer] = [JsonLines(folder)]
        self._writers += [_writer(one, folder, name) for one in dict.fromkeys(formats)]

    def add(self, row: Values, picture: Path | None) -> None:
        """See `Writer.add`."""
        for writer in self._writers:
            writer.add(row, picture)

    def close(self) -> None:
        """See `Writer.close`."""
        for writer in self._writers:
            writer.close()


def _writer(chosen: Format, folder: Path, name: str) -> Writer:
    match chosen:
        case Format.PARQUET:
            return Parquet(folder)
        case Format.CSV:
            return CsvTable(folder)
        case Format.IMAGEFOLDER:
            return HuggingFace(folder)
        case Format.TORCHVISION:
            return TorchvisionFolder(folder)
        case Format.WEBDATASET:
            return WebDataset(folder)
        case Format.LABEL_STUDIO:
            return LabelStudio(folder, name)


__all__ = ["Format", "Writers"]
