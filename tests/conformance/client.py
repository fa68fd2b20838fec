"""A client like Go's: `Client(kubeconfig)` is the typed one, which speaks protobuf; `dynamic=True` speaks JSON.

deployments = client.of("apps/v1", "deployments", "Deployment", namespace)
with deployments.watch(labelSelector="a=b") as events:
    made = deployments.create({...})
    events.until("MODIFIED", lambda obj: ...)
"""

from __future__ import annotations

import contextlib
import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import websocket

from certs.kubeconfig import KubeConfig
from tests.conformance import wire

Object = dict[str, Any]

TIMEOUT_S = 60.0
JSON, PROTOBUF = "application/json", "application/vnd.kubernetes.protobuf"
PATCHES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


class ApiError(Exception):
    """What the server refused, with its Status."""

    def __init__(self, code: int, status: Object) -> None:
        super().__init__(f"{code} {status.get('reason')}: {status.get('message')}")
        self.code = code
        self.status = status

    @property
    def reason(self) -> str:
        return str(self.status.get("reason", ""))


class Client:
    def __init__(self, kubeconfig: Path, *, dynamic: bool = False, timeout_s: float = TIMEOUT_S) -> None:
        config = KubeConfig.load(kubeconfig)
        self._config, self._timeout_s = config, timeout_s
        self._address = urlsplit(config.server)
        self._context: ssl.SSLContext = config.ssl_context()
        self._kept: HTTPConnection | None = None
        self.dynamic = dynamic
        self.warnings: list[str] = []

    def of(self, group_version: str, plural: str, kind: str, namespace: str = "") -> Resource:
        return Resource(self, group_version, plural, kind, namespace)

    def open(self) -> HTTPConnection:
        assert self._address.hostname is not None
        return HTTPSConnection(
            self._address.hostname, self._address.port, timeout=self._timeout_s, context=self._context
        )

    def websocket(self, path: str, *protocols: str) -> Iterator[bytes]:
        """The messages of a WebSocket, until the server ends it."""
        connection = websocket.create_connection(
            f"wss://{self._address.netloc}{path}",
            subprotocols=list(protocols),
            sslopt={"context": self._context},
            timeout=self._timeout_s,
        )
        try:
            while True:
                code, message = connection.recv_data()
                if code == websocket.ABNF.OPCODE_CLOSE:
                    return
                yield message
        finally:
            connection.shutdown()  # `close` does nothing once the server has said goodbye

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def raw(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """One exchange on a kept connection; on a new one if the server has closed it meanwhile."""
        for attempt in (1, 2):
            fresh = self._kept is None
            connection = self._kept = self._kept or self.open()
            try:
                connection.request(method, path, body, dict(headers or {}))
                answer = connection.getresponse()
                content = answer.read()
                self.warnings = answer.headers.get_all("Warning") or []
                return answer.status, dict(answer.headers.items()), content
            except (HTTPException, OSError):
                self.close()
                if fresh or attempt == 2:
                    raise
        raise AssertionError("not reached")

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "",
        query: Mapping[str, str] | None = None,
    ) -> Object:
        headers = {"Accept": JSON if self.dynamic else f"{PROTOBUF},{JSON}", "User-Agent": "e2e.test"}
        sent: bytes | None = None
        if body is not None and content_type:
            sent, headers["Content-Type"] = json.dumps(body).encode(), content_type
        elif body is not None:
            sent = json.dumps(body).encode() if self.dynamic else wire.encode(body)
            headers["Content-Type"] = JSON if self.dynamic else PROTOBUF
        code, answered, content = self.raw(
            method, f"{path}?{urlencode(query)}" if query else path, sent, headers
        )
        return answer(code, answered, content)

    def get(self, path: str) -> Object:
        """A document that is no object, in JSON: discovery, version."""
        code, answered, content = self.raw("GET", path, headers={"Accept": JSON})
        return answer(code, answered, content)


def answer(code: int, headers: Mapping[str, str], content: bytes) -> Object:
    kind = headers.get("Content-Type", "")
    found: Object = wire.decode(content) if kind.startswith(PROTOBUF) else json.loads(content)
    if code >= 400:
        raise ApiError(code, found)
    return found


