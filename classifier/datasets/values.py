"""What a labelled picture and a set of them are, and how anything wrong with them is told.

Labels are strings, because that is what people write into tables; a dataset knows which two of them it tells
apart. Whatever is wrong names the file, and the row and column where there are such.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from classifier.errors import ClassifierError

Split = Literal["train", "validation", "test", ""]
SPLITS: tuple[str, ...] = get_args(Split)
Severity = Literal["error", "warning", "info"]
Classes = tuple[str, str]
DEFAULT_CLASSES: Classes = ("safe", "nsfw")
"""The negative label (0) and the positive one (1)."""
_REMOTE = ("http://", "https://")


class DatasetError(ClassifierError):
    """A dataset cannot be used as it is.

    Args:
        message: One sentence.
        file: The manifest, folder or picture that is to blame.
        row: Where in it: a line of a CSV file, a row of a Parquet file, 1-based; None where there is none.
        column: The column, empty where there is none.
    """

    def __init__(self, message: str, file: str | Path = "", row: int | None = None, column: str = "") -> None:
        self.message, self.file, self.row, self.column = message, str(file), row, column
        place = [self.file] if self.file else []
        place += [f"row {row}"] if row is not None else []
        place += [f"column {column!r}"] if column else []
        super().__init__(f"{', '.join(place)}: {message}" if place else message)

    def __reduce__(self) -> tuple[type["DatasetError"], tuple[str, str, int | None, str]]:
        return (type(self), (self.message, self.file, self.row, self.column))


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is, or may be, wrong with a dataset.

    Attributes:
        severity: An `error` makes results wrong or training impossible; a `warning` deserves a look.
        code: Stable name of what was found.
        message: One sentence for a person.
        file: The picture or manifest it is about.
        column: The column it is about, empty where there is none.
        others: Further files that belong to it.
    """

    severity: Severity
    code: str
    message: str
    file: str = ""
    column: str = ""
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = ", ".join(filter(None, (self.file, self.column and f"column {self.column!r}")))
        return f"{self.severity} {self.code}: {f'{place}: ' if place else ''}{self.message}"


@dataclass(frozen=True, slots=True)
class Item:
    """One labelled picture.

    Attributes:
        path: Relative to the dataset's root, absolute, or an http(s) URL.
        label: One of the dataset's two classes.
        source: What it comes from (a video, an uploader, a site); a source is never divided between splits.
            Empty: independent of all others.
        groups: Further columns that results are broken down by, such as `medium`.
        split: `train`, `validation`, `test`, or empty as long as it is not decided.
        sha256: Of the file's bytes, lower-case hex; empty until verified.
        perceptual_hash: PDQ hash, 64 lower-case hex digits; empty until verified, and for pictures without
            enough detail to have one.
        weight: How many pictures it stands for, over 0; 1 unless it was drawn with a known probability.
    """

    path: str
    label: str
    source: str = ""
    groups: Mapping[str, str] = field(default_factory=dict, hash=False)
    split: str = ""
    sha256: str = ""
    perceptual_hash: str = ""
    weight: float = 1.0

    @property
    def is_remote(self) -> bool:
        """Whether the path is a URL."""
        return self.path.lower().startswith(_REMOTE)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled pictures that belong together.

    Attributes:
        items: The pictures.
        root: Folder that relative paths start from.
        name: For people: the manifest's or folder's name; errors carry it.
        classes: The negative and the positive label.
    """

    items: tuple[Item, ...]
    root: Path
    name: str
    classes: Classes = DEFAULT_CLASSES

    def __len__(self) -> int:
        return len(self.items)

    def path_of(self, item: Item) -> Path:
        """Where a picture lies on the disk.

        Args:
            item: One of the items.

        Returns:
            The path.

        Raises:
            DatasetError: Where it is a URL.
        """
        if item.is_remote:
            raise DatasetError(
                "is a URL; collect the dataset to have it on the disk", item.path, None, "path"
            )
        return self.root / item.path

    def target_of(self, item: Item) -> int:
        """What a model should say: 0 for the negative label, 1 for the positive one.

        Raises:
            DatasetError: Where the label is neither.
        """
        if item.label not in self.classes:
            expected = " or ".join(map(repr, self.classes))
            raise DatasetError(f"the label is {item.label!r}, not {expected}", item.path, None, "label")
        return self.classes.index(item.label)

    def part(self, split: str) -> "Dataset":
        """The items of one split, possibly none."""
        return self.with_items(item for item in self.items if item.split == split)

    def with_items(self, items: Iterable[Item]) -> "Dataset":
        """The same dataset with other items."""
        return replace(self, items=tuple(items))

    def for_training(self) -> "Dataset":
        """This dataset, once it is certain that it can be trained on; the only door for training code.

        Returns:
            The dataset itself.

        Raises:
            DatasetError: Where it holds test items (the test set is sealed: only evaluation opens it) or
                items without a split, where a label is unknown, or where a split is empty or has one class
                only.
        """
        for item in self.items:
            if item.split not in ("train", "validation"):
                what = "is of the sealed test set" if item.split == "test" else "has no split"
                message = f"{item.path} {what}; train on the manifest that `dataset split` wrote"
                raise DatasetError(message, self.name, None, "split")
        for split in ("train", "validation"):
            self._require_both_classes(split)
        return self

    def for_evaluation(self, split: str = "test") -> "Dataset":
        """One split to evaluate on.

        Args:
            split: Which one.

        Returns:
            Its items.

        Raises:
            DatasetError: Where the split is empty or has one class only, or a label is unknown.
        """
        self._require_both_classes(split)
        return self.part(split)

    def _require_both_classes(self, split: str) -> None:
        counts = Counter(self.target_of(item) for item in self.items if item.split == split)
        if not counts:
            raise DatasetError(f"no picture is in the split {split!r}", self.name, None, "split")
        for target, label in enumerate(self.classes):
            if not counts[target]:
                message = f"no picture of the split {split!r} has the label {label!r}"
                raise DatasetError(message, self.name, None, "label")


def missing_extra(package: str | None) -> DatasetError:
    """The error where a library of the extra `train` is not installed.

    Args:
        package: The library, as `ImportError.name` tells it.

    Returns:
        What to raise.
    """
    return DatasetError(
        f"datasets need the package {package}: python -m pip install 'commons-nsfw-bot[train]'"
    )


def join(datasets: Iterable[Dataset]) -> Dataset:
    """Several datasets as one, for example to look for leaks between a training and a sealed test manifest.

    Args:
        datasets: At least one, all of the same classes.

    Returns:
        All items, with absolute paths where the roots differ.

    Raises:
        DatasetError: Where the classes differ.
    """
    parts = list(datasets)
    first = parts[0]
    items: list[Item] = []
    for part in parts:
        if part.classes != first.classes:
            raise DatasetError(
                f"its classes are {part.classes}, not {first.classes}", part.name, None, "label"
            )
        same_root = part.root == first.root
        for item in part.items:
            keeps = same_root or item.is_remote
            items.append(item if keeps else replace(item, path=str((part.root / item.path).absolute())))
    return Dataset(tuple(items), first.root, " + ".join(part.name for part in parts), first.classes)


__all__ = [
    "DEFAULT_CLASSES",
    "SPLITS",
    "Classes",
    "Dataset",
    "DatasetError",
    "Finding",
    "Item",
    "Severity",
    "Split",
    "join",
    "missing_extra",
]
