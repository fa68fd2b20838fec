"""Why a namespace does not go, or what in it is not well. Pure."""

from __future__ import annotations

from cluster.why import claims, pods, quotas, services, workloads
from cluster.why.cause import Cause, grouped
from cluster.why.world import World, age
from control_plane.api import meta
from control_plane.client.types import Obj

BLOCKING = (
    "NamespaceDeletionDiscoveryFailure",
    "NamespaceDeletionGroupVersionParsingFailure",
    "NamespaceDeletionContentFailure",
    "NamespaceFinalizersRemaining",
    "NamespaceContentRemaining",
)


def explain(world: World, namespace: Obj) -> Cause:
    about = f"namespace/{meta.name_of(namespace)}"
    if meta.is_deleting(namespace):
        return _deleting(world, namespace, about)
    troubles = _troubles(world)
    if not troubles:
        return Cause(about, "is active, and everything in it is well", healthy=True)
    return Cause(about, "is active; not everything in it is well", because=grouped(troubles))


def _deleting(world: World, namespace: Obj, about: str) -> Cause:
    says = f"was deleted {age(world, namespace['metadata']['deletionTimestamp'])} ago and is still there"
    conditions = [meta.condition(namespace, kind) or {} for kind in BLOCKING]
    facts = [
        str(each["message"]) for each in conditions if each.get("status") == "True" and each.get("message")
    ]
    because = [pods.explain(world, pod) for pod in world.all("pods")]
    because += [
        claims.explain(world, each) for each in world.all("persistentvolumeclaims") if meta.is_deleting(each)
    ]
    steps = []
    if meta.condition_is_true(namespace, "NamespaceDeletionDiscoveryFailure"):
        steps.append("kubectl get apiservices: delete or repair the one that is not available")
    if meta.condition_is_true(namespace, "NamespaceFinalizersRemaining"):
        steps.append(
            "remove the finalizers that are named from the objects that carry them, if their owner is gone"
        )
    left = [each for each in (namespace.get("spec") or {}).get("finalizers") or () if each != "kubernetes"]
    if left:
        facts.append(f"spec.finalizers: {', '.join(left)}")
        steps.append(f"the owner of {left[0]} must finish, through namespaces/finalize")
    if not facts and not because:
        steps.append("balsa status: is a controller-manager leading?")
    return Cause(about, says, tuple(facts), grouped(because), tuple(steps))


def _troubles(world: World) -> list[Cause]:
    """Of what nobody else owns: what is below follows from it."""
    found = [workloads.explain(world, kind, each) for kind, each in workloads.roots(world)]
    found += [pods.explain(world, pod) for pod in world.all("pods") if meta.controller_of(pod) is None]
    found += [claims.explain(world, each) for each in world.all("persistentvolumeclaims")]
    found += [services.explain(world, each) for each in world.all("services")]
    found += quotas.exhausted(world)
    return [each for each in found if not each.healthy]
