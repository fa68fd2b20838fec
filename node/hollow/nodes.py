"""The hollow nodes themselves: their objects, their status, their Leases.

Level-triggered as everything: a node that the API shows as other than it is to be is written again, be it
that somebody marked it lost while this process was down, or that its object asks for another behaviour:

    hollow.balsa.dev/not-ready: <why>     it reports that it is not Ready
    hollow.balsa.dev/silent: "true"       it says nothing at all any more, as a node that lost its power

As a kubelet, a node whose object was deleted does not come back before the process restarts.
"""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import dataclass

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_already_exists, is_conflict, is_not_found
from control_plane.client import gvr
from control_plane.client.client import Client
from control_plane.client.errors import ConnectionFailed
from control_plane.client.informer import InformerFactory
from control_plane.client.workers import run_workers
from control_plane.client.workqueue import WorkQueue
from node.agent import node_object
from node.agent.node_object import Disk, Health, Machine, Settings
from node.agent.pod_spec import Obj
from node.hollow import slim
from node.hollow.behaviour import PREFIX, said
from store.component import logs

LABEL = "balsa.dev/hollow"
ZONE_LABEL = "topology.kubernetes.io/zone"
NOT_READY, SILENT = PREFIX + "not-ready", PREFIX + "silent"
LEASE_NAMESPACE = "kube-node-lease"
WORKERS = 16
RENEWERS = 32
RENEWAL_TICK_S = 0.25  # what is due within it goes out together, so that the store commits it together
MAX_RETRY_S = 5.0
REPORT_INTERVAL_S = 300.0
RENEWALS_PER_LEASE = 4
MIN_RENEWALS_PER_LEASE = 2
MAX_RENEWALS_PER_S = 100.0  # of all nodes: beyond it they renew less often, never below twice per lease
ADDRESSES = ipaddress.ip_network("172.31.0.0/16")
LEASE_PAGE = 500
OWNER_WAIT_S = 0.5  # until the watch brings the node that owns the Lease

log = logs.get("hollow")


@dataclass(frozen=True, slots=True)
class Shape:
    """What every hollow node has."""

    cpus: int = 32
    memory_bytes: int = 256 * 2**30
    max_pods: int = 110
    zones: int = 0  # spread over so many; 0: no zone label
    lease_duration_s: int = 40
    port: int = 0  # of the process; there is no kubelet API behind it


def renewal_interval_s(count: int, lease_duration_s: float) -> float:
    wanted_s = lease_duration_s / RENEWALS_PER_LEASE
    return min(max(wanted_s, count / MAX_RENEWALS_PER_S), lease_duration_s / MIN_RENEWALS_PER_LEASE)


