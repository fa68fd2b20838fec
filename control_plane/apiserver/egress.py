"""How the apiserver reaches into the cluster: webhooks, aggregated servers, whatever stands behind a Service.

A Service is called by its name (`https://name.namespace.svc:port`, which its certificate is for) and reached at one
of its endpoints, as kube-apiserver with `--enable-aggregator-routing` does. Where the cluster has a network of its
own, the sockets are made inside it (a socket belongs for ever to the namespace it was created in); everything above
is an ordinary connection on the ordinary event loop.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol

from aiohttp import TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from control_plane.api import errors
from control_plane.client.streams.duplex import Duplex, SocketDuplex

MAX_CONNECTIONS = 512
MAX_CONNECTIONS_PER_HOST = 64
KEEPALIVE_S = 30.0
CONNECT_TIMEOUT_S = 10.0
SERVICE_SUFFIX = ".svc"
_CLONE_NEWNET = 0x40000000

Object = dict[str, Any]
AddrInfo = tuple[Any, ...]


class Reader(Protocol):
    def get(self, group: str, resource: str, namespace: str, name: str) -> Object | None: ...

    def list(self, group: str, resource: str, namespace: str = "") -> Sequence[Object]: ...


class ServiceResolver(AbstractResolver):
    """From `name.namespace.svc` and a service port to the addresses of ready endpoints, one chosen at random."""

    def __init__(self, reader: Reader, choose: random.Random | None = None) -> None:
        self._reader = reader
        self._random = choose or random.Random()  # noqa: S311 - spreads load, guards nothing

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        try:
            name, namespace = host.removesuffix(SERVICE_SUFFIX).split(".")
            found, real_port = self.endpoint(namespace, name, port)
        except ValueError as error:
            raise OSError(f"{host} names no service") from error
        except errors.StatusError as error:
            raise OSError(error.message) from error
        try:
            return [_resolved(host, found, real_port)]
        except ValueError:  # an ExternalName
            infos = await asyncio.get_running_loop().getaddrinfo(found, real_port, type=socket.SOCK_STREAM)
            return [_resolved(host, str(info[4][0]), real_port) for info in infos]

    async def close(self) -> None:
        """Nothing is kept."""

    def endpoint(self, namespace: str, name: str, port: int) -> tuple[str, int]:
        """Address and port of one endpoint. Raises StatusError: NotFound, ServiceUnavailable."""
        service = self._reader.get("", "services", namespace, name)
        if service is None:
            raise errors.not_found("", "service", name)
        spec = service.get("spec") or {}
        if spec.get("type") == "ExternalName":
            return str(spec.get("externalName", "")), port
        wanted = next((each for each in spec.get("ports") or () if each.get("port") == port), None)
        if wanted is None:
            why = f"no service port {port} found for service {errors.quote(name)}"
            raise errors.service_unavailable(why)
        found = ready_endpoints(self._slices(namespace, name), str(wanted.get("name") or ""))
        if not found:
            raise errors.service_unavailable(f"no endpoints available for service {errors.quote(name)}")
        return self._random.choice(found)

    def _slices(self, namespace: str, service: str) -> list[Object]:
        return [
            each
            for each in self._reader.list("discovery.k8s.io", "endpointslices", namespace)
            if (each["metadata"].get("labels") or {}).get("kubernetes.io/service-name") == service
        ]


def ready_endpoints(slices: Sequence[Object], port_name: str) -> list[tuple[str, int]]:
    """Every address and port at which the named port of a service is ready."""
    found: list[tuple[str, int]] = []
    for each in slices:
        ports = [
            port["port"]
            for port in each.get("ports") or ()
            if (port.get("name") or "") == port_name and port.get("port")
        ]
        for endpoint in each.get("endpoints") or ():
            if ports and (endpoint.get("conditions") or {}).get("ready") is not False:
                found += [(address, ports[0]) for address in endpoint.get("addresses") or ()]
    return found


def _resolved(host: str, address: str, port: int) -> ResolveResult:
    """Raises ValueError for what is no address."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, address)
        except OSError:
            continue
        return ResolveResult(
            hostname=host,
            host=address,
            port=port,
            family=family,
            proto=0,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
    raise ValueError(address)


class Egress:
    """Makes the connectors of HTTP clients. `namespace` is the path of the cluster's network namespace; "" where
    the cluster shares the host's network."""

    def __init__(self, resolver: ServiceResolver, namespace: str = "") -> None:
        self.resolver = resolver
        self._namespace = namespace

    def to_services(self) -> TCPConnector:
        """For URLs of services. Must be called on the running loop; who asked closes it."""
        return TCPConnector(
            resolver=self.resolver,
            use_dns_cache=False,
            limit=MAX_CONNECTIONS,
            limit_per_host=MAX_CONNECTIONS_PER_HOST,
            keepalive_timeout=KEEPALIVE_S,
            socket_factory=self._socket_factory(),
        )

    def to_pods(self) -> TCPConnector:
        """For URLs of addresses in the cluster. What answers there proves nothing by its certificate, as everywhere
        in Kubernetes' proxy subresources."""
        return TCPConnector(
            limit=MAX_CONNECTIONS,
            limit_per_host=MAX_CONNECTIONS_PER_HOST,
            keepalive_timeout=KEEPALIVE_S,
            socket_factory=self._socket_factory(),
            ssl=unverified(),
        )

    async def dial(self, host: str, port: int, secure: bool) -> Duplex:
        """A connection to an address in the cluster. Raises OSError, TimeoutError."""
        return await self._connect(host, port, unverified() if secure else None, host)

    async def dial_service(self, namespace: str, service: str, port: int, context: ssl.SSLContext) -> Duplex:
        """A connection to an endpoint of a service, which proves to be it. Raises OSError, TimeoutError."""
        try:
            address, real_port = self.resolver.endpoint(namespace, service, port)
        except errors.StatusError as error:
            raise OSError(error.message) from error
        return await self._connect(address, real_port, context, f"{service}.{namespace}{SERVICE_SUFFIX}")

    async def _connect(self, host: str, port: int, context: ssl.SSLContext | None, name: str) -> Duplex:
        infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        factory = self._socket_factory()
        made = factory(infos[0]) if factory else socket.socket(*infos[0][:3])
        made.setblocking(False)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await asyncio.get_running_loop().sock_connect(made, infos[0][4])
                server_name = name if context is not None else None
                reader, writer = await asyncio.open_connection(
                    sock=made, ssl=context, server_hostname=server_name
                )
        except BaseException:
            made.close()
            raise
        return SocketDuplex(reader, writer)

    def to_urls(self) -> TCPConnector:
        """For URLs that a configuration names: over the host's network."""
        return TCPConnector(
            limit=MAX_CONNECTIONS, limit_per_host=MAX_CONNECTIONS_PER_HOST, keepalive_timeout=KEEPALIVE_S
        )

    def _socket_factory(self) -> Callable[[AddrInfo], socket.socket] | None:
        if not self._namespace:
            return None
        return lambda info: socket_in(self._namespace, info)


@cache
def unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def socket_in(namespace: str, info: AddrInfo) -> socket.socket:
    """A socket made inside a network namespace. A thread may enter one but, without privileges, not come back:
    so a thread of its own does, which ends. Takes a fraction of a millisecond. Raises OSError."""
    made: list[socket.socket] = []
    failures: list[OSError] = []

    def visit() -> None:
        try:
            _enter(namespace)
            made.append(socket.socket(info[0], info[1], info[2]))
            made[0].setblocking(False)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=visit, name="egress")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return made[0]


def _enter(namespace: str) -> None:
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"cannot enter the cluster's network: {os.strerror(number)}")
    finally:
        os.close(descriptor)
