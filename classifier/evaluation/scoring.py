"""Score every file of a dataset exactly as the daemon does, and keep the scores, so that reports are cheap.

The same workers decode, the same preprocessing prepares, and pictures go to the model one by one: in batches
that fill by chance, a score could move by 1e-5 from one run to the next. A film's score is the highest of all
its frames: the daemon may stop at the first one over its threshold, which decides the same, but says nothing
of other thresholds. What cannot be scored is told by name; it is never taken for harmless, nor left out in
silence.

The file of scores is JSON by lines, the first one saying who made them. It is written as scores come, so a
run that was killed goes on; scores of another maker, or of other bytes, are never used.
"""

import hashlib
import importlib.metadata
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

from classifier import atomic_file
from classifier.batching import Batcher
from classifier.datasets.values import Dataset, Item
from classifier.decode.limits import DecodeLimits
from classifier.decode.sandbox import DecodePool
from classifier.errors import DecodeError
from classifier.evaluation.clusters import clusters_of
from classifier.evaluation.errors import EvaluationError
from classifier.evaluation.scored import Scored, scored
from classifier.scoring import score_media
from classifier.values import Classifier, MediaPart, ModelCard

_log = logging.getLogger(__name__)

FORMAT: Final = 1
_READ_BYTES: Final = 1 << 20
_LIBRARIES: Final = ("pillow", "av", "opencv-python-headless", "numpy")

Progress = Callable[[int, int], None]
"""Called with how many files are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Maker:
    """Who makes scores: where any of this differs, scores may.

    Attributes:
        model: Catalogue name, or the run's.
        weights_sha256: Of the safetensors file.
        preprocessing: Id in `classifier.preprocess`.
        engine: What runs the model.
        threads: Of one prediction.
        libraries: Versions of what decodes and what runs the model.
        decoding: The limits of decoding.
    """

    model: str
    weights_sha256: str
    preprocessing: str
    engine: str
    threads: int
    libraries: Mapping[str, str]
    decoding: Mapping[str, object]

    @classmethod
    def of(cls, card: ModelCard, engine: str, threads: int, limits: DecodeLimits) -> "Maker":
        """Describe who is about to score; arguments as for `score`."""
        libraries = {}
        for name in (engine.partition("-")[0], *_LIBRARIES):
            try:
                libraries[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
        decoding = json.loads(json.dumps(asdict(limits)))
        return cls(card.name, card.weights_sha256, card.preprocessing, engine, threads, libraries, decoding)


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that has no score.

    Attributes:
        path: As in the manifest.
        label: Its label there.
        code: Why: a code of `classifier.errors`, or `missing_file`, `changed`, `remote`.
        message: The same as a sentence.
    """

    path: str
    label: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Scores:
    """A dataset that was scored.

    Attributes:
        dataset: The items that have a score.
        values: Theirs, 0..1.
        failures: The others.
        maker: Who made the scores.
        reused: How many were at hand already.
        clusters: Of each item, what came together; None where every item stands for itself.
    """

    dataset: Dataset
    values: tuple[float, ...]
    failures: tuple[Failure, ...]
    maker: Maker
    reused: int = 0
    clusters: tuple[str, ...] | None = None

    def only(self, paths: frozenset[str]) -> "Scores":
        """The same of some items alone, for a comparison on what every model has scored."""
        kept = [index for index, item in enumerate(self.dataset.items) if item.path in paths]
        groups = None if self.clusters is None else tuple(self.clusters[index] for index in kept)
        items = self.dataset.with_items(self.dataset.items[index] for index in kept)
        values = tuple(self.values[index] for index in kept)
        return Scores(items, values, self.failures, self.maker, self.reused, groups)

    def measured(self, columns: Sequence[str] = ()) -> Scored:
        """As measures want it.

        Args:
            columns: Group columns to keep.

        Raises:
            EvaluationError: Nothing was scored, or one class alone.
        """
        dataset = self.dataset
        return scored(
            self.values,
            [dataset.target_of(item) for item in dataset.items],
            groups={name: [item.groups.get(name, "") for item in dataset.items] for name in columns},
            clusters=self.clusters,
            what=f"{dataset.name}, after files that cannot be scored" if self.failures else dataset.name,
        )


@dataclass(frozen=True, slots=True)
class Means:
    """What scoring takes.

    Attributes:
        load: Loads the model; called only where a score is missing.
        limits: What one file may cost; the daemon's.
        workers: Processes that decode.
        calls: Predictions side by side.
    """

    load: Callable[[], Classifier]
    limits: DecodeLimits
    workers: int = 2
    calls: int = 1


