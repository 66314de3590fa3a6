"""What one core of this machine can do at most, and how near to it the models come.

The peak is measured, not taken from a data sheet: the fastest large matrix product that any of the installed
libraries manages, in fp32 and in int8. A model's share of it is its multiply-adds a second over the peak's;
what is missing goes to memory traffic, small layers, and the layers that are no products at all.

    python -m benchmarks.peak [--models open_nsfw,resnet50]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

_SIDES = (512, 1024, 2048)
"""Of the square matrices; small ones stay in the caches, large ones amortise the packing."""
_SECONDS_EACH = 0.4
"""Long enough for a free moment even on a busy machine: a peak is the best call, not the typical one."""
_LIMIT_S = 180
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

Multiply = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Peak:
    """The best that one core did.

    Attributes:
        fp32_gmac_per_s: Multiply-adds a second, in thousand millions, of single precision.
        fp32_by: Library and matrix side that reached it.
        int8_gmac_per_s: Likewise, of 8-bit integers (unsigned by signed, accumulated in 32 bits).
        int8_by: Likewise.
    """

    fp32_gmac_per_s: float
    fp32_by: str
    int8_gmac_per_s: float
    int8_by: str

    def share(self, per_s: float, multiply_adds: int, precision: str) -> float:
        """How much of the peak a model reaches.

        Args:
            per_s: Pictures a second on one core.
            multiply_adds: Of one picture.
            precision: `fp32` or `int8`.

        Returns:
            0..1 of the peak of that precision.
        """
        peak = self.int8_gmac_per_s if precision == "int8" else self.fp32_gmac_per_s
        return per_s * multiply_adds / 1e9 / peak


def multiply_adds(name: str) -> int:
    """Count what convolutions and linear layers do for one picture; the rest is next to nothing.

    Args:
        name: A network of `classifier.models.architectures`.

    Returns:
        Multiply-adds; counted twice they are what is often called FLOPs.
    """
    import torch
    from torch import nn

    from classifier.models import architectures

    network, counted = architectures.build(name), 0

    def count(layer: nn.Module, _: Any, output: torch.Tensor) -> None:
        nonlocal counted
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        # Each output is a sum over one row of the weights, whatever the groups and the kernel.
        counted += output.numel() * layer.weight[0].numel()

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    side = architectures.describe(name).input_px
    with torch.inference_mode():
        network(torch.zeros(1, 3, side, side))
    return counted


def measure(core: int = 0) -> Peak:
    """Measure the peak in a process of its own, which is held on one core and one thread.

    Args:
        core: Which one.

    Returns:
        The peak.

    Raises:
        subprocess.CalledProcessError: Where the process fails.
    """
    environment = os.environ | dict.fromkeys(_ONE_THREAD, "1")
    command = [sys.executable, "-m", "benchmarks.peak", "--machine", str(core)]
    finished = subprocess.run(
        command, env=environment, check=True, stdout=subprocess.PIPE, text=True, timeout=_LIMIT_S
    )
    return Peak(**json.loads(finished.stdout.splitlines()[-1]))


def _measure_here(core: int) -> Peak:
    os.sched_setaffinity(0, {core})
    best = {"fp32": (0.0, ""), "int8": (0.0, "")}
    for side in _SIDES:
        for precision, library, multiply in _contestants(side):
            multiply()
            until = time.perf_counter() + _SECONDS_EACH
            while (started := time.perf_counter()) < until:
                multiply()
                rate = side**3 / (time.perf_counter() - started) / 1e9
                best[precision] = max(best[precision], (rate, f"{library}, {side}x{side}"))
    return Peak(*best["fp32"], *best["int8"])


def _contestants(side: int) -> Iterator[tuple[str, str, Multiply]]:
    """Give precision, library and a function that multiplies two square matrices once."""
    import onnxruntime

    from classifier.engines.openvino_quiet import import_openvino

    openvino = import_openvino()
    import torch

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((side, side), dtype=np.float32) for _ in range(2))
    yield "fp32", "numpy", lambda: a @ b
    left, right = torch.from_numpy(a), torch.from_numpy(b)
    yield "fp32", "torch", lambda: torch.mm(left, right)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
    whole = rng.integers(0, 256, (side, side), dtype=np.uint8)
    graphs = {
        ("fp32", "onnxruntime"): (_product(b), a),
        ("int8", "onnxruntime"): (_integer_product(side, rng), whole),
        ("int8", "openvino"): (_quantised_product(side, rng), a),
    }
    for (precision, library), (graph, fed) in graphs.items():
        if library == "onnxruntime":
            session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
            yield precision, library, lambda session=session, fed=fed: session.run(None, {"a": fed})  # type: ignore[misc]
        else:
            request = core.compile_model(core.read_model(graph), "CPU", settings).create_infer_request()
            yield precision, library, lambda request=request, fed=fed: request.infer({"a": fed})  # type: ignore[misc]


def _product(b: np.ndarray[Any, Any]) -> bytes:
    from onnx import helper

    return _graph([helper.make_node("MatMul", ["a", "b"], ["y"])], {"b": b}, "FLOAT", "FLOAT", len(b))


def _integer_product(side: int, rng: np.random.Generator) -> bytes:
    from onnx import helper

    weights = rng.integers(-127, 128, (side, side), dtype=np.int8)
    return _graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["y"])], {"b": weights}, "UINT8", "INT32", side
    )


def _quantised_product(side: int, rng: np.random.Generator) -> bytes:
    """A product between quantise and dequantise steps: the form in which OpenVINO finds its int8 kernels."""
    from onnx import helper

    constants: dict[str, np.ndarray[Any, Any]] = {
        "b": rng.integers(-127, 128, (side, side), dtype=np.int8),
        "scale": np.array(0.02, np.float32),
        "zero": np.array(128, np.uint8),
        "none": np.array(0, np.int8),
        "wide": np.array(20.0, np.float32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["a", "scale", "zero"], ["a8"]),
        helper.make_node("DequantizeLinear", ["a8", "scale", "zero"], ["af"]),
        helper.make_node("DequantizeLinear", ["b", "scale", "none"], ["bf"]),
        helper.make_node("MatMul", ["af", "bf"], ["yf"]),
        helper.make_node("QuantizeLinear", ["yf", "wide", "zero"], ["y8"]),
        helper.make_node("DequantizeLinear", ["y8", "wide", "zero"], ["y"]),
    ]
    return _graph(nodes, constants, "FLOAT", "FLOAT", side)


def _graph(
    nodes: list[Any], constants: dict[str, np.ndarray[Any, Any]], takes: str, gives: str, side: int
) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    shape = [side, side]
    graph = helper.make_graph(
        nodes,
        "peak",
        [helper.make_tensor_value_info("a", TensorProto.DataType.Value(takes), shape)],
        [helper.make_tensor_value_info("y", TensorProto.DataType.Value(gives), shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def main() -> None:
    """Measure and print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", default="open_nsfw", help="separated by commas; empty: the machine alone")
    parser.add_argument("--machine", type=int, metavar="CORE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.machine is not None:
        print(json.dumps(asdict(_measure_here(arguments.machine))))
        return
    console = Console()
    with console.status("multiplying matrices"):
        peak = measure()
    fp32, int8 = peak.fp32_gmac_per_s, peak.int8_gmac_per_s
    table = Table("", "10^9 multiply-adds a second", "by", title="one core at most", title_justify="left")
    table.add_row("fp32", f"{fp32:.0f}", f"{peak.fp32_by} ({2 * fp32:.0f} GFLOP/s)")
    table.add_row("int8", f"{int8:.0f}", f"{peak.int8_by} ({int8 / fp32:.1f} times fp32)")
    console.print(table)
    models = arguments.models.split(",") if arguments.models else []
    figures = {"machine": asdict(peak), "models": {name: _shares(name, peak, console) for name in models}}
    print(json.dumps({"benchmark": "peak", "figures": figures}))


def _shares(model: str, peak: Peak, console: Console) -> dict[str, Any]:
    """Measure a model on every engine, on one core, and tell which part of the peak each reaches."""
    from benchmarks import zoo, zoo_rounds

    core = min(os.sched_getaffinity(0))
    with console.status(f"measuring {model}") as status, tempfile.TemporaryDirectory() as folder:
        results = zoo.measure_model(
            model,
            zoo.ENGINES,
            [(core,)],
            Path(folder),
            zoo_rounds.QUICK,
            lambda _, doing: status.update(f"{model}: {doing}"),
        )
    size = multiply_adds(model)
    table = Table(
        *("engine", "pictures/s", "at batch", "of the peak"),
        title=f"{model}: {size / 1e6:.0f} million multiply-adds a picture, one core",
        title_justify="left",
    )
    shares: dict[str, Any] = {}
    for result in results:
        engine = result.job.engine
        if result.failed:
            table.add_row(engine, f"[dim]{result.failed}[/]")
            continue
        per_s = result.per_s(result.best_batch)
        share = peak.share(per_s, size, "int8" if engine.endswith("int8") else "fp32")
        table.add_row(engine, f"{per_s:.1f}", str(result.best_batch), f"{share:.0%}")
        shares[engine] = {"best_per_s": round(per_s, 1), "share_of_peak": round(share, 3)}
    console.print(table)
    return {"million_multiply_adds": round(size / 1e6), "engines": shares}


if __name__ == "__main__":
    main()
