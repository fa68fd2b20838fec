"""emptyDir: a directory that lives as long as the pod on this node.

With `medium: Memory` the sandbox keeps it in memory, bounded (`in_memory`), where the runtime can: its files are
then gone with the sandbox, and nobody on the host sees them. A volume that is mounted by a subPath stays on disk,
since the agent makes the subPath's directory.
"""

from __future__ import annotations

from pathlib import Path

from control_plane.api.quantity import ZERO, Quantity, parse
from node.agent import qos
from node.agent.pod_spec import Obj, containers_by_role
from node.agent.volumes import cleanup
from node.agent.volumes.interface import Request, Volume
from node.runtime.interface import MemoryVolume

MODE = 0o777


class EmptyDirVolume:
    field = "emptyDir"
    directory = "kubernetes.io~empty-dir"
    changes = False

    async def set_up(self, request: Request) -> Volume:
        if not request.directory.is_dir():
            request.directory.mkdir(parents=True)
            request.directory.chmod(MODE)
        return Volume(request.directory)

    async def tear_down(self, directory: Path) -> None:
        cleanup.remove(directory)


PLUGIN = EmptyDirVolume()


def in_memory(pod: Obj, pod_directory: Path, memory_bytes: int) -> list[MemoryVolume]:
    """Those of the pod's volumes that its sandbox keeps in memory. Their size is the smallest of what the volume,
    the containers' limits together and the node allow."""
    mounts = [
        each for _, container in containers_by_role(pod) for each in container.get("volumeMounts") or []
    ]
    used = {each["name"] for each in mounts}
    by_path = {each["name"] for each in mounts if each.get("subPath") or each.get("subPathExpr")}
    group = int((pod["spec"].get("securityContext") or {}).get("fsGroup") or 0)
    made = []
    for volume in pod["spec"].get("volumes") or []:
        source = volume.get("emptyDir") or {}
        if source.get("medium") == "Memory" and volume["name"] in used - by_path:
            path = pod_directory / "volumes" / PLUGIN.directory / volume["name"]
            sizes = [memory_bytes, _limit(pod), parse(source.get("sizeLimit") or 0).value()]
            size = min((each for each in sizes if each > 0), default=0)
            made.append(MemoryVolume(str(path), size, group))
    return made


def _limit(pod: Obj) -> int:
    """The memory that the pod's containers may use together; 0 when one of them has no limit, nor the pod."""
    whole = qos.pod_limits(pod).get("memory")
    if whole is not None:
        return whole.value()
    total: Quantity = ZERO
    for _, container in containers_by_role(pod):
        limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
        if limit is None:
            return 0
        total = total + parse(limit)
    return total.value()
