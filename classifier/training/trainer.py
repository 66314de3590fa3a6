"""The one place that imports Lightning, which imports torchvision, which may need help (`torch_compat`)."""

from classifier.torch_compat import import_torchvision

import_torchvision()

import lightning.pytorch as pl  # noqa: E402
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping  # noqa: E402
from lightning.pytorch.core.optimizer import LightningOptimizer  # noqa: E402
from lightning.pytorch.loggers import TensorBoardLogger  # noqa: E402
from lightning.pytorch.utilities.seed import isolate_rng  # noqa: E402
from lightning.pytorch.utilities.types import OptimizerLRScheduler  # noqa: E402

__all__ = [
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "LightningOptimizer",
    "OptimizerLRScheduler",
    "TensorBoardLogger",
    "isolate_rng",
    "pl",
]