class HollowNodes:
    def __init__(
        self, client: Client, informers: InformerFactory, names: list[str], shape: Shape, version: str
    ) -> None:
        self._client = client
        self._shape = shape
        self._version = version
        self._names = {name: index for index, name in enumerate(names)}
        self._reported_s: dict[str, float] = {}  # when; a node that is in it was registered
        self._leases: dict[str, Obj] = {}  # metadata as last written: to write it again
        self._interval_s = renewal_interval_s(len(names), shape.lease_duration_s)
        self._informer = informers.informer(gvr.NODES, label_selector=f"{LABEL}=true", transform=slim.node)
        clock = client.clock
        self._statuses: WorkQueue[str] = WorkQueue(clock, max_delay_s=MAX_RETRY_S)
        self._renewals: WorkQueue[str] = WorkQueue(clock, max_delay_s=MAX_RETRY_S)

    async def run(self) -> None:
        """Until cancelled."""
        await self._informer.wait_synced()
        self._informer.add_handler(on_update=lambda _, new: self._statuses.add(meta.name_of(new)))
        for name in self._names:
            self._statuses.add(name)
        await self._know_leases()
        async with asyncio.TaskGroup() as group:
            group.create_task(run_workers(self._statuses, self._keep_status, WORKERS, "hollow-nodes"))
            group.create_task(run_workers(self._renewals, self._keep_lease, RENEWERS, "hollow-leases"))

    def missing(self) -> str | None:
        """Why not all of them are there yet."""
        left = len(self._names) - len(self._reported_s)
        return f"{left} of {len(self._names)} nodes are not registered" if left else None

    def address_of(self, name: str) -> str | None:
        index = self._names.get(name)
        return None if index is None else str(ADDRESSES[(index + 1) % ADDRESSES.num_addresses])

    def is_silent(self, name: str) -> bool:
        node = self._informer.get("", name)
        return node is not None and said(node, SILENT) == "true"

    # ---- object and status

    async def _keep_status(self, name: str) -> float | None:
        """Written when it is not as it should be, and every five minutes all the same."""
        if name not in self._names:
            return None
        node = self._informer.get("", name)
        if node is None and name in self._reported_s:
            return None
        if self.is_silent(name):
            self._is_registered(name)
            return None
        now_s = self._client.clock.monotonic()
        not_ready = said(node, NOT_READY) if node is not None else ""
        due_s = self._reported_s.get(name, float("-inf")) + REPORT_INTERVAL_S
        if node is None:
            await self._register(name)
        elif now_s >= due_s or not _shows(node, not_ready):
            await self._report(name, not_ready)
        else:
            return due_s - now_s
        self._is_registered(name)
        return self._spread_s(REPORT_INTERVAL_S)

    def _is_registered(self, name: str) -> None:
        if name not in self._reported_s:
            self._renewals.add(name)
        self._reported_s[name] = self._client.clock.monotonic()

    async def _register(self, name: str) -> None:
        wanted = node_object.make(self._settings(name), self._machine(), Health(), self._client.clock.wall())
        try:
            await self._client.create(gvr.NODES, wanted)
        except StatusError as error:
            if not is_already_exists(error):
                raise
            await self._report(name, "")

    async def _report(self, name: str, not_ready: str) -> None:
        now_s = self._client.clock.wall()
        status = node_object.status(self._settings(name), self._machine(), Health(not_ready), now_s, None)
        try:
            await self._client.patch(
                gvr.NODES, name, {"status": status}, patch_type="strategic", subresource="status"
            )
        except StatusError as error:
            if not is_not_found(error):
                raise

    def _settings(self, name: str) -> Settings:
        index, zones = self._names[name], self._shape.zones
        zone = {ZONE_LABEL: f"zone-{index % zones + 1}"} if zones else {}
        return Settings(
            name=name,
            node_ip=self.address_of(name) or "",
            port=self._shape.port,
            max_pods=self._shape.max_pods,
            labels={LABEL: "true", **zone},
            runtime_version=f"hollow://{self._version}",
            lease_duration_s=self._shape.lease_duration_s,
        )

    def _machine(self) -> Machine:
        memory_bytes, disk_bytes = self._shape.memory_bytes, 1024 * 2**30
        return Machine(
            cpus=self._shape.cpus,
            memory_bytes=memory_bytes,
            available_memory_bytes=memory_bytes,
            disk=Disk(disk_bytes, disk_bytes),
            max_pids=2**22,
            pids=0,
            architecture="amd64",
            kernel="hollow",
            os_image="Balsa hollow node",
            machine_id="",
            system_uuid="",
            boot_id="",
        )

    # ---- Lease

    async def _know_leases(self) -> None:
        """Those that a former process left: read at once instead of one by one, which goes as well."""
        token = ""
        while True:
            try:
                page = await self._client.list(
                    gvr.LEASES, LEASE_NAMESPACE, limit=LEASE_PAGE, continue_token=token
                )
            except (StatusError, ConnectionFailed) as error:
                log.warning("leases are read one by one", reason=str(error))
                return
            for lease in page.items:
                if meta.name_of(lease) in self._names:
                    self._leases[meta.name_of(lease)] = _identity(lease)
            token = page.continue_token
            if not token:
                return

    async def _keep_lease(self, name: str) -> float | None:
        if name not in self._leases and self._informer.get("", name) is None:
            return OWNER_WAIT_S
        if not self.is_silent(name):
            await self._renew(name)
        now_s = self._client.clock.monotonic()
        due_s = now_s + self._spread_s(self._interval_s)
        return due_s - due_s % RENEWAL_TICK_S + RENEWAL_TICK_S - now_s

    async def _renew(self, name: str) -> None:
        try:
            if name in self._leases:
                written = await self._client.update(gvr.LEASES, self._lease(name))
            else:
                written = await self._client.create(gvr.LEASES, self._lease(name))
        except StatusError as error:
            if is_conflict(error) or is_already_exists(error):
                lease = await self._client.get(gvr.LEASES, name, LEASE_NAMESPACE)
                self._leases[name] = _identity(lease)
            elif is_not_found(error):
                self._leases.pop(name, None)
            raise
        self._leases[name] = _identity(written)

    def _lease(self, name: str) -> Obj:
        metadata = self._leases.get(name) or {"name": name, "namespace": LEASE_NAMESPACE}
        node = self._informer.get("", name)
        if node is not None and "ownerReferences" not in metadata:
            owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": meta.uid_of(node)}
            metadata = {**metadata, "ownerReferences": [owner]}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": name,
                "leaseDurationSeconds": self._shape.lease_duration_s,
                "renewTime": meta.rfc3339_micro(self._client.clock.wall()),
            },
        }

    def _spread_s(self, interval_s: float) -> float:
        return interval_s * (0.95 + 0.1 * self._client.random())


def _identity(lease: Obj) -> Obj:
    keys = ("name", "namespace", "uid", "resourceVersion", "ownerReferences")
    return {key: lease["metadata"][key] for key in keys if key in lease["metadata"]}


def _shows(node: Obj, not_ready: str) -> bool:
    """Whether the API says of it what it is."""
    ready = meta.condition(node, "Ready") or {}
    if not_ready:
        return ready.get("status") == "False" and ready.get("message") == not_ready
    return ready.get("status") == "True"
