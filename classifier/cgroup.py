"""What the container allows: memory and processor time, which neither Python nor the libraries ask about.

Reads Linux's control groups in both versions. A limit that cannot be read is no limit: elsewhere there are
none, and guessing one would keep a machine from using what it has.
"""

import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def memory_limit_bytes(root: Path = _ROOT, own_groups: Path = _OWN_GROUPS) -> int | None:
    """The memory that this process's group and those around it allow.

    Args:
        root: Where the control groups are mounted.
        own_groups: The file that names the groups of this process.

    Returns:
        Bytes, the least of all limits that hold; None where there is none. A number beyond what any machine
        has, which is how version 1 says "unlimited", is none either.
    """
    limits = [
        int(text)
        for text in _values(root, own_groups, "memory", ("memory.max", "memory.limit_in_bytes"))
        if text.isdigit() and int(text) < 2**60
    ]
    return min(limits, default=None)


def quota_cores(root: Path = _ROOT, own_groups: Path = _OWN_GROUPS) -> float | None:
    """The processor time that this process's group and those around it allow.

    Args:
        root: As for `memory_limit_bytes`.
        own_groups: As for `memory_limit_bytes`.

    Returns:
        Cores, such as 0.5; None where there is no quota.
    """
    quotas = []
    for text in _values(root, own_groups, "cpu", ("cpu.max",)):
        quota, _, period = text.partition(" ")
        quotas.append((quota, period))
    quotas += zip(
        _values(root, own_groups, "cpu", ("cpu.cfs_quota_us",)),
        _values(root, own_groups, "cpu", ("cpu.cfs_period_us",)),
        strict=False,
    )
    return min(
        (
            int(quota) / int(period)
            for quota, period in quotas
            if quota.isdigit() and period.isdigit() and int(quota) and int(period)
        ),
        default=None,
    )


def usable_cores(root: Path = _ROOT, own_groups: Path = _OWN_GROUPS) -> float:
    """How much processor this process may really use.

    Args:
        root: As for `memory_limit_bytes`.
        own_groups: As for `memory_limit_bytes`.

    Returns:
        Cores: those it may run on, or less where a quota says so (half a core in a small container).
    """
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        allowed = os.cpu_count() or 1
    quota = quota_cores(root, own_groups)
    return float(allowed) if quota is None else min(float(allowed), quota)


def _values(root: Path, own_groups: Path, controller: str, names: tuple[str, ...]) -> Iterator[str]:
    """The content of a limit's files, from this process's group up to the root of the mount."""
    for folder in _folders(root, own_groups, controller):
        for name in names:
            try:
                yield (folder / name).read_text(encoding="ascii").strip()
            except (OSError, ValueError):
                continue


def _folders(root: Path, own_groups: Path, controller: str) -> Iterator[Path]:
    """Where limits may stand: this process's group, those around it, and the root of the mount.

    In a container, the group's path is often the host's: then only the root exists, and is the container's.
    """
    try:
        lines = own_groups.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    seen = {root, root / controller}
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / controllers if controllers else root
        group = mount / path.strip("/")
        seen |= {folder for folder in (group, *group.parents) if folder.is_relative_to(mount)}
    yield from sorted(seen)
