"""`balsa node`: the node agent and the service proxy of one node, with flags in the style of kubelet's."""

from __future__ import annotations

import argparse
import asyncio
import socket
from pathlib import Path
from typing import Any

from certs import tls
from certs.errors import CertsError
from certs.kubeconfig import KubeConfig
from control_plane.api.quantity import ZERO, Quantity, QuantityError, parse
from control_plane.client.client import Client
from node.agent.agent import Agent, Options
from node.agent.eviction.manager import EvictionSettings
from node.agent.eviction.thresholds import DEFAULT_HARD, Threshold, parse_thresholds
from node.agent.node_object import RESERVABLE, Settings
from node.agent.volumes import local_path
from node.network.interface import Network
from node.runtime.interface import Runtime
from store.component import logs, process
from store.component.flags import Parser, parse_duration
from store.component.process import FatalError, Lifecycle

log = logs.get("node")

DESCRIPTION = "Runs the pods of one node, and its service proxy."
DEFAULT_PORT = 10250
NODE_PORT_LOCK = "node-ports.lock"  # beside the nodes' directories: the agents of one cluster share it


def main(argv: list[str]) -> int:
    return process.run("node", parser(), argv, _run)


def parser() -> Parser:
    flags = Parser("balsa node", DESCRIPTION)
    add = flags.add_argument
    add("--node-name", "--hostname-override", default=socket.gethostname(), help="the node's name")
    add("--kubeconfig", required=True, metavar="FILE", help="how to reach the apiserver, and as whom")
    add("--root-dir", required=True, metavar="DIR", help="pods, volumes, logs and the runtime's state")
    add("--port", type=int, default=DEFAULT_PORT, help="of the kubelet API on 127.0.0.1")
    add("--listen-fd", type=int, default=-1, help="an inherited, bound socket to serve on instead of --port")
    add("--tls-cert-file", required=True, metavar="FILE", help="serving certificate of the kubelet API")
    add("--tls-private-key-file", required=True, metavar="FILE", help="its key")
    add("--client-ca-file", required=True, metavar="FILE", help="CA of the kubelet API's clients")
    flags.add_bool("--register-node", True, "create the Node object")
    add("--node-labels", default="", metavar="K=V,...", help="labels of the node at registration")
    add("--register-with-taints", default="", metavar="K=V:EFFECT,...", help="taints at registration")
    add("--max-pods", type=int, default=110, help="how many pods the node takes")
    add("--node-status-update-frequency", type=parse_duration, default="10s", help="how often it is measured")
    add(
        "--node-lease-duration-seconds",
        type=int,
        default=40,
        help="of the heartbeat Lease; renewed 4 times in it",
    )
    add(
        "--cluster-dns",
        default="",
        metavar="IP,...",
        help="name servers for pods with dnsPolicy ClusterFirst",
    )
    add("--cluster-domain", default="cluster.local", help="the cluster's DNS domain")
    add("--pod-manifest-path", default="", metavar="DIR", help="manifests of static pods")
    _resource_flags(flags)
    _network_flags(flags)
    return flags


def _resource_flags(flags: Parser) -> None:
    add = flags.add_argument
    add("--kube-reserved", default="", metavar="R=N,...", help="kept back for the node's own processes")
    add(
        "--system-reserved", default="", metavar="R=N,...", help="kept back for the machine's other processes"
    )
    add(
        "--eviction-hard",
        default=DEFAULT_HARD,
        metavar="S<N,...",
        help="evict at once when less is available",
    )
    add("--eviction-soft", default="", metavar="S<N,...", help="evict when less is available for a while")
    add("--eviction-soft-grace-period", default="", metavar="S=D,...", help="for how long")
    add(
        "--eviction-minimum-reclaim",
        default="",
        metavar="S=N,...",
        help="how much more to free, once it began",
    )
    add("--eviction-max-pod-grace-period", type=int, default=0, metavar="S", help="of a pod evicted softly")
    add(
        "--eviction-pressure-transition-period",
        type=parse_duration,
        default="5m0s",
        help="how long a condition stays after what caused it",
    )
    add("--housekeeping-interval", type=parse_duration, default="10s", help="how often that is measured")


def _network_flags(flags: Parser) -> None:
    add = flags.add_argument
    add("--network", choices=["netns", "loopback"], default="loopback", help="how pods get their addresses")
    add("--network-directory", default="", metavar="DIR", help="netns: the directory of the cluster's fabric")
    add("--node-ip", default="", help="the node's address inside the cluster's network")
    add("--pod-cidr", default="", metavar="CIDR", help="the pods' addresses on this node")
    add("--service-cidr", default="10.96.0.0/16", metavar="CIDR", help="the services' addresses")
    add("--container-runtime-endpoint", default="", metavar="URL", help="a CRI socket; empty: processes")
    add("--image-dir", default="", metavar="DIR", help="process runtime: unpacked OCI images")
    add("--hide-path", action="append", default=[], metavar="PATH", help="what pods must not see; repeatable")
    add("--node-port-lock", default="", metavar="FILE", help="its holder serves NodePorts on 127.0.0.1")
    add("--proxy-mode", choices=["userspace", "none"], default="userspace", help="the service proxy")


