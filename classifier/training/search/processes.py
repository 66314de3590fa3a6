"""A search from start to end, in this process or in several, begun or gone on with by the same call.

Further processes may be started by hand on the same folder, for example one for each GPU; they share the
trials. What is killed is tried again by those that are left, or by the next start.
"""

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from filelock import FileLock

from classifier import atomic_file
from classifier.datasets import manifest
from classifier.datasets.values import Dataset
from classifier.errors import ClassifierError
from classifier.training.errors import TrainingError
from classifier.training.search.space import SearchConfig

if TYPE_CHECKING:
    from classifier.training.run import Build
    from classifier.training.search.trials import Job, OnTrial

SEARCH_NAME: Final = "search.json"
_POLL_S: Final = 0.5
_END_S: Final = 15.0
_VISIBLE: Final = "CUDA_VISIBLE_DEVICES"

OnCount = Callable[[int, int], None]
"""Is told how many trials are over, and of how many."""


def search(
    wanted: SearchConfig,
    dataset: Dataset,
    folder: Path,
    *,
    processes: int = 1,
    build: "Build | None" = None,
    watch: "OnTrial | None" = None,
    count: OnCount | None = None,
) -> None:
    """Do all trials that are not done yet.

    Args:
        wanted: What is searched; a folder's search can be made longer, but not another one.
        dataset: Training and validation items.
        folder: Where study and runs go.
        processes: How many work at once. On a CPU each gets its share of the threads.
        build: Makes the network, and can be pickled where there are several processes; None: what the
            configuration names.
        watch: Is told about the trial that this process works at; of one process.
        count: Is told how many trials are over.

    Raises:
        TrainingError: Where the folder is another search's, or trials are left because a process was killed.
        DatasetError: Where the data is not fit for training.
        ModelError: Where the network cannot be built.
    """
    from classifier.training.search.trials import Job, work

    if build is None and not wanted.base.model:
        raise TrainingError(f"{wanted.base.name}: no network is named (model.name)")
    dataset = dataset.for_training()
    prepare(wanted, dataset, folder)
    threads = 0 if processes == 1 else max(1, _processors() // processes)
    job = Job(wanted, dataset, folder, threads, build)
    if processes > 1:
        _in_parallel(job, processes, count)
        return
    work(job, watch=_counting(job, watch, count))


def prepare(wanted: SearchConfig, dataset: Dataset, folder: Path) -> None:
    """Note down in the folder what is searched, or make sure that it is the same.

    Raises:
        TrainingError: Where it is the folder of another search, or of other data.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SEARCH_NAME
    now: dict[str, Any] = {
        **wanted.model_dump(mode="json", exclude={"trials"}),
        "dataset": {"name": dataset.name, "hash": manifest.content_hash(dataset)},
    }
    with FileLock(folder / ".search.lock"):
        if not path.exists():
            atomic_file.write(path, (json.dumps(now, indent=2) + "\n").encode(), atomic_file.SHARED)
            return
        try:
            before = json.loads(path.read_bytes())
        except ValueError as error:
            raise TrainingError(f"{path}: is not a search's record: {error}") from error
    for key in now:
        if before.get(key) != now[key]:
            raise TrainingError(f"{path}: is of a search with another {key}; choose another folder")


def _counting(job: "Job", watch: "OnTrial | None", count: OnCount | None) -> "OnTrial":
    from classifier.training.search.study import Study
    from classifier.training.watching import Standing

    study = Study(job.search, job.folder)

    def tell(number: int, standing: Standing | None) -> None:
        if watch is not None:
            watch(number, standing)
        if count is not None and standing is None:
            count(_over(study.trials()), job.search.trials)

    return tell


def _in_parallel(job: "Job", processes: int, count: OnCount | None) -> None:
    from classifier.training.search.study import Study

    study = Study(job.search, job.folder)  # made once, before they come
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    workers: list[BaseProcess] = [
        context.Process(target=_worker, args=(job, number, sender), name=f"search-{number}")
        for number in range(processes)
    ]
    try:
        for worker in workers:
            worker.start()
        sender.close()
        told = ""
        while any(worker.is_alive() for worker in workers):
            time.sleep(_POLL_S)
            told = told or _received(receiver)
            if told:  # what ended one would end all
                break
            if count is not None:
                count(_over(study.trials()), job.search.trials)
        told = told or _received(receiver)
    finally:
        _end(workers)
        receiver.close()
    if told:
        raise TrainingError(told)
    codes = [worker.exitcode for worker in workers if worker.exitcode]
    if codes and (study.lost() or _over(study.trials()) < job.search.trials):
        raise TrainingError(
            f"{job.folder}: a process of the search ended ({_why(codes[0])}), and trials are left; "
            "the same command goes on"
        )


def _worker(job: "Job", process: int, sender: Connection) -> None:
    """One process; what it has to say goes through the pipe, because the others' words come first there."""
    # Ctrl-C goes to all processes of a terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    devices = [name for name in os.environ.get(_VISIBLE, "").split(",") if name]
    if len(devices) > 1:
        os.environ[_VISIBLE] = devices[process % len(devices)]
    parent = multiprocessing.parent_process()
    # Only now: what is imported looks at the devices.
    from classifier.training.search.trials import work
    from classifier.training.watching import hush

    hush()
    try:
        work(job, process, goes_on=lambda: parent is None or parent.is_alive())
    except ClassifierError as error:
        sender.send(str(error))
        raise SystemExit(1) from None


def _received(receiver: Connection) -> str:
    try:
        return str(receiver.recv()) if receiver.poll() else ""
    except EOFError:
        return ""


def _end(workers: list[BaseProcess]) -> None:
    for worker in workers:
        if worker.is_alive():
            worker.terminate()
    for worker in workers:
        if worker.pid is not None:
            worker.join(_END_S)
            if worker.is_alive():
                worker.kill()
                worker.join()


def _over(trials: list[Any]) -> int:
    from classifier.training.search.study import begun

    return begun([trial for trial in trials if trial.state.is_finished()])


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _why(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


__all__ = ["SEARCH_NAME", "OnCount", "prepare", "search"]
