"""One run is one folder: started once, gone on with after any break, and finished with weights and a card.

Two runs of one configuration on one machine's CPU give equal weights, bit for bit, and so does a run that was
killed and resumed. With several devices Lightning starts this program again for each of them; the first one
writes.
"""

import hashlib
import logging
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from classifier import atomic_file
from classifier.datasets import manifest
from classifier.datasets.values import Dataset
from classifier.training import card, provenance, svm
from classifier.training import config as configs
from classifier.training import folder as folders
from classifier.training.config import TrainConfig
from classifier.training.data import Pictures, plain_loader, training_loader
from classifier.training.errors import TrainingError
from classifier.training.folder import Result, RunRecord
from classifier.training.keeping import Keeper, lower_is_better, weights_bytes
from classifier.training.module import Prepare, Run
from classifier.training.order import Order
from classifier.training.ranks import is_first_process
from classifier.training.trainer import Callback, EarlyStopping, TensorBoardLogger, isolate_rng, pl

_log = logging.getLogger(__name__)

Build = Callable[[], nn.Module]
"""Makes the network; what it draws from torch's generator follows from the run's seed."""

_QUIET = (
    # Known, and meant: decoding in the main process, and a checkpoint within an epoch (our order resumes).
    r".*does not have many workers.*",
    r".*your dataloader is not resumable.*",
    # Every process validates everything, so there is nothing to reduce.
    r".*sync_dist=True.*",
    # The moving average is only ever looked at.
    r".*in eval mode at the start of training.*",
    r".*isinstance\(treespec, LeafSpec\).*",
    r".*Checkpoint directory .* exists and is not empty.*",
)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a run consists of before it starts."""

    config: TrainConfig
    dataset: Dataset
    build: Build
    folder: Path
    callbacks: tuple[Callback, ...]
    progress: bool


def train(
    config: TrainConfig,
    dataset: Dataset,
    folder: Path,
    *,
    build: Build | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = False,
) -> RunRecord:
    """Train from the start.

    Args:
        config: What to do.
        dataset: Training and validation items.
        folder: Where everything goes; must not hold anything yet.
        build: Makes the network: float32 (n, 3, h, w), 0..255, to logits (n, 2). None: what `config.model`
            names.
        callbacks: Further ones of Lightning's, for example a search's that gives up early.
        progress: Whether to show a bar.

    Returns:
        What was done; `result` is there.

    Raises:
        TrainingError: Where the folder is in use, or the loss is not finite.
        DatasetError: Where the data is not fit for training.
        ModelError: Where the network cannot be built.
    """
    _check_device(config)
    parts = _Parts(
        config, dataset.for_training(), build or _built(config), folder, tuple(callbacks), progress
    )
    record = RunRecord(
        name=config.name,
        started=_now(),
        data=_described(dataset),
        provenance=asdict(provenance.here()),
        seed=config.training.seed,
        threads=config.training.threads or torch.get_num_threads(),
    )
    if is_first_process():
        if folder.exists() and any(folder.iterdir()):
            raise TrainingError(f"{folder}: is not empty; resume that run, or choose another folder")
        folder.mkdir(parents=True, exist_ok=True)
        text = configs.to_toml(config)
        atomic_file.write(folder / folders.CONFIG_NAME, text.encode(), atomic_file.SHARED)
        folders.write(folder, record)
    return _run(parts, record, None)


def resume(
    folder: Path,
    dataset: Dataset | None = None,
    *,
    build: Build | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = False,
) -> RunRecord:
    """Go on with a run that was interrupted; a finished one is left as it is.

    Args:
        folder: The run's.
        dataset: What it was trained on; None: read again from where its configuration says.
        build: As for `train`.
        callbacks: As for `train`.
        progress: As for `train`.

    Returns:
        What was done; `result` is there.

    Raises:
        TrainingError: Where the folder holds no run, or its data has changed; and as for `train`.
        DatasetError: As for `train`.
        ModelError: As for `train`.
    """
    record = folders.read(folder)
    if record.result is not None:
        return record
    config = configs.load(folder / folders.CONFIG_NAME)
    _check_device(config)
    dataset = (configs.read_dataset(config) if dataset is None else dataset).for_training()
    if (found := manifest.content_hash(dataset)) != record.data["hash"]:
        raise TrainingError(
            f"{folder}: was trained on data of hash {record.data['hash']}, {dataset.name} has {found}"
        )
    threads = config.training.threads or torch.get_num_threads()
    if threads != record.threads:
        _log.warning("resumed_with_other_threads", extra={"before": record.threads, "now": threads})
    now = asdict(provenance.here())
    again: dict[str, Any] = {"at": _now(), "threads": threads}
    if now != record.provenance:
        again["provenance"] = now
    record = replace(record, resumed=[*record.resumed, again])
    if is_first_process():
        folders.write(folder, record)
    checkpoint = folder / folders.LAST_NAME
    goes_on = checkpoint.exists()  # killed before its first checkpoint, it begins again
    build = build or _built(config, goes_on)
    parts = _Parts(config, dataset, build, folder, tuple(callbacks), progress)
    return _run(parts, record, checkpoint if goes_on else None)


def _run(parts: _Parts, record: RunRecord, checkpoint: Path | None) -> RunRecord:
    config = parts.config
    with _settings(config), warnings.catch_warnings():
        for message in _QUIET:
            warnings.filterwarnings("ignore", message)
        torch.manual_seed(config.training.seed)
        network = parts.build()
        if svm.is_wanted(config):
            svm.require(network, parts.dataset, config)
        keeper = Keeper(
            parts.folder,
            config.training.monitor,
            config.training.min_delta,
            config.training.checkpoint_every_steps,
        )
        trainer = _trainer(parts, keeper)
        if config.training.epochs:
            _fit(parts, trainer, network, checkpoint)
        if trainer.interrupted:
            raise TrainingError(f"{parts.folder}: was interrupted; resume it when you like")
        return _finish(parts, record, keeper, network, trainer)


def _fit(parts: _Parts, trainer: pl.Trainer, network: nn.Module, checkpoint: Path | None) -> None:
    config = parts.config
    training = Pictures(parts.dataset.part("train"), config.data, config.augment, config.training.seed)
    validation = Pictures(parts.dataset.part("validation"), config.data)
    order = Order(
        training.targets,
        config.training.batch,
        config.training.seed,
        config.training.sampling != "shuffle",
        training.buckets,
        trainer.global_rank,
        trainer.world_size,
        training.weights if config.training.sampling == "weighted" else None,
    )
    run = Run(network, config, order, _freezing(config))
    trainer.fit(
        run,
        training_loader(training, order, run.position, config.data.workers),
        plain_loader(validation, config.training.batch, config.data.workers),
        ckpt_path=None if checkpoint is None else str(checkpoint),
        weights_only=True,
    )


def _trainer(parts: _Parts, keeper: Keeper) -> pl.Trainer:
    training = parts.config.training
    callbacks: list[Callback] = [*parts.callbacks, keeper]
    if training.patience:
        mode = "min" if lower_is_better(training.monitor) else "max"
        stop = EarlyStopping(training.monitor, training.min_delta, training.patience, mode=mode)
        callbacks.append(stop)
    return pl.Trainer(
        default_root_dir=parts.folder,
        max_epochs=training.epochs,
        accelerator=training.accelerator,
        devices=training.devices or "auto",
        strategy=training.strategy,
        precision=training.precision,
        deterministic=training.deterministic,
        benchmark=False,
        accumulate_grad_batches=training.accumulate,
        gradient_clip_val=parts.config.optimizer.gradient_clip or None,
        logger=TensorBoardLogger(parts.folder, name="", version="tensorboard"),
        callbacks=callbacks,
        enable_checkpointing=True,
        enable_progress_bar=parts.progress,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=1,
    )


def _finish(
    parts: _Parts, record: RunRecord, keeper: Keeper, network: nn.Module, trainer: pl.Trainer
) -> RunRecord:
    kept, content = _kept(parts, keeper, network, trainer)
    figures = {name: value for name, value in kept.items() if name.startswith(("validation_", "train_"))}
    seconds = sum(row["seconds"] for row in keeper.history)
    if svm.is_wanted(parts.config):
        started_s = time.monotonic()
        device = trainer.strategy.root_device
        content, figures = svm.fit_head(
            network, content, parts.dataset, parts.config, device=device, progress=parts.progress
        )
        seconds += time.monotonic() - started_s
    result = Result(
        weights_sha256=hashlib.sha256(content).hexdigest(),
        weights_bytes=len(content),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        epochs=len(keeper.history),
        steps=trainer.global_step,
        kept_epoch=int(kept["epoch"]),
        figures=figures,
        seconds=round(seconds, 3),
    )
    record = replace(record, result=result)
    if trainer.is_global_zero:
        atomic_file.write(parts.folder / folders.WEIGHTS_NAME, content, atomic_file.SHARED)
        text = card.render(parts.config, record, result)
        atomic_file.write(parts.folder / folders.CARD_NAME, text.encode(), atomic_file.SHARED)
        folders.write(parts.folder, record)  # last: it says that the run is finished
    _log.info(
        "run_finished", extra={"run": record.name, "epochs": result.epochs, "folder": str(parts.folder)}
    )
    return record


def _kept(
    parts: _Parts, keeper: Keeper, network: nn.Module, trainer: pl.Trainer
) -> tuple[Mapping[str, float], bytes]:
    """The row of the epoch whose weights are the result, and these as safetensors."""
    if not parts.config.training.epochs:
        return {"epoch": 0}, weights_bytes(network)
    keeps_best = parts.config.training.keep == "best"
    kept = keeper.best if keeps_best else (keeper.history[-1] if keeper.history else None)
    if kept is None:
        raise TrainingError(f"{parts.folder}: no epoch was finished")
    if keeps_best:
        return kept, (parts.folder / folders.BEST_NAME).read_bytes()
    run = trainer.lightning_module
    assert isinstance(run, Run)
    return kept, weights_bytes(run.result)


@contextmanager
def _settings(config: TrainConfig) -> Iterator[None]:
    """Set what torch keeps for the whole process, and set it back."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    with isolate_rng():
        try:
            if config.training.threads:
                torch.set_num_threads(config.training.threads)
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(strict, warn_only=warn_only)


