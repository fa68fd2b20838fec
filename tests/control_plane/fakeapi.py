"""An apiserver in memory, behind the client's transport: for tests of whatever speaks to the API.

    api = FakeApi()
    client = api.client("test")                    # a real control_plane.client.Client
    api.create(PODS, {...})                         # the test's own hand, without a client
    api.fail_next(lambda method, target: ..., StatusError or ConnectionFailed)

It keeps the promises that clients rely on: one revision counter for everything, resourceVersion conflicts,
uid and generation, generateName, status and other subresources written apart from the rest, merge and JSON
patches (a strategic patch is applied as a merge patch in which lists with a merge key are merged), label
and field selectors, limit and continue, watches from a revision with bookmarks, 410 after `compact`,
finalizers, graceful deletion of bound pods, the binding and eviction subresources, and delete
preconditions. It validates and defaults nothing.

`log` has every request in order; `break_watches` cuts all streams; `now` stamps creation times.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import jsonpatch
import orjson

from control_plane.api import errors, meta, selectors
from control_plane.api.errors import StatusError
from control_plane.client.client import Client
from control_plane.client.clock import Clock
from control_plane.client.errors import ConnectionFailed
from control_plane.client.gvr import GVR
from control_plane.client.types import Obj, Response

EPOCH_S = 1_700_000_000.0
DELETE_FROM_LIST = "$deleteFromPrimitiveList/"
MERGE_KEYS = {
    "conditions": "type",
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "ports": "containerPort",
    "volumes": "name",
    "ownerReferences": "uid",
    "taints": "key",
    "addresses": "type",
    "podIPs": "ip",
}
KINDS = {
    "pods": "Pod",
    "nodes": "Node",
    "services": "Service",
    "endpoints": "Endpoints",
    "endpointslices": "EndpointSlice",
    "networkpolicies": "NetworkPolicy",
    "ingresses": "Ingress",
    "storageclasses": "StorageClass",
    "priorityclasses": "PriorityClass",
    "poddisruptionbudgets": "PodDisruptionBudget",
    "configmaps": "ConfigMap",
    "replicasets": "ReplicaSet",
    "statefulsets": "StatefulSet",
    "daemonsets": "DaemonSet",
    "serviceaccounts": "ServiceAccount",
    "clusterroles": "ClusterRole",
    "clusterrolebindings": "ClusterRoleBinding",
    "rolebindings": "RoleBinding",
    "cronjobs": "CronJob",
    "resourcequotas": "ResourceQuota",
    "limitranges": "LimitRange",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "persistentvolumes": "PersistentVolume",
    "replicationcontrollers": "ReplicationController",
    "controllerrevisions": "ControllerRevision",
    "certificatesigningrequests": "CertificateSigningRequest",
    "horizontalpodautoscalers": "HorizontalPodAutoscaler",
    "volumeattachments": "VolumeAttachment",
    "resourceclaims": "ResourceClaim",
    "resourceclaimtemplates": "ResourceClaimTemplate",
    "resourceslices": "ResourceSlice",
    "deviceclasses": "DeviceClass",
}

Selector = Callable[[str, str], bool]  # (method, target) -> does it hit
Failure = Callable[[], Exception]


@dataclass(slots=True)
class Request:
    method: str
    path: str
    params: dict[str, str]
    body: Any
    user_agent: str


@dataclass(slots=True)
class _Where:
    """A request path taken apart."""

    group: str
    version: str
    resource: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def table(self) -> tuple[str, str]:
        return self.group, self.resource

    @property
    def kind(self) -> str:
        return KINDS.get(self.resource, self.resource[:-1].capitalize())

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(slots=True)
class _Change:
    revision: int
    type: str
    obj: Obj
    old: Obj | None


@dataclass(slots=True, eq=False)
class _Stream:
    queue: asyncio.Queue[bytes | Exception | None]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        while True:
            item = await self.queue.get()
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item

    async def read(self) -> bytes:
        item = await self.queue.get()
        assert isinstance(item, bytes)
        return item


@dataclass(slots=True, eq=False)
class _Watch:
    where: _Where
    matches: Callable[[Obj], bool]
    stream: _Stream

    def tell(self, change: _Change) -> None:
        """An object that leaves the selection is deleted for its watcher, one that enters is added."""
        if not _in_scope(self.where, change.obj):
            return
        before = change.old is not None and self.matches(change.old)
        after = change.type != "DELETED" and self.matches(change.obj)
        if after:
            self.send("MODIFIED" if before else "ADDED", change.obj)
        elif before:
            self.send("DELETED", change.obj)

    def send(self, type_: str, obj: Obj) -> None:
        self.stream.queue.put_nowait(orjson.dumps({"type": type_, "object": obj}) + b"\n")


class FakeApi:
    def __init__(self, now: Callable[[], float] = lambda: EPOCH_S) -> None:
        self.revision = 1
        self.now = now
        self.bindings = 0  # that succeeded
        self.log: list[Request] = []
        self._tables: dict[tuple[str, str], dict[tuple[str, str], Obj]] = {}
        self._history: list[tuple[tuple[str, str], _Change]] = []
        self._compacted = 0
        self._watches: list[_Watch] = []
        self._failures: list[tuple[Selector, Failure, int]] = []
        self._uids = itertools.count(1)

    # ---- for tests

    def client(self, user_agent: str = "test", clock: Clock | None = None) -> Client:
        return Client(user_agent=user_agent, transport=FakeTransport(self), clock=clock, rng=lambda: 0.5)

    def create(self, gvr: GVR, obj: Obj) -> Obj:
        where = _Where(gvr.group, gvr.version, gvr.resource, meta.namespace_of(obj))
        return self._create(where, copy.deepcopy(obj))

    def update(self, gvr: GVR, obj: Obj) -> Obj:
        """Replaces everything, status too."""
        where = _Where(gvr.group, gvr.version, gvr.resource, meta.namespace_of(obj), meta.name_of(obj))
        old = self._get(where)
        kept = _pick(old["metadata"], "uid", "creationTimestamp", "generation")
        new = copy.deepcopy({**_pick(old, "kind", "apiVersion"), **obj})
        return self._write(where, {**new, "metadata": {**kept, **new["metadata"]}})

    def delete(self, gvr: GVR, name: str, namespace: str = "") -> None:
        self._remove(_Where(gvr.group, gvr.version, gvr.resource, namespace, name))

    def get(self, gvr: GVR, name: str, namespace: str = "") -> Obj | None:
        found = self._tables.get((gvr.group, gvr.resource), {}).get((namespace, name))
        return copy.deepcopy(found)

    def list(self, gvr: GVR, namespace: str = "") -> list[Obj]:
        table = self._tables.get((gvr.group, gvr.resource), {})
        return [copy.deepcopy(obj) for key, obj in sorted(table.items()) if namespace in ("", key[0])]

    def fail_next(self, hits: Selector, failure: Failure, times: int = 1) -> None:
        """The next requests that `hits` fail with what `failure()` makes; nothing is applied."""
        self._failures.append((hits, failure, times))

    def break_watches(self) -> None:
        self._end_watches(ConnectionFailed("stream broke"))

    def end_watches(self) -> None:
        self._end_watches(None)

    def compact(self) -> None:
        """Forget history: a watch from before now is answered with 410."""
        self._history.clear()
        self._compacted = self.revision

    def bookmark(self) -> None:
        for watch in self._watches:
            version = {"resourceVersion": str(self.revision)}
            watch.send("BOOKMARK", {"kind": watch.where.kind, "metadata": version})

    @property
    def watch_count(self) -> int:
        return len(self._watches)

    def requests(self, method: str = "", part: str = "") -> list[Request]:
        return [each for each in self.log if method in ("", each.method) and part in each.path]

    # ---- requests

    def handle(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> Response:
        parts = urlsplit(target)
        params = dict(parse_qsl(parts.query))
        decoded = orjson.loads(body) if body else None
        self.log.append(Request(method, parts.path, params, decoded, headers.get("User-Agent", "")))
        try:
            self._maybe_fail(method, target)
            where = _parse(parts.path)
            answer = self._dispatch(method, where, params, decoded, headers.get("Content-Type", ""))
        except StatusError as error:
            return _refusal(error)
        return Response(201 if method == "POST" else 200, {}, orjson.dumps(answer))

    def open_watch(self, target: str) -> _Stream:
        parts = urlsplit(target)
        params = dict(parse_qsl(parts.query))
        self.log.append(Request("WATCH", parts.path, params, None, ""))
        stream = _Stream(asyncio.Queue())
        try:
            self._maybe_fail("WATCH", target)
        except StatusError as error:
            stream.status = error.code
            stream.queue.put_nowait(orjson.dumps(error.status()))
            return stream
        self._start_watch(_Watch(_parse(parts.path), _matcher(params), stream), params)
        return stream

    def close_watch(self, stream: _Stream) -> None:
        self._watches = [watch for watch in self._watches if watch.stream is not stream]

    def _start_watch(self, watch: _Watch, params: dict[str, str]) -> None:
        since = int(params.get("resourceVersion") or 0)
        if not since:
            for obj in self._selected(watch.where, params):
                watch.send("ADDED", obj)
        elif since < self._compacted:
            gone = errors.expired(f"too old resource version: {since} ({self._compacted})")
            watch.send("ERROR", gone.status())
            watch.stream.queue.put_nowait(None)
            return
        else:
            for table, change in self._history:
                if table == watch.where.table and change.revision > since:
                    watch.tell(change)
        self._watches.append(watch)

    def _end_watches(self, how: Exception | None) -> None:
        for watch in self._watches:
            watch.stream.queue.put_nowait(how)
        self._watches = []

    def _maybe_fail(self, method: str, target: str) -> None:
        for index, (hits, failure, times) in enumerate(self._failures):
            if hits(method, target):
                if times <= 1:
                    del self._failures[index]
                else:
                    self._failures[index] = (hits, failure, times - 1)
                raise failure()

    def _dispatch(
        self, method: str, where: _Where, params: dict[str, str], body: Any, content_type: str
    ) -> Obj:
        match method:
            case "GET":
                return self._get(where) if where.name else self._list(where, params)
            case "POST" if where.subresource:
                return self._post_subresource(where, body)
            case "POST":
                return self._create(where, body)
            case "PUT":
                return self._update(where, body)
            case "PATCH":
                return self._patch(where, body, content_type)
            case "DELETE" if where.name:
                return self._delete(where, body or {})
            case "DELETE":
                return self._delete_collection(where, params, body or {})
        raise errors.method_not_allowed()

    # ---- reads

    def _get(self, where: _Where) -> Obj:
        found = self._tables.get(where.table, {}).get((where.namespace, where.name))
        if found is None:
            raise errors.not_found(where.group, where.resource, where.name)
        return found

    def _selected(self, where: _Where, params: dict[str, str]) -> list[Obj]:
        matches = _matcher(params)
        table = self._tables.get(where.table, {})
        return [obj for _, obj in sorted(table.items()) if _in_scope(where, obj) and matches(obj)]

    def _list(self, where: _Where, params: dict[str, str]) -> Obj:
        found = self._selected(where, params)
        start = int(params.get("continue") or 0)
        limit = int(params.get("limit") or 0) or len(found)
        metadata = {"resourceVersion": str(self.revision)}
        if start + limit < len(found):
            metadata["continue"] = str(start + limit)
        bare = [{k: v for k, v in obj.items() if k not in ("kind", "apiVersion")} for obj in found]
        return {
            "kind": f"{where.kind}List",
            "apiVersion": where.api_version,
            "metadata": metadata,
            "items": bare[start : start + limit],
        }

    # ---- writes

    def _create(self, where: _Where, obj: Obj) -> Obj:
        metadata = obj.setdefault("metadata", {})
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = f"{metadata['generateName']}{next(self._uids):05d}"
        if where.namespace:
            metadata["namespace"] = where.namespace
        where = _Where(where.group, where.version, where.resource, where.namespace, metadata["name"])
        if (where.namespace, where.name) in self._tables.get(where.table, {}):
            raise errors.already_exists(where.group, where.resource, where.name)
        obj.setdefault("kind", where.kind)
        obj.setdefault("apiVersion", where.api_version)
        metadata.setdefault("uid", f"uid-{next(self._uids)}")
        metadata.setdefault("creationTimestamp", meta.rfc3339(self.now()))
        metadata.setdefault("generation", 1)
        return self._write(where, obj)

    def _update(self, where: _Where, obj: Obj) -> Obj:
        old = self._get(where)
        wanted_version = meta.resource_version_of(obj)
        if wanted_version and wanted_version != meta.resource_version_of(old):
            raise errors.conflict(where.group, where.resource, where.name)
        if (uid := meta.uid_of(obj)) and uid != meta.uid_of(old):
            raise errors.conflict(where.group, where.resource, where.name, f"uid mismatch: {uid}")
        return self._merge_write(where, old, obj)

    def _merge_write(self, where: _Where, old: Obj, obj: Obj) -> Obj:
        """What a write to this (sub)resource may change; the rest stays."""
        if where.subresource == "status":
            new = {**old, "status": obj.get("status", {})}
            new["metadata"] = {**old["metadata"], **_pick(obj["metadata"], "labels", "annotations")}
        elif where.subresource == "scale":
            new = {**old, "spec": {**old["spec"], "replicas": obj["spec"]["replicas"]}}
        else:
            new = {**obj, **_pick(old, "status")} if "status" in old else dict(obj)
            new["metadata"] = {**obj["metadata"]}
        for immutable in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
            if immutable in old["metadata"]:
                new["metadata"][immutable] = old["metadata"][immutable]
        if new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1
        if meta.is_deleting(new) and not new["metadata"].get("finalizers") and not _graceful(new):
            self._remove(where)
            return new
        if {**new, "metadata": {**new["metadata"]}} == old:
            return old
        return self._write(where, new)

    def _patch(self, where: _Where, patch: Any, content_type: str) -> Obj:
        if "apply" in content_type and (where.namespace, where.name) not in self._tables.get(where.table, {}):
            return self._create(where, patch)
        old = self._get(where)
        if "json-patch" in content_type:
            return self._update(where, jsonpatch.apply_patch(copy.deepcopy(old), patch))
        merged = _merge(old, patch, strategic="strategic" in content_type or "apply" in content_type)
        return self._update(where, merged)

    def _delete(self, where: _Where, options: Obj) -> Obj:
        old = self._get(where)
        for name, wanted in (options.get("preconditions") or {}).items():
            if wanted != (actual := old["metadata"][name]):
                why = f"Precondition failed: {name} in precondition: {wanted}, in object meta: {actual}"
                raise errors.conflict(where.group, where.resource, where.name, why)
        grace_s = self._grace_s(where, old, options)
        if meta.finalizers(old) or grace_s:
            metadata = {**old["metadata"], "deletionGracePeriodSeconds": grace_s}
            metadata.setdefault("deletionTimestamp", meta.rfc3339(self.now() + grace_s))
            return self._write(where, {**old, "metadata": metadata})
        self._remove(where)
        return errors.success({"name": where.name, "uid": meta.uid_of(old)})

    def _grace_s(self, where: _Where, old: Obj, options: Obj) -> int:
        """Only pods on a node end gracefully."""
        spec = old.get("spec") or {}
        if where.resource != "pods" or not spec.get("nodeName"):
            return 0
        phase = (old.get("status") or {}).get("phase")
        if phase in ("Succeeded", "Failed"):
            return 0
        wanted = options.get("gracePeriodSeconds")
        return int(spec.get("terminationGracePeriodSeconds", 30) if wanted is None else wanted)

    def _delete_collection(self, where: _Where, params: dict[str, str], options: Obj) -> Obj:
        for obj in self._selected(where, params):
            key = {"namespace": meta.namespace_of(obj), "name": meta.name_of(obj)}
            self._delete(_Where(where.group, where.version, where.resource, **key), options)
        return errors.success()

    def _post_subresource(self, where: _Where, body: Obj) -> Obj:
        if where.subresource == "binding":
            return self._bind(where, body)
        if where.subresource == "eviction":
            return self._delete(where, body.get("deleteOptions") or {})
        raise errors.path_not_found()

    def _bind(self, where: _Where, body: Obj) -> Obj:
        pod = self._get(where)
        uid = meta.uid_of(body)
        if uid and uid != meta.uid_of(pod):
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta.uid_of(pod)}"
            raise errors.conflict("", "pods/binding", where.name, why)
        if bound := pod["spec"].get("nodeName"):
            why = f'pod {where.name} is already assigned to node "{bound}"'
            raise errors.conflict("", "pods/binding", where.name, why)
        spec = {**pod["spec"], "nodeName": body["target"]["name"]}
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": meta.rfc3339(self.now())}
        status = _merge(pod.get("status") or {}, {"conditions": [scheduled]}, strategic=True)
        self._write(where, {**pod, "spec": spec, "status": status})
        self.bindings += 1
        return errors.success()

    # ---- storage

    def _write(self, where: _Where, obj: Obj) -> Obj:
        self.revision += 1
        obj["metadata"] = {**obj["metadata"], "resourceVersion": str(self.revision)}
        table = self._tables.setdefault(where.table, {})
        key = (where.namespace, where.name)
        old = table.get(key)
        table[key] = obj
        self._publish(where, _Change(self.revision, "MODIFIED" if old else "ADDED", obj, old))
        return obj

    def _remove(self, where: _Where) -> None:
        old = self._tables[where.table].pop((where.namespace, where.name))
        self.revision += 1
        final = {**old, "metadata": {**old["metadata"], "resourceVersion": str(self.revision)}}
        self._publish(where, _Change(self.revision, "DELETED", final, old))

    def _publish(self, where: _Where, change: _Change) -> None:
        self._history.append((where.table, change))
        for watch in self._watches:
            if watch.where.table == where.table:
                watch.tell(change)


class FakeTransport:
    """The client's side. Requests take a turn of the loop, as a network would."""

    def __init__(self, api: FakeApi) -> None:
        self._api = api

    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Response:
        await asyncio.sleep(0)
        return self._api.handle(method, target, headers, body)

    @asynccontextmanager
    async def stream(
        self, method: str, target: str, headers: Mapping[str, str], idle_timeout_s: float
    ) -> AsyncIterator[_Stream]:
        await asyncio.sleep(0)
        opened = self._api.open_watch(target)
        try:
            yield opened
        finally:
            self._api.close_watch(opened)

    async def close(self) -> None: ...


