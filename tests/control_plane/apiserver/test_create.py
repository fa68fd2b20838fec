"""Creating objects, as any client sees it over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.control_plane.apiserver.harness import Harness
from tests.control_plane.apiserver.simple_objects import config_map, path_of

Object = dict[str, Any]


def test_a_created_object_has_its_system_metadata(api: Harness, namespace: str) -> None:
    made = api.create(path_of(namespace), config_map("a", x="y"))
    metadata = made["metadata"]
    assert metadata["namespace"] == namespace
    assert len(metadata["uid"]) == 36
    assert metadata["creationTimestamp"].endswith("Z")
    assert int(metadata["resourceVersion"]) > 0
    assert api.get(path_of(namespace, name="a")) == made


def test_kind_and_content_type_may_be_missing(api: Harness, namespace: str) -> None:
    """The official Python client sends neither."""
    answer = api.request("POST", path_of(namespace), b'{"metadata":{"name":"bare"},"data":{"a":"b"}}')
    assert answer.status == 201
    assert (answer.body["kind"], answer.body["apiVersion"]) == ("ConfigMap", "v1")


def test_a_yaml_body_is_read(api: Harness, namespace: str) -> None:
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yaml}\ndata: {a: b}\n"
    answer = api.request("POST", path_of(namespace), body, {"Content-Type": "application/yaml"})
    assert answer.body["data"] == {"a": "b"}


def test_generate_name_draws_a_name(api: Harness, namespace: str) -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "gen-"}}
    first, second = (api.create(path_of(namespace), obj)["metadata"]["name"] for _ in range(2))
    assert first != second
    assert first.startswith("gen-")
    assert len(first) == len("gen-") + 5


def test_a_job_selects_by_its_uid_and_is_labelled_by_its_name(api: Harness, namespace: str) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": "j-"},
        "spec": {"template": template},
    }
    made = api.create(f"/apis/batch/v1/namespaces/{namespace}/jobs", job)
    metadata, spec = made["metadata"], made["spec"]
    assert spec["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": metadata["uid"]}}
    assert spec["template"]["metadata"]["labels"]["batch.kubernetes.io/job-name"] == metadata["name"]


@pytest.mark.parametrize(
    ("path", "warning"),
    [
        ("/api/v1/namespaces/default/endpoints", "v1 Endpoints is deprecated in v1.33+"),
        ("/api/v1/componentstatuses", "v1 ComponentStatus is deprecated in v1.19+"),
    ],
)
def test_a_deprecated_kind_says_so_to_readers(api: Harness, path: str, warning: str) -> None:
    assert any(warning in each for each in api.request("GET", path).warnings)


def test_a_second_create_conflicts(api: Harness, namespace: str) -> None:
    api.create(path_of(namespace), config_map("a"))
    answer = api.request("POST", path_of(namespace), config_map("a"))
    assert answer.status == 409
    assert answer.body["reason"] == "AlreadyExists"
    assert answer.body["message"] == 'configmaps "a" already exists'
    assert answer.body["details"] == {"name": "a", "kind": "configmaps"}


def test_dry_run_writes_nothing(api: Harness, namespace: str) -> None:
    made = api.request("POST", path_of(namespace) + "?dryRun=All", config_map("dry"))
    assert made.status == 201
    assert made.body["metadata"]["uid"]
    assert api.request("GET", path_of(namespace, name="dry")).status == 404


@pytest.mark.parametrize(
    ("query", "body", "headers", "status", "message"),
    [
        pytest.param(
            "",
            {**config_map("x"), "metadata": {"name": "x", "namespace": "other"}},
            {},
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
            id="another namespace",
        ),
        pytest.param(
            "",
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}},
            {},
            400,
            "the API version in the data (apps/v1) does not match the expected API version (v1)",
            id="another version",
        ),
        pytest.param(
            "",
            {**config_map("x"), "metadata": {"name": "x", "resourceVersion": "5"}},
            {},
            400,
            "resourceVersion should not be set on objects to be created",
            id="a resourceVersion",
        ),
        pytest.param(
            "?dryRun=Some",
            config_map("x"),
            {},
            422,
            'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: '
            'supported values: "All"',
            id="dryRun",
        ),
        pytest.param(
            "?fieldValidation=Strict",
            {**config_map("x"), "dada": {}},
            {},
            400,
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
            'unknown field "dada"',
            id="an unknown field",
        ),
        pytest.param(
            "",
            {**config_map("x"), "data": {"a": 1}},
            {},
            400,
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into '
            "Go struct field ConfigMap.data of type string",
            id="a wrong type",
        ),
        pytest.param("", b"<xml/>", {"Content-Type": "text/xml"}, 415, None, id="a strange media type"),
        pytest.param("", b"{", {"Content-Type": "application/json"}, 400, None, id="no JSON"),
        pytest.param("", b"[]", {"Content-Type": "application/json"}, 400, None, id="no object"),
        pytest.param("", b"", {"Content-Type": "application/json"}, 400, None, id="no body"),
        pytest.param("", config_map("x"), {"Accept": "text/html"}, 406, None, id="nothing acceptable"),
    ],
)
def test_a_bad_create_is_refused(
    api: Harness,
    namespace: str,
    query: str,
    body: Any,
    headers: dict[str, str],
    status: int,
    message: str | None,
) -> None:
    answer = api.request("POST", path_of(namespace) + query, body, headers)
    assert answer.status == status, answer.raw
    assert answer.body["kind"] == "Status"
    assert answer.body["code"] == status
    if message is not None:
        assert answer.body["message"] == message


def test_unknown_and_duplicate_fields_are_warned_of(api: Harness, namespace: str) -> None:
    body = b'{"metadata":{"name":"warned"},"data":{"a":"1","a":"2"},"dada":{}}'
    answer = api.request("POST", path_of(namespace), body)
    assert answer.status == 201
    assert answer.body["data"] == {"a": "2"}
    assert "dada" not in answer.body
    assert answer.warnings == [
        '299 - "duplicate field \\"data.a\\""',
        '299 - "unknown field \\"dada\\""',
    ]
    quiet = api.request(
        "POST", path_of(namespace) + "?fieldValidation=Ignore", body.replace(b"warned", b"quiet")
    )
    assert (quiet.status, quiet.warnings) == (201, [])


def test_a_body_over_the_limit_is_refused(api: Harness, namespace: str) -> None:
    body = b'{"metadata":{"name":"big"},"data":{"a":"' + b"x" * (3 * 1024 * 1024) + b'"}}'
    answer = api.request("POST", path_of(namespace), body, {"Content-Type": "application/json"})
    assert answer.status == 413
    assert answer.body["reason"] == "RequestEntityTooLarge"
