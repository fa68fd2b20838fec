"""`balsa store`: one member, from flags to a serving process and back; beside it commands about members.

Start: flags → TLS → engine (which loads what is on the disk) → client door. Stop: no new connections, what
is in flight is answered, the leader hands over, the log is closed. If the engine fails the process ends
with its reason; whoever supervises it starts it again.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import socket
import ssl
from collections.abc import Coroutine, Mapping
from typing import Any

from certs.errors import CertsError
from certs.tls import Reloader, client_context, server_context
from store.api import flags, housekeeping
from store.api.auth import TokenKeeper
from store.api.calls import Calls
from store.api.grpc.door import Door, GrpcMethods, offer
from store.api.http1 import Server
from store.api.join import ask_cluster
from store.api.json_gateway import JsonGateway
from store.api.json_streams import JsonStreams
from store.api.leases import LeaseKeeper
from store.api.machine import StoreMachine
from store.api.metrics import Metrics
from store.api.probes import Probes
from store.api.recovery import advice
from store.api.service import VERSION, Limits, StoreService
from store.component import logs, process
from store.component.process import FatalError, Lifecycle
from store.raft import Corrupted, RaftConfig, RaftNode, StorageError
from store.raft.measured import MeasuredDisk, PeerStats
from store.raft.transport import PeerTransport

STOP_GRACE_S = 2.0
BACKLOG = 1024
HANDSHAKE_TIMEOUT_S = 10.0
COMMANDS = {
    "snapshot": "store.api.snapshot_command",
    "status": "store.api.status_command",
    "verify": "store.api.verify_command",
}

log = logs.get("store")


def main(argv: list[str]) -> int:
    if argv and argv[0] in COMMANDS:
        command = importlib.import_module(COMMANDS[argv[0]])  # no member needs it
        return int(command.main(argv[1:]))
    return process.run("store", flags.parser(), argv, serve)


async def serve(args: argparse.Namespace, lifecycle: Lifecycle) -> None:
    flags.check(args)
    client_tls, reloaders = _contexts(args)
    loop = asyncio.get_running_loop()
    leases = LeaseKeeper(loop.time)
    tokens = TokenKeeper(loop.time)
    machine = StoreMachine(leases, tokens)
    disk = MeasuredDisk()
    engine = RaftNode(await _raft_config(args, reloaders), machine, disk=disk)
    engine.on_leadership(lambda leading: leases.on_leadership(machine.leases, leading))
    sockets = _listen(args)
    try:
        await engine.start()
    except Corrupted as error:
        raise FatalError(f"{error}. {advice(flags.data_dir(args))}") from error
    except (StorageError, OSError) as error:
        raise FatalError(str(error)) from error
    service = StoreService(engine, machine, leases, _limits(args))
    streams = JsonStreams(service, tokens)
    calls = Calls(timed=args.metrics == "extensive")
    metrics = Metrics(service, calls, disk, lambda: _peers(engine))
    gateway = JsonGateway(service, tokens, Probes(service, metrics), streams.handlers(), calls)
    server = metrics.server = Server(gateway, args.max_concurrent_connections)
    server.keepalive_min_time_s = args.grpc_keepalive_min_time
    methods = GrpcMethods(service, tokens, calls)
    doors = [
        await loop.create_server(
            lambda: Door(server, methods),
            sock=sock,
            ssl=client_tls,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
            backlog=BACKLOG,
        )
        for sock in sockets
    ]
    log.info("serving clients", name=args.name, urls=args.listen_client_urls, version=VERSION)
    tasks = [
        asyncio.create_task(each)
        for each in (
            *_background(args, service, server, leases, reloaders, loop.time),
            housekeeping.count_leaders(metrics),
        )
    ]
    tasks.append(asyncio.create_task(_until_failed(engine)))
    try:
        await lifecycle.until_stopped(*tasks)
    finally:
        for door in doors:
            door.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # hand over first: requests in flight then end well, and the others have a leader at once
        await asyncio.gather(engine.stop(), server.stop(STOP_GRACE_S))


def _background(
    args: argparse.Namespace,
    service: StoreService,
    server: Server,
    leases: LeaseKeeper,
    reloaders: list[Reloader],
    now: Any,
) -> list[Coroutine[Any, Any, None]]:
    return [
        leases.run(service.engine, lambda: service.machine.leases),
        housekeeping.release_memory(service),
        housekeeping.tend_collector(service),
        housekeeping.sweep_connections(server),
        housekeeping.notify_progress(service, args.watch_progress_notify_interval),
        _forever(housekeeping.auto_compact(service, flags.retention(args), now)),
        *(reloader.run() for reloader in reloaders),
    ]


def _peers(engine: RaftNode) -> Mapping[int, PeerStats]:
    return engine.transport.stats if isinstance(engine.transport, PeerTransport) else {}


async def _forever(work: Coroutine[Any, Any, None]) -> None:
    """Work that may have nothing to do must not end the process by ending."""
    await work
    await asyncio.Event().wait()


async def _until_failed(engine: RaftNode) -> None:
    failure = await engine.wait_stopped()
    raise FatalError(f"the consensus engine stopped: {failure}")


def _contexts(args: argparse.Namespace) -> tuple[ssl.SSLContext, list[Reloader]]:
    try:
        context = server_context(args.cert_file, args.key_file, args.trusted_ca_file)
    except CertsError as error:
        raise FatalError(str(error)) from error
    offer(context)
    return context, [Reloader(context, args.cert_file, args.key_file)]


async def _raft_config(args: argparse.Namespace, reloaders: list[Reloader]) -> RaftConfig:
    cert, key, ca = args.peer_cert_file, args.peer_key_file, args.peer_trusted_ca_file
    try:
        server = server_context(cert, key, ca)
        client = client_context(ca, cert, key, min_tls13=True)
        reloaders += [Reloader(context, cert, key) for context in (server, client)]
        members = flags.initial_cluster(args)
        join = None
        if flags.joins(args) and args.join_endpoints:
            join = await ask_cluster(flags.split(args.join_endpoints), client, args.name, members[args.name])
        return RaftConfig(
            name=args.name,
            data_dir=flags.data_dir(args),
            initial_members=members,
            cluster_token=args.initial_cluster_token,
            join=join,
            existing=flags.joins(args),
            listen_urls=flags.split(args.listen_peer_urls),
            advertise_client_urls=flags.split(args.advertise_client_urls or args.listen_client_urls),
            server_tls=server,
            client_tls=client,
            heartbeat_interval_s=args.heartbeat_interval / 1000,
            election_timeout_s=args.election_timeout / 1000,
            snapshot_count=args.snapshot_count,
        )
    except (CertsError, ValueError) as error:
        raise FatalError(str(error)) from error


def _limits(args: argparse.Namespace) -> Limits:
    election_timeout_s = args.election_timeout / 1000
    return Limits(
        request_bytes=args.max_request_bytes,
        txn_ops=args.max_txn_ops,
        quota_bytes=args.quota_backend_bytes or Limits().quota_bytes,
        request_timeout_s=5.0 + 2 * election_timeout_s,
        min_lease_ttl_s=max(1, -(-3 * args.election_timeout // 2000)),
    )


def _listen(args: argparse.Namespace) -> list[socket.socket]:
    if args.listen_client_fd is not None:
        return [socket.socket(fileno=args.listen_client_fd)]
    addresses = flags.listen_addresses(args.listen_client_urls, "--listen-client-urls")
    return [_bind(address) for address in addresses]


def _bind(address: flags.ListenAddress) -> socket.socket:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(where)
    except OSError as error:
        raise FatalError(f"cannot listen on {address.host}:{address.port}: {error}") from error
    sock.setblocking(False)
    return sock
