"""The cores are shared out so that nobody fights, and a container's limits are believed."""

import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier import cgroup
from classifier.threads import ThreadBudget, budget


@pytest.mark.parametrize(
    ("cores", "calls", "engine"),
    [(0.5, 1, 1), (1, 1, 1), (1.5, 1, 1), (2, 2, 1), (3.9, 3, 1), (4, 4, 1), (16, 4, 4)],
)
def test_the_model_gets_a_call_for_each_whole_core_and_more_threads_where_there_are_many(
    cores: float, calls: int, engine: int
) -> None:
    assert budget(cores) == ThreadBudget(engine=engine, calls=calls)


def test_who_asks_for_threads_gets_them_for_one_call_at_a_time() -> None:
    assert budget(8, 3) == ThreadBudget(engine=3, calls=1)


@given(st.floats(0.01, 256), st.integers(0, 64))
def test_a_budget_never_has_more_threads_than_cores_beside_what_was_asked_for(
    cores: float, wanted: int
) -> None:
    found = budget(cores, wanted)
    assert min(found.engine, found.calls) >= 1
    assert found.engine == wanted or not wanted
    assert found.engine * found.calls <= max(1, cores) or wanted


@pytest.mark.parametrize(("cores", "wanted"), [(0, 0), (-1, 0), (math.nan, 0), (math.inf, 0), (2, -1)])
def test_senseless_numbers_are_refused(cores: float, wanted: int) -> None:
    with pytest.raises(ValueError, match="cores"):
        budget(cores, wanted)


def mount(root: Path, files: dict[str, str], own: str) -> tuple[Path, Path]:
    for name, text in files.items():
        path = root / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    (root / "own").write_text(own)
    return root / "cgroup", root / "own"


LIMITS = [
    ({"memory.max": "536870912", "cpu.max": "50000 100000"}, "0::/\n", 536870912, 0.5),
    ({"memory.max": "max", "cpu.max": "max 100000"}, "0::/\n", None, None),
    # The tightest on the way up holds.
    ({"a/memory.max": "300", "a/b/memory.max": "max", "a/b/cpu.max": "150000 100000"}, "0::/a/b\n", 300, 1.5),
    # The host's path, seen from inside a container: only the root exists.
    ({"memory.max": "700", "cpu.max": "200000 100000"}, "0::/kubepods/pod1/x\n", 700, 2.0),
    (
        {
            "memory/memory.limit_in_bytes": "9223372036854771712",
            "memory/x/memory.limit_in_bytes": "400",
            "cpu,cpuacct/x/cpu.cfs_quota_us": "50000",
            "cpu,cpuacct/x/cpu.cfs_period_us": "100000",
        },
        "4:memory:/x\n3:cpu,cpuacct:/x\n0::/\n",
        400,
        0.5,
    ),
    (
        {
            "memory/memory.limit_in_bytes": "9223372036854771712",
            "cpu/cpu.cfs_quota_us": "-1",
            "cpu/cpu.cfs_period_us": "100000",
        },
        "4:memory:/\n1:cpu:/\n",
        None,
        None,
    ),
    # Somebody else's group, and one of another controller.
    ({"other/memory.max": "5", "cpu/y/cpu.max": "1 100"}, "0::/mine\n4:memory:/y\n", None, None),
    ({"memory.max": "", "cpu.max": "nonsense"}, "what is this", None, None),
    ({"cpu.max": "0 0"}, "", None, None),
    ({}, "", None, None),
]


@pytest.mark.parametrize(("files", "own", "memory", "cores"), LIMITS)
def test_a_container_s_limits_are_found(
    tmp_path: Path, files: dict[str, str], own: str, memory: int | None, cores: float | None
) -> None:
    places = mount(tmp_path, files, own)
    assert cgroup.memory_limit_bytes(*places) == memory
    assert cgroup.quota_cores(*places) == cores


def test_where_there_are_no_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert cgroup.memory_limit_bytes(tmp_path / "no", tmp_path / "none") is None
    assert cgroup.usable_cores(tmp_path / "no", tmp_path / "none") == len(os.sched_getaffinity(0))


def test_a_quota_of_half_a_core_is_half_a_core_on_any_machine(tmp_path: Path) -> None:
    places = mount(tmp_path, {"cpu.max": "50000 100000"}, "0::/\n")
    assert cgroup.usable_cores(*places) == 0.5


def test_a_quota_above_the_cores_gives_no_more_of_them(tmp_path: Path) -> None:
    places = mount(tmp_path, {"cpu.max": "99900000 100000"}, "0::/\n")
    assert cgroup.usable_cores(*places) == len(os.sched_getaffinity(0))


def test_the_real_limits_can_be_read() -> None:
    assert cgroup.usable_cores() > 0
    limit = cgroup.memory_limit_bytes()
    assert limit is None or limit > 0
