"""Why a claim is not bound, or does not go. Pure."""

from __future__ import annotations

from cluster.why.cause import Cause
from cluster.why.world import World, age
from control_plane.api import meta, selectors
from control_plane.api.quantity import parse_or_zero
from control_plane.client.types import Obj

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROTECTION = "kubernetes.io/pvc-protection"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
MAX_VOLUMES_SHOWN = 5


def missing(name: str) -> Cause:
    return Cause(f"persistentvolumeclaim/{name}", "does not exist", do=(f"create the claim {name}",))


def explain(world: World, claim: Obj) -> Cause:
    about = f"persistentvolumeclaim/{meta.name_of(claim)}"
    phase = (claim.get("status") or {}).get("phase")
    if meta.is_deleting(claim):
        return _deleting(world, claim, about)
    if phase == "Bound":
        return Cause(about, f"is bound to {claim['spec'].get('volumeName')}", healthy=True)
    if phase == "Lost":
        return Cause(
            about,
            f"has lost its volume {claim['spec'].get('volumeName')}",
            do=("restore the volume from a backup, or delete the claim and make a new one",),
        )
    return _pending(world, claim, about)


def users(world: World, claim: Obj) -> list[Obj]:
    """The pods that mount it."""
    name = meta.name_of(claim)
    return [
        pod
        for pod in world.all("pods")
        if any(
            (volume.get("persistentVolumeClaim") or {}).get("claimName") == name
            for volume in pod["spec"].get("volumes") or ()
        )
    ]


def _deleting(world: World, claim: Obj, about: str) -> Cause:
    says = f"was deleted {age(world, claim['metadata']['deletionTimestamp'])} ago and is still there"
    finalizers = meta.finalizers(claim)
    using = [f"pod/{meta.name_of(pod)}" for pod in users(world, claim) if not _ended(pod)]
    if PROTECTION in finalizers and using:
        because = tuple(Cause(name, "still uses it") for name in using[:MAX_VOLUMES_SHOWN])
        return Cause(about, says, because=because, do=(f"delete {' '.join(using[:MAX_VOLUMES_SHOWN])}",))
    return Cause(
        about, says, tuple(f"finalizer {each}" for each in finalizers), do=_finalizer_step(finalizers)
    )


def _finalizer_step(finalizers: list[str]) -> tuple[str, ...]:
    return (f"find out why the owner of {finalizers[0]} does not finish",) if finalizers else ()


def _ended(pod: Obj) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _pending(world: World, claim: Obj, about: str) -> Cause:
    name = claim["spec"].get("storageClassName")
    if name is None and not any(_is_default(each) for each in world.all("storageclasses")):
        return Cause(
            about,
            "waits for a volume: it names no storage class, there is no default one, and no volume matches",
            _unfit(world, claim),
            do=("make a storage class the default, name one in the claim, or create a volume that matches",),
        )
    storage_class = world.get("storageclasses", name) if name else None
    if name and storage_class is None:
        known = ", ".join(sorted(meta.name_of(each) for each in world.all("storageclasses"))) or "none"
        return Cause(
            about, f"names the storage class {name!r}, which does not exist", (f"there are: {known}",),
            do=(f"create the storage class {name}, or name another one in a new claim",),
        )  # fmt: skip
    if storage_class is None:
        step = "create a volume without a storage class that matches the claim"
        return Cause(about, "waits for a volume to be made by hand", _unfit(world, claim), do=(step,))
    return _of_class(world, claim, storage_class, about)


def _of_class(world: World, claim: Obj, storage_class: Obj, about: str) -> Cause:
    class_name, provisioner = meta.name_of(storage_class), storage_class.get("provisioner", "")
    late = storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"
    failed = world.last_message(claim, "ProvisioningFailed")
    if late and not failed and SELECTED_NODE not in meta.annotations(claim):
        if not users(world, claim):
            return Cause(
                about,
                f"waits for a pod that uses it, as the storage class {class_name} says",
                do=("create the pod that mounts the claim; until then this is as it should be",),
            )
        waiting = tuple(
            Cause(f"pod/{meta.name_of(pod)}", "uses it and has no node yet")
            for pod in users(world, claim)[:1]
        )
        step = f"balsa why {waiting[0].about}"
        return Cause(about, "waits for the pod that uses it to be given a node", because=waiting, do=(step,))
    if failed:
        return Cause(
            about, f"cannot be provisioned by {provisioner}", (failed,), do=(f"see the log of {provisioner}",)
        )
    if provisioner == NO_PROVISIONER:
        step = f"create a volume of the storage class {class_name} that matches the claim"
        return Cause(about, "waits for a volume: its class makes none", _unfit(world, claim), do=(step,))
    return Cause(
        about,
        f"waits for {provisioner} to make a volume",
        do=(f"check that the provisioner {provisioner} runs",),
    )


def _is_default(storage_class: Obj) -> bool:
    return meta.annotations(storage_class).get(DEFAULT_CLASS) == "true"


def _unfit(world: World, claim: Obj) -> tuple[str, ...]:
    """Why each volume there is does not do."""
    volumes = world.all("persistentvolumes")
    if not volumes:
        return ("there are no volumes",)
    told = [f"persistentvolume/{meta.name_of(each)}: {_mismatch(claim, each)}" for each in volumes]
    return tuple(told[:MAX_VOLUMES_SHOWN])


def _mismatch(claim: Obj, volume: Obj) -> str:
    spec, wanted = volume["spec"], claim["spec"]
    bound = spec.get("claimRef") or {}
    if bound and bound.get("name") != meta.name_of(claim):
        return f"belongs to the claim {bound.get('namespace')}/{bound.get('name')}"
    if (spec.get("storageClassName") or "") != (wanted.get("storageClassName") or ""):
        return f"is of the storage class {spec.get('storageClassName') or 'none'}"
    size = parse_or_zero((spec.get("capacity") or {}).get("storage"))
    asked = parse_or_zero(((wanted.get("resources") or {}).get("requests") or {}).get("storage"))
    if size.nanos < asked.nanos:
        return f"is too small: {size} of {asked}"
    if modes := sorted(set(wanted.get("accessModes") or ()) - set(spec.get("accessModes") or ())):
        return f"does not offer {', '.join(modes)}"
    selector = wanted.get("selector")
    if selector and not selectors.from_label_selector(selector).matches(meta.labels(volume)):
        return "does not match the claim's selector"
    if (spec.get("volumeMode") or "Filesystem") != (wanted.get("volumeMode") or "Filesystem"):
        return f"is of the mode {spec.get('volumeMode')}"
    return "matches, and is not bound yet"
