"""`balsa doctor`: what this machine allows, found out by trying, and what follows where it allows less."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.home import Home
from cluster.network import HOW
from node.network import fabric
from node.runtime.process import limits
from node.runtime.process.isolation import Isolation
from node.runtime.process.shim.probe import probe

OLDEST_KUBECTL = 27
KUBECTL_TIMEOUT_S = 10.0
LOW_DISK_FRACTION = 0.01  # where the nodes of a cluster begin to evict (plan.EVICTION_HARD)


@dataclass(frozen=True, slots=True)
class Finding:
    """`but`: what does not work for it; none: all is well."""

    what: str
    how: str
    but: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        yield f"{'!' if self.but else '✓'} {self.what:<9} {self.how}"
        for each in self.but:
            yield f"  {'':<9} {each}"


def examine(home: Home) -> list[Finding]:
    return [_network(), _isolation(), _limits(home), kubectl(), _disk(home)]


def _network() -> Finding:
    allowed = fabric.capabilities()
    if allowed.netns:
        return Finding("network", f"pods have {HOW[allowed.mode]}")
    return Finding(
        "network",
        f"pods share {HOW[allowed.mode]}",
        (*allowed.reasons, "pods must bind the address in POD_IP; ports below 1024 are refused"),
    )


def _isolation() -> Finding:
    found = Isolation(**_in_child())
    if found.isolated:
        return Finding("isolation", str(found))
    return Finding("isolation", "pods are ordinary processes that see the host's files", (found.reason,))


def _in_child() -> dict[str, Any]:
    """The probe changes the process that runs it."""
    reader, writer = os.pipe()
    directory = Path(os.environ.get("TMPDIR", "/tmp"))  # noqa: S108 a mount point in the child's own namespace
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, json.dumps(probe(str(directory))).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        answer = file.read()
    os.waitpid(pid, 0)
    found: dict[str, Any] = json.loads(answer or b'{"isolated": false, "reason": "the probe ended"}')
    return found


def _limits(home: Home) -> Finding:
    limiter = limits.detect(home.nodes)
    if limiter.version:
        does = "memory is limited (OOMKilled), CPU is throttled, resize in place"
        return Finding("limits", f"{limiter.explanation}: {does}")
    return Finding(
        "limits",
        limiter.explanation,
        (
            "a container at its memory limit sees failed allocations instead of being killed (RLIMIT_DATA)",
            "CPU limits and requests are not enforced; a change of a memory limit needs a restart",
        ),
    )


def kubectl() -> Finding:
    found = shutil.which("kubectl")
    if found is None:
        return Finding("kubectl", "is not installed", ("https://kubernetes.io/docs/tasks/tools/ says how",))
    minor = _minor_version(found)
    if minor is None:
        return Finding("kubectl", found, ("it does not say its version",))
    if minor < OLDEST_KUBECTL:
        return Finding(
            "kubectl", f"{found} is 1.{minor}", (f"1.{OLDEST_KUBECTL} is the oldest that is known to work",)
        )
    return Finding("kubectl", f"{found} is 1.{minor}")


def _minor_version(kubectl: str) -> int | None:
    try:
        done = subprocess.run(
            [kubectl, "version", "--client", "-o", "json"],
            capture_output=True,
            timeout=KUBECTL_TIMEOUT_S,
            check=False,
        )
        return int(re.sub(r"\D", "", json.loads(done.stdout)["clientVersion"]["minor"]))
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError):
        return None


def _disk(home: Home) -> Finding:
    place = next(each for each in (home.root, *home.root.parents) if each.exists())
    usage = shutil.disk_usage(place)
    how = f"{usage.free / 2**30:.1f} GiB of {usage.total / 2**30:.1f} GiB are free at {place}"
    if usage.free < usage.total * LOW_DISK_FRACTION:
        return Finding("disk", how, ("nodes evict pods when less than 1% is free",))
    return Finding("disk", how)
