"""Create, get, update, patch and delete, as any client sees them over HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.control_plane.apiserver.harness import Harness

Object = dict[str, Any]


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name: str, **spec: Any) -> Object:
    containers = [{"name": "c", "image": "busybox", "command": ["sleep", "1"]}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": containers, **spec},
    }


def path_of(namespace: str, resource: str = "configmaps", name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/{resource}" + (f"/{name}" if name else "")


# --- create


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


# --- update


def test_an_update_needs_the_current_resource_version(api: Harness, namespace: str) -> None:
    made = api.create(path_of(namespace), config_map("a", x="1"))
    updated = api.request("PUT", path_of(namespace, name="a"), {**made, "data": {"x": "2"}})
    assert updated.status == 200
    assert updated.body["data"] == {"x": "2"}
    assert updated.body["metadata"]["uid"] == made["metadata"]["uid"]
    stale = api.request("PUT", path_of(namespace, name="a"), {**made, "data": {"x": "3"}})
    assert stale.status == 409
    assert stale.body["reason"] == "Conflict"
    assert stale.body["message"] == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


def test_an_update_without_a_version_is_unconditional(api: Harness, namespace: str) -> None:
    api.create(path_of(namespace), config_map("a", x="1"))
    assert api.request("PUT", path_of(namespace, name="a"), config_map("a", x="9")).body["data"] == {"x": "9"}


def test_an_update_that_changes_nothing_writes_nothing(api: Harness, namespace: str) -> None:
    made = api.create(path_of(namespace), config_map("a", x="1"))
    again = api.request("PUT", path_of(namespace, name="a"), made)
    assert again.body == made


def test_the_name_of_an_update_must_be_the_urls(api: Harness, namespace: str) -> None:
    made = api.create(path_of(namespace), config_map("a"))
    made["metadata"]["name"] = "b"
    answer = api.request("PUT", path_of(namespace, name="a"), made)
    assert answer.status == 400
    assert answer.body["message"] == ("the name of the object (b) does not match the name on the URL (a)")


def test_an_update_of_nothing_is_not_found_or_creates(api: Harness, namespace: str) -> None:
    assert api.request("PUT", path_of(namespace, name="no"), config_map("no")).status == 404
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {}}
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/l"
    assert api.request("PUT", path, lease).status == 201


def test_status_and_spec_are_apart(api: Harness, namespace: str) -> None:
    made = api.create(path_of(namespace, "pods"), {**pod("p"), "status": {"phase": "Running"}})
    assert made["status"]["phase"] == "Pending"
    path = path_of(namespace, "pods", "p")
    made["status"] = {"phase": "Running", "podIP": "10.0.0.1"}
    made["metadata"]["labels"] = {"a": "b"}
    assert api.request("PUT", path, made).body["status"]["phase"] == "Pending"
    current = api.get(path)
    current["status"]["phase"] = "Running"
    current["spec"]["containers"][0]["image"] = "other"
    after = api.request("PUT", path + "/status", current)
    assert after.status == 200
    assert after.body["status"]["phase"] == "Running"
    assert after.body["spec"]["containers"][0]["image"] == "busybox"


def test_generation_counts_changes_of_the_wish(api: Harness, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod("p")["spec"]}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    made = api.create(path, {"metadata": {"name": "d"}, "spec": spec})
    assert made["metadata"]["generation"] == 1
    merge = {"Content-Type": "application/merge-patch+json"}
    scaled = api.request("PATCH", path + "/d", {"spec": {"replicas": 3}}, merge).body
    assert scaled["metadata"]["generation"] == 2
    labelled = api.request("PATCH", path + "/d", {"metadata": {"labels": {"x": "y"}}}, merge).body
    assert labelled["metadata"]["generation"] == 2
    status = api.request("PATCH", path + "/d/status", {"status": {"replicas": 1}}, merge).body
    assert (status["metadata"]["generation"], status["status"]["replicas"]) == (2, 1)


# --- patch


@pytest.mark.parametrize(
    ("content_type", "patch", "data"),
    [
        ("application/merge-patch+json", {"data": {"a": None, "b": "2"}}, {"b": "2"}),
        ("application/strategic-merge-patch+json", {"data": {"a": None, "b": "2"}}, {"b": "2"}),
        (
            "application/json-patch+json",
            [{"op": "remove", "path": "/data/a"}, {"op": "add", "path": "/data/b", "value": "2"}],
            {"b": "2"},
        ),
    ],
    ids=["merge", "strategic", "json"],
)
def test_patches(api: Harness, namespace: str, content_type: str, patch: Any, data: Object) -> None:
    api.create(path_of(namespace), config_map("a", a="1"))
    answer = api.request("PATCH", path_of(namespace, name="a"), patch, {"Content-Type": content_type})
    assert answer.status == 200, answer.raw
    assert answer.body["data"] == data
    assert api.get(path_of(namespace, name="a"))["data"] == data


def test_a_strategic_patch_merges_containers_by_name(api: Harness, namespace: str) -> None:
    api.create(path_of(namespace, "pods"), pod("p"))
    patch = {"spec": {"containers": [{"name": "c", "image": "new"}]}}
    headers = {"Content-Type": "application/strategic-merge-patch+json"}
    answer = api.request("PATCH", path_of(namespace, "pods", "p"), patch, headers)
    container = answer.body["spec"]["containers"][0]
    assert (container["image"], container["command"]) == ("new", ["sleep", "1"])


@pytest.mark.parametrize(
    ("content_type", "patch", "status"),
    [
        ("application/merge-patch+json", {"metadata": {"resourceVersion": "1"}}, 409),
        ("application/merge-patch+json", {"metadata": {"name": "b"}}, 400),
        ("application/merge-patch+json", b"nonsense", 400),
        ("application/json", {}, 415),
        ("application/json-patch+json", [{"op": "remove", "path": "/data/none"}], 422),
    ],
    ids=["stale version", "another name", "no JSON", "no patch type", "does not apply"],
)
def test_a_bad_patch_is_refused(
    api: Harness, namespace: str, content_type: str, patch: Any, status: int
) -> None:
    api.create(path_of(namespace), config_map("a", a="1"))
    answer = api.request("PATCH", path_of(namespace, name="a"), patch, {"Content-Type": content_type})
    assert answer.status == status, answer.raw


def test_a_strict_patch_names_unknown_and_duplicate_fields(api: Harness, namespace: str) -> None:
    api.create(path_of(namespace), config_map("a", a="1"))
    headers = {"Content-Type": "application/merge-patch+json"}
    body = b'{"data":{"b":"1","b":"2"},"dada":{}}'
    path = path_of(namespace, name="a") + "?fieldValidation="
    refused = api.request("PATCH", path + "Strict", body, headers)
    assert refused.status == 422
    assert refused.body["message"].startswith(' "" is invalid: patch: Invalid value: "{')
    assert refused.body["message"].endswith(
        ': strict decoding error: duplicate field "data.b", unknown field "dada"'
    )
    warned = api.request("PATCH", path + "Warn", body, headers)
    assert (warned.status, len(warned.warnings)) == (200, 2)
    typed = api.request("PATCH", path, {"data": {"a": 5}}, headers)
    assert typed.status == 422
    assert "cannot unmarshal number into Go struct field" in typed.body["message"]


def test_a_patch_that_changes_no_more_than_a_type_is_refused(api: Harness, namespace: str) -> None:
    api.create(path_of(namespace), {**config_map("a", a="1"), "immutable": True})
    headers = {"Content-Type": "application/merge-patch+json"}
    path = path_of(namespace, name="a")
    typed = api.request("PATCH", path, {"immutable": 1}, headers)  # which Python takes for True
    assert (typed.status, typed.body["reason"]) == (422, "Invalid")
    assert "cannot unmarshal number into Go struct field ConfigMap.immutable" in typed.body["message"]
    assert api.request("PATCH", path, {"immutable": True}, headers).status == 200


def test_patches_at_once_all_take_effect(api: Harness, namespace: str) -> None:
    api.create(path_of(namespace), config_map("a"))
    headers = {"Content-Type": "application/merge-patch+json"}

    def one(number: int) -> int:
        patch = {"data": {f"k{number}": "v"}}
        return api.request("PATCH", path_of(namespace, name="a"), patch, headers).status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(one, range(24))) == {200}
    assert len(api.get(path_of(namespace, name="a"))["data"]) == 24


# --- delete


def test_a_deletion_answers_with_a_status(api: Harness, namespace: str) -> None:
    made = api.create(path_of(namespace), config_map("a"))
    answer = api.request("DELETE", path_of(namespace, name="a"))
    assert answer.status == 200
    assert answer.body["status"] == "Success"
    details = {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert answer.body["details"] == details
    assert api.request("GET", path_of(namespace, name="a")).status == 404
    assert api.request("DELETE", path_of(namespace, name="a")).status == 404


@pytest.mark.parametrize(
    "options",
    [
        {"preconditions": 1},
        {"preconditions": []},
        {"gracePeriodSeconds": "1"},
        {"dryRun": {}},
        {"orphanDependents": 2},
    ],
    ids=lambda options: next(iter(options)),
)
@pytest.mark.parametrize("all_of_them", [False, True], ids=["one", "collection"])
def test_options_of_a_deletion_have_their_types(
    api: Harness, namespace: str, options: dict[str, Any], all_of_them: bool
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    api.request("POST", path, {"metadata": {"name": "kept"}})
    answer = api.request("DELETE", path if all_of_them else f"{path}/kept", options)
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
    assert api.request("GET", f"{path}/kept").status == 200


@pytest.mark.parametrize("precondition", ["uid", "resourceVersion"])
def test_preconditions_of_a_deletion(api: Harness, namespace: str, precondition: str) -> None:
    made = api.create(path_of(namespace), config_map("a"))
    options = {"preconditions": {precondition: "7"}}
    answer = api.request("DELETE", path_of(namespace, name="a"), options)
    assert answer.status == 409
    assert "Precondition failed" in answer.body["message"]
    options = {"preconditions": {precondition: made["metadata"][precondition]}}
    assert api.request("DELETE", path_of(namespace, name="a"), options).status == 200


def test_finalizers_hold_an_object(api: Harness, namespace: str) -> None:
    held = config_map("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    api.create(path_of(namespace), held)
    path = path_of(namespace, name="held")
    marked = api.request("DELETE", path).body
    assert marked["metadata"]["deletionTimestamp"]
    assert api.get(path)["metadata"]["deletionGracePeriodSeconds"] == 0
    again = api.request("POST", path_of(namespace), config_map("held"))
    assert again.body["message"] == 'object is being deleted: configmaps "held" already exists'
    headers = {"Content-Type": "application/merge-patch+json"}
    assert api.request("PATCH", path, {"metadata": {"finalizers": None}}, headers).status == 200
    assert api.request("GET", path).status == 404


@pytest.mark.parametrize(
    ("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")], ids=str
)
def test_propagation_leaves_its_finalizer(api: Harness, namespace: str, policy: str, finalizer: str) -> None:
    api.create(path_of(namespace), config_map("a"))
    answer = api.request("DELETE", path_of(namespace, name="a"), {"propagationPolicy": policy})
    assert answer.body["metadata"]["finalizers"] == [finalizer]


def test_a_pod_on_a_node_is_deleted_gracefully(api: Harness, namespace: str) -> None:
    path = path_of(namespace, "pods", "p")
    api.create(path_of(namespace, "pods"), pod("p", nodeName="n1", terminationGracePeriodSeconds=20))
    marked = api.request("DELETE", path).body
    assert marked["kind"] == "Pod"
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 20
    longer = api.request("DELETE", path, {"gracePeriodSeconds": 60}).body
    assert longer["metadata"]["deletionTimestamp"] == marked["metadata"]["deletionTimestamp"]
    shorter = api.request("DELETE", path + "?gracePeriodSeconds=5").body
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
    assert api.request("DELETE", path, {"gracePeriodSeconds": 0}).status == 200
    assert api.request("GET", path).status == 404


def test_a_pod_without_a_node_goes_at_once(api: Harness, namespace: str) -> None:
    api.create(path_of(namespace, "pods"), pod("p"))
    answer = api.request("DELETE", path_of(namespace, "pods", "p"))
    assert answer.body["kind"] == "Pod"
    assert api.request("GET", path_of(namespace, "pods", "p")).status == 404


def test_dry_run_of_a_deletion(api: Harness, namespace: str) -> None:
    api.create(path_of(namespace), config_map("a"))
    assert api.request("DELETE", path_of(namespace, name="a") + "?dryRun=All").status == 200
    api.get(path_of(namespace, name="a"))


def test_delete_collection_takes_selectors(api: Harness, namespace: str) -> None:
    for index in range(6):
        obj = config_map(f"c{index}")
        obj["metadata"]["labels"] = {"odd": str(index % 2)}
        api.create(path_of(namespace), obj)
    answer = api.request("DELETE", path_of(namespace) + "?labelSelector=odd%3D1")
    assert answer.status == 200
    assert len(answer.body["items"]) == 3
    left = api.get(path_of(namespace))["items"]
    assert [each["metadata"]["name"] for each in left] == ["c0", "c2", "c4"]


def test_a_namespace_ends_when_it_is_finalized(api: Harness) -> None:
    api.create("/api/v1/namespaces", {"metadata": {"name": "ending"}})
    path = "/api/v1/namespaces/ending"
    marked = api.request("DELETE", path).body
    assert marked["status"]["phase"] == "Terminating"
    assert marked["spec"]["finalizers"] == ["kubernetes"]
    again = api.request("DELETE", path)
    assert again.status in (200, 409)
    marked = api.get(path)
    marked["spec"]["finalizers"] = []
    assert api.request("PUT", path + "/finalize", marked).status == 200
    assert api.request("GET", path).status == 404


# --- methods and paths


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothings", 404),
        ("GET", "/apis/none.example.com/v1/things", 404),
        ("GET", "/api/v1/namespaces/default/nodes", 404),
        ("GET", "/api/v1/namespaces/default/pods/p/none", 404),
        ("POST", "/api/v1/pods", 405),
        ("GET", "/api/v1/pods/p", 404),
        ("PUT", "/api/v1/namespaces/default/configmaps", 405),
        ("DELETE", "/api/v1/namespaces", 405),
        ("GET", "/nothing", 404),
        ("GET", "/api/v1/namespaces/default/configmaps/none", 404),
    ],
)
def test_what_is_not_there(api: Harness, method: str, path: str, status: int) -> None:
    answer = api.request(method, path)
    assert answer.status == status
    assert answer.body["code"] == status
