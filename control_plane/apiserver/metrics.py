"""The apiserver's metrics, under the names that Kubernetes' dashboards and alerts use."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest

from control_plane.apiserver.routes import RequestInfo

_BUCKETS_S = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2, 3, 5, 10, 30, 60)
_LABELS = ("verb", "group", "version", "resource", "subresource", "scope")

REQUESTS = Counter("apiserver_request", "Requests by verb, resource and status.", (*_LABELS, "code"))
DURATIONS = Histogram(
    "apiserver_request_duration_seconds",
    "Response latency by verb and resource; not of watches.",
    _LABELS,
    buckets=_BUCKETS_S,
)
_IN_FLIGHT = Gauge("apiserver_current_inflight_requests", "Requests under way.", ("request_kind",))
IN_FLIGHT = {kind: _IN_FLIGHT.labels(kind) for kind in ("readOnly", "mutating")}
WATCHES = Gauge("apiserver_longrunning_requests", "Watches and other long-running requests.", _LABELS)
OBJECTS = Gauge("apiserver_resource_objects", "Objects in the store, by resource.", ("group", "resource"))

CONTENT_TYPE = CONTENT_TYPE_LATEST


def observe(info: RequestInfo, known: bool, status: int, duration_s: float) -> None:
    """`known`: the resource and subresource exist; a path that a client made up must not make a series."""
    if known:
        scope = "resource" if info.name else ("namespace" if info.namespace else "cluster")
        labels = (_verb(info), info.group, info.version, info.resource, info.subresource, scope)
    else:
        labels = (_verb(info) if info.verb in _KNOWN_VERBS else "other", "", "", "", "", "")
    REQUESTS.labels(*labels, str(status)).inc()
    if not info.is_long_running:
        DURATIONS.labels(*labels).observe(duration_s)


_KNOWN_VERBS = frozenset(
    {
        *("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "proxy"),
        *("post", "put", "head", "options"),
    }
)


def _verb(info: RequestInfo) -> str:
    return {"create": "POST", "update": "PUT"}.get(info.verb, info.verb.upper())


def render() -> bytes:
    return generate_latest()