class Resource:
    """The verbs of one resource in one namespace, or in all."""

    def __init__(self, client: Client, group_version: str, plural: str, kind: str, namespace: str) -> None:
        self.client, self.group_version, self.plural, self.kind = client, group_version, plural, kind
        self.namespace = namespace
        root = f"/apis/{group_version}" if "/" in group_version else f"/api/{group_version}"
        self.path = f"{root}/namespaces/{namespace}/{plural}" if namespace else f"{root}/{plural}"

    def everywhere(self) -> Resource:
        return Resource(self.client, self.group_version, self.plural, self.kind, "")

    def _one(self, name: str, subresource: str = "") -> str:
        return f"{self.path}/{quote(name)}" + (f"/{subresource}" if subresource else "")

    def _typed(self, obj: Object) -> Object:
        return {"apiVersion": self.group_version, "kind": self.kind, **obj}

    def create(self, obj: Object, **query: str) -> Object:
        return self.client.call("POST", self.path, self._typed(obj), query=query)

    def post(self, name: str, subresource: str, obj: Object) -> Object:
        return self.client.call("POST", self._one(name, subresource), obj)

    def get(self, name: str, subresource: str = "") -> Object:
        return self.client.call("GET", self._one(name, subresource))

    def list(self, **query: str) -> list[Object]:
        return self.listed(**query).get("items") or []

    def listed(self, **query: str) -> Object:
        return self.client.call("GET", self.path, query=query)

    def update(self, obj: Object, subresource: str = "", **query: str) -> Object:
        path = self._one(obj["metadata"]["name"], subresource)
        return self.client.call("PUT", path, self._typed(obj), query=query)

    def change(self, name: str, edit: Callable[[Object], Any], subresource: str = "") -> Object:
        """Read, edit, write; again on a conflict, as `retry.RetryOnConflict` does."""
        for _ in range(20):
            obj = self.get(name, subresource)
            edit(obj)
            try:
                return self.update(obj, subresource)
            except ApiError as error:
                if error.code != 409:
                    raise
        raise AssertionError(f"nothing but conflicts on {self.plural} {name}")

    def patch(
        self, name: str, patch: Any, kind: str = "merge", subresource: str = "", **query: str
    ) -> Object:
        path = self._one(name, subresource)
        return self.client.call("PATCH", path, patch, PATCHES[kind], query)

    def delete(self, name: str, **options: Any) -> Object:
        body = {"apiVersion": self.group_version, "kind": "DeleteOptions", **options}
        return self.client.call("DELETE", self._one(name), body)

    def delete_collection(self, **query: str) -> Object:
        body = {"apiVersion": self.group_version, "kind": "DeleteOptions"}
        return self.client.call("DELETE", self.path, body, query=query)

    def exists(self, name: str) -> bool:
        try:
            self.get(name)
        except ApiError as error:
            if error.code != 404:
                raise
            return False
        return True

    @contextlib.contextmanager
    def watch(self, **query: str) -> Iterator[Events]:
        """From the list's version on, unless `resourceVersion` says from where."""
        if "resourceVersion" not in query:
            selectors = {key: value for key, value in query.items() if key.endswith("Selector")}
            query["resourceVersion"] = self.listed(**selectors)["metadata"]["resourceVersion"]
        connection = self.client.open()
        stream = JSON if self.client.dynamic else f"{PROTOBUF};stream=watch"
        try:
            connection.request(
                "GET", f"{self.path}?{urlencode({'watch': 'true', **query})}", headers={"Accept": stream}
            )
            with connection.getresponse() as response:  # it holds the socket, too
                if response.status != 200:
                    answer(response.status, dict(response.headers.items()), response.read())
                yield Events(response)
        finally:
            connection.close()


class Events:
    """A watch under way."""

    def __init__(self, response: HTTPResponse) -> None:
        self._events = _events_of(response)
        self.seen: list[tuple[str, str]] = []

    def until(
        self, kind: str, wanted: Callable[[Object], Any] = lambda _: True, timeout_s: float = TIMEOUT_S
    ) -> Object:
        """The first event of this kind whose object is as wanted."""
        deadline = time.monotonic() + timeout_s
        for found, obj in self._events:
            self.seen.append((found, obj.get("metadata", {}).get("name", "")))
            if found == kind and wanted(obj):
                return obj
            assert found != "ERROR", obj
            assert time.monotonic() < deadline, f"no such {kind} within {timeout_s} s; seen: {self.seen}"
        raise AssertionError(f"the watch ended; seen: {self.seen}")


def _events_of(response: HTTPResponse) -> Iterator[tuple[str, Object]]:
    if response.headers["Content-Type"].startswith(PROTOBUF):
        yield from wire.events(response.read)
        return
    while line := response.readline():
        event = json.loads(line)
        yield event["type"], event["object"]