async def _run(args: argparse.Namespace, lifecycle: Lifecycle) -> None:
    root = Path(args.root_dir).resolve()
    root.mkdir(parents=True, exist_ok=True)
    try:
        config = KubeConfig.load(args.kubeconfig)
        context = tls.server_context(args.tls_cert_file, args.tls_private_key_file, args.client_ca_file)
    except CertsError as error:
        raise FatalError(str(error)) from error
    network = _network(args, root)
    runtime = _runtime(args, root, network)
    client = Client(config, "balsa-node", field_manager="kubelet")
    agent = Agent(_options(args, root, network, runtime), client, runtime, network)
    reloader = asyncio.create_task(_reload(context, args))
    try:
        starting = asyncio.create_task(agent.start(_listening(args), context))
        await lifecycle.until_stopped(starting)
        await _ended(starting)
        await lifecycle.until_stopped(*agent.tasks)
    finally:
        reloader.cancel()
        await agent.stop()
        await client.close()


async def _ended(starting: asyncio.Task[None]) -> None:
    """Where it was interrupted; what it began is stopped only when it begins no more."""
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)


async def _reload(context: Any, args: argparse.Namespace) -> None:
    await tls.Reloader(context, args.tls_cert_file, args.tls_private_key_file).run()


def _listening(args: argparse.Namespace) -> socket.socket:
    if args.listen_fd >= 0:
        return socket.socket(fileno=args.listen_fd)
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", args.port))
    except OSError as error:
        sock.close()
        raise FatalError(f"cannot listen on 127.0.0.1:{args.port}: {error.strerror}") from error
    return sock


def _options(args: argparse.Namespace, root: Path, network: Network, runtime: Runtime) -> Options:
    thresholds = _thresholds(args)
    settings = Settings(
        name=args.node_name,
        reserved=_reserved(args),
        thresholds=thresholds,
        node_ip=network.node_ip,
        pod_cidr=args.pod_cidr,
        port=args.port,
        max_pods=args.max_pods,
        labels=dict(_pairs(args.node_labels)),
        taints=_taints(args.register_with_taints),
        runtime_version=f"{runtime.name}://{runtime.version}",
        lease_duration_s=args.node_lease_duration_seconds,
        annotations={local_path.ROOT_ANNOTATION: str(root / local_path.DIRECTORY)},
    )
    return Options(
        settings=settings,
        root=root,
        update_interval_s=args.node_status_update_frequency,
        register=args.register_node,
        cluster_dns=[each for each in args.cluster_dns.split(",") if each],
        cluster_domain=args.cluster_domain,
        service_cidr=args.service_cidr,
        eviction=EvictionSettings(
            thresholds,
            args.eviction_pressure_transition_period,
            float(args.eviction_max_pod_grace_period),
            args.housekeeping_interval,
        ),
        images=Path(args.image_dir) if args.image_dir else None,
        manifests=Path(args.pod_manifest_path) if args.pod_manifest_path else None,
        proxy=args.proxy_mode != "none",
        node_port_lock=Path(args.node_port_lock) if args.node_port_lock else root.parent / NODE_PORT_LOCK,
    )


def _thresholds(args: argparse.Namespace) -> tuple[Threshold, ...]:
    try:
        return parse_thresholds(
            args.eviction_hard,
            args.eviction_soft,
            args.eviction_soft_grace_period,
            args.eviction_minimum_reclaim,
        )
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise FatalError(f"--eviction-…: {error}") from error


def _reserved(args: argparse.Namespace) -> dict[str, Quantity]:
    total: dict[str, Quantity] = {}
    for flag in ("kube_reserved", "system_reserved"):
        for name, text in _pairs(getattr(args, flag)):
            where = f"--{flag.replace('_', '-')}: {name}={text}"
            if name not in RESERVABLE:
                raise FatalError(f"{where}: only {', '.join(RESERVABLE)} can be reserved")
            try:
                amount = parse(text)
            except QuantityError as error:
                raise FatalError(f"{where}: {error}") from error
            if amount < ZERO:
                raise FatalError(f"{where}: it must not be negative")
            total[name] = total.get(name, ZERO) + amount
    return total


def _pairs(text: str) -> list[tuple[str, str]]:
    pieces = (each.partition("=") for each in text.split(",") if each)
    return [(key, value) for key, _, value in pieces]


def _taints(text: str) -> list[dict[str, str]]:
    found = []
    for each in (piece for piece in text.split(",") if piece):
        left, _, effect = each.rpartition(":")
        key, _, value = left.partition("=")
        if not key or effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
            raise FatalError(f"--register-with-taints: {each!r} is not KEY=VALUE:EFFECT")
        found.append({"key": key, "effect": effect, **({"value": value} if value else {})})
    return found


def _network(args: argparse.Namespace, root: Path) -> Network:
    if args.network == "netns":
        from node.network.netns import NetnsNetwork

        return NetnsNetwork(Path(args.network_directory), args.node_name, args.node_ip, args.pod_cidr)
    from node.network.loopback import LoopbackNetwork

    return LoopbackNetwork(root / "network", args.node_name, args.node_ip, args.pod_cidr)


def _runtime(args: argparse.Namespace, root: Path, network: Network) -> Runtime:
    if args.container_runtime_endpoint:
        raise FatalError("--container-runtime-endpoint: CRI runtimes are not supported yet; leave it empty")
    from node.runtime.process.runtime import ProcessRuntime

    hidden = [root, Path(args.kubeconfig).parent, Path(args.tls_private_key_file).parent]
    hidden += [Path(each) for each in args.hide_path]
    images = Path(args.image_dir) if args.image_dir else None
    return ProcessRuntime(root / "runtime", network, hidden, images)
