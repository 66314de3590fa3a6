"""Signals become an exception inside, and are others' again outside."""

import os
import signal

import pytest

from bot import interrupts


def signalled(number: signal.Signals) -> object:
    """Get a signal, and tell who handles the next one."""
    with interrupts.raised():
        try:
            os.kill(os.getpid(), number)
        except interrupts.Interrupted as interrupted:
            return interrupted.exit_code, signal.getsignal(number)
    return None


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_raises_once_and_then_ends_the_process_as_ever(number: signal.Signals, code: int) -> None:
    before = signal.getsignal(number)
    assert signalled(number) == (code, signal.SIG_DFL)
    assert signal.getsignal(number) is before


def test_ordinary_handlers_of_exceptions_let_it_pass() -> None:
    assert not issubclass(interrupts.Interrupted, Exception | KeyboardInterrupt)
