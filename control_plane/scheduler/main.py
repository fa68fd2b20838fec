"""`balsa scheduler`: kube-scheduler's place, with its flags.

`--config` is a KubeSchedulerConfiguration, as kube-scheduler's; the file of flags that other components
read there is `--flags-file` here. Informers run before the lease is held, so that a successor starts with a
full cache.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
from collections.abc import Mapping

from certs import tls
from certs.errors import CertsError
from certs.kubeconfig import KubeConfig
from control_plane.client.client import Client
from control_plane.client.errors import LeadershipLost
from control_plane.client.leader_election import LeaderElector
from control_plane.client.leader_flags import add_leader_flags, elector_from
from control_plane.client.renewal import keep_renewed
from control_plane.scheduler import config as configuration
from control_plane.scheduler.config import ConfigError, SchedulerConfig
from control_plane.scheduler.extenders import Extenders
from control_plane.scheduler.framework.profile import Profile
from control_plane.scheduler.metrics import Metrics
from control_plane.scheduler.scheduler import Scheduler
from store.component import health, process
from store.component.flags import Parser
from store.component.process import FatalError, Lifecycle

USER_AGENT = "balsa-scheduler"
LEASE_NAME = "kube-scheduler"
DEFAULT_PORT = 10259


def parser() -> Parser:
    flags = Parser("balsa scheduler", "Assigns pods to nodes.", config_flag="--flags-file")
    flags.add_argument("--config", metavar="FILE", help="KubeSchedulerConfiguration (v1)")
    flags.add_argument("--kubeconfig", metavar="FILE", help="how to reach the apiserver, and as whom")
    flags.add_argument("--bind-address", default="127.0.0.1", help="where health and metrics are served")
    flags.add_argument("--secure-port", type=int, default=DEFAULT_PORT, help="0: not at all")
    flags.add_argument("--tls-cert-file", metavar="FILE", help="serving certificate")
    flags.add_argument("--tls-private-key-file", metavar="FILE", help="its key")
    flags.add_argument("--client-ca-file", metavar="FILE", help="CA of those who may ask")
    flags.add_argument("--kube-api-qps", type=float, default=0.0, help="requests per second; 0: no limit")
    flags.add_argument("--kube-api-burst", type=int, default=0, help="requests at once")
    add_leader_flags(flags, LEASE_NAME)
    return flags


def main(argv: list[str]) -> int:
    return process.run("scheduler", parser(), argv, run)


async def run(args: argparse.Namespace, lifecycle: Lifecycle) -> None:
    config = _config(args)
    client = _client(args, config)
    metrics = Metrics()
    async with client:
        scheduler = _scheduler(client, config, metrics)
        elector = _elector(args, client)
        server = _health(args, scheduler, metrics)
        if server is not None:
            await server.start()
        sync = asyncio.create_task(scheduler.sync(), name="sync")
        renewal = asyncio.create_task(keep_renewed(client, args.kubeconfig or config.kubeconfig))
        leading = asyncio.create_task(_lead(scheduler, elector), name="leading")
        try:
            await lifecycle.until_stopped(leading)
        finally:
            for task in (leading, sync, renewal):
                task.cancel()
            await asyncio.gather(leading, sync, renewal, return_exceptions=True)
            await scheduler.informers.stop()
            if server is not None:
                await server.stop()


async def _lead(scheduler: Scheduler, elector: LeaderElector | None) -> None:
    if elector is None:
        await scheduler.run()
        return
    try:
        await elector.run(scheduler.run)
    except LeadershipLost as error:
        raise FatalError(f"{error}; another candidate goes on") from error


def _config(args: argparse.Namespace) -> SchedulerConfig:
    try:
        return configuration.load(args.config) if args.config else SchedulerConfig()
    except ConfigError as error:
        raise FatalError(str(error)) from error


def _client(args: argparse.Namespace, config: SchedulerConfig) -> Client:
    path = args.kubeconfig or config.kubeconfig
    if not path:
        raise FatalError("--kubeconfig is needed")
    try:
        return Client(KubeConfig.load(path), USER_AGENT, args.kube_api_qps, args.kube_api_burst)
    except CertsError as error:
        raise FatalError(str(error)) from error


def _scheduler(client: Client, config: SchedulerConfig, metrics: Metrics) -> Scheduler:
    def profiles(handle: Scheduler) -> Mapping[str, Profile]:
        return {each.scheduler_name: configuration.build(each, handle) for each in config.profiles}

    try:
        return Scheduler(
            client,
            profiles,
            metrics=metrics,
            initial_backoff_s=config.initial_backoff_s,
            max_backoff_s=config.max_backoff_s,
            extenders=Extenders(config.extenders),
        )
    except ConfigError as error:
        raise FatalError(str(error)) from error


def _elector(args: argparse.Namespace, client: Client) -> LeaderElector | None:
    if not args.leader_elect:
        return None
    try:
        return elector_from(args, client)
    except ValueError as error:
        raise FatalError(str(error)) from error


def _health(args: argparse.Namespace, scheduler: Scheduler, metrics: Metrics) -> health.HealthServer | None:
    """Ready when it knows the cluster, leading or not."""
    if not args.secure_port or not args.tls_cert_file:
        return None
    context = tls.server_context(
        args.tls_cert_file, args.tls_private_key_file, args.client_ca_file, require_client_cert=False
    )
    try:
        sock = socket.create_server((args.bind_address, args.secure_port))
    except OSError as error:
        raise FatalError(
            f"cannot listen on {args.bind_address}:{args.secure_port}: {error.strerror}"
        ) from error
    checks = {"informer-sync": lambda: None if scheduler.informers.synced else "informers are not synced"}
    return health.HealthServer(sock, context, ready=checks, registry=metrics.registry)
