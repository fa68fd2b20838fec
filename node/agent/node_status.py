"""Registers the node and keeps it alive in the API: its object, its status, its Lease.

Registration posts the whole object, status with it, so that the node is Ready with one request. Then the Lease in
kube-node-lease is renewed every quarter of its duration; the status is measured every
`--node-status-update-frequency` and written when it changed, or after five minutes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from control_plane.api.errors import StatusError, is_already_exists, is_conflict, is_not_found
from control_plane.client import gvr
from control_plane.client.backoff import Backoff
from control_plane.client.client import Client
from control_plane.client.errors import ClientError
from node.agent import node_object
from node.agent.node_object import Health, Machine, Settings
from node.agent.parts import Recorder
from node.agent.pod_spec import Obj
from node.agent.times import rfc3339_micro
from store.component import logs

REPORT_INTERVAL_S = 300.0
LEASE_NAMESPACE = "kube-node-lease"
RENEWALS_PER_LEASE = 4
FIRST_RETRY_S = 0.02  # the apiserver may be starting beside us
MAX_RETRY_S = 1.0

log = logs.get("node.status")


class NodeStatus:
    def __init__(
        self,
        client: Client,
        settings: Settings,
        measure: Callable[[], Machine],
        health: Callable[[], Health],
        events: Recorder,
        update_interval_s: float,
    ) -> None:
        self._client = client
        self._settings = settings
        self._measure = measure
        self._health = health
        self._events = events
        self._update_interval_s = update_interval_s
        self._changed = asyncio.Event()
        self._written_at_s = 0.0
        self.node: Obj = {}
        self.registered = asyncio.Event()

    def changed(self) -> None:
        """The node's health may be another: look now."""
        self._changed.set()

    async def register(self) -> None:
        """Until it has succeeded."""
        await self._persist("node not registered", self._register)
        self.registered.set()
        log.info("node registered", node=self._settings.name, uid=self.node["metadata"].get("uid", ""))
        self._events.event(self._reference(), "Normal", "Starting", "Starting kubelet.")

    def warn(self, reason: str, message: str) -> None:
        """An event about the node, when there is something to say."""
        if message:
            self._events.event(self._reference(), "Warning", reason, message)

    async def run(self) -> None:
        """For ever: the Lease and the status, apart, so that a slow one does not hold up the other."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_lease())
            group.create_task(self._keep_status())

    # ---- registration

    async def _register(self) -> None:
        wanted = self._make({})
        try:
            self.node = await self._client.create(gvr.NODES, wanted)
        except StatusError as error:
            if not is_already_exists(error):
                raise
            self.node = await self._client.get(gvr.NODES, self._settings.name)
            await self._reconcile(wanted)
        if not _is_written(self.node, wanted):
            await self._write_status(force=True)
        self._written_at_s = self._client.clock.monotonic()

    async def _reconcile(self, wanted: Obj) -> None:
        """An agent that comes back: its labels and range are what its flags say now; other labels stay."""
        patch: Obj = {}
        labels = self.node["metadata"].get("labels") or {}
        stale = {
            key: value for key, value in wanted["metadata"]["labels"].items() if labels.get(key) != value
        }
        if stale:
            patch["metadata"] = {"labels": stale}
        if self._settings.pod_cidr and not self.node["spec"].get("podCIDR"):
            patch["spec"] = {key: wanted["spec"][key] for key in ("podCIDR", "podCIDRs")}
        if patch:
            self.node = await self._client.patch(gvr.NODES, self._settings.name, patch)

    # ---- status

    async def _keep_status(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._update_interval_s):
                    await self._changed.wait()
            self._changed.clear()
            await self._persist("node status not written", self._write_status)

    async def _write_status(self, force: bool = False) -> None:
        old = self.node.get("status") or {}
        wanted = self._make(old)["status"]
        due = self._client.clock.monotonic() - self._written_at_s >= REPORT_INTERVAL_S
        if not force and not due and not node_object.changed(old, wanted):
            return
        patch = {"status": {**wanted, "conditions": _with_removals(old, wanted)}}
        try:
            self.node = await self._client.patch(
                gvr.NODES, self._settings.name, patch, patch_type="strategic", subresource="status"
            )
        except StatusError as error:
            if not is_not_found(error):
                raise
            log.warning("the node's object was deleted; it comes back when the agent restarts")
            return
        self._written_at_s = self._client.clock.monotonic()

    def _make(self, old_status: Obj) -> Obj:
        now_s = self._client.clock.wall()
        return node_object.make(self._settings, self._measure(), self._health(), now_s, old_status)

    # ---- Lease

    async def _keep_lease(self) -> None:
        lease: Obj | None = None
        interval_s = self._settings.lease_duration_s / RENEWALS_PER_LEASE
        backoff = Backoff(self._client.random, FIRST_RETRY_S * 5, interval_s)
        while True:
            try:
                lease = await self._renew(lease)
                backoff.reset()
                await self._client.clock.sleep(interval_s * (0.96 + 0.08 * self._client.random()))
            except (StatusError, ClientError) as error:
                if isinstance(error, StatusError) and (is_conflict(error) or is_not_found(error)):
                    lease = None
                log.warning("lease not renewed", error=str(error))
                await self._client.clock.sleep(backoff.next_s())

    async def _renew(self, lease: Obj | None) -> Obj:
        if lease is None:
            try:
                lease = await self._client.get(gvr.LEASES, self._settings.name, LEASE_NAMESPACE)
            except StatusError as error:
                if not is_not_found(error):
                    raise
                return await self._client.create(gvr.LEASES, self._lease(), LEASE_NAMESPACE)
        renewed = {**lease, "spec": {**(lease.get("spec") or {}), **self._lease()["spec"]}}
        return await self._client.update(gvr.LEASES, renewed)

    def _lease(self) -> Obj:
        meta: Obj = {"name": self._settings.name, "namespace": LEASE_NAMESPACE}
        if node_uid := (self.node.get("metadata") or {}).get("uid"):
            owner = {"apiVersion": "v1", "kind": "Node", "name": self._settings.name, "uid": node_uid}
            meta["ownerReferences"] = [owner]
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": meta,
            "spec": {
                "holderIdentity": self._settings.name,
                "leaseDurationSeconds": self._settings.lease_duration_s,
                "renewTime": rfc3339_micro(self._client.clock.wall()),
            },
        }

    # ---- helpers

    async def _persist(self, what: str, attempt: Callable[[], Any]) -> None:
        backoff = Backoff(self._client.random, FIRST_RETRY_S, MAX_RETRY_S)
        while True:
            try:
                await attempt()
                return
            except (StatusError, ClientError) as error:
                level = log.debug if backoff.tries < 5 else log.warning
                level(what, error=str(error))
            await self._client.clock.sleep(backoff.next_s())

    def _reference(self) -> Obj:
        """Events about nodes name it by its name in `uid` too, as kubelet's do."""
        name = self._settings.name
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name}}


def _is_written(node: Obj, wanted: Obj) -> bool:
    """Whether the server kept the status that was posted."""
    return not node_object.changed(node.get("status") or {}, wanted["status"])


def _with_removals(old: Obj, wanted: Obj) -> list[Obj]:
    """Strategic merge by type: the one condition of ours that can go away is removed by name."""
    kinds = {each["type"] for each in wanted["conditions"]}
    gone = [each for each in old.get("conditions") or [] if each["type"] == "PodsNotIsolated"]
    removed = [{"type": each["type"], "$patch": "delete"} for each in gone if each["type"] not in kinds]
    return [*wanted["conditions"], *removed]
