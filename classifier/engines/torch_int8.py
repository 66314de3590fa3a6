"""int8 on torch itself: slower than the other libraries and kept for machines that have nothing but torch.

torch's static quantisation works on a graph of the network's calls (FX). It is deprecated in favour of a
package of its own, which this project does without; the interface is pinned with torch. What is saved is
TorchScript, because a quantised module cannot be built again from weights alone.
"""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.ao.quantization import QConfigMapping, get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from classifier.engines.scorer import Scorer
from classifier.errors import ModelError
from classifier.values import Pixels

_BATCH = 8
_BACKENDS = ("x86", "onednn", "fbgemm")
"""In order of preference; which exist depends on how torch was built and on the processor."""


def quantise(network: nn.Module, calibration: Pixels, path: Path) -> None:
    """Quantise a network and save it.

    Args:
        network: Maps float32 (n, 3, px, px), 0..255, to logits (n, 2); in eval mode. Not changed.
        calibration: uint8 (m, px, px, 3), as the model's preprocessing leaves them.
        path: Where the TorchScript goes; it maps uint8 (n, px, px, 3) to scores, float32 (n,).

    Raises:
        ModelError: Where torch cannot quantise this network here.
    """
    backend = next((name for name in _BACKENDS if name in torch.backends.quantized.supported_engines), None)
    if backend is None:
        raise ModelError("this build of torch has no int8 kernels for this processor")
    example = _as_input(calibration[:2])
    with _quiet(), _using(backend), torch.no_grad():
        try:
            plain = copy.deepcopy(network).eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
            prepared = prepare_fx(plain, _mapping(plain, backend), (example,))
            for start in range(0, len(calibration), _BATCH):
                prepared(_as_input(calibration[start : start + _BATCH]))
            scorer = Scorer(convert_fx(prepared)).eval()
            pixels = torch.from_numpy(calibration[:2].copy())
            traced = torch.jit.freeze(torch.jit.trace(scorer, (pixels,), check_trace=False))  # type: ignore[no-untyped-call]
            torch.jit.save(traced, str(path))
        except (RuntimeError, TypeError, NotImplementedError, torch.fx.proxy.TraceError) as error:
            raise ModelError(f"torch cannot quantise {type(network).__name__}: {error}") from error


def _mapping(network: nn.Module, backend: str) -> QConfigMapping:
    """Everything int8 but the last linear layer, whose logits decide: rounding them rounds the score."""
    # Other backends' defaults leave one bit of the activations unused, for processors whose sums overflow.
    mapping = get_default_qconfig_mapping("onednn" if backend == "x86" else backend)
    last = [name for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    mapping.set_module_name(last, None)
    return mapping


def _as_input(pixels: Pixels) -> Tensor:
    return torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2).to(torch.float32).contiguous()


@contextmanager
def _using(backend: str) -> Iterator[None]:
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = backend
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what is known: the interface is deprecated, and observers remark on unsuited defaults."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"torch\..*")
        yield
