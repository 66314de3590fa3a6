"""The one place that imports torchvision, whose wheel can be built for another torch than the one installed.

The package index's torchvision 0.28.0 wheel is built for CUDA. Beside a CPU build of torch its compiled
operators do not load, and then `import torchvision` dies while it registers shape rules for two of them. We
use none of them, so declaring those two is enough.
"""

import importlib
from types import ModuleType

import torch

_FAILURE = "operator torchvision::nms does not exist"
_OPERATORS = ("torchvision::nms", "torchvision::qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def import_torchvision() -> ModuleType:
    """Import torchvision, helping it over that one failure; a healthy torchvision is left alone.

    Returns:
        The module.

    Raises:
        ImportError: Where torchvision is not installed.
        RuntimeError: Where it fails for any other reason.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if _FAILURE not in str(error):
            raise
    # Only now: in a healthy installation these operators exist, and defining them again would be an error.
    for operator in _OPERATORS:
        torch.library.define(operator, _SCHEMA)
    return importlib.import_module("torchvision")