def _parse(path: str) -> _Where:
    parts = [unquote(part) for part in path.strip("/").split("/")]
    group, version, rest = ("", parts[1], parts[2:]) if parts[0] == "api" else (parts[1], parts[2], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    return _Where(group, version, rest[0], namespace, *rest[1:3])


def _in_scope(where: _Where, obj: Obj) -> bool:
    return where.namespace in ("", meta.namespace_of(obj))


def _matcher(params: Mapping[str, str]) -> Callable[[Obj], bool]:
    labels = selectors.parse_labels(params.get("labelSelector", ""))
    fields = params.get("fieldSelector", "")
    return lambda obj: labels.matches(meta.labels(obj)) and _fields_match(obj, fields)


def _fields_match(obj: Obj, selector: str) -> bool:
    for term in filter(None, selector.split(",")):
        path, _, wanted = term.replace("==", "=").partition("=")
        negated = path.endswith("!")
        value = meta.nested(obj, *path.rstrip("!").split("."), default="")
        if (str(value) == wanted) == negated:
            return False
    return True


def _merge(old: Any, patch: Any, strategic: bool, key: str = "") -> Any:
    if isinstance(patch, dict) and patch.get("$patch") == "replace":
        return {k: v for k, v in patch.items() if k != "$patch"}
    if isinstance(patch, dict):
        merged = dict(old) if isinstance(old, dict) else {}
        for field_name, value in patch.items():
            if strategic and field_name.startswith(DELETE_FROM_LIST):
                name = field_name.removeprefix(DELETE_FROM_LIST)
                merged[name] = [each for each in merged.get(name) or () if each not in value]
            elif value is None:
                merged.pop(field_name, None)
            else:
                merged[field_name] = _merge(merged.get(field_name), value, strategic, field_name)
        return merged
    if strategic and isinstance(patch, list) and key in MERGE_KEYS and isinstance(old, list):
        return _merge_lists(old, patch, MERGE_KEYS[key])
    return patch


def _merge_lists(old: list[Obj], patch: list[Obj], merge_key: str) -> list[Obj]:
    merged = {item[merge_key]: item for item in old}
    for item in patch:
        name = item[merge_key]
        if item.get("$patch") == "delete":
            merged.pop(name, None)
        else:
            merged[name] = _merge(merged.get(name), item, strategic=True)
    return list(merged.values())


def _pick(obj: Obj, *names: str) -> Obj:
    return {name: obj[name] for name in names if name in obj}


def _graceful(obj: Obj) -> bool:
    return bool(obj["metadata"].get("deletionGracePeriodSeconds"))


def _refusal(error: StatusError) -> Response:
    headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s else {}
    return Response(error.code, headers, orjson.dumps(error.status()))
