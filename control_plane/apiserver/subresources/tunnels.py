"""pods/exec, pods/attach and pods/portforward: a tunnel from the client to the agent of the pod's node.

Both verbs that a client may use for them mean the same, and a WebSocket can only begin with a GET: who may only
`get` the subresource must not get in that way, so `create` is always asked for as well (as kube-apiserver does
since 1.35). Admission is asked with the operation CONNECT and the options.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from control_plane.api import errors
from control_plane.apiserver.admission.interface import AdmissionRequest, Operation
from control_plane.apiserver.authz.forbidden import forbidden_error
from control_plane.apiserver.authz.interface import Attributes, Decision
from control_plane.apiserver.core import Context
from control_plane.apiserver.handlers.get import read_raw
from control_plane.apiserver.messages import Request, Response, parse_flag
from control_plane.apiserver.storage import codec, keys
from control_plane.apiserver.subresources.log import chosen_container
from control_plane.client.streams import handshake

Object = dict[str, Any]

_STREAMS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}  # ours: kubelet's
_KINDS = {"exec": "PodExecOptions", "attach": "PodAttachOptions", "portforward": "PodPortForwardOptions"}
MAX_PORT = 65535


async def connect(ctx: Context) -> Response:
    what = ctx.info.subresource
    if ctx.info.verb not in ("get", "create") or not ctx.info.name:
        raise errors.method_not_allowed()
    await may_create(ctx)
    options = _port_forward_options(ctx.request) if what == "portforward" else _stream_options(ctx, what)
    await admit(ctx, _KINDS[what], options)
    pod = codec.decode(await read_raw(ctx))
    if what == "portforward":
        path: Sequence[str] = ("portForward", ctx.namespace, ctx.info.name)
        query = [("port", str(port)) for port in options.get("ports", ())]
    else:
        container = chosen_container(pod, options.get("container", ""))
        path = (what, ctx.namespace, ctx.info.name, container)
        query = [(theirs, "1") for ours, theirs in _STREAMS.items() if options.get(ours)]
        query += [("command", word) for word in options.get("command", ())]
    node = node_of(ctx, pod)
    if not handshake.upgrade_of(ctx.request.headers):
        raise errors.bad_request("Upgrade request required")
    backend, host = await ctx.core.kubelet.dial(node)
    target = "/" + "/".join(quote(part, safe="") for part in path) + (f"?{urlencode(query)}" if query else "")
    return await ctx.core.tunnels.open(ctx.request, backend, host, target, ctx.core.stopping)


async def may_create(ctx: Context) -> None:
    """Raises StatusError Forbidden."""
    info = ctx.info
    if info.verb == "create":
        return
    attributes = Attributes(
        user=ctx.user,
        verb="create",
        group=info.group,
        version=info.version,
        resource=info.resource,
        subresource=info.subresource,
        namespace=info.namespace,
        name=info.name,
    )
    decision, reason = await ctx.core.authorizer.authorize(attributes)
    if decision is not Decision.ALLOW:
        raise forbidden_error(attributes, reason)


async def admit(ctx: Context, kind: str, options: Object) -> None:
    """Raises StatusError."""
    info = ctx.info
    request = AdmissionRequest(
        operation=Operation.CONNECT,
        group=info.group,
        version=info.version,
        resource=info.resource,
        kind=kind,
        subresource=info.subresource,
        namespace=ctx.namespace,
        name=info.name,
        object={"kind": kind, "apiVersion": "v1", **options},
        old_object=None,
        user=ctx.user,
        warnings=ctx.warnings,
        annotations=ctx.request.audit_annotations,
    )
    await ctx.core.admission.mutate(request)
    await ctx.core.admission.validate(request)


def node_of(ctx: Context, pod: Object) -> Object:
    """The Node that a pod runs on. Raises StatusError."""
    name = (pod.get("spec") or {}).get("nodeName")
    if not name:
        raise errors.bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
    node = ctx.core.feed.cache("", "nodes").object(keys.item("", name))
    if node is None:
        raise errors.not_found("", "nodes", name)
    return node


def _stream_options(ctx: Context, what: str) -> Object:
    request = ctx.request
    options: Object = {name: _flag(request, name) for name in _STREAMS}
    if not any(name in request.query for name in ("stdin", "stdout", "stderr")):
        options |= {"stdout": True, "stderr": True}
    if options["tty"]:
        options["stderr"] = False  # a terminal has one output
    options = {name: True for name, wanted in options.items() if wanted}
    if container := request.first("container"):
        options["container"] = container
    if what == "exec":
        options["command"] = list(request.query.get("command", ()))
        if not options["command"]:
            raise errors.bad_request("you must specify at least one command for the container")
    return options


def _flag(request: Request, name: str) -> bool:
    return name in request.query and parse_flag(request.first(name))


def _port_forward_options(request: Request) -> Object:
    ports = []
    for text in (word for value in request.query.get("ports", ()) for word in value.split(",")):
        if not text.isascii() or not text.isdigit() or not 0 < int(text[:6]) <= MAX_PORT:
            raise errors.bad_request(f"invalid port {errors.quote(text[:20])}")
        ports.append(int(text))
    return {"ports": ports} if ports else {}
