"""Resources of a container as control-group settings where groups can be made, else as rlimits.

A group is made only for a container with a limit: most pods of a development cluster have none, and each
group costs a directory per controller. With rlimits, memory is RLIMIT_DATA (private writable memory; not
RLIMIT_AS, which runtimes that reserve address space would trip over): the program sees a failed allocation
instead of being killed.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.runtime.interface import Resources

CGROUP_ROOT = Path("/sys/fs/cgroup")
MIN_SHARES = 2  # what the kubelet sets for a container without a CPU request
SUBTREE_CONTROL, CONTROLLERS = "cgroup.subtree_control", "+memory +cpu"
NO_PLAN: dict[str, Any] = {"directories": [], "settings": [], "oom": "", "procs": []}


@dataclass(frozen=True, slots=True)
class Limiter:
    version: int  # 2, 1, or 0: no groups can be made
    memory: Path = CGROUP_ROOT
    cpu: Path = CGROUP_ROOT

    @property
    def explanation(self) -> str:
        return f"cgroup v{self.version}" if self.version else "rlimits (control groups are not writable)"

    def plan(self, container_id: str, resources: Resources) -> dict[str, Any]:
        limited = resources.memory_limit_bytes or resources.cpu_quota_us or resources.cpu_shares > MIN_SHARES
        if not self.version or not limited:
            return NO_PLAN
        return self._plan(container_id, resources, set_all=False)

    def change(self, container_id: str, resources: Resources) -> dict[str, Any] | None:
        """For a container that runs: every setting, since any may have been another. None: rlimits cannot be
        raised without privileges, so that only a restart changes them."""
        return self._plan(container_id, resources, set_all=True) if self.version else None

    def _plan(self, container_id: str, resources: Resources, set_all: bool) -> dict[str, Any]:
        return (_plan_v2 if self.version == 2 else _plan_v1)(self, container_id, resources, set_all)

    def rlimits(self, resources: Resources) -> dict[str, int]:
        limits = {"RLIMIT_CORE": 0}
        if not self.version and resources.memory_limit_bytes:
            limits["RLIMIT_DATA"] = resources.memory_limit_bytes
        return limits


def _plan_v1(limiter: Limiter, container_id: str, resources: Resources, set_all: bool) -> dict[str, Any]:
    memory, cpu = limiter.memory / container_id, limiter.cpu / container_id
    settings = []
    if resources.memory_limit_bytes or set_all:
        settings.append((memory / "memory.limit_in_bytes", resources.memory_limit_bytes or -1))
    if resources.cpu_shares > MIN_SHARES or set_all:
        settings.append((cpu / "cpu.shares", max(resources.cpu_shares, MIN_SHARES)))
    if resources.cpu_quota_us > 0 or set_all:
        settings.append((cpu / "cpu.cfs_period_us", resources.cpu_period_us))
        settings.append((cpu / "cpu.cfs_quota_us", resources.cpu_quota_us or -1))
    usage = memory / "memory.usage_in_bytes", memory / "memory.stat"
    return _as_plan([memory, cpu], settings, memory / "memory.oom_control", usage, resources)


def _plan_v2(limiter: Limiter, container_id: str, resources: Resources, set_all: bool) -> dict[str, Any]:
    group = limiter.memory / container_id
    settings: list[tuple[Path, object]] = [(group.parent / SUBTREE_CONTROL, CONTROLLERS)]
    if resources.memory_limit_bytes or set_all:
        settings.append((group / "memory.max", resources.memory_limit_bytes or "max"))
        settings.append((group / "memory.swap.max", 0))
        settings.append((group / "memory.oom.group", 1))
    if resources.cpu_shares > MIN_SHARES or set_all:
        settings.append((group / "cpu.weight", weight_of(resources.cpu_shares)))
    if resources.cpu_quota_us > 0 or set_all:
        settings.append((group / "cpu.max", f"{resources.cpu_quota_us or 'max'} {resources.cpu_period_us}"))
    usage = group / "memory.current", group / "memory.stat"
    return _as_plan([group], settings, group / "memory.events", usage, resources)


def weight_of(shares: int) -> int:
    """cgroup v1 shares (2..262144) to v2 weight (1..10000), as runc and the kubelet convert them."""
    return 1 + (max(shares, 2) - 2) * 9999 // 262142


def _as_plan(
    directories: list[Path],
    settings: list[tuple[Path, Any]],
    oom: Path,
    usage: tuple[Path, Path],
    resources: Resources,
) -> dict[str, Any]:
    return {
        "directories": [str(directory) for directory in directories],
        "settings": [[str(path), str(value)] for path, value in settings],
        "oom": str(oom),
        "procs": [str(directory / "cgroup.procs") for directory in directories],
        "usage": [str(path) for path in usage],
        "memory_limit": resources.memory_limit_bytes,
    }


def detect(owner: Path) -> Limiter:
    """What this process may do; `owner` (the runtime's directory) names its groups."""
    name = _name(owner)
    with contextlib.suppress(OSError):
        if (CGROUP_ROOT / "cgroup.controllers").exists():
            return _detect_v2(name)
        return _detect_v1(name)
    return Limiter(0)


def sweep(owner: Path) -> None:
    """Remove the groups of containers that are gone: a shim that was killed could not. The kernel keeps those
    that have a process."""
    with contextlib.suppress(OSError, KeyError):
        for group in _groups(_name(owner)):
            for each in [*group.glob("*/"), group]:
                with contextlib.suppress(OSError):
                    each.rmdir()


def _groups(name: str) -> list[Path]:
    if (CGROUP_ROOT / "cgroup.controllers").exists():
        return [_parent_v2() / name]
    own = _own_groups()
    return [CGROUP_ROOT / each / own[each].lstrip("/") / name for each in ("memory", "cpu")]


def _name(owner: Path) -> str:
    return "balsa-" + hashlib.sha256(str(owner).encode()).hexdigest()[:12]


def _detect_v1(name: str) -> Limiter:
    memory, cpu = _groups(name)
    for group in (memory, cpu):
        group.mkdir(exist_ok=True)
        with contextlib.suppress(OSError):  # pods of an earlier agent are in it
            group.rmdir()
    return Limiter(1, memory, cpu)


def _detect_v2(name: str) -> Limiter:
    """A sibling of our own group: a group that has processes cannot hand controllers to its children."""
    (group,) = _groups(name)
    group.mkdir(exist_ok=True)
    (group / SUBTREE_CONTROL).write_text(CONTROLLERS)
    with contextlib.suppress(OSError):  # pods of an earlier agent are in it
        group.rmdir()
    return Limiter(2, group, group)


def _parent_v2() -> Path:
    own = CGROUP_ROOT / _own_groups()[""].lstrip("/")
    return own.parent if own != CGROUP_ROOT else own


def _own_groups() -> dict[str, str]:
    found = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path
    return found
