"""`balsa apiserver`: starts one apiserver and stops it without hurting its clients.

It listens before the store answers, so that no connection is refused; until the caches are filled requests wait.
On a stop: not ready, then no new connection, watches ended, requests under way finished.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import socket

from certs.errors import CertsError
from control_plane.apiserver.config import Config, config, parser
from control_plane.apiserver.server import HTTPServer
from control_plane.apiserver.storage.compactor import Compactor
from control_plane.apiserver.wiring import Server, build
from store.client.errors import StoreError
from store.component import logs
from store.component.process import FatalError, Lifecycle, run

COMPONENT = "apiserver"
WITHDRAW_TIMEOUT_S = 1.0

log = logs.get(COMPONENT)


def main(argv: list[str]) -> int:
    return run(COMPONENT, parser(), argv, _main)


async def _main(args: argparse.Namespace, lifecycle: Lifecycle) -> None:
    settings = config(args)
    try:
        server = build(settings)
    except CertsError as error:
        raise FatalError(str(error)) from error
    http = HTTPServer(server.pipeline, _sockets(settings), server.tls_context)
    await http.start()
    log.info("listening", port=settings.secure_port, store=",".join(settings.store_endpoints))
    tasks = [
        asyncio.create_task(server.core.feed.run()),
        asyncio.create_task(_bootstrap(server)),
        asyncio.create_task(server.custom.run()),
        asyncio.create_task(server.aggregation.run()),
        *(asyncio.create_task(reloader.run()) for reloader in server.reloaders),
        *(asyncio.create_task(reloading.run()) for reloading in server.reloading),
    ]
    if settings.compaction_interval_s:
        compactor = Compactor(server.client, settings.compaction_interval_s)
        tasks.append(asyncio.create_task(compactor.run()))
    if server.encryption is not None:
        tasks.append(asyncio.create_task(server.encryption.run(server.core.feed.refill)))
    audit = [asyncio.create_task(server.audit.run())] if server.audit and server.audit.buffers else []
    try:
        await lifecycle.until_stopped(*tasks, *audit)
    finally:
        await _stop(server, http, settings)
        for task in [*tasks, *audit]:
            task.cancel()
        await asyncio.gather(*tasks, *audit, return_exceptions=True)
        if server.audit is not None:
            await server.audit.close()
        await server.core.kubelet.close()
        await server.core.proxy.close()
        await server.webhooks.close()
        for client in server.review_clients:
            await client.close()
        if server.authorizer is not None:
            await server.authorizer.close()
        await server.aggregation.close()
        await server.client.close()
        if server.tracing is not None:
            await asyncio.to_thread(server.tracing.close)


async def _bootstrap(server: Server) -> None:
    await server.hooks.run(server.core)
    log.info("ready")
    gc.freeze()
    background = [server.kubernetes_service.run(server.core)]
    if server.flow is not None:
        background.append(server.flow.controller.run())
    await asyncio.gather(*background)


async def _stop(server: Server, http: HTTPServer, settings: Config) -> None:
    """Not ready; after the delay watches end, requests under way finish, no new ones are taken."""
    server.core.draining.set()
    http.drain()
    if settings.shutdown_delay_s:
        await asyncio.sleep(settings.shutdown_delay_s)
    server.core.stopping.set()
    server.core.feed.wake_watchers()
    if settings.watch_grace_s:
        await asyncio.sleep(settings.watch_grace_s)
    try:
        async with asyncio.timeout(WITHDRAW_TIMEOUT_S):
            await server.kubernetes_service.withdraw()
    except (StoreError, TimeoutError) as error:
        log.warning("cannot withdraw this server's endpoint", reason=error)
    await http.stop()


def _sockets(settings: Config) -> list[socket.socket]:
    """The inherited sockets, or one of our own. Raises FatalError."""
    if settings.listen_fds:
        return [_inherited(descriptor) for descriptor in settings.listen_fds]
    try:
        return [socket.create_server((settings.bind_address, settings.secure_port), backlog=1024)]
    except OSError as error:
        raise FatalError(
            f"cannot listen on {settings.bind_address}:{settings.secure_port}: {error.strerror}"
        ) from error


def _inherited(descriptor: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise FatalError(f"--listen-fd={descriptor} is no socket: {error.strerror}") from error
    sock.setblocking(False)
    return sock
