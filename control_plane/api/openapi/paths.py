"""The operations that a resource offers, written once and rendered in the v2 and the v3 dialect."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from control_plane.api.registry import Resource
from control_plane.api.resources import definition_name

Json = dict[str, Any]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
STATUS = f"{_META}Status"
DELETE_OPTIONS = f"{_META}DeleteOptions"
PATCH = f"{_META}Patch"

MEDIA = (
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
)
WATCH_MEDIA = (*MEDIA, "application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch")
PATCH_MEDIA = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    type: str
    description: str
    place: str = "query"


_PARAMETERS = (
    Parameter("pretty", "string", "If 'true', then the output is pretty printed."),
    Parameter("dryRun", "string", "'All': every stage runs, nothing is kept."),
    Parameter(
        "fieldManager", "string", "The name of the actor that makes the change, at most 128 characters."
    ),
    Parameter(
        "fieldValidation", "string", "What to do with unknown and duplicate fields: Ignore, Warn or Strict."
    ),
    Parameter("force", "boolean", "Apply: take over fields that another manager owns."),
    Parameter("labelSelector", "string", "Restrict to objects whose labels match."),
    Parameter("fieldSelector", "string", "Restrict to objects whose fields match."),
    Parameter("limit", "integer", "The most items to return; more are fetched with 'continue'."),
    Parameter("continue", "string", "Where the last page ended, as it was returned."),
    Parameter("resourceVersion", "string", "How fresh the answer must be."),
    Parameter("resourceVersionMatch", "string", "How resourceVersion is applied: Exact or NotOlderThan."),
    Parameter("timeoutSeconds", "integer", "How long a list or watch may take."),
    Parameter("watch", "boolean", "Stream changes instead of returning a list."),
    Parameter("allowWatchBookmarks", "boolean", "The watch may hold BOOKMARK events."),
    Parameter("sendInitialEvents", "boolean", "The watch begins with what exists, then a bookmark."),
    Parameter("gracePeriodSeconds", "integer", "How long the object may take to stop. 0 means at once."),
    Parameter("propagationPolicy", "string", "Orphan, Background or Foreground."),
    Parameter("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
    Parameter("name", "string", "The name of the object.", "path"),
    Parameter("namespace", "string", "The namespace of the object.", "path"),
)
PARAMETERS = {parameter.name: parameter for parameter in _PARAMETERS}

_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_LIST = (
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
)
_DELETE = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    action: str  # x-kubernetes-action
    id: str
    description: str
    gvk: tuple[str, str, str]
    reply: str  # a definition, or "" for text
    codes: tuple[str, ...] = ("200",)
    query: tuple[str, ...] = ()
    body: str = ""
    media: tuple[str, ...] = MEDIA
    consumes: tuple[str, ...] = MEDIA


@dataclass(slots=True)
class Path:
    path: str
    parameters: tuple[str, ...]
    operations: list[Operation] = field(default_factory=list)


def of_resource(resource: Resource) -> Iterator[Path]:
    """Every path of one resource with its subresources."""
    scoped = "/namespaces/{namespace}" if resource.namespaced else ""
    holders: tuple[str, ...] = ("namespace",) if resource.namespaced else ()
    base = f"{resource.path}{scoped}/{resource.resource}"
    yield Path(base, holders, list(_collection(resource)))
    if resource.namespaced and "list" in resource.verbs:
        everywhere = _list(resource, suffix="ForAllNamespaces")
        yield Path(f"{resource.path}/{resource.resource}", (), [everywhere])
    item = list(_item(resource, resource.gvk, resource.verbs, "", resource.definition))
    if item:
        yield Path(f"{base}/{{name}}", ("name", *holders), item)
    for name, sub in sorted(resource.subresources.items()):
        gvk = resource.subresource_gvk(name)
        operations = list(_subresource(resource, name, gvk, sub.verbs))
        yield Path(f"{base}/{{name}}/{name}", ("name", *holders), operations)


def _collection(resource: Resource) -> Iterator[Operation]:
    if "list" in resource.verbs:
        yield _list(resource)
    if "create" in resource.verbs:
        yield Operation(
            "post",
            "post",
            _operation_id("create", resource),
            f"create {_article(resource.kind)} {resource.kind}",
            resource.gvk,
            resource.definition,
            ("200", "201", "202"),
            _WRITE,
            resource.definition,
        )
    if "deletecollection" in resource.verbs:
        yield Operation(
            "delete",
            "deletecollection",
            _operation_id("deleteCollection", resource),
            f"delete collection of {resource.kind}",
            resource.gvk,
            STATUS,
            query=(*_DELETE, *(p for p in _LIST if p not in ("watch", "allowWatchBookmarks"))),
            body=DELETE_OPTIONS,
        )


def _list(resource: Resource, suffix: str = "") -> Operation:
    reply = definition_name(resource.group, resource.version, resource.list_kind)
    id_ = f"list{_go_name(resource)}{resource.kind}{suffix}" if suffix else _operation_id("list", resource)
    return Operation(
        "get",
        "list",
        id_,
        f"list or watch objects of kind {resource.kind}",
        resource.gvk,
        reply,
        query=_LIST,
        media=WATCH_MEDIA if "watch" in resource.verbs else MEDIA,
    )


def _item(
    resource: Resource, gvk: tuple[str, str, str], verbs: tuple[str, ...], sub: str, reply: str
) -> Iterator[Operation]:
    kind, suffix = resource.kind, sub.title()
    of_what = f"{sub} of the specified {kind}" if sub else f"the specified {kind}"
    if "get" in verbs:
        yield Operation("get", "get", _operation_id("read", resource, suffix), f"read {of_what}", gvk, reply)
    if "update" in verbs:
        id_ = _operation_id("replace", resource, suffix)
        yield Operation("put", "put", id_, f"replace {of_what}", gvk, reply, ("200", "201"), _WRITE, reply)
    if "patch" in verbs:
        yield Operation(
            "patch",
            "patch",
            _operation_id("patch", resource, suffix),
            f"partially update {of_what}",
            gvk,
            reply,
            ("200", "201"),
            (*_WRITE, "force"),
            PATCH,
            consumes=PATCH_MEDIA,
        )
    if "delete" in verbs:
        yield Operation(
            "delete",
            "delete",
            _operation_id("delete", resource, suffix),
            f"delete {_article(kind)} {kind}",
            gvk,
            STATUS if resource.resource != "pods" else reply,
            ("200", "202"),
            _DELETE,
            DELETE_OPTIONS,
        )


def _subresource(
    resource: Resource, name: str, gvk: tuple[str, str, str], verbs: tuple[str, ...]
) -> Iterator[Operation]:
    if gvk[2].endswith("Options") or name == "log":
        for verb in ("get", "post", "put", "patch", "delete"):
            if {"get": "get", "post": "create", "put": "update"}.get(verb, verb) in verbs:
                id_ = _operation_id(f"connect{verb.title()}", resource, name.title())
                action = "get" if name == "log" else "connect"
                yield Operation(
                    verb,
                    action,
                    id_,
                    f"connect {verb.upper()} requests to {name} of {resource.kind}",
                    gvk,
                    "",
                    media=("*/*",),
                )
        return
    reply = definition_name(*gvk)
    yield from _item(resource, gvk, tuple(v for v in verbs if v != "create"), name, reply)
    if "create" in verbs:
        id_ = _operation_id("create", resource, name.title())
        description = f"create {name} of {_article(resource.kind)} {resource.kind}"
        yield Operation("post", "post", id_, description, gvk, reply, ("200", "201", "202"), _WRITE, reply)


def _operation_id(verb: str, resource: Resource, suffix: str = "") -> str:
    scope = "Namespaced" if resource.namespaced else ""
    return f"{verb}{_go_name(resource)}{scope}{resource.kind}{suffix}"


def _go_name(resource: Resource) -> str:
    group = resource.group.removesuffix(".k8s.io") or "core"
    return "".join(part.title() for part in re.split(r"[^a-zA-Z0-9]", group)) + resource.version.title()


def _article(kind: str) -> str:
    return "an" if kind[0] in "AEIOU" else "a"


def v2_item(path: Path, reference: Callable[[str], Json]) -> Json:
    item: Json = {op.method: _v2_operation(op, reference) for op in path.operations}
    item["parameters"] = [{"$ref": f"#/parameters/{name}"} for name in (*path.parameters, "pretty")]
    return item


def _v2_operation(op: Operation, reference: Callable[[str], Json]) -> Json:
    parameters: list[Json] = [{"$ref": f"#/parameters/{name}"} for name in op.query]
    if op.body:
        parameters.insert(
            0,
            {
                "in": "body",
                "name": "body",
                "required": op.body != DELETE_OPTIONS,
                "schema": reference(op.body),
            },
        )
    reply: Json = {"description": "OK"} | (
        {"schema": reference(op.reply)} if op.reply else {"schema": {"type": "string"}}
    )
    operation: Json = {
        "consumes": list(op.consumes) if op.body else ["*/*"],
        "description": op.description,
        "operationId": op.id,
        "produces": list(op.media),
        "responses": {**dict.fromkeys(op.codes, reply), "401": {"description": "Unauthorized"}},
        "schemes": ["https"],
        **_extensions(op),
    }
    if parameters:
        operation["parameters"] = parameters
    return operation


def v3_item(path: Path, reference: Callable[[str], Json]) -> Json:
    item: Json = {op.method: _v3_operation(op, reference) for op in path.operations}
    item["parameters"] = [
        {"$ref": f"#/components/parameters/{name}"} for name in (*path.parameters, "pretty")
    ]
    return item


def _v3_operation(op: Operation, reference: Callable[[str], Json]) -> Json:
    schema = reference(op.reply) if op.reply else {"type": "string"}
    reply = {"description": "OK", "content": {media: {"schema": schema} for media in op.media}}
    operation: Json = {
        "description": op.description,
        "operationId": op.id,
        "responses": {**dict.fromkeys(op.codes, reply), "401": {"description": "Unauthorized"}},
        **_extensions(op),
    }
    if op.query and op.method == "patch":
        # kubectl looks for fieldValidation and dryRun here, and does not follow references.
        known = v3_parameters()
        operation["parameters"] = [known[name] for name in op.query]
    elif op.query:
        operation["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in op.query]
    if op.body:
        media = op.consumes if op.body != DELETE_OPTIONS else MEDIA
        content = {name: {"schema": reference(op.body)} for name in media}
        operation["requestBody"] = {"content": content}
        if op.body != DELETE_OPTIONS:
            operation["requestBody"]["required"] = True
    return operation


def _extensions(op: Operation) -> Json:
    group, version, kind = op.gvk
    return {
        "x-kubernetes-action": op.action,
        "x-kubernetes-group-version-kind": {"group": group, "kind": kind, "version": version},
    }


def v2_parameters() -> Json:
    return {p.name: _parameter(p) | {"type": p.type} for p in _PARAMETERS}


def v3_parameters() -> Json:
    return {p.name: _parameter(p) | {"schema": {"type": p.type}} for p in _PARAMETERS}


def _parameter(parameter: Parameter) -> Json:
    shown: Json = {"name": parameter.name, "in": parameter.place, "description": parameter.description}
    if parameter.place == "path":
        shown["required"] = True
    return shown
