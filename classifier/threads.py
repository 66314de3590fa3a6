"""Who may use how many threads, so that decode workers and engine do not fight over the cores.

More runnable threads than cores do not make anything faster: the libraries' threads spin while they wait for
each other, and a thread that lost its core keeps all others of its kind waiting. Measured with two decode
workers on two cores, ONNX Runtime spends 60 to 90 % more processor time on a picture with two threads than
with one, OpenVINO 20 to 40 %, and in seven of eight comparisons fewer pictures were scored a second.
"""

import math
from dataclasses import dataclass

MAX_CALLS = 4
"""Calls of the model side by side at most."""


@dataclass(frozen=True, slots=True)
class ThreadBudget:
    """The threads of the model; a decode worker has one, see `budget`.

    Attributes:
        engine: Of one call of the model.
        calls: Of the model, side by side.
    """

    engine: int
    calls: int


def budget(cores: float, wanted: int = 0) -> ThreadBudget:
    """Share the cores out.

    The model gets a call with one thread for each core: a picture costs it several times as much as the
    decoder, workers that are ahead wait for it, and two pictures side by side need less processor time than
    two threads on one. A worker never gets a second thread: pictures are decoded faster by another worker
    than by another thread, and threads cost address space, which is limited.

    Args:
        cores: That the process may use, also a part of one; see `classifier.cgroup.usable_cores`.
        wanted: Threads that the operator wants for one call, of which there is then one at a time; 0: what
            the cores allow.

    Returns:
        The threads, each at least 1.

    Raises:
        ValueError: Where a number makes no sense.
    """
    if not (cores > 0 and math.isfinite(cores)) or wanted < 0:
        raise ValueError(f"{cores} cores, {wanted} threads")
    # A part of a core is no core: a thread that is throttled half of the time holds up the others.
    whole = max(1, math.floor(cores))
    # Each call holds memory of its own.
    calls = 1 if wanted else min(whole, MAX_CALLS)
    return ThreadBudget(engine=wanted or max(1, whole // calls), calls=calls)
