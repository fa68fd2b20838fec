"""`pods/log`: a container's log, handed on from the agent of the pod's node as it comes."""

from __future__ import annotations

from typing import Any

import orjson

from control_plane.api import errors
from control_plane.apiserver import kubelet, websocket
from control_plane.apiserver.core import Context
from control_plane.apiserver.handlers.get import read_raw
from control_plane.apiserver.messages import Request, Response, parse_flag
from control_plane.apiserver.storage import codec, keys

_PASSED_ON = ("follow", "previous", "timestamps", "stream")
_NUMBERS = ("sinceSeconds", "tailLines", "limitBytes")
_KINDS = ("containers", "initContainers", "ephemeralContainers")

Object = dict[str, Any]


async def get(ctx: Context) -> Response:
    query = log_query(ctx.request, ctx.info.name)
    pod = codec.decode(await read_raw(ctx))
    container = chosen_container(pod, ctx.request.first("container"))
    node_name = (pod.get("spec") or {}).get("nodeName")
    if not node_name:
        return Response(200, b"", "text/plain")
    node = ctx.core.feed.cache("", "nodes").object(keys.item("", node_name))
    if node is None:
        raise errors.not_found("", "nodes", node_name)
    path = ("containerLogs", ctx.namespace, ctx.info.name, container)
    answer = await ctx.core.kubelet.open(node, path, query)
    if answer.status != 200:
        text = (await answer.content.read(kubelet.MAX_ERROR_SIZE_BYTES)).decode("utf-8", "replace")
        answer.close()
        raise _refused(answer.status, text)
    if websocket.is_asked_for(ctx.request):
        try:
            return websocket.answer(ctx.request, lambda write: kubelet.copy(answer, write))
        except errors.StatusError:
            answer.close()
            raise
    return Response(200, content_type="text/plain", stream=lambda write: kubelet.copy(answer, write))


def log_query(request: Request, pod: str) -> dict[str, str]:
    """The options of the request as the node agent takes them. Raises StatusError."""
    query: dict[str, str] = {}
    for name in _PASSED_ON:
        value = request.first(name)
        if name == "stream" and value:
            query[name] = value
        elif value or name in request.query:
            query[name] = "true" if parse_flag(value) else "false"
    problems = []
    for name in _NUMBERS:
        text = request.first(name)
        if not text:
            continue
        try:
            number = int(text)
        except ValueError:
            raise errors.bad_request(f'{name}: strconv.ParseInt: parsing "{text}": invalid syntax') from None
        lowest = 0 if name == "tailLines" else 1
        if number < lowest:
            words = "greater than or equal to 0" if lowest == 0 else "greater than 0"
            problems.append(errors.invalid_value(name, number, f"must be {words}"))
        query[name] = text
    if since := request.first("sinceTime"):
        query["sinceTime"] = since
        if "sinceSeconds" in query:
            why = "at most one of `sinceTime` or `sinceSeconds` may be specified"
            problems.append(errors.forbidden_field("", why))
    if problems:
        raise errors.invalid("", "PodLogOptions", pod, problems)
    return query


def chosen_container(pod: Object, name: str) -> str:
    """The container asked for; the only one, or the annotated one, when none was. Raises StatusError."""
    spec = pod.get("spec") or {}
    known = {kind: [each["name"] for each in spec.get(kind) or []] for kind in _KINDS}
    pod_name = pod["metadata"]["name"]
    if name:
        if any(name in names for names in known.values()):
            return name
        raise errors.bad_request(f"container {name} is not valid for pod {pod_name}")
    if len(known["containers"]) == 1:
        return str(known["containers"][0])
    annotations = pod["metadata"].get("annotations") or {}
    default = annotations.get("kubectl.kubernetes.io/default-container")
    if default in known["containers"]:
        return str(default)
    message = (
        f"a container name must be specified for pod {pod_name}, choose one of: {_shown(known['containers'])}"
    )
    if known["initContainers"]:
        message += f" or one of the init containers: {_shown(known['initContainers'])}"
    raise errors.bad_request(message)


def _shown(names: list[str]) -> str:
    return f"[{' '.join(names)}]"


def _refused(status: int, text: str) -> errors.StatusError:
    """The node agent's words; a Status of its own is handed on."""
    try:
        parsed = orjson.loads(text)
        if isinstance(parsed, dict) and parsed.get("kind") == "Status":
            return errors.StatusError.from_status(parsed, status)
    except ValueError:
        pass
    text = text.strip() or "the server rejected our request for an unknown reason"
    reason = {400: "BadRequest", 404: "NotFound", 403: "Forbidden"}.get(status, "InternalError")
    return errors.StatusError(status, reason, text)
