"""`balsa controller-manager`: all control loops, in the one process that holds the lease."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from certs.ca import CertificateAuthority
from certs.errors import CertsError
from certs.kubeconfig import KubeConfig
from certs.serviceaccount import load_private_key
from control_plane.client.client import Client
from control_plane.client.errors import LeadershipLost
from control_plane.client.events import EventRecorder
from control_plane.client.informer import InformerFactory
from control_plane.client.leader_election import LeaderElector
from control_plane.client.leader_flags import add_leader_flags, elector_from
from control_plane.client.renewal import keep_renewed
from control_plane.client.transport import HttpTransport, TokenSource, Transport
from control_plane.controllers import credentials, registry
from control_plane.controllers.context import Context, Options, RecordEvent
from control_plane.controllers.controller import Controller
from store.component import logs, process
from store.component.flags import Parser, parse_duration
from store.component.process import FatalError, Lifecycle
from store.component.serving import add_serving_flags, health_server

COMPONENT = "controller-manager"
LEASE = "kube-controller-manager"
DEFAULT_PORT = 10257
CRASH_DELAY_S = 1.0

log = logs.get(COMPONENT)


def main(argv: list[str]) -> int:
    return process.run(COMPONENT, _parser(), argv, _main)


def _parser() -> Parser:
    parser = Parser("balsa controller-manager", "The control loops of a Kubernetes-compatible cluster.")
    parser.add_argument(
        "--kubeconfig", required=True, metavar="FILE", help="how to reach the apiserver, and as whom"
    )
    parser.add_argument(
        "--controllers", default="*", metavar="LIST", help="which loops; `*,-job` is all but one"
    )
    parser.add_bool(
        "--use-service-account-credentials", True, "each loop acts as a service account of its own"
    )
    add_leader_flags(parser, LEASE)
    add_serving_flags(parser, DEFAULT_PORT)
    parser.add_argument("--root-ca-file", default="", metavar="FILE", help="published to every namespace")
    parser.add_argument("--cluster-cidr", default="", metavar="CIDR", help="the pods' addresses")
    parser.add_argument(
        "--service-cluster-ip-range", default="", metavar="CIDR", help="the services' addresses"
    )
    parser.add_bool("--allocate-node-cidrs", False, "give nodes without a range of pod addresses one")
    parser.add_argument(
        "--node-cidr-mask-size", type=int, default=0, metavar="N", help="0: 24, or 64 for IPv6"
    )
    parser.add_argument(
        "--horizontal-pod-autoscaler-sync-period", type=parse_duration, default="15s", metavar="DURATION"
    )
    for flag in ("--cluster-signing-cert-file", "--cluster-signing-key-file"):
        parser.add_argument(flag, default="", metavar="FILE", help="the authority that signs requests")
    parser.add_argument(
        "--cluster-signing-duration", type=parse_duration, default="8760h", metavar="DURATION"
    )
    parser.add_argument(
        "--service-account-private-key-file", default="", metavar="FILE", help="signs the tokens of Secrets"
    )
    parser.add_argument(
        "--legacy-service-account-token-clean-up-period",
        type=parse_duration,
        default="8760h",
        metavar="DURATION",
    )
    parser.add_argument("--node-monitor-period", type=parse_duration, default="1s", metavar="DURATION")
    parser.add_argument("--node-monitor-grace-period", type=parse_duration, default="40s", metavar="DURATION")
    for flag, default, text in (
        ("--node-eviction-rate", 0.1, "dead nodes a second that pods are moved away from, in each zone"),
        ("--secondary-node-eviction-rate", 0.01, "the same in a large zone of which much is dead"),
        ("--unhealthy-zone-threshold", 0.55, "how much of a zone that is"),
    ):
        parser.add_argument(flag, type=float, default=default, metavar="N", help=text)
    parser.add_argument(
        "--large-cluster-size-threshold", type=int, default=50, metavar="N", help="from where a zone is large"
    )
    parser.add_argument("--terminated-pod-gc-threshold", type=int, default=12500, metavar="N")
    return parser


async def _main(args: argparse.Namespace, lifecycle: Lifecycle) -> None:
    try:
        config = KubeConfig.load(args.kubeconfig)
        options = _options(args)
        wanted = registry.enabled(args.controllers)
    except (CertsError, OSError, ValueError) as error:
        raise FatalError(str(error)) from error
    async with Client(config, user_agent="balsa-controller-manager") as client:
        bare = HttpTransport(config.server, replace(config, cert_data=b"").ssl_context(), TokenSource())
        as_accounts = args.use_service_account_credentials
        manager = Manager(client, options, wanted, bare if as_accounts else None)
        elector = elector_from(args, client) if args.leader_elect else None
        door = health_server(args, ready={"leader-election": lambda: None})
        if door is not None:
            await door.start()
        renewal = asyncio.create_task(keep_renewed(client, args.kubeconfig))
        try:
            await lifecycle.until_stopped(asyncio.create_task(_lead(manager, elector, lifecycle)))
        finally:
            renewal.cancel()
            await manager.stop()
            await bare.close()
            if door is not None:
                await door.stop()


async def _lead(manager: Manager, elector: LeaderElector | None, lifecycle: Lifecycle) -> None:
    """Run the loops while we lead. Who has lost the lease ends, and is started again as a fresh candidate."""
    running = asyncio.create_task(elector.run(manager.run) if elector else manager.run())
    stopping = asyncio.create_task(lifecycle.stopping.wait())
    try:
        await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    except LeadershipLost as error:
        raise FatalError(str(error)) from error
    finally:
        running.cancel()
        stopping.cancel()
        await asyncio.gather(running, stopping, return_exceptions=True)


def _options(args: argparse.Namespace) -> Options:
    key_file = args.service_account_private_key_file
    return Options(
        root_ca_pem=Path(args.root_ca_file).read_text() if args.root_ca_file else "",
        cluster_cidr=args.cluster_cidr,
        service_cidr=args.service_cluster_ip_range,
        node_monitor_period_s=args.node_monitor_period,
        node_monitor_grace_period_s=args.node_monitor_grace_period,
        node_eviction_rate=args.node_eviction_rate,
        secondary_node_eviction_rate=args.secondary_node_eviction_rate,
        large_cluster_size_threshold=args.large_cluster_size_threshold,
        unhealthy_zone_threshold=args.unhealthy_zone_threshold,
        terminated_pod_gc_threshold=args.terminated_pod_gc_threshold,
        allocate_node_cidrs=args.allocate_node_cidrs,
        node_cidr_mask_size=args.node_cidr_mask_size,
        autoscaler_sync_period_s=args.horizontal_pod_autoscaler_sync_period,
        signing_authority=_signing_authority(args),
        signing_duration_s=args.cluster_signing_duration,
        legacy_token_clean_up_period_s=args.legacy_service_account_token_clean_up_period,
        service_account_key=load_private_key(Path(key_file)) if key_file else None,
    )


def _signing_authority(args: argparse.Namespace) -> CertificateAuthority | None:
    cert, key = args.cluster_signing_cert_file, args.cluster_signing_key_file
    return CertificateAuthority.load(Path(cert), Path(key)) if cert and key else None


class Manager:
    """The loops of one process over one set of informers. Made anew for each time it leads."""

    def __init__(
        self, client: Client, options: Options, wanted: list[type[Controller]], bare: Transport | None = None
    ) -> None:
        """`bare`: a transport that shows no certificate; with it each loop acts as a service account of its own."""
        self._client = client
        self._bare = bare
        self._wanted = wanted
        self._options = options
        self._recorders: list[EventRecorder] = []

    async def run(self) -> NoReturn:
        informers = InformerFactory(self._client)
        now = self._client.clock.wall
        context = Context(self._client, self._client_for, informers, self._recorder, now, self._options)
        controllers = [each(context) for each in self._wanted]
        await informers.start()
        log.info("loops started", controllers=len(controllers))
        try:
            async with asyncio.TaskGroup() as group:
                for controller in controllers:
                    group.create_task(_keep_running(controller), name=controller.name)
        finally:
            await informers.stop()
        raise AssertionError("a loop ended by itself")

    async def stop(self) -> None:
        await asyncio.gather(*(recorder.close() for recorder in self._recorders))
        self._recorders.clear()

    def _client_for(self, account: str) -> Client:
        return credentials.client_for(self._client, self._bare, account) if self._bare else self._client

    def _recorder(self, client: Client, component: str) -> RecordEvent:
        recorder = EventRecorder(client, component)
        self._recorders.append(recorder)
        return recorder.event


async def _keep_running(controller: Controller) -> None:
    """A loop that fails as a whole is a bug: it is logged and started again, without its neighbours noticing."""
    while True:
        try:
            await controller.run()
        except Exception:
            log.exception("loop failed", controller=controller.name)
        await asyncio.sleep(CRASH_DELAY_S)
