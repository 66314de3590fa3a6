"""One way to open an ONNX file with ONNX Runtime, for our own graphs and other people's; CPU only."""

import math
from pathlib import Path

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as library

from classifier.cgroup import usable_cores

ERRORS = (
    library.EPFail,
    library.Fail,
    library.InvalidArgument,
    library.InvalidGraph,
    library.InvalidProtobuf,
    library.NoSuchFile,
    library.NotImplemented,
    library.RuntimeException,
    RuntimeError,
)
"""What the library raises; its own classes have no common root but `Exception`."""
_ERRORS_ONLY = 3


def open_session(path: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """Load a graph.

    Args:
        path: The ONNX file; the caller has verified its hash.
        threads: Threads of one prediction; 0: as many as there are cores for this process.

    Returns:
        The session; it can be called from several threads.

    Raises:
        Exception: One of `ERRORS`, where the library cannot read the file.
    """
    return onnxruntime.InferenceSession(str(path), _options(threads), providers=["CPUExecutionProvider"])


def first_line(error: BaseException) -> str:
    """What an error of the library says, on one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    # Left to itself the library pins its threads to cores, which a container may forbid.
    options.intra_op_num_threads = threads or max(1, math.floor(usable_cores()))
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Threads that spin between layers and batches burn the processor time that decoding needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A plan of the memory is kept per batch size: 294 MB resident instead of 189, and no faster (open_nsfw).
    options.enable_mem_pattern = False
    options.log_severity_level = _ERRORS_ONLY
    return options


__all__ = ["ERRORS", "first_line", "open_session"]
