"""Reading what configMap, secret and downwardAPI volumes show; shared with projected volumes."""

from __future__ import annotations

from node.agent import downward, environment
from node.agent.errors import ConfigError, VolumeError
from node.agent.pod_spec import Obj, namespace
from node.agent.references import Ref
from node.agent.volumes import payload
from node.agent.volumes.interface import Request
from node.agent.volumes.payload import Payload


async def config_map(request: Request, source: Obj, mode: int) -> Payload:
    return await _object(request, "ConfigMap", source.get("name", ""), source, mode)


async def secret(request: Request, source: Obj, mode: int) -> Payload:
    return await _object(request, "Secret", source.get("secretName") or source.get("name", ""), source, mode)


async def _object(request: Request, kind: str, name: str, source: Obj, mode: int) -> Payload:
    optional = bool(source.get("optional"))
    found = await request.services.read(Ref(kind, namespace(request.pod), name))
    if found is None and not optional:
        raise VolumeError(environment.not_found(kind, name))
    if found is None:
        return {}
    keys = payload.keys_of_config_map(found) if kind == "ConfigMap" else payload.keys_of_secret(found)
    what = "config" if kind == "ConfigMap" else "secret"
    return payload.from_keys(keys, source.get("items"), mode, optional, what)


def downward_api(request: Request, source: Obj, mode: int) -> Payload:
    pod, node = request.pod, request.services.node()
    status = pod.get("status") or {}
    pod_ips = tuple(each["ip"] for each in status.get("podIPs") or [])

    def value(item: Obj) -> str:
        try:
            if ref := item.get("fieldRef"):
                return downward.field(pod, ref["fieldPath"], pod_ips, request.services.host_ips(), node)
            return downward.resource(pod, {"name": ""}, item["resourceFieldRef"], node)
        except ConfigError as error:
            raise VolumeError(str(error)) from error

    return payload.from_fields(source.get("items") or [], mode, value)
