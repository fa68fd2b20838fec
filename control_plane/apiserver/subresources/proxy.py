"""pods/proxy, services/proxy and nodes/proxy: HTTP, and whatever it is upgraded to, to what runs in the cluster.

    /api/v1/namespaces/ns/pods/[scheme:]name[:port]/proxy/path       the pod's address; its first port, else 80
    /api/v1/namespaces/ns/services/[scheme:]name[:port]/proxy/path   a ready endpoint of the port, by name or number
    /api/v1/nodes/[scheme:]name[:port]/proxy/path                    the node's kubelet API, with our certificate

Messages and rules are kube-apiserver's.
"""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from control_plane.api import errors
from control_plane.apiserver.core import Context
from control_plane.apiserver.egress import ready_endpoints
from control_plane.apiserver.handlers.get import read_raw
from control_plane.apiserver.messages import Response
from control_plane.apiserver.proxy import Backend, Target, hand_on
from control_plane.apiserver.storage import codec
from control_plane.apiserver.subresources.tunnels import admit
from control_plane.client.streams import handshake

Object = dict[str, Any]

DEFAULT_PORTS = {"http": 80, "https": 443}
SERVICE_LABEL = "kubernetes.io/service-name"
MAX_PORT = 65535
_LOCALHOST = ipaddress.ip_network("127.0.0.0/16")
_KINDS = {"pods": "PodProxyOptions", "services": "ServiceProxyOptions", "nodes": "NodeProxyOptions"}


async def connect(ctx: Context) -> Response:
    resource = ctx.resource.resource
    prefix, path = split_path(ctx)
    await admit(ctx, _KINDS[resource], {"path": path} if path else {})
    if not path and ctx.request.method in ("GET", "HEAD"):
        return _to_root(ctx, prefix)
    scheme, name, port = split_name(ctx.info.name, resource.removesuffix("s"))
    found = codec.decode(await read_raw(replace(ctx, info=replace(ctx.info, name=name))))
    query = f"?{ctx.request.raw_query}" if ctx.request.raw_query else ""
    if resource == "nodes":
        return await _to_node(ctx, found, scheme, port, path + query, prefix)
    where = _of_pod(found, scheme, port) if resource == "pods" else _of_service(ctx, found, scheme, port)
    return await _pass(ctx, Target(where, (path or "/") + query, prefix))


async def _pass(ctx: Context, target: Target) -> Response:
    proxy = ctx.core.proxy
    if not handshake.upgrade_of(ctx.request.headers):
        return await hand_on(proxy.session(), ctx.request, target)
    backend = await proxy.dial(target.backend)
    return await ctx.core.tunnels.open(
        ctx.request, backend, target.backend.authority, target.path, ctx.core.stopping
    )


def split_path(ctx: Context) -> tuple[str, str]:
    """The request's path up to /proxy, and what follows it, as it was sent."""
    raw = ctx.request.raw_path or ctx.request.path
    marker = f"/{ctx.resource.resource}/"
    start = raw.index(marker) + len(marker)
    end = raw.index("/proxy", start) + len("/proxy")
    return raw[:end], raw[end:]


def split_name(text: str, kind: str) -> tuple[str, str, str]:
    """`name`, `name:port` or `scheme:name:port`. Raises StatusError."""
    words = text.split(":")
    scheme, name, port = "", words[0], ""
    if len(words) == 2:
        port = words[1]
    elif len(words) == 3:
        scheme, name, port = words
    if len(words) > 3 or not name or scheme not in ("", "http", "https"):
        raise errors.bad_request(f"invalid {kind} request {errors.quote(text)}")
    return scheme, name, port


def _to_root(ctx: Context, prefix: str) -> Response:
    """Relative links of the page at the root would otherwise lead elsewhere."""
    query = f"?{ctx.request.raw_query}" if ctx.request.raw_query else ""
    return Response(301, content_type="text/plain", headers={"Location": f"{prefix}/{query}"})


def _port_number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:6]) <= MAX_PORT:
        raise errors.bad_request(f"invalid port {errors.quote(text[:63])}")
    return int(text)


def _of_pod(pod: Object, scheme: str, port: str) -> Backend:
    scheme = scheme or "http"
    number = _port_number(port) if port else _first_port(pod) or DEFAULT_PORTS[scheme]
    address = (pod.get("status") or {}).get("podIP", "")
    _check_address(address)
    return Backend(scheme, address, number)


def _first_port(pod: Object) -> int:
    containers = (pod.get("spec") or {}).get("containers") or ()
    ports = [each["ports"][0]["containerPort"] for each in containers if each.get("ports")]
    return int(ports[0]) if ports else 0


def _of_service(ctx: Context, service: Object, scheme: str, port: str) -> Backend:
    name = service["metadata"]["name"]
    if port.isascii() and port.isdigit():
        ports = (service.get("spec") or {}).get("ports") or ()
        wanted = next((each for each in ports if str(each.get("port")) == port), None)
        if wanted is None:
            raise errors.service_unavailable(f"no service port {port} found for service {errors.quote(name)}")
        port = wanted.get("name") or ""
    slices = [
        each
        for each in ctx.core.feed.cache("discovery.k8s.io", "endpointslices").objects(f"{ctx.namespace}/")
        if (each["metadata"].get("labels") or {}).get(SERVICE_LABEL) == name
    ]
    endpoints = ready_endpoints(slices, port)
    if not endpoints:
        raise errors.service_unavailable(f"no endpoints available for service {errors.quote(name)}")
    address, number = secrets.choice(endpoints)
    _check_address(address)
    return Backend(scheme or "http", address, number)


def _check_address(text: str) -> None:
    """Nobody's pod may claim the server's own addresses; 127/8 has pods only where the network is the host's
    loopback, and there not below 127.1. Raises StatusError."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise errors.bad_request("address not allowed") from None
    is_own = address in _LOCALHOST if address.version == 4 else address.is_loopback
    if is_own or address.is_link_local or address.is_unspecified or address.is_multicast:
        raise errors.bad_request("address not allowed")


async def _to_node(ctx: Context, node: Object, scheme: str, port: str, path: str, prefix: str) -> Response:
    kubelet = ctx.core.kubelet
    url = urlsplit(kubelet.base_url(node))
    if port and int(_port_number(port)) != url.port:
        target = Target(Backend(scheme or "http", url.hostname or "", int(port)), path, prefix)
        return await _pass(ctx, target)
    target = Target(Backend("https", url.hostname or "", url.port or 0), path, prefix)
    if not handshake.upgrade_of(ctx.request.headers):
        return await hand_on(kubelet.session(), ctx.request, target)
    backend, host = await kubelet.dial(node)
    return await ctx.core.tunnels.open(ctx.request, backend, host, path, ctx.core.stopping)
