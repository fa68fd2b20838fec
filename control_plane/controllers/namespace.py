"""namespace: a namespace that is being deleted is emptied, then let go.

Everything in it is deleted, kind by kind, the pods before all else; while anything is left its conditions say what,
and what holds it. When nothing is left the finalizer `kubernetes` is removed through the finalize subresource, and
with it the namespace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_not_found
from control_plane.api.meta import Object
from control_plane.client.errors import ConnectionFailed
from control_plane.client.gvr import NAMESPACES, PODS
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller, named
from control_plane.controllers.discovery import Served, served_resources

FINALIZER = "kubernetes"
LOOK_AGAIN_S = 0.5
LOOK_AGAIN_FOR_PODS_S = 1.0
GVR_NOT_DELETABLE = frozenset({("", "bindings"), ("authorization.k8s.io", "localsubjectaccessreviews")})


@dataclass(slots=True)
class Remaining:
    """What one pass over a namespace left behind."""

    counts: dict[str, int] = field(default_factory=dict)  # "pods." → 3
    finalizers: dict[str, int] = field(default_factory=dict)
    discovery_failure: str = ""
    deletion_failures: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not (self.counts or self.discovery_failure or self.deletion_failures)


class NamespaceController(Controller):
    name = "namespace"
    account = "namespace-controller"
    workers = 10

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.namespaces = self.informer(NAMESPACES)
        self.reconcile_each(self.namespaces)

    async def reconcile(self, key: str) -> float | None:
        namespace = named(self.namespaces, key)
        if namespace is None or not meta.is_deleting(namespace):
            return None
        remaining = await self._empty(meta.name_of(namespace))
        if remaining.empty:
            await self._finalize(namespace)
            return None
        await self._report(namespace, remaining)
        return LOOK_AGAIN_FOR_PODS_S if "pods." in remaining.counts else LOOK_AGAIN_S

    async def _empty(self, namespace: str) -> Remaining:
        remaining = Remaining()
        try:
            resources = await served_resources(self.client)
        except (StatusError, ConnectionFailed) as error:
            remaining.discovery_failure = str(error)
            return remaining
        for served in in_order(resources):
            try:
                await self._empty_of(namespace, served, remaining)
            except (StatusError, ConnectionFailed) as error:
                remaining.deletion_failures.append(str(error))
            if served.gvr == PODS and not remaining.empty:
                break  # what pods still use (their network policies, their secrets) outlives them
        return remaining

    async def _empty_of(self, namespace: str, served: Served, remaining: Remaining) -> None:
        objects = (await self.client.list(served.gvr, namespace)).items
        if objects and "deletecollection" in served.verbs:
            await self.client.delete_collection(served.gvr, namespace, propagation="Background")
        elif objects:
            for each in objects:
                await self.client.delete(served.gvr, meta.name_of(each), namespace, propagation="Background")
        if objects:
            count_left(remaining, served, (await self.client.list(served.gvr, namespace)).items)

    async def _finalize(self, namespace: Object) -> None:
        left = [
            each for each in meta.nested(namespace, "spec", "finalizers", default=[]) if each != FINALIZER
        ]
        body = {**namespace, "spec": {**namespace.get("spec", {}), "finalizers": left}}
        try:
            await self.client.update(NAMESPACES, body, "finalize")
        except StatusError as error:
            if not is_not_found(error):
                raise

    async def _report(self, namespace: Object, remaining: Remaining) -> None:
        wanted = conditions(namespace.get("status") or {}, remaining, meta.rfc3339(self.context.now()))
        if wanted != meta.nested(namespace, "status", "conditions"):
            status = {**(namespace.get("status") or {}), "conditions": wanted}
            await self.client.update(NAMESPACES, {**namespace, "status": status}, "status")


def in_order(resources: Iterable[Served]) -> list[Served]:
    """What can be listed and deleted in a namespace; pods first."""
    deletable = [
        each
        for each in resources
        if each.gvr.namespaced
        and {"list", "delete"} <= each.verbs
        and (each.gvr.group, each.gvr.resource) not in GVR_NOT_DELETABLE
    ]
    return sorted(deletable, key=lambda each: each.gvr != PODS)


def count_left(remaining: Remaining, served: Served, left: Iterable[Object]) -> None:
    name = f"{served.gvr.resource}.{served.gvr.group}"
    for obj in left:
        remaining.counts[name] = remaining.counts.get(name, 0) + 1
        for finalizer in meta.finalizers(obj):
            remaining.finalizers[finalizer] = remaining.finalizers.get(finalizer, 0) + 1


def conditions(status: Mapping[str, object], remaining: Remaining, now: str) -> list[Object]:
    """The five conditions of a namespace that is going, in Kubernetes' words."""
    content = ", ".join(
        f"{name} has {count} resource instances" for name, count in sorted(remaining.counts.items())
    )
    held = ", ".join(
        f"{name} in {count} resource instances" for name, count in sorted(remaining.finalizers.items())
    )
    wanted = (
        (
            "NamespaceDeletionDiscoveryFailure",
            ("DiscoveryFailed", f"Discovery failed for some groups: {remaining.discovery_failure}"),
            ("ResourcesDiscovered", "All resources successfully discovered"),
            bool(remaining.discovery_failure),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            ("GroupVersionParsingFailed", ""),
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
            False,
        ),
        (
            "NamespaceDeletionContentFailure",
            (
                "ContentDeletionFailed",
                f"Failed to delete all resource types, {'; '.join(remaining.deletion_failures)}",
            ),
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
            bool(remaining.deletion_failures),
        ),
        (
            "NamespaceContentRemaining",
            ("SomeResourcesRemain", f"Some resources are remaining: {content}"),
            ("ContentRemoved", "All content successfully removed"),
            bool(remaining.counts),
        ),
        (
            "NamespaceFinalizersRemaining",
            ("SomeFinalizersRemain", f"Some content in the namespace has finalizers remaining: {held}"),
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
            bool(remaining.finalizers),
        ),
    )
    old = {each["type"]: each for each in status.get("conditions") or []}  # type: ignore[attr-defined]
    return [
        _condition(old.get(type_), type_, bad if is_bad else good, is_bad, now)
        for type_, bad, good, is_bad in wanted
    ]


def _condition(old: Object | None, type_: str, words: tuple[str, str], is_true: bool, now: str) -> Object:
    status = "True" if is_true else "False"
    since = old["lastTransitionTime"] if old and old["status"] == status else now
    return {
        "type": type_,
        "status": status,
        "lastTransitionTime": since,
        "reason": words[0],
        "message": words[1],
    }
