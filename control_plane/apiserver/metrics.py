"""The apiserver's metrics, under the names that Kubernetes' dashboards and alerts use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Gauge, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from control_plane.apiserver.messages import Request
from control_plane.apiserver.routes import RequestInfo
from control_plane.apiserver.series import Buckets, Counts, Histograms, Labels, Levels

_SECONDS = (
    0.005,
    0.025,
    0.05,
    0.1,
    0.2,
    0.4,
    0.6,
    0.8,
    1,
    1.25,
    1.5,
    2,
    3,
    4,
    5,
    6,
    8,
    10,
    15,
    20,
    30,
    45,
    60,
)
_SIZES_BYTES = tuple(10.0**power for power in range(3, 10))
_EVENT_SIZES_BYTES = tuple(1024.0 * 2**power for power in range(8))
_AUTH_S = tuple(0.001 * 2**power for power in range(15))
_LABELS = ("component", "verb", "group", "version", "resource", "subresource", "scope")
COMPONENT = "apiserver"

REQUESTS = Counts(
    "apiserver_request", "Requests by verb, resource and status.", (*_LABELS, "dry_run", "code")
)
DURATIONS = Histograms(
    "apiserver_request_duration_seconds",
    "Response latency; not of long-running requests.",
    (*_LABELS, "dry_run"),
    _SECONDS,
)
SLI_DURATIONS = Histograms(
    "apiserver_request_sli_duration_seconds",
    "Response latency without the time in a queue of priority and fairness.",
    _LABELS,
    _SECONDS,
)
SIZES = Histograms("apiserver_response_sizes", "Bytes of answers, uncompressed.", _LABELS, _SIZES_BYTES)
LONG_RUNNING = Levels(
    "apiserver_longrunning_requests", "Watches and other long-running requests under way.", _LABELS
)
_IN_FLIGHT = Gauge("apiserver_current_inflight_requests", "Requests under way.", ("request_kind",))
IN_FLIGHT = {kind: _IN_FLIGHT.labels(kind) for kind in ("readOnly", "mutating")}
TERMINATIONS = Counts(
    "apiserver_request_terminations",
    "Requests that the server ended: too many at once, or too long.",
    (*_LABELS, "code"),
)
WATCH_EVENTS = Counts("apiserver_watch_events", "Events sent to watches.", ("group", "version", "resource"))
WATCH_EVENT_SIZES = Histograms(
    "apiserver_watch_events_sizes",
    "Average bytes of the events sent at once.",
    ("group", "version", "resource"),
    _EVENT_SIZES_BYTES,
)
STORE_REQUESTS = Counts("etcd_requests", "Requests to the store.", ("operation", "group", "resource"))
STORE_ERRORS = Counts("etcd_request_errors", "Those that failed.", ("operation", "group", "resource"))
STORE_DURATIONS = Histograms(
    "etcd_request_duration_seconds",
    "Latency of the store.",
    ("operation", "group", "resource"),
    _SECONDS,
)
AUTHENTICATIONS = Counts("authentication_attempts", "Authenticated requests.", ("result",))
AUTHENTICATION_S = Histograms("authentication_duration_seconds", "Their time.", ("result",), _AUTH_S)
USERS = Counts("authenticated_user_requests", "Requests by user.", ("username",))
AUTHORIZATIONS = Counts("authorization_attempts", "Authorized requests.", ("result",))
AUTHORIZATION_S = Histograms("authorization_duration_seconds", "Their time.", ("result",), _AUTH_S)

CONTENT_TYPE = CONTENT_TYPE_LATEST


class _Request:
    """What is counted of requests of one kind."""

    __slots__ = ("codes", "durations", "labels", "sizes", "sli")

    def __init__(self, labels: Labels, dry_run: str) -> None:
        self.labels = labels
        self.codes: dict[int, Labels] = {}
        self.durations: Buckets = DURATIONS.of((*labels, dry_run))
        self.sli: Buckets = SLI_DURATIONS.of(labels)
        self.sizes: Buckets = SIZES.of(labels)


_KINDS: dict[tuple[object, ...], _Request] = {}
_USERNAMES = frozenset(
    {"admin", "client", "kube_proxy", "kubelet", "system:serviceaccount:kube-system:default"}
)


def observe(
    request: Request, info: RequestInfo, known: bool, status: int, size_bytes: int, duration_s: float
) -> None:
    """`known`: the resource and subresource exist; a path that a client made up must not make a series."""
    kind = _kind(request, info, known)
    labels = kind.codes.get(status)
    if labels is None:
        dry_run = "All" if "dryRun=" in request.raw_query else ""
        labels = kind.codes[status] = (*kind.labels, dry_run, str(status))
    REQUESTS.values[labels] = REQUESTS.values.get(labels, 0) + 1
    if info.is_long_running:
        LONG_RUNNING.add(kind.labels)
        request.on_end.append(lambda: LONG_RUNNING.add(kind.labels, -1))
        return
    kind.durations.observe(duration_s)
    kind.sli.observe(duration_s - request.waited_s)
    kind.sizes.observe(size_bytes)
    if status in (429, 504):
        TERMINATIONS.add((*kind.labels, str(status)))


def observe_events(group: str, version: str, resource: str, events: int, size_bytes: int) -> None:
    """Events that were sent to one watch at once."""
    labels = (group, version, resource)
    WATCH_EVENTS.add(labels, events)
    WATCH_EVENT_SIZES.observe(labels, size_bytes / events)


def observe_user(name: str) -> None:
    """Only the names that are the same everywhere are told apart."""
    USERS.add((name if name in _USERNAMES or name.startswith("system:kube-") else "other",))


def _kind(request: Request, info: RequestInfo, known: bool) -> _Request:
    dry = "dryRun=" in request.raw_query
    applies = info.verb == "patch" and request.headers.get("Content-Type", "").startswith(
        "application/apply-patch"
    )
    if known:
        key: tuple[object, ...] = (
            *(info.verb, info.group, info.version, info.resource, info.subresource, bool(info.name)),
            *(bool(info.namespace), dry, applies),
        )
    else:
        key = (info.verb if info.verb in _KNOWN_VERBS else "other", dry)
    found = _KINDS.get(key)
    if found is None:
        labels = (COMPONENT, *_labels(info, known, applies))
        found = _KINDS[key] = _Request(labels, "All" if dry else "")
    return found


def _labels(info: RequestInfo, known: bool, applies: bool) -> Labels:
    if not known:
        return (_verb(info) if info.verb in _KNOWN_VERBS else "other", "", "", "", "", "")
    scope = "namespace" if info.namespace else "cluster"
    if info.name or info.verb == "create":
        scope = "resource"
    verb = "APPLY" if applies else _verb(info)
    return (verb, info.group, info.version, info.resource, info.subresource, scope)


_KNOWN_VERBS = frozenset(
    {
        *("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "proxy"),
        *("post", "put", "head", "options"),
    }
)
_CONNECTING = frozenset({"proxy", "exec", "attach", "portforward", "log"})


def _verb(info: RequestInfo) -> str:
    if info.is_resource and info.subresource in _CONNECTING:
        return "GET" if info.subresource == "log" else "CONNECT"
    return {"create": "POST", "update": "PUT"}.get(info.verb, info.verb.upper())


class StorageCollector(Collector):
    """Objects in the store, as the caches count them. `sizes` is by the prefix of the resource's keys."""

    def __init__(self, sizes: Callable[[], Mapping[str, int]]) -> None:
        self._sizes = sizes
        REGISTRY.register(self)

    def collect(self) -> Iterator[Metric]:
        text = "Objects in the store, by resource."
        objects = GaugeMetricFamily("apiserver_resource_objects", text, labels=("group", "resource"))
        legacy = GaugeMetricFamily("apiserver_storage_objects", text, labels=("resource",))
        for prefix, count in self._sizes().items():
            _, _, group, resource, _ = prefix.split("/", 4)
            group = "" if group == "core" else group
            objects.add_metric((group, resource), count)
            legacy.add_metric((f"{resource}.{group}" if group else resource,), count)
        yield objects
        yield legacy


def note_build(version: Mapping[str, str]) -> None:
    names = ("major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion")
    labels = [_snake(name) for name in (*names, "compiler", "platform")]
    build = Gauge("kubernetes_build_info", "What runs here.", labels)
    build.labels(*(version[name] for name in (*names, "compiler", "platform"))).set(1)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def render() -> bytes:
    return generate_latest()
