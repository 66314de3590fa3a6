"""What a network is given of each picture of a dataset, and what it sees right before its last layer.

Pictures are decoded and prepared as for a score; of a film, its first frame stands for the whole.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from classifier.datasets.values import Dataset, DatasetError, Item
from classifier.decode.limits import DecodeLimits
from classifier.decode.sandbox import DecodePool
from classifier.errors import DecodeError, ModelError
from classifier.evaluation.scoring import Failure, Progress
from classifier.values import MediaPart, Pixels

if TYPE_CHECKING:
    from classifier.engines.torch_engine import TorchEngine


@dataclass(frozen=True, slots=True)
class Prepared:
    """A dataset as a network is given it.

    Attributes:
        dataset: The items that could be decoded.
        pixels: uint8 (n, h, w, 3), as the preprocessing leaves them.
        failures: The others.
    """

    dataset: Dataset
    pixels: Pixels
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class Features:
    """A dataset as a network sees it: frozen features.

    Attributes:
        dataset: The items that could be decoded.
        values: float32 (n, features).
        failures: The others.
    """

    dataset: Dataset
    values: NDArray[np.float32]
    failures: tuple[Failure, ...]


def extract(
    dataset: Dataset,
    engine: "TorchEngine",
    *,
    limits: DecodeLimits | None = None,
    workers: int = 2,
    progress: Progress | None = None,
) -> Features:
    """Run a network up to its last layer.

    Args:
        dataset: The pictures.
        engine: A model on torch whose network ends in a linear layer `head`.
        limits: What one file may cost.
        workers: Processes that decode.
        progress: Told after every file.

    Returns:
        The features, in the dataset's order.

    Raises:
        ModelError: Where the network has no such layer.
        ClassifierError: Where decode workers do not start.
    """
    found: list[NDArray[np.float32]] = []
    good: list[Item] = []
    failures: list[Failure] = []
    with _before_head(engine) as features_of:
        for item, one in _each(dataset, engine.card.preprocessing, limits, workers, progress):
            if isinstance(one, Failure):
                failures.append(one)
            else:
                found.append(features_of(one))
                good.append(item)
    values = np.stack(found) if found else np.zeros((0, 0), np.float32)
    return Features(dataset.with_items(good), values, tuple(failures))


def prepare(
    dataset: Dataset,
    preprocessing: str,
    *,
    limits: DecodeLimits | None = None,
    workers: int = 2,
    progress: Progress | None = None,
) -> Prepared:
    """Decode and prepare pictures, all of which are then in memory at once.

    Args:
        dataset: The pictures.
        preprocessing: Id in `classifier.preprocess`.
        limits: What one file may cost.
        workers: Processes that decode.
        progress: Told after every file.

    Returns:
        The pixels, in the dataset's order.

    Raises:
        ClassifierError: Where decode workers do not start.
    """
    done = list(_each(dataset, preprocessing, limits, workers, progress))
    good = [(item, one) for item, one in done if not isinstance(one, Failure)]
    pixels = np.stack([one for _, one in good]) if good else np.zeros((0, 0, 0, 3), np.uint8)
    failures = tuple(one for _, one in done if isinstance(one, Failure))
    return Prepared(dataset.with_items(item for item, _ in good), pixels, failures)


def _each(
    dataset: Dataset, preprocessing: str, limits: DecodeLimits | None, workers: int, progress: Progress | None
) -> Iterator[tuple[Item, Pixels | Failure]]:
    with DecodePool(limits or DecodeLimits(), workers) as pool, _threads(workers + 1) as threads:

        def prepared(item: Item) -> Pixels | Failure:
            return _prepared(dataset, item, pool, preprocessing)

        coming = threads.map(prepared, dataset.items)
        for done, (item, one) in enumerate(zip(dataset.items, coming, strict=True), 1):
            yield item, one
            if progress:
                progress(done, len(dataset))


def _prepared(dataset: Dataset, item: Item, pool: DecodePool, preprocessing: str) -> Pixels | Failure:
    try:
        with pool.open([MediaPart(dataset.path_of(item))], preprocessing) as stream:
            for frames in stream:
                return frames[0].pixels
    except DecodeError as error:
        return Failure(item.path, item.label, error.code, error.message)
    except DatasetError as error:
        return Failure(item.path, item.label, "remote", error.message)
    return Failure(item.path, item.label, "undecodable", "there is no picture in it")


@contextmanager
def _before_head(engine: "TorchEngine") -> Iterator[Callable[[Pixels], NDArray[np.float32]]]:
    """What gives the features of one picture, uint8 (h, w, 3): float32 (features,)."""
    head = getattr(engine.network, "head", None)
    if head is None:
        raise ModelError(f"{engine.card.name}: its network has no layer 'head' to take features before")
    caught: list[Any] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))

    def features_of(pixels: Pixels) -> NDArray[np.float32]:
        caught.clear()
        engine.predict(pixels[np.newaxis])
        values: NDArray[np.float32] = caught[0].detach().numpy().reshape(-1).copy()
        return values

    try:
        yield features_of
    finally:
        hook.remove()


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    executor = ThreadPoolExecutor(count, thread_name_prefix="features")
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


__all__ = ["Features", "Prepared", "extract", "prepare"]
