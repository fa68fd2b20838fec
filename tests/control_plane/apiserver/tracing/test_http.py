"""Traces as a collector receives them, and as webhooks and aggregated servers see them go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from control_plane.apiserver.routes import request_info
from control_plane.apiserver.tracing.configuration import BadTracing, TracingConfiguration, parse
from control_plane.apiserver.tracing.export import span_name
from tests.control_plane.apiserver.harness import Harness
from tests.control_plane.apiserver.webhook_server import WebhookServer

Object = dict[str, Any]
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
DEADLINE_S = 15.0


class Collector:
    """What OTLP exporters speak to."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        handler = grpc.unary_unary_rpc_method_handler(
            self._export,
            request_deserializer=ExportTraceServiceRequest.FromString,
            response_serializer=ExportTraceServiceResponse.SerializeToString,
        )
        service = "opentelemetry.proto.collector.trace.v1.TraceService"
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {"Export": handler}),)
        )
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def _export(self, request: ExportTraceServiceRequest, _: object) -> ExportTraceServiceResponse:
        self.spans += [
            span for each in request.resource_spans for scope in each.scope_spans for span in scope.spans
        ]
        return ExportTraceServiceResponse()

    def of(self, trace: str) -> dict[str, Any]:
        return {span.name: span for span in list(self.spans) if span.trace_id.hex() == trace}

    def stop(self) -> None:
        self._server.stop(None).wait()


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Harness]:
    directory: Path = tmp_path_factory.mktemp("traced")
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1beta1",
        "kind": "TracingConfiguration",
        "endpoint": f"127.0.0.1:{collector.port}",
    }
    (directory / "tracing.yaml").write_text(yaml.safe_dump(document))
    with Harness(directory, f"--tracing-config-file={directory}/tracing.yaml") as harness:
        yield harness


def until(condition: Callable[[], Any]) -> Any:
    ends = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < ends, "in vain"
        time.sleep(0.05)
    return found


def test_a_trace_goes_on_through_the_server(traced: Harness, collector: Collector) -> None:
    with WebhookServer() as webhook:
        configuration = {
            "metadata": {"name": "traced"},
            "webhooks": [
                {
                    "name": "traced.example.com",
                    "admissionReviewVersions": ["v1"],
                    "sideEffects": "None",
                    "clientConfig": {"url": webhook.url("/"), "caBundle": webhook.ca_bundle},
                    "rules": [
                        {
                            "apiGroups": [""],
                            "apiVersions": ["v1"],
                            "resources": ["configmaps"],
                            "operations": ["CREATE"],
                        }
                    ],
                }
            ],
        }
        traced.create("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", configuration)
        path = "/api/v1/namespaces/default/configmaps"
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}

        def called() -> bool:
            sent = {"metadata": {"generateName": "a-"}}
            assert traced.request("POST", path, sent, headers=headers).status == 201
            return bool(webhook.headers)

        until(called)
        seen = {name.lower(): value for name, value in webhook.headers[-1].items()}
    assert seen["traceparent"].startswith(f"00-{TRACE}-")
    assert PARENT not in seen["traceparent"]
    name = "POST /api/v1/namespaces/{:namespace}/configmaps"
    spans = until(
        lambda: {"Call webhook", "etcd create", name} <= set(found := collector.of(TRACE)) and found
    )
    assert spans[name].parent_span_id.hex() == PARENT
    assert spans["etcd create"].start_time_unix_nano >= spans[name].start_time_unix_nano
    attributes = {each.key: each.value.string_value for each in spans[name].attributes}
    assert attributes["http.target"] == path
    assert attributes["audit-id"]


def test_who_is_no_administrator_begins_no_trace_here(traced: Harness, collector: Collector) -> None:
    other = TRACE[::-1]
    headers = {"traceparent": f"00-{other}-{PARENT}-01"}
    assert traced.request("GET", "/version", headers=headers, user="jane").status == 200
    mark = "1" * 32
    headers = {"traceparent": f"00-{mark}-{PARENT}-01"}
    assert traced.request("GET", "/version", headers=headers).status == 200
    until(lambda: collector.of(mark))
    assert not collector.of(other)


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/version", "GET"),
        ("GET", "/api/v1/nodes/a", "GET /api/v1/nodes/{:name}"),
        ("PUT", "/apis/apps/v1/namespaces/a/deployments/b/scale",
         "PUT /apis/apps/v1/namespaces/{:namespace}/deployments/{:name}/scale"),
    ],
    ids=["path", "cluster-scoped", "subresource"],
)  # fmt: skip
def test_names_of_spans(method: str, path: str, name: str) -> None:
    assert span_name(method, request_info(method, path, {})) == name


HEAD = {"apiVersion": "apiserver.config.k8s.io/v1beta1", "kind": "TracingConfiguration"}


def test_configuration() -> None:
    assert parse(HEAD) == TracingConfiguration("localhost:4317", 0)
    assert parse({**HEAD, "endpoint": "dns:///a:1", "samplingRatePerMillion": 5}) == TracingConfiguration(
        "a:1", 5
    )


@pytest.mark.parametrize(
    "document",
    [
        {},
        {**HEAD, "apiVersion": "v1"},
        {**HEAD, "samplingRatePerMillion": 2_000_000},
        {**HEAD, "endpoint": 1},
    ],
    ids=["empty", "version", "rate", "endpoint"],
)
def test_bad_configuration(document: Object) -> None:
    with pytest.raises(BadTracing):
        parse(document)
