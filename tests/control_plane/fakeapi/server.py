"""Requests: what is asked of the server, and what it answers."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonpatch
import orjson

from control_plane.api import errors, meta
from control_plane.api.errors import StatusError
from control_plane.client.client import Client
from control_plane.client.clock import Clock
from control_plane.client.gvr import GVR
from control_plane.client.types import Obj, Response
from tests.control_plane.fakeapi.merging import merge
from tests.control_plane.fakeapi.store import Store, Stream, Watch
from tests.control_plane.fakeapi.transport import FakeTransport
from tests.control_plane.fakeapi.where import Where, matcher, parse

EPOCH_S = 1_700_000_000.0

Selector = Callable[[str, str], bool]  # (method, target) -> does it hit
Failure = Callable[[], Exception]


@dataclass(slots=True)
class Request:
    method: str
    path: str
    params: dict[str, str]
    body: Any
    user_agent: str


class FakeApi(Store):
    def __init__(self, now: Callable[[], float] = lambda: EPOCH_S) -> None:
        super().__init__()
        self.now = now
        self.bindings = 0  # that succeeded
        self.log: list[Request] = []
        self._failures: list[tuple[Selector, Failure, int]] = []
        self._uids = itertools.count(1)

    # ---- for tests

    def client(self, user_agent: str = "test", clock: Clock | None = None) -> Client:
        return Client(user_agent=user_agent, transport=FakeTransport(self), clock=clock, rng=lambda: 0.5)

    def create(self, gvr: GVR, obj: Obj) -> Obj:
        where = Where(gvr.group, gvr.version, gvr.resource, meta.namespace_of(obj))
        return self._create(where, copy.deepcopy(obj))

    def update(self, gvr: GVR, obj: Obj) -> Obj:
        """Replaces everything, status too."""
        where = Where(gvr.group, gvr.version, gvr.resource, meta.namespace_of(obj), meta.name_of(obj))
        old = self._get(where)
        kept = pick(old["metadata"], "uid", "creationTimestamp", "generation")
        new = copy.deepcopy({**pick(old, "kind", "apiVersion"), **obj})
        return self.write(where, {**new, "metadata": {**kept, **new["metadata"]}})

    def delete(self, gvr: GVR, name: str, namespace: str = "") -> None:
        self.remove(Where(gvr.group, gvr.version, gvr.resource, namespace, name))

    def get(self, gvr: GVR, name: str, namespace: str = "") -> Obj | None:
        return copy.deepcopy(self.find(Where(gvr.group, gvr.version, gvr.resource, namespace, name)))

    def list(self, gvr: GVR, namespace: str = "") -> list[Obj]:
        return copy.deepcopy(self.all_of(Where(gvr.group, gvr.version, gvr.resource, namespace)))

    def fail_next(self, hits: Selector, failure: Failure, times: int = 1) -> None:
        """The next requests that `hits` fail with what `failure()` makes; nothing is applied."""
        self._failures.append((hits, failure, times))

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
            where = parse(parts.path)
            answer = self._dispatch(method, where, params, decoded, headers.get("Content-Type", ""))
        except StatusError as error:
            return _refusal(error)
        return Response(201 if method == "POST" else 200, {}, orjson.dumps(answer))

    def open_watch(self, target: str) -> Stream:
        parts = urlsplit(target)
        params = dict(parse_qsl(parts.query))
        self.log.append(Request("WATCH", parts.path, params, None, ""))
        stream = Stream(asyncio.Queue())
        try:
            self._maybe_fail("WATCH", target)
        except StatusError as error:
            stream.status = error.code
            stream.queue.put_nowait(orjson.dumps(error.status()))
            return stream
        since = int(params.get("resourceVersion") or 0)
        self.start_watch(Watch(parse(parts.path), matcher(params), stream), since)
        return stream

    def _maybe_fail(self, method: str, target: str) -> None:
        for index, (hits, failure, times) in enumerate(self._failures):
            if hits(method, target):
                if times <= 1:
                    del self._failures[index]
                else:
                    self._failures[index] = (hits, failure, times - 1)
                raise failure()

    def _dispatch(
        self, method: str, where: Where, params: dict[str, str], body: Any, content_type: str
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

    def _get(self, where: Where) -> Obj:
        found = self.find(where)
        if found is None:
            raise errors.not_found(where.group, where.resource, where.name)
        return found

    def _selected(self, where: Where, params: dict[str, str]) -> list[Obj]:
        return list(filter(matcher(params), self.all_of(where)))

    def _list(self, where: Where, params: dict[str, str]) -> Obj:
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

    def _create(self, where: Where, obj: Obj) -> Obj:
        metadata = obj.setdefault("metadata", {})
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = f"{metadata['generateName']}{next(self._uids):05d}"
        if where.namespace:
            metadata["namespace"] = where.namespace
        where = Where(where.group, where.version, where.resource, where.namespace, metadata["name"])
        if self.find(where) is not None:
            raise errors.already_exists(where.group, where.resource, where.name)
        obj.setdefault("kind", where.kind)
        obj.setdefault("apiVersion", where.api_version)
        metadata.setdefault("uid", f"uid-{next(self._uids)}")
        metadata.setdefault("creationTimestamp", meta.rfc3339(self.now()))
        metadata.setdefault("generation", 1)
        return self.write(where, obj)

    def _update(self, where: Where, obj: Obj) -> Obj:
        old = self._get(where)
        wanted_version = meta.resource_version_of(obj)
        if wanted_version and wanted_version != meta.resource_version_of(old):
            raise errors.conflict(where.group, where.resource, where.name)
        if (uid := meta.uid_of(obj)) and uid != meta.uid_of(old):
            raise errors.conflict(where.group, where.resource, where.name, f"uid mismatch: {uid}")
        return self._merge_write(where, old, obj)

    def _merge_write(self, where: Where, old: Obj, obj: Obj) -> Obj:
        """What a write to this (sub)resource may change; the rest stays."""
        if where.subresource == "status":
            new = {**old, "status": obj.get("status", {})}
            new["metadata"] = {**old["metadata"], **pick(obj["metadata"], "labels", "annotations")}
        elif where.subresource == "scale":
            new = {**old, "spec": {**old["spec"], "replicas": obj["spec"]["replicas"]}}
        else:
            new = {**obj, **pick(old, "status")} if "status" in old else dict(obj)
            new["metadata"] = {**obj["metadata"]}
        for immutable in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
            if immutable in old["metadata"]:
                new["metadata"][immutable] = old["metadata"][immutable]
        if new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1
        if meta.is_deleting(new) and not new["metadata"].get("finalizers") and not _graceful(new):
            self.remove(where)
            return new
        if {**new, "metadata": {**new["metadata"]}} == old:
            return old
        return self.write(where, new)

    def _patch(self, where: Where, patch: Any, content_type: str) -> Obj:
        if "apply" in content_type and self.find(where) is None:
            return self._create(where, patch)
        old = self._get(where)
        if "json-patch" in content_type:
            return self._update(where, jsonpatch.apply_patch(copy.deepcopy(old), patch))
        merged = merge(old, patch, strategic="strategic" in content_type or "apply" in content_type)
        return self._update(where, merged)

    def _delete(self, where: Where, options: Obj) -> Obj:
        old = self._get(where)
        for name, wanted in (options.get("preconditions") or {}).items():
            if wanted != (actual := old["metadata"][name]):
                why = f"Precondition failed: {name} in precondition: {wanted}, in object meta: {actual}"
                raise errors.conflict(where.group, where.resource, where.name, why)
        grace_s = self._grace_s(where, old, options)
        if meta.finalizers(old) or grace_s:
            metadata = {**old["metadata"], "deletionGracePeriodSeconds": grace_s}
            metadata.setdefault("deletionTimestamp", meta.rfc3339(self.now() + grace_s))
            return self.write(where, {**old, "metadata": metadata})
        self.remove(where)
        return errors.success({"name": where.name, "uid": meta.uid_of(old)})

    def _grace_s(self, where: Where, old: Obj, options: Obj) -> int:
        """Only pods on a node end gracefully."""
        spec = old.get("spec") or {}
        if where.resource != "pods" or not spec.get("nodeName"):
            return 0
        phase = (old.get("status") or {}).get("phase")
        if phase in ("Succeeded", "Failed"):
            return 0
        wanted = options.get("gracePeriodSeconds")
        return int(spec.get("terminationGracePeriodSeconds", 30) if wanted is None else wanted)

    def _delete_collection(self, where: Where, params: dict[str, str], options: Obj) -> Obj:
        for obj in self._selected(where, params):
            key = {"namespace": meta.namespace_of(obj), "name": meta.name_of(obj)}
            self._delete(Where(where.group, where.version, where.resource, **key), options)
        return errors.success()

    def _post_subresource(self, where: Where, body: Obj) -> Obj:
        if where.subresource == "binding":
            return self._bind(where, body)
        if where.subresource == "eviction":
            return self._delete(where, body.get("deleteOptions") or {})
        raise errors.path_not_found()

    def _bind(self, where: Where, body: Obj) -> Obj:
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
        status = merge(pod.get("status") or {}, {"conditions": [scheduled]}, strategic=True)
        self.write(where, {**pod, "spec": spec, "status": status})
        self.bindings += 1
        return errors.success()


def pick(obj: Obj, *names: str) -> Obj:
    return {name: obj[name] for name in names if name in obj}


def _graceful(obj: Obj) -> bool:
    return bool(obj["metadata"].get("deletionGracePeriodSeconds"))


def _refusal(error: StatusError) -> Response:
    headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s else {}
    return Response(error.code, headers, orjson.dumps(error.status()))
