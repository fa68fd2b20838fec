"""The node agent: puts the parts together, and starts and stops them in order.

Start: the informers and the node's side (network, then runtime) at the same time; then the node is registered,
already Ready; then pods are taken. Stop: everything lets go, and pods go on running.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from control_plane.api.errors import StatusError, is_forbidden, is_not_found
from control_plane.client import gvr
from control_plane.client.client import Client
from control_plane.client.events import EventRecorder
from control_plane.client.gvr import GVR
from control_plane.client.informer import InformerFactory
from node.agent import machine
from node.agent.downward import NodeFacts
from node.agent.eviction.manager import EvictionManager, EvictionSettings
from node.agent.eviction.ranking import check_admission
from node.agent.handlers import Handlers
from node.agent.manager import PodManager
from node.agent.node_object import Health, Machine, Settings
from node.agent.node_status import NodeStatus
from node.agent.objects import ObjectCache
from node.agent.parts import Parts
from node.agent.pod_spec import Obj
from node.agent.server import KubeletServer
from node.agent.static_pods import StaticPods
from node.agent.status_manager import StatusManager
from node.agent.tokens import TokenCache
from node.agent.view import Host
from node.agent.volumes import local_path
from node.agent.volumes.interface import Services
from node.agent.volumes.local_path import LocalVolumes
from node.agent.volumes.manager import VolumeManager
from node.agent.volumes.refresher import Refresher
from node.network.interface import Network
from node.proxy.service_proxy import ServiceProxy
from node.runtime.interface import Runtime
from store.component import logs

log = logs.get("node")


@dataclass(frozen=True, slots=True)
class Options:
    settings: Settings
    root: Path
    update_interval_s: float = 10.0
    register: bool = True
    cluster_dns: Sequence[str] = ()
    cluster_domain: str = "cluster.local"
    service_cidr: str = "10.96.0.0/16"
    proxy: bool = True
    manifests: Path | None = None  # the directory of static pods
    eviction: EvictionSettings = field(default_factory=EvictionSettings)
    images: Path | None = None  # where the runtime keeps them
    node_port_lock: Path | None = None  # whose holder serves NodePorts on the host; None: nobody does


class Agent:
    def __init__(self, options: Options, client: Client, runtime: Runtime, network: Network) -> None:
        name = options.settings.name
        self._options = options
        self._client = client
        self._runtime = runtime
        self._network = network
        self._ready = False
        self._tasks: list[asyncio.Task[None]] = []
        self._informers = InformerFactory(client)
        self._pods = self._informers.informer(gvr.PODS, field_selector=f"spec.nodeName={name}")
        self._services = self._informers.informer(gvr.SERVICES)
        self._nodes = self._informers.informer(gvr.NODES, field_selector=f"metadata.name={name}")
        self._events = EventRecorder(client.named("balsa-node", "kubelet"), "kubelet", name)
        self._status = StatusManager(client, lambda pod: self._manager.object_of(pod))
        self._tokens = TokenCache(client, client.clock)
        self._objects = ObjectCache(client, self._object_changed)
        self._measured = self._measure()
        self._volumes = VolumeManager(options.root, self._volume_services())
        self._parts = self._make_parts()
        self._manager = PodManager(self._parts, self._node, options.root / "pods")
        self._refresher = Refresher(self._volumes, self._manager.pods, client.clock)
        self._node_status = NodeStatus(
            client, options.settings, self._measure, self._health, self._events, options.update_interval_s
        )
        self._eviction = EvictionManager(
            options.eviction, self._parts, self._measure, self._manager.workers, options.root / "pods",
            self._node_status.warn, self._node_status.changed,
        )  # fmt: skip
        self._manager.check = lambda pod: check_admission(pod, self._eviction.conditions)
        self._local_volumes = LocalVolumes(
            options.root / local_path.DIRECTORY, self._local_volume, self._held_volumes, self._report_held,
            client.clock,
        )  # fmt: skip
        self._proxy = self._make_proxy()
        self._static = self._make_static()
        self._server = KubeletServer(name, self._parts, self._manager, network, client.clock, self._unhealthy)

    async def start(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        """Returns when the node is registered and its pods are taken."""
        await self._informers.start()
        await self._server.start(sock, context)
        await self._network.start()
        await self._runtime.start()
        self._ready = True
        if self._proxy is not None:
            await self._proxy.start()
        await self._manager.start()
        self._eviction.look()
        if self._options.register:
            await self._node_status.register()
            self._node_status.warn("LimitedNetwork", getattr(self._network, "limits", ""))
        self._spawn(self._node_status.run())
        self._spawn(self._refresher.run())
        self._spawn(self._local_volumes.run())
        self._spawn(self._eviction.run())
        await asyncio.gather(
            self._services.wait_synced(), self._nodes.wait_synced(), self._pods.wait_synced()
        )
        self._pods.add_handler(self._manager.added, self._updated, self._manager.deleted)
        if self._static is not None:
            self._static.look()
            self._spawn(self._static.run())
        self._manager.synced()
        log.info("node agent ready", node=self._options.settings.name, pods=len(self._pods))

    async def stop(self) -> None:
        """Pods go on; what was decided about them is written, within a moment."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._proxy is not None:
            await self._proxy.stop()
        await self._manager.close()
        await self._status.close()
        await self._objects.close()
        await self._informers.stop()
        await self._server.stop()
        await self._events.close()
        await self._runtime.close()
        await self._network.close()

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """Those that must not end."""
        return self._tasks

    # ---- parts

    def _make_parts(self) -> Parts:
        return Parts(
            runtime=self._runtime,
            volumes=self._volumes,
            objects=self._objects,
            status=self._status,
            events=self._events,
            prober=Handlers(self._runtime, self._network),
            clock=self._client.clock,
            host=self._host(),
            log_root=self._options.root / "logs" / "pods",
            services=self._services.list,
            node=self._facts,
            forget_tokens=self._tokens.forget,
            cluster_dns=self._options.cluster_dns,
            cluster_domain=self._options.cluster_domain,
            memory_bytes=self._measured.memory_bytes,
            says_pod_ip=self._network.name == "loopback",
        )

    def _volume_services(self) -> Services:
        return Services(
            read=self._objects.get,
            token=self._tokens.get,
            claim=lambda namespace, name: self._get(gvr.PERSISTENT_VOLUME_CLAIMS, name, namespace),
            persistent_volume=lambda name: self._get(gvr.PERSISTENT_VOLUMES, name),
            node=self._facts,
            host_ips=lambda: (self._options.settings.node_ip,),
            local_volumes=self._options.root / local_path.DIRECTORY,
        )

    async def _local_volume(self, name: str) -> Obj | None:
        """The node may not read what is not its own: such a volume is as good as gone."""
        try:
            return await self._get(gvr.PERSISTENT_VOLUMES, name)
        except StatusError as error:
            if is_forbidden(error):
                return None
            raise

    def _held_volumes(self) -> str | None:
        node = self._nodes.get("", self._options.settings.name)
        if node is None:
            return None
        return (node["metadata"].get("annotations") or {}).get(local_path.HELD_ANNOTATION) or ""

    async def _report_held(self, names: str) -> None:
        patch = {"metadata": {"annotations": {local_path.HELD_ANNOTATION: names or None}}}
        await self._client.patch(gvr.NODES, self._options.settings.name, patch)

    def _make_proxy(self) -> ServiceProxy | None:
        options = self._options
        if not options.proxy:
            return None
        return ServiceProxy(
            self._informers, self._network, options.settings.name, options.service_cidr,
            options.node_port_lock, zone=self._zone,
        )  # fmt: skip

    def _make_static(self) -> StaticPods | None:
        directory = self._options.manifests
        if directory is None:
            return None
        return StaticPods(directory, self._options.settings.name, self._client, self._manager, self._node)

    def _zone(self) -> str:
        labels: dict[str, str] = self._node()["metadata"].get("labels") or {}
        return labels.get("topology.kubernetes.io/zone", "")

    async def _get(self, kind: GVR, name: str, namespace: str = "") -> Obj | None:
        try:
            return await self._client.get(kind, name, namespace)
        except StatusError as error:
            if is_not_found(error):
                return None
            raise

    def _host(self) -> Host:
        settings = self._options.settings
        return Host(settings.name, (settings.node_ip,), self._runtime.name)

    def _node(self) -> Obj:
        """The node as the API has it, else as it was registered."""
        return self._nodes.get("", self._options.settings.name) or self._node_status.node or self._bare_node()

    def _bare_node(self) -> Obj:
        return {"metadata": {"name": self._options.settings.name, "labels": {}}, "spec": {}, "status": {}}

    def _facts(self) -> NodeFacts:
        allocatable: dict[str, Any] = (self._node().get("status") or {}).get("allocatable") or {}
        return NodeFacts(self._options.settings.name, allocatable)

    # ---- health

    def _health(self) -> Health:
        isolated = getattr(self._runtime, "isolated", True)
        why = "" if isolated else str(getattr(self._runtime, "isolation", lambda: "")())
        not_ready = "" if self._ready else "container runtime is starting"
        return Health(not_ready, why, self._eviction.conditions)

    def _measure(self) -> Machine:
        return machine.measure(self._options.root, self._options.images)

    def _unhealthy(self) -> str | None:
        ended = [each.get_name() for each in self._tasks if each.done()]
        return f"ended: {', '.join(ended)}" if ended else None

    # ---- what changes

    def _object_changed(self, pod_uid: str) -> None:
        self._refresher.mark(pod_uid)
        self._manager.objects_changed(pod_uid)

    def _updated(self, old: Obj, new: Obj) -> None:
        self._manager.updated(old, new)
        self._refresher.pod_updated(old, new)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))
