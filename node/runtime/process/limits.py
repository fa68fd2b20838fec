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

from node.runtime.interface import PodResources, Resources

CGROUP_ROOT = Path("/sys/fs/cgroup")
MIN_SHARES = 2  # what the kubelet sets for a container without a CPU request
SUBTREE_CONTROL, CONTROLLERS = "cgroup.subtree_control", "+memory +cpu"
NO_PLAN: dict[str, Any] = {
    "directories": [], "parents": [], "settings": [], "oom": "", "procs": [], "bounds": []
}  # fmt: skip

Settings = list[tuple[Path, Any]]
Amounts = Resources | PodResources


@dataclass(frozen=True, slots=True)
class Limiter:
    version: int  # 2, 1, or 0: no groups can be made
    memory: Path = CGROUP_ROOT
    cpu: Path = CGROUP_ROOT

    @property
    def explanation(self) -> str:
        return f"cgroup v{self.version}" if self.version else "rlimits (control groups are not writable)"

    def plan(self, container_id: str, resources: Resources, pod_uid: str = "") -> dict[str, Any]:
        limited = resources.memory_limit_bytes or resources.cpu_quota_us or resources.cpu_shares > MIN_SHARES
        if not self.version or not (limited or resources.pod):
            return NO_PLAN
        return self._plan(container_id, resources, pod_uid, set_all=False)

    def change(self, container_id: str, resources: Resources, pod_uid: str = "") -> dict[str, Any] | None:
        """For a container that runs: every setting, since any may have been another. None: rlimits cannot be
        raised without privileges, so that only a restart changes them."""
        return self._plan(container_id, resources, pod_uid, set_all=True) if self.version else None

    def _plan(self, container_id: str, resources: Resources, pod_uid: str, set_all: bool) -> dict[str, Any]:
        """The group of a container, within its pod's if that has limits of its own. Every container sets those:
        whoever comes first makes the group."""
        own = self._within(container_id)
        settings, bounds, parents = self._control(), [own._bound("", resources)], [self]
        if resources.pod is not None:
            pod = self._within(f"pod{pod_uid}")
            own = pod._within(container_id)
            settings += pod._settings(resources.pod, set_all=True) + pod._control()
            bounds = [pod._bound("pod", resources.pod), own._bound("", resources)]
            parents = [pod, self]
        settings += own._settings(resources, set_all)
        if self.version == 2 and (resources.memory_limit_bytes or set_all):
            settings.append((own.memory / "memory.oom.group", 1))
        oom = "memory.events" if self.version == 2 else "memory.oom_control"
        return {
            "directories": [str(each) for each in own._directories()],
            "parents": [str(each) for parent in parents for each in parent._directories()],
            "settings": [[str(path), str(value)] for path, value in settings],
            "oom": str(own.memory / oom),
            "procs": [str(each / "cgroup.procs") for each in own._directories()],
            "bounds": bounds,
        }

    def rlimits(self, resources: Resources) -> dict[str, int]:
        limits = {"RLIMIT_CORE": 0}
        if not self.version and resources.memory_limit_bytes:
            limits["RLIMIT_DATA"] = resources.memory_limit_bytes
        return limits

    # ---- one group, or with version 1 one of each kind

    def _within(self, name: str) -> Limiter:
        return Limiter(self.version, self.memory / name, self.cpu / name)

    def _directories(self) -> list[Path]:
        return [self.memory] if self.version == 2 else [self.memory, self.cpu]

    def _control(self) -> Settings:
        """What hands the controllers to the groups below."""
        return [(self.memory / SUBTREE_CONTROL, CONTROLLERS)] if self.version == 2 else []

    def _settings(self, amounts: Amounts, set_all: bool) -> Settings:
        return (_settings_v2 if self.version == 2 else _settings_v1)(self, amounts, set_all)

    def _bound(self, of: str, amounts: Amounts) -> list[Any]:
        """What `refuse_below_usage` of the shim looks at."""
        usage = "memory.current" if self.version == 2 else "memory.usage_in_bytes"
        return [of, amounts.memory_limit_bytes, str(self.memory / usage), str(self.memory / "memory.stat")]


def _settings_v1(group: Limiter, amounts: Amounts, set_all: bool) -> Settings:
    settings: Settings = []
    if amounts.memory_limit_bytes or set_all:
        settings.append((group.memory / "memory.limit_in_bytes", amounts.memory_limit_bytes or -1))
    if amounts.cpu_shares > MIN_SHARES or set_all:
        settings.append((group.cpu / "cpu.shares", max(amounts.cpu_shares, MIN_SHARES)))
    if amounts.cpu_quota_us > 0 or set_all:
        settings.append((group.cpu / "cpu.cfs_period_us", amounts.cpu_period_us))
        settings.append((group.cpu / "cpu.cfs_quota_us", amounts.cpu_quota_us or -1))
    return settings


def _settings_v2(group: Limiter, amounts: Amounts, set_all: bool) -> Settings:
    settings: Settings = []
    if amounts.memory_limit_bytes or set_all:
        settings.append((group.memory / "memory.max", amounts.memory_limit_bytes or "max"))
        settings.append((group.memory / "memory.swap.max", 0))
    if amounts.cpu_shares > MIN_SHARES or set_all:
        settings.append((group.memory / "cpu.weight", weight_of(amounts.cpu_shares)))
    if amounts.cpu_quota_us > 0 or set_all:
        quota = f"{amounts.cpu_quota_us or 'max'} {amounts.cpu_period_us}"
        settings.append((group.memory / "cpu.max", quota))
    return settings


def weight_of(shares: int) -> int:
    """cgroup v1 shares (2..262144) to v2 weight (1..10000), as runc and the kubelet convert them."""
    return 1 + (max(shares, 2) - 2) * 9999 // 262142


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
            for each in [*group.glob("*/*/"), *group.glob("*/"), group]:
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
