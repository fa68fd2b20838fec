"""Is it up yet: asks the processes themselves, as a client would, until each stage is reached.

Stages in order: the store has a leader; an apiserver is ready; all nodes are Ready; the default service account
is there. What the cluster has no process for is no stage. Plain blocking HTTP: this runs in the command, not in a
component.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from certs import tls
from certs.kubeconfig import KubeConfig
from cluster.home import Home
from cluster.spec import ClusterSpec

POLL_INTERVAL_S = 0.03
REQUEST_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    reached_s: float  # since the start


def store_context(home: Home) -> ssl.SSLContext:
    """To ask the store as the commands do."""
    return tls.client_context(
        home.pki / "store-ca.crt", home.pki / "store-client.crt", home.pki / "store-client.key"
    )


def stages(
    home: Home, spec: ClusterSpec, timeout_s: float, waiting: Callable[[str], bool]
) -> Iterator[Stage]:
    """Yield each stage when it is reached. Raises TimeoutError with what was missing last, ConnectionError when
    `waiting`, called again and again, says that there is nothing to wait for."""
    began = time.monotonic()
    store = store_context(home)
    api = KubeConfig.load(home.kubeconfig).ssl_context()
    for name, check in _checks(spec, store, api):
        while missing := check():
            if not waiting(name):
                raise ConnectionError(missing)
            if time.monotonic() - began > timeout_s:
                raise TimeoutError(f"{name}: {missing}")
            time.sleep(POLL_INTERVAL_S)
        yield Stage(name, time.monotonic() - began)


def _checks(
    spec: ClusterSpec, store: ssl.SSLContext, api: ssl.SSLContext
) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "store has a leader", lambda: _store(spec, store)
    yield "apiserver ready", lambda: _api(spec, api)
    if spec.nodes:
        yield f"{spec.nodes} nodes Ready", lambda: _nodes(spec, api)
    if spec.hollow_nodes:
        yield f"{spec.hollow_nodes} hollow nodes Ready", lambda: _hollow(spec, api)
    if spec.controller_managers:
        yield "default service account", lambda: _service_account(spec, api)


def get(url: str, context: ssl.SSLContext) -> tuple[int, bytes]:
    """Raises OSError, http.client.HTTPException."""
    return request("GET", url, context)


def request(method: str, url: str, context: ssl.SSLContext, body: bytes | None = None) -> tuple[int, bytes]:
    """Raises OSError, http.client.HTTPException."""
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(
        parts.hostname or "", parts.port, timeout=REQUEST_TIMEOUT_S, context=context
    )
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body=body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _ask(url: str, context: ssl.SSLContext) -> tuple[Any, str]:
    """The JSON answer, or why there is none."""
    try:
        status, body = get(url, context)
        document = orjson.loads(body)
    except (OSError, http.client.HTTPException, orjson.JSONDecodeError) as error:
        return None, f"no answer yet ({error!r})"
    return (document, "") if status == 200 else (None, document.get("message", f"HTTP {status}"))


def _store(spec: ClusterSpec, context: ssl.SSLContext) -> str:
    reason = ""
    for endpoint in spec.store_endpoints():
        answer, reason = _ask(f"{endpoint}/health", context)
        if answer and str(answer.get("health")) == "true":
            return ""
    return reason or "no leader is elected yet"


def _api(spec: ClusterSpec, context: ssl.SSLContext) -> str:
    try:
        status, body = get(f"{spec.server()}/readyz", context)
    except (OSError, http.client.HTTPException) as error:
        return f"no answer yet ({error!r})"
    return "" if status == 200 else body.decode(errors="replace")


def _nodes(spec: ClusterSpec, context: ssl.SSLContext) -> str:
    answer, reason = _ask(f"{spec.server()}/api/v1/nodes?labelSelector=balsa.dev/hollow!=true", context)
    if answer is None:
        return reason
    ready = {each["metadata"]["name"] for each in answer["items"] if _is_ready(each)}
    missing = [name for name in spec.node_names() if name not in ready]
    return f"not Ready: {', '.join(missing)}" if missing else ""


def _hollow(spec: ClusterSpec, context: ssl.SSLContext) -> str:
    """The process that plays them knows; to list thousands of nodes again and again would slow it down."""
    (name,) = spec.hollow_names()
    try:
        status, body = get(f"https://127.0.0.1:{spec.ports[name]}/readyz", context)
    except (OSError, http.client.HTTPException) as error:
        return f"no answer yet ({error!r})"
    return "" if status == 200 else body.decode(errors="replace")


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _service_account(spec: ClusterSpec, context: ssl.SSLContext) -> str:
    return _ask(f"{spec.server()}/api/v1/namespaces/default/serviceaccounts/default", context)[1]
