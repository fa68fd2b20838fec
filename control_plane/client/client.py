"""The API client: one method per verb, dicts in and out, errors as the server named them.

Raises `StatusError` when the server said no and `ConnectionFailed` when it did not answer. What is sent
again by itself is decided in `retry`. Every call has a time limit. One client (and its connection pool)
serves a whole process; `named` gives a part of it a user agent and field manager of its own.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Literal, Self
from urllib.parse import urlencode

import orjson

from certs.kubeconfig import KubeConfig
from control_plane.client import watch as watching
from control_plane.client.backoff import Random
from control_plane.client.clock import Clock, SystemClock
from control_plane.client.errors import ConnectionFailed
from control_plane.client.gvr import GVR
from control_plane.client.retry import RetryPolicy
from control_plane.client.status import status_error
from control_plane.client.throttle import TokenBucket
from control_plane.client.transport import HttpTransport, TokenSource, Transport
from control_plane.client.types import ListResult, Obj, Response, WatchEvent

REQUEST_TIMEOUT_S = 34.0  # the server gives up on a mutation after 30 s; its answer must still arrive
DEFAULT_USER_AGENT = "balsa"

PatchType = Literal["merge", "strategic", "json", "apply"]

_PATCH_CONTENT = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}

JSON = "application/json"
METADATA = (
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,"
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json"
)


class Client:
    def __init__(
        self,
        config: KubeConfig | None = None,
        user_agent: str = DEFAULT_USER_AGENT,
        qps: float = 0.0,
        burst: int = 0,
        *,
        field_manager: str = "",
        transport: Transport | None = None,
        clock: Clock | None = None,
        rng: Random = random.random,
    ) -> None:
        """`qps` 0 means no client-side limit: the server's priority and fairness decides."""
        if transport is None:
            if config is None:
                raise ValueError("a client needs a config or a transport")
            token = TokenSource(config.token, config.token_file)
            transport = HttpTransport(config.server, _ssl_context(config), token)
        self.transport = transport
        self.user_agent = user_agent
        self.field_manager = field_manager
        self.accept = JSON
        self.clock = clock or SystemClock()
        self.random = rng
        self.under_way = 0  # requests that have no answer yet; watches are none
        self._bucket = TokenBucket(qps, burst or max(1, int(qps * 2)), self.clock) if qps > 0 else None

    def named(self, user_agent: str, field_manager: str = "") -> Client:
        """The same connections under another name."""
        other = Client(
            user_agent=user_agent,
            field_manager=field_manager or self.field_manager,
            transport=self.transport,
            clock=self.clock,
            rng=self.random,
        )
        other._bucket = self._bucket
        other.accept = self.accept
        return other

    def metadata_only(self) -> Client:
        """The same client, whose reads and watches bring PartialObjectMetadata: for loops over every kind."""
        other = self.named(self.user_agent, self.field_manager)
        other.accept = METADATA
        return other

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self.transport.close()

    # ---- reads

    async def get(
        self, gvr: GVR, name: str, namespace: str = "", *, subresource: str = "", resource_version: str = ""
    ) -> Obj:
        params = {"resourceVersion": resource_version}
        return await self._json("GET", gvr.path(namespace, name, subresource), params)

    async def list(
        self,
        gvr: GVR,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        resource_version: str = "",
        continue_token: str = "",
    ) -> ListResult:
        """One request, one page. Items carry `kind` and `apiVersion`, which servers leave out of lists."""
        params = {
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "limit": str(limit) if limit else "",
            "resourceVersion": resource_version,
            "continue": continue_token,
        }
        body = await self._json("GET", gvr.path(namespace), params)
        return _list_result(body)

    async def watch(
        self,
        gvr: GVR,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        bookmarks: bool = True,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Events after `resource_version`, for ever: a broken or ended stream is resumed after the last one
        seen.

        Raises StatusError when the server refuses; 410 means the version is too old: list again. Leave it
        through `contextlib.aclosing`, or the connection stays open until it is collected.
        """
        query = watching.Query(gvr, namespace, label_selector, field_selector, resource_version, bookmarks)
        async with aclosing(watching.batches(self, query)) as batches:
            async for batch in batches:
                for event in batch:
                    yield event

    # ---- writes

    async def create(
        self,
        gvr: GVR,
        obj: Obj,
        namespace: str = "",
        subresource: str = "",
        name: str = "",
        *,
        field_manager: str = "",
    ) -> Obj:
        """`namespace` defaults to the object's own. With `subresource`, of the object `name`: binding,
        eviction, token."""
        path = gvr.path(namespace or _namespace(obj), name, subresource)
        return await self._json("POST", path, self._manager(field_manager), obj)

    async def update(self, gvr: GVR, obj: Obj, subresource: str = "", *, field_manager: str = "") -> Obj:
        """Replaces the object; its resourceVersion, if it carries one, must still be current."""
        path = gvr.path(_namespace(obj), obj["metadata"]["name"], subresource)
        return await self._json("PUT", path, self._manager(field_manager), obj)

    async def patch(
        self,
        gvr: GVR,
        name: str,
        patch: Any,
        namespace: str = "",
        patch_type: PatchType = "merge",
        subresource: str = "",
        field_manager: str = "",
        *,
        force: bool = False,
    ) -> Obj:
        """`force` takes fields over from other managers (server-side apply only)."""
        params = self._manager(field_manager)
        if patch_type == "apply":
            params["force"] = "true" if force else ""
        path = gvr.path(namespace, name, subresource)
        return await self._json("PATCH", path, params, patch, _PATCH_CONTENT[patch_type])

    async def delete(
        self,
        gvr: GVR,
        name: str,
        namespace: str = "",
        uid: str | None = None,
        resource_version: str | None = None,
        grace_period_s: int | None = None,
        propagation: str | None = None,
    ) -> Obj:
        """`uid` and `resource_version` are preconditions: another object of that name, or state, is a
        conflict."""
        options = _delete_options(uid, resource_version, grace_period_s, propagation)
        return await self._json("DELETE", gvr.path(namespace, name), {}, options)

    async def delete_collection(
        self,
        gvr: GVR,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        grace_period_s: int | None = None,
        propagation: str | None = None,
    ) -> Obj:
        params = {"labelSelector": label_selector, "fieldSelector": field_selector}
        options = _delete_options(None, None, grace_period_s, propagation)
        return await self._json("DELETE", gvr.path(namespace), params, options)

    # ---- raw

    async def request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> Response:
        """Any request, with the client's identity and retries. Raises StatusError for a status of 400 or
        more."""
        if self._bucket is not None and (wait_s := self._bucket.take_s()) > 0:
            await self.clock.sleep(wait_s)
        sent = {"User-Agent": self.user_agent, "Accept": self.accept, **(headers or {})}
        self.under_way += 1
        try:
            response = await self._attempts(method, target(path, params or {}), sent, body, timeout_s)
        finally:
            self.under_way -= 1
        if response.status >= 400:
            raise status_error(response)
        return response

    async def _attempts(
        self, method: str, where: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Response:
        policy = RetryPolicy(method, self.random)
        while True:
            try:
                response = await self.transport.request(method, where, headers, body, timeout_s)
                delay_s = policy.after_response_s(response)
                if delay_s is None:
                    return response
            except ConnectionFailed as error:
                delay_s = policy.after_failure_s(error)
                if delay_s is None:
                    raise
            await self.clock.sleep(delay_s)

    async def _json(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        body: Any = None,
        content_type: str = "application/json",
    ) -> Obj:
        data = orjson.dumps(body) if body is not None else None
        headers = {"Content-Type": content_type} if data is not None else {}
        response = await self.request(method, path, params, data, headers)
        decoded: Obj = orjson.loads(response.body) if response.body else {}
        return decoded

    def _manager(self, field_manager: str) -> dict[str, str]:
        return {"fieldManager": field_manager or self.field_manager}


def target(path: str, params: Mapping[str, str]) -> str:
    """The request target; parameters without a value are left out."""
    query = urlencode({key: value for key, value in params.items() if value})
    return f"{path}?{query}" if query else path


def _list_result(body: Obj) -> ListResult:
    meta = body.get("metadata") or {}
    items: list[Obj] = body.get("items") or []
    kind = body.get("kind", "").removesuffix("List")
    api_version = body.get("apiVersion", "")
    for item in items:
        item.setdefault("kind", kind)
        item.setdefault("apiVersion", api_version)
    return ListResult(items, meta.get("resourceVersion", ""), meta.get("continue", ""))


def _namespace(obj: Obj) -> str:
    namespace: str = (obj.get("metadata") or {}).get("namespace", "")
    return namespace


def _delete_options(
    uid: str | None, resource_version: str | None, grace_period_s: int | None, propagation: str | None
) -> Obj | None:
    preconditions = {"uid": uid, "resourceVersion": resource_version}
    options: Obj = {
        "preconditions": {key: value for key, value in preconditions.items() if value is not None} or None,
        "gracePeriodSeconds": grace_period_s,
        "propagationPolicy": propagation,
    }
    options = {key: value for key, value in options.items() if value is not None}
    return {"kind": "DeleteOptions", "apiVersion": "v1", **options} if options else None


def _ssl_context(config: KubeConfig) -> Any:
    return config.ssl_context() if config.server.startswith("https") else None