def _check_device(config: TrainConfig) -> None:
    """Refuse what Lightning would turn into something else in silence: half precision on a CPU."""
    has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    if config.training.precision == "16-mixed" and not has_gpu:
        raise TrainingError(
            f"{config.name}: training.precision: '16-mixed' needs a GPU, and there is none here; use "
            "'bf16-mixed' or '32-true'"
        )


def _built(config: TrainConfig, goes_on: bool = False) -> Build:
    """What the configuration names; where a checkpoint is loaded next, no starting weights are needed."""
    if not config.model:
        raise TrainingError(f"{config.name}: no network is named (model.name)")

    def build() -> nn.Module:
        from classifier.models.configured import build_model, without_start

        model = without_start(config.architecture) if goes_on else config.architecture
        return build_model(model, seed=config.training.seed)

    return build


def _freezing(config: TrainConfig) -> Prepare | None:
    if not config.training.freezing:
        return None
    from classifier.models.configured import ConfiguredNetwork
    from classifier.models.freezing import FreezingSchedule, train_only

    schedule = FreezingSchedule.parse(config.training.freezing)

    def prepare(network: nn.Module, epoch: int) -> None:
        if not isinstance(network, ConfiguredNetwork):
            raise TrainingError(f"{config.name}: training.freezing needs a network of this project")
        train_only(network, schedule.groups_at(epoch))

    return prepare


def _described(dataset: Dataset) -> dict[str, Any]:
    counts = Counter((item.split, item.label) for item in dataset.items)
    return {
        "name": dataset.name,
        "hash": manifest.content_hash(dataset),
        "classes": list(dataset.classes),
        "counts": {
            split: {label: counts[split, label] for label in dataset.classes}
            for split in ("train", "validation")
        },
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


__all__ = ["Build", "resume", "train"]
