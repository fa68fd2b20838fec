"""What a request is about, read from its method, path and query exactly as kube-apiserver's RequestInfo does.

    /api/v1/namespaces/ns/pods/web/log        core v1, pods "web" in "ns", subresource log
    /apis/apps/v1/deployments                 apps v1, deployments of all namespaces
    /api/v1/namespaces/ns                     core v1, namespaces "ns" (its namespace is "ns" too)
    /api/v1/watch/pods                        the deprecated watch prefix
    /healthz                                  no resource

The verb is the one authorization knows: a GET of a collection is a list, with `watch` a watch; a DELETE of
a collection is a deletecollection. A list by `fieldSelector=metadata.name=x` has the name "x", so that rules with
resourceNames apply to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from control_plane.apiserver.messages import Query, parse_flag

_VERBS = {
    "POST": "create",
    "GET": "get",
    "HEAD": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_OF_NAMESPACES = frozenset({"status", "finalize"})  # subresources of the namespace object itself
_LONG_RUNNING_SUBRESOURCES = frozenset({"proxy", "log", "exec", "attach", "portforward"})


@dataclass(frozen=True, slots=True)
class RequestInfo:
    path: str
    verb: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""
    rest: tuple[str, ...] = ()  # what follows the subresource (a proxied path)
    field_selector: str = ""
    label_selector: str = ""

    @property
    def is_long_running(self) -> bool:
        return self.verb in ("watch", "proxy") or self.subresource in _LONG_RUNNING_SUBRESOURCES


def request_info(method: str, path: str, query: Query) -> RequestInfo:
    parts = [part for part in path.strip("/").split("/") if part]
    verb = method.lower()
    if len(parts) < 3 or parts[0] not in ("api", "apis"):
        return RequestInfo(path=path, verb=verb)
    group = ""
    rest = parts[1:]
    if parts[0] == "apis":
        if len(parts) < 4:
            return RequestInfo(path=path, verb=verb)
        group, rest = parts[1], parts[2:]
    return _resource_info(method, path, query, group, rest[0], rest[1:])


def group_version_of(path: str) -> tuple[str, str] | None:
    """The group and version that a path of a named group is about."""
    parts = path.split("/", 4)
    return (parts[2], parts[3]) if len(parts) > 3 and parts[1] == "apis" and parts[3] else None


def _resource_info(
    method: str, path: str, query: Query, group: str, version: str, rest: list[str]
) -> RequestInfo:
    verb = _VERBS.get(method, "")
    if rest[0] in ("watch", "proxy"):
        if len(rest) < 2:
            return RequestInfo(path=path, verb=method.lower())
        verb, rest = rest[0], rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _OF_NAMESPACES:
            rest = rest[2:]
    resource, name, subresource = (*rest, "", "", "")[:3]
    field_selector = label_selector = ""
    if not name and verb in ("get", "list", "watch"):
        verb, name = _collection_verb(verb, query)
        field_selector = (query.get("fieldSelector") or [""])[0]
        label_selector = (query.get("labelSelector") or [""])[0]
    elif not name and verb == "delete":
        verb = "deletecollection"
        field_selector = (query.get("fieldSelector") or [""])[0]
        label_selector = (query.get("labelSelector") or [""])[0]
    elif verb == "get" and not subresource and query.get("watch") and parse_flag(query["watch"][0]):
        verb = "watch"
    return RequestInfo(
        path=path,
        verb=verb,
        is_resource=True,
        group=group,
        version=version,
        namespace=namespace,
        resource=resource,
        name=name,
        subresource=subresource,
        rest=tuple(rest[3:]),
        field_selector=field_selector,
        label_selector=label_selector,
    )


def _collection_verb(verb: str, query: Query) -> tuple[str, str]:
    watch = query.get("watch")
    if verb == "watch" or (watch and parse_flag(watch[0])):
        verb = "watch"
    else:
        verb = "list"
    return verb, _name_from_selector((query.get("fieldSelector") or [""])[0])


def _name_from_selector(selector: str) -> str:
    for term in selector.split(","):
        key, _, value = term.partition("=")
        if key.strip() == "metadata.name" and value:
            name = value.lstrip("=").strip()
            return name if "/" not in name and "%" not in name else ""
    return ""
