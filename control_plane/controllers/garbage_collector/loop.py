"""The thin half: monitors for every kind, two kinds of work, and a look at the live object before each deletion."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import ClassVar

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_conflict, is_not_found
from control_plane.api.meta import Object
from control_plane.client.errors import ConnectionFailed
from control_plane.client.gvr import GVR
from control_plane.client.informer import InformerFactory
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller
from control_plane.controllers.discovery import Served, served_resources
from control_plane.controllers.garbage_collector.graph import (
    FOREGROUND,
    ORPHAN,
    Changed,
    Graph,
    Identity,
    Node,
)
from control_plane.controllers.garbage_collector.verdict import (
    OwnerState,
    Verdict,
    judge,
    unblocked,
    without_owners,
)
from store.component import logs

SYNC_PERIOD_S = 5.0
UNSEEN_OWNER_PERIOD_S = 5.0
IGNORED = frozenset({("", "events"), ("events.k8s.io", "events")})
ORPHAN_WORK = "orphan:"
SYNC = "sync"

log = logs.get("garbage-collector")


class GarbageCollector(Controller):
    """Keys are uids: of an object to judge, or with the prefix `orphan:` of an owner whose dependents are to be let
    go. The key `sync` looks for kinds that have come or gone."""

    name = "garbage-collector"
    account = "generic-garbage-collector"
    workers: ClassVar[int] = 20

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.graph = Graph()
        self.monitors = InformerFactory(self.client.metadata_only())
        self.kinds: dict[tuple[str, str], Served] = {}  # (apiVersion, kind)
        self.queue.add(SYNC)

    async def run(self) -> None:
        await self.monitors.start()
        try:
            await super().run()
        finally:
            await self.monitors.stop()

    async def reconcile(self, key: str) -> float | None:
        if key == SYNC:
            await self._sync_monitors()
            return SYNC_PERIOD_S
        if key.startswith(ORPHAN_WORK):
            await self._orphan_dependents(key.removeprefix(ORPHAN_WORK))
        else:
            return await self._judge(key)
        return None

    # Monitors

    async def _sync_monitors(self) -> None:
        for served in await served_resources(self.client):
            key = (served.gvr.api_version, served.kind)
            collectable = {"list", "watch", "delete"} <= served.verbs
            if key in self.kinds or not collectable or (served.gvr.group, served.gvr.resource) in IGNORED:
                continue
            self.kinds[key] = served
            self._monitor(served)

    def _monitor(self, served: Served) -> None:
        def identity(obj: Object) -> Identity:
            names = (meta.namespace_of(obj), meta.name_of(obj), meta.uid_of(obj))
            return Identity(served.gvr.api_version, served.kind, *names)

        def observe(obj: Object) -> None:
            self._enqueue(self.graph.observe(identity(obj), obj))

        informer = self.context.informers.of_all(
            served.gvr
        )  # another loop reads the kind: one watch for both
        if informer is None:
            informer = self.monitors.informer(served.gvr)
        informer.add_handler(
            on_add=observe,
            on_update=lambda _, new: observe(new),
            on_delete=lambda obj: self._enqueue(self.graph.remove(meta.uid_of(obj))),
        )

    def _enqueue(self, changed: Changed) -> None:
        for uid in changed.look:
            self.queue.add(uid)
        for uid in changed.orphan:
            self.queue.add(ORPHAN_WORK + uid)

    # Judging

    async def _judge(self, uid: str) -> float | None:
        """When to look again, if no event is sure to come."""
        node = self.graph.nodes.get(uid)
        if node is None:
            return None
        if node.virtual:
            return await self._verify_virtual(node)
        if node.foreground:
            await self._finish_foreground(node)
        elif node.owners and not node.deleting:
            await self._judge_owned(node)
        return None

    async def _judge_owned(self, node: Node) -> None:
        uid = node.identity.uid
        obj = await self._live(node.identity)
        if obj is None:
            self._enqueue(self.graph.remove(uid))
            return
        references = meta.owner_references(obj)
        states = await asyncio.gather(
            *(self._owner_state(each, node.identity.namespace) for each in references)
        )
        owners = {each["uid"]: state for each, state in zip(references, states, strict=True)}
        dependents = self.graph.dependents(uid)
        blocked = any(each.foreground for each in dependents)
        await self._carry_out(node, obj, judge(obj, owners, blocked, bool(dependents)))

    async def _carry_out(self, node: Node, obj: Object, verdict: Verdict) -> None:
        references = meta.owner_references(obj)
        if verdict.cut:
            await self._set_owners(node.identity, obj, without_owners(obj, verdict.cut))
        elif verdict.unblock:
            await self._set_owners(node.identity, obj, unblocked(references, verdict.unblock))
            self.queue.add(node.identity.uid)
        elif verdict.delete:
            log.info("deleting", kind=node.identity.kind, name=meta.key_of(obj), policy=verdict.delete)
            await self._delete(node.identity, verdict.delete)

    async def _owner_state(self, reference: Object, namespace: str) -> OwnerState:
        known = self.graph.nodes.get(reference["uid"])
        if known is not None and not known.virtual:
            return OwnerState.WAITING if known.foreground else OwnerState.SOLID
        identity = Identity(
            reference["apiVersion"], reference["kind"], namespace, reference["name"], reference["uid"]
        )
        owner = await self._live(identity)
        if owner is None:
            return OwnerState.ABSENT
        waiting = meta.is_deleting(owner) and FOREGROUND in meta.finalizers(owner)
        return OwnerState.WAITING if waiting else OwnerState.SOLID

    async def _verify_virtual(self, node: Node) -> float | None:
        """An owner that no monitor has shown: if it does not exist, its dependents are to be judged. It may also go
        before a monitor shows it, when that lists again in between."""
        if await self._live(node.identity) is not None:
            return UNSEEN_OWNER_PERIOD_S
        self._enqueue(self.graph.remove(node.identity.uid))
        return None

    async def _finish_foreground(self, node: Node) -> None:
        """Wait for the dependents that block; when none is left, let the owner go."""
        dependents = self.graph.dependents(node.identity.uid)
        blocking = [each for each in dependents if each.blocks(node.identity.uid)]
        if blocking:
            for each in blocking:
                self.queue.add(each.identity.uid)
            return
        await self._drop_finalizer(node.identity, FOREGROUND)

    async def _orphan_dependents(self, uid: str) -> None:
        node = self.graph.nodes.get(uid)
        if node is None or not node.orphaning:
            return
        dependents = {each.identity for each in self.graph.dependents(uid)}
        kinds = {(each.api_version, each.kind) for each in dependents}
        unseen = await asyncio.gather(*(self._live_dependents(node.identity, *kind) for kind in kinds))
        await asyncio.gather(*(self._let_go(each, uid) for each in dependents.union(*unseen)))
        await self._drop_finalizer(node.identity, ORPHAN)

    async def _live_dependents(self, owner: Identity, api_version: str, kind: str) -> set[Identity]:
        """As the store has them: what a monitor has not shown yet would be taken for garbage later."""
        gvr = self.kinds[api_version, kind].gvr
        found = await self.client.metadata_only().list(gvr, owner.namespace if gvr.namespaced else "")
        return {
            Identity(api_version, kind, meta.namespace_of(obj), meta.name_of(obj), meta.uid_of(obj))
            for obj in found.items
            if any(each["uid"] == owner.uid for each in meta.owner_references(obj))
        }

    async def _let_go(self, dependent: Identity, owner_uid: str) -> None:
        obj = await self._live(dependent)
        if obj is not None:
            await self._set_owners(dependent, obj, without_owners(obj, frozenset({owner_uid})))

    # The API

    def _gvr(self, identity: Identity) -> tuple[GVR, str]:
        """The resource, and the namespace to look in. Raises KeyError for a kind that is not served."""
        gvr = self.kinds[identity.api_version, identity.kind].gvr
        return gvr, identity.namespace if gvr.namespaced else ""

    async def _live(self, identity: Identity) -> Object | None:
        """The object with this uid as the store has it; None when there is none."""
        try:
            gvr, namespace = self._gvr(identity)
        except KeyError:
            gvr, namespace = await self._find_kind(identity)
        try:
            obj = await self.client.get(gvr, identity.name, namespace)
        except StatusError as error:
            if is_not_found(error):
                return None
            raise
        return obj if meta.uid_of(obj) == identity.uid else None

    async def _find_kind(self, identity: Identity) -> tuple[GVR, str]:
        """A kind of another version than the preferred one, or of a group that has just come."""
        await self._sync_monitors()
        if (identity.api_version, identity.kind) in self.kinds:
            return self._gvr(identity)
        group, version = meta.group_version(identity.api_version)
        for served in self.kinds.values():
            if (served.gvr.group, served.kind) == (group, identity.kind):
                gvr = GVR(group, version, served.gvr.resource, served.gvr.namespaced)
                return gvr, identity.namespace if gvr.namespaced else ""
        raise ConnectionFailed(f"{identity.api_version} {identity.kind} is not served (yet)")

    async def _set_owners(self, identity: Identity, obj: Object, references: list[Object]) -> None:
        gvr, namespace = self._gvr(identity)
        version = meta.resource_version_of(obj)
        metadata = {"uid": identity.uid, "resourceVersion": version, "ownerReferences": references or None}
        await self._tolerant(self.client.patch(gvr, identity.name, {"metadata": metadata}, namespace))

    async def _drop_finalizer(self, identity: Identity, finalizer: str) -> None:
        obj = await self._live(identity)
        if obj is None or finalizer not in meta.finalizers(obj):
            return
        gvr, namespace = self._gvr(identity)
        left = [each for each in meta.finalizers(obj) if each != finalizer]
        metadata = {
            "uid": identity.uid,
            "resourceVersion": meta.resource_version_of(obj),
            "finalizers": left or None,
        }
        await self._tolerant(self.client.patch(gvr, identity.name, {"metadata": metadata}, namespace))

    async def _delete(self, identity: Identity, propagation: str) -> None:
        gvr, namespace = self._gvr(identity)
        await self._tolerant(
            self.client.delete(gvr, identity.name, namespace, uid=identity.uid, propagation=propagation)
        )

    async def _tolerant(self, call: Coroutine[None, None, Object]) -> None:
        """What is gone already needs nothing; a conflict means another state, which is judged anew."""
        try:
            await call
        except StatusError as error:
            if is_conflict(error) and "Precondition failed: UID" not in str(error):
                raise
            if not (is_not_found(error) or is_conflict(error)):
                raise
