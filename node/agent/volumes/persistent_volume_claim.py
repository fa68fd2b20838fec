"""persistentVolumeClaim and ephemeral: the bound volume of a claim, of the types hostPath and local; directories of
the built-in provisioner are made and kept by the agent (see local_path)."""

from __future__ import annotations

from pathlib import Path

from node.agent.errors import VolumeError
from node.agent.pod_spec import Obj, name, namespace, uid
from node.agent.volumes import host_path, local_path
from node.agent.volumes.interface import Request, Volume


class ClaimVolume:
    field = "persistentVolumeClaim"
    directory = "kubernetes.io~claim"
    changes = False

    async def set_up(self, request: Request) -> Volume:
        read_only = bool(request.source.get("readOnly"))
        return await _mount(request, request.source["claimName"], read_only, owner=None)

    async def tear_down(self, directory: Path) -> None:
        """The data belongs to the persistent volume."""


class EphemeralVolume:
    """The claim `<pod>-<volume>`, which the ephemeral-volume controller makes and the pod must own."""

    field = "ephemeral"
    directory = "kubernetes.io~ephemeral"
    changes = False

    async def set_up(self, request: Request) -> Volume:
        claim = f"{name(request.pod)}-{request.volume['name']}"
        return await _mount(request, claim, read_only=False, owner=uid(request.pod))

    async def tear_down(self, directory: Path) -> None:
        """The data belongs to the persistent volume."""


async def _mount(request: Request, claim_name: str, read_only: bool, owner: str | None) -> Volume:
    claim = await request.services.claim(namespace(request.pod), claim_name)
    if claim is None:
        raise VolumeError(f'persistentvolumeclaim "{claim_name}" not found')
    owners = [each.get("uid") for each in claim["metadata"].get("ownerReferences") or []]
    if owner is not None and owner not in owners:
        raise VolumeError(f"PVC {namespace(request.pod)}/{claim_name} was not created for the pod")
    if claim["metadata"].get("deletionTimestamp"):
        raise VolumeError(f"PVC {claim_name} is being deleted")
    volume_name = claim["spec"].get("volumeName")
    if not volume_name or (claim.get("status") or {}).get("phase") != "Bound":
        raise VolumeError(f"PVC {claim_name} is not bound")
    volume = await request.services.persistent_volume(volume_name)
    if volume is None:
        raise VolumeError(f'persistentvolume "{volume_name}" not found')
    bound_to = (volume["spec"].get("claimRef") or {}).get("uid")
    if bound_to != claim["metadata"].get("uid"):
        raise VolumeError(f"PersistentVolume {volume_name} is not bound to PVC {claim_name}")
    own = local_path.own_directory(volume, request.services.local_volumes)
    if own is not None:
        return Volume(own, read_only, of_node=True)
    return Volume(_path(volume), read_only)


def _path(volume: Obj) -> Path:
    spec = volume["spec"]
    if "hostPath" in spec:
        path = Path(spec["hostPath"]["path"])
        host_path.check(path, spec["hostPath"].get("type") or "")
        return path
    if "local" in spec:
        path = Path(spec["local"]["path"])
        if not path.exists():
            raise VolumeError(f'path "{path}" does not exist')
        return path
    raise VolumeError(f"no volume plugin matched name: {volume['metadata']['name']}")


PLUGIN = ClaimVolume()
EPHEMERAL = EphemeralVolume()
