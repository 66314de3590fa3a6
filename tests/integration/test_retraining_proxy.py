"""Feedback corrects a planted weakness of the drawn task: the benchmark's whole way, smaller."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.retraining import BASE, BETTER, WORSE, commands, configuration, run
from benchmarks.retraining_world import Scale, exchanged
from bot.settings import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SMALL = Scale(
    side_px=72, input_px=48, base=1000, base_epochs=8, period=600, days=2, daily_budget=300, epochs=25
)


SAME_NUMBERS = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2"}
"""What a network learns depends on how a processor rounds sums, and so on its instructions. These are on
every x86-64 machine of the last ten years; others ignore the names. They are read once in a process."""


def test_feedback_improves_beyond_the_interval_and_is_promoted_and_what_is_worse_is_refused(
    tmp_path: Path,
) -> None:
    code = f"from pathlib import Path; from {__name__} import check; check(Path({str(tmp_path)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | SAME_NUMBERS, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def check(tmp_path: Path) -> None:
    """What the test says, in a process of its own."""
    give = commands(configuration(tmp_path, SMALL))
    found = run(tmp_path, SMALL, give, lambda _what: None, (BETTER, WORSE), exchanged)
    assert found.compared[BETTER]["f1"]["low"] > 0
    assert found.truth[BETTER] > found.truth[BASE] > found.truth[WORSE]
    assert found.promoted[BETTER][0], found.promoted[BETTER][1]
    assert not found.promoted[WORSE][0]
    assert "not promoted: worse less base" in found.promoted[WORSE][1]
    assert "base data: " in found.told[BETTER]
    code, history = give(["models", "history", "--json"])
    assert code == 0
    assert '"name": "better"' in history.splitlines()[0]
    assert '"standing": "active"' in history.splitlines()[0]
