"""Freed memory goes back to the system when it is asked for."""

import platform
import subprocess
import sys

import pytest

from bot.settings import ROOT

PROGRAM = """
import psutil
from classifier.memory import give_back_freed
pieces = [bytes(4000) for _ in range(20_000)]
last = bytes(4000)  # lies behind them all, so the library cannot simply shorten its heap
full = psutil.Process().memory_info().rss
del pieces
assert give_back_freed()
assert psutil.Process().memory_info().rss < full - 60e6, "still resident"
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked")
def test_memory_that_was_freed_is_given_back() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, check=True)
