"""Ctrl-C and SIGTERM as an exception, for commands that compute for hours and leave a sentence behind.

Not `KeyboardInterrupt`: Lightning catches that one and leaves with exit code 1 and words of its own.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_SIGNALLED = 128
"""Plus the signal's number, as shells have it: 130 after Ctrl-C, 143 after SIGTERM."""


class Interrupted(BaseException):
    """Somebody wants this to end.

    Args:
        number: The signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = EXIT_SIGNALLED + number


@contextmanager
def raised() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `Interrupted` inside; a second one ends the process as ever.

    Raises:
        Interrupted: In the main thread, wherever it is.
    """
    owner = os.getpid()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        if os.getpid() != owner:  # a process that decodes; torch's workers leave quietly at this one
            raise KeyboardInterrupt
        for each in before:
            signal.signal(each, signal.SIG_DFL)
        raise Interrupted(number)

    try:
        for number in before:
            signal.signal(number, end)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


__all__ = ["EXIT_SIGNALLED", "Interrupted", "raised"]