class _Unusable(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def score(
    dataset: Dataset, maker: Maker, means: Means, file: Path, progress: Progress | None = None
) -> Scores:
    """Score a dataset, or as much of it as `file` does not hold yet.

    Args:
        dataset: Its files.
        maker: Who is to score.
        means: How.
        file: Where scores are kept; its folder has to be there.
        progress: Told after every file.

    Returns:
        The scores, in the order of the dataset.

    Raises:
        EvaluationError: Where the file cannot be written.
        ModelError: Where the model cannot be loaded, or fails.
        ClassifierError: Where decode workers do not start.
    """
    known = _read(file, maker)
    groups = clusters_of(dataset)
    names = groups or tuple(item.path for item in dataset.items)
    rows: list[dict[str, Any]] = []
    try:
        _write(file, maker, _kept(dataset, known))
        with file.open("a", encoding="utf-8") as cache, _scorer(dataset, known, means) as one:
            for item, name in zip(dataset.items, names, strict=True):
                row = {"path": item.path, "label": item.label, "cluster": name, **one(item)}
                if "score" in row and row["sha256"] not in known:
                    _append(cache, row)
                rows.append(row)
                if progress:
                    progress(len(rows), len(dataset))
        _write(file, maker, rows)
    except OSError as error:
        raise EvaluationError(f"Cannot write {file}: {error.strerror or error}.") from error
    found = _gathered(dataset, rows, groups, maker, sum(row.get("sha256") in known for row in rows))
    _log.debug(
        "dataset_scored",
        extra={"dataset": dataset.name, "model": maker.model, "files": len(rows), "reused": found.reused},
    )
    return found


def _gathered(
    dataset: Dataset,
    rows: Sequence[dict[str, Any]],
    groups: tuple[str, ...] | None,
    maker: Maker,
    reused: int,
) -> Scores:
    good = [index for index, row in enumerate(rows) if "score" in row]
    failures = [
        Failure(row["path"], row["label"], row["code"], row["message"]) for row in rows if "score" not in row
    ]
    return Scores(
        dataset.with_items(dataset.items[index] for index in good),
        tuple(rows[index]["score"] for index in good),
        tuple(failures),
        maker,
        reused,
        None if groups is None else tuple(groups[index] for index in good),
    )


_One = Callable[[Item], dict[str, Any]]


@contextmanager
def _scorer(dataset: Dataset, known: Mapping[str, float], means: Means) -> Iterator[_One]:
    """What gives an item's row; works ahead of who asks for rows in the dataset's order."""
    missing = [item for item in dataset.items if item.sha256 not in known]
    hashed = dict(zip((item.path for item in missing), _hashed(dataset, missing), strict=True))

    def told(item: Item) -> dict[str, Any]:
        sha256 = hashed.get(item.path, item.sha256)
        if isinstance(sha256, _Unusable):
            return {"sha256": item.sha256, "code": sha256.code, "message": sha256.message}
        return {"sha256": sha256, "score": known[sha256]} if sha256 in known else {"sha256": sha256}

    todo = [item for item in dataset.items if len(told(item)) == 1]
    if not todo:
        yield told
        return
    classifier = means.load()
    with (
        DecodePool(means.limits, means.workers) as pool,
        Batcher(classifier, 1, means.calls) as batcher,
        _threads(means.workers + 1) as threads,
    ):

        def scored_file(item: Item) -> dict[str, Any]:
            try:
                parts = [MediaPart(dataset.path_of(item))]
                media = score_media(parts, pool, batcher, threshold=1.0, stop_early=False)
            except DecodeError as error:
                return {"code": error.code, "message": error.message}
            return {"score": media.score}

        coming = threads.map(scored_file, todo)
        wanted = {item.path for item in todo}
        yield lambda item: told(item) | (next(coming) if item.path in wanted else {})


def _hashed(dataset: Dataset, items: Sequence[Item]) -> Iterator[str | _Unusable]:
    for item in items:
        try:
            yield _sha256(dataset, item)
        except _Unusable as error:
            yield error


def _sha256(dataset: Dataset, item: Item) -> str:
    if item.is_remote:
        raise _Unusable("remote", "it is a URL; collect the dataset to have it on the disk")
    path = dataset.path_of(item)
    digest = hashlib.sha256()
    try:
        if not path.is_file():
            raise _Unusable("missing_file", "it is not a file" if path.exists() else "there is no such file")
        with path.open("rb") as file:
            while block := file.read(_READ_BYTES):
                digest.update(block)
    except OSError as error:
        raise _Unusable("missing_file", f"it cannot be read: {error.strerror or error}") from error
    if item.sha256 and item.sha256 != digest.hexdigest():
        raise _Unusable("changed", "it is not the file it was: its SHA-256 is not the manifest's")
    return digest.hexdigest()


def _read(file: Path, maker: Maker) -> dict[str, float]:
    """Scores by hash, of this very maker; what is torn or foreign does not count."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise EvaluationError(f"Cannot read {file}: {error.strerror or error}.") from error
    known: dict[str, float] = {}
    for number, line in enumerate(lines):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if number == 0 and row != _header(maker):
            _log.info("scores_of_another_maker", extra={"file": str(file)})
            return {}
        if isinstance(row, dict) and isinstance(row.get("score"), float) and 0 <= row["score"] <= 1:
            known[str(row.get("sha256"))] = row["score"]
    return known


def _kept(dataset: Dataset, known: Mapping[str, float]) -> list[dict[str, Any]]:
    """Rows to begin the file with: whatever is killed from here on, nothing that was scored is lost."""
    paths = {item.sha256: item.path for item in dataset.items}
    return [
        {"path": paths.get(sha256, ""), "sha256": sha256, "score": value} for sha256, value in known.items()
    ]


def _header(maker: Maker) -> dict[str, Any]:
    return {"format": FORMAT, "maker": asdict(maker)}


def _write(file: Path, maker: Maker, rows: Sequence[dict[str, Any]]) -> None:
    lines = [json.dumps(one, ensure_ascii=False) for one in (_header(maker), *rows)]
    atomic_file.write(file, ("\n".join(lines) + "\n").encode())


def _append(cache: IO[str], row: dict[str, Any]) -> None:
    cache.write(json.dumps(row, ensure_ascii=False) + "\n")
    cache.flush()


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that drop what they have not begun when the block ends early."""
    executor = ThreadPoolExecutor(count, thread_name_prefix="score")
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


__all__ = ["FORMAT", "Failure", "Maker", "Means", "Progress", "Scores", "score"]
