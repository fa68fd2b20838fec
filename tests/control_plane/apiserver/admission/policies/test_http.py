"""Admission policies as users have them: objects of the API, and what becomes of other writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.control_plane.apiserver.harness import Answer, Harness

Object = dict[str, Any]
BASE = "/apis/admissionregistration.k8s.io/v1"
DEADLINE_S = 5.0


@pytest.fixture
def apply(api: Harness, namespace: str) -> Iterator[Callable[..., None]]:
    """Make a policy about this test's namespace, and its binding."""
    made: list[str] = []

    def add(kind: str, spec: Object, binding: Object | None = None, name: str = "") -> None:
        name = name or namespace
        selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
        constraints = {"resourceRules": [rule("configmaps")], "namespaceSelector": selector}
        full = {"matchConstraints": constraints, **spec}
        resource = f"{BASE}/{kind}admissionpolicies"
        api.create(resource, {"metadata": {"name": name}, "spec": full})
        bound = {"policyName": name, **({"validationActions": ["Deny"]} if kind == "validating" else {})}
        api.create(
            f"{BASE}/{kind}admissionpolicybindings",
            {"metadata": {"name": name}, "spec": {**bound, **(binding or {})}},
        )
        made.extend([f"{resource}/{name}", f"{BASE}/{kind}admissionpolicybindings/{name}"])

    yield add
    for path in made:
        api.request("DELETE", path)


def rule(
    *resources: str, group: str = "", version: str = "v1", operations: tuple[str, ...] = ("*",)
) -> Object:
    return {
        "operations": list(operations),
        "apiGroups": [group],
        "apiVersions": [version],
        "resources": list(resources),
    }


def try_to_create(api: Harness, namespace: str, data: Object | None = None, **more: Any) -> Answer:
    """A dry run, so that it can be tried again."""
    obj = {"metadata": {"name": "a", **more.get("metadata", {})}, "data": data or {}}
    path = f"/api/v1/namespaces/{namespace}/configmaps?dryRun=All"
    return api.request("POST", path, obj, user=more.get("user", "admin"))


def eventually(ask: Callable[[], Answer], wanted: Callable[[Answer], bool]) -> Answer:
    until = time.monotonic() + DEADLINE_S
    while True:
        answer = ask()
        if wanted(answer) or time.monotonic() > until:
            return answer
        time.sleep(0.02)


def refused(answer: Answer) -> bool:
    return answer.status >= 400


def test_a_denial(api: Harness, namespace: str, apply: Any) -> None:
    validations = [
        {"expression": "true"},
        {"expression": "!has(object.data) || size(object.data) <= 1", "message": "too much data"},
    ]
    apply("validating", {"validations": validations})
    answer = eventually(lambda: try_to_create(api, namespace, {"a": "1", "b": "2"}), refused)
    message = (
        f"configmaps \"a\" is forbidden: ValidatingAdmissionPolicy '{namespace}' with binding '{namespace}' "
        "denied request: too much data"
    )
    assert (answer.status, answer.body["reason"], answer.body["message"]) == (422, "Invalid", message)
    assert answer.body["details"]["causes"] == [{"message": message.partition("forbidden: ")[2]}]
    assert try_to_create(api, namespace, {"a": "1"}).status == 201


@pytest.mark.parametrize(
    ("validation", "code", "reason", "message"),
    [
        ({"expression": "object.data.k == 'v'"}, 422, "Invalid", "failed expression: object.data.k == 'v'"),
        (
            {"expression": "false", "reason": "Forbidden", "message": " no "},
            403,
            "Forbidden",
            "no",
        ),
        (
            {"expression": "false", "messageExpression": "'because of ' + object.metadata.name"},
            422,
            "Invalid",
            "because of a",
        ),
        (
            {"expression": "false", "message": "plain", "messageExpression": "object.data.missing"},
            422,
            "Invalid",
            "plain",
        ),
        (
            {"expression": "object.spec.x == 1"},
            422,
            "Invalid",
            "expression 'object.spec.x == 1' resulted in error: no such key: spec",
        ),
    ],
    ids=["no message", "reason", "message expression", "its failure", "error"],
)
def test_words(
    api: Harness,
    namespace: str,
    apply: Any,
    validation: Object,
    code: int,
    reason: str,
    message: str,
) -> None:
    apply("validating", {"validations": [validation]})
    answer = eventually(lambda: try_to_create(api, namespace, {"k": "w"}), refused)
    assert (answer.status, answer.body["reason"]) == (code, reason)
    assert answer.body["message"].endswith(f"denied request: {message}")


def test_failures_may_be_ignored(api: Harness, namespace: str, apply: Any) -> None:
    validations = [{"expression": "object.spec.x == 1"}, {"expression": "object.data.k == 'v'"}]
    apply("validating", {"validations": validations, "failurePolicy": "Ignore"})
    answer = eventually(lambda: try_to_create(api, namespace, {"k": "w"}), refused)
    assert answer.body["message"].endswith("denied request: failed expression: object.data.k == 'v'")
    assert try_to_create(api, namespace, {"k": "v"}).status == 201


def test_variables_and_the_request(api: Harness, namespace: str, apply: Any) -> None:
    variables = [
        {"name": "keys", "expression": "has(object.data) ? object.data.map(k, k) : []"},
        {"name": "count", "expression": "size(variables.keys)"},
        {"name": "broken", "expression": "1 / 0"},
    ]
    expression = (
        "variables.count < 2 && request.operation == 'CREATE' && request.userInfo.username == 'admin' && "
        "namespaceObject.metadata.name == request.namespace && oldObject == null && request.dryRun && "
        "request.resource.resource == 'configmaps'"
    )
    apply("validating", {"variables": variables, "validations": [{"expression": expression}]})
    eventually(lambda: try_to_create(api, namespace, {"a": "1", "b": "2"}), refused)
    assert try_to_create(api, namespace, {"a": "1"}).status == 201


def test_warnings_instead(api: Harness, namespace: str, apply: Any) -> None:
    apply(
        "validating",
        {"validations": [{"expression": "false", "message": "mind this"}]},
        {"validationActions": ["Warn", "Audit"]},
    )
    answer = eventually(lambda: try_to_create(api, namespace), lambda answer: bool(answer.warnings))
    assert answer.status == 201
    assert answer.warnings == [
        f"299 - \"Validation failed for ValidatingAdmissionPolicy '{namespace}' with binding '{namespace}': "
        'mind this"'
    ]


def test_match_conditions(api: Harness, namespace: str, apply: Any) -> None:
    conditions = [
        {"name": "not-admins", "expression": "!('system:masters' in request.userInfo.groups)"},
        {"name": "may-fail", "expression": "object.metadata.labels.x == 'y'"},
    ]
    apply("validating", {"matchConditions": conditions, "validations": [{"expression": "false"}]})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}
    api.create(
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
        {"metadata": {"name": "jane"}, "roleRef": role, "subjects": [subject]},
    )
    answer = eventually(
        lambda: try_to_create(api, namespace, user="jane"),
        lambda answer: "cannot create" not in answer.body.get("message", "cannot create"),
    )
    assert answer.body["message"].endswith("no such key: labels")
    assert try_to_create(api, namespace, metadata={"labels": {"x": "z"}}, user="jane").status == 201
    assert try_to_create(api, namespace, metadata={"labels": {"x": "y"}}, user="jane").status == 422
    assert try_to_create(api, namespace).status == 201, "one that is false decides"


def test_params(api: Harness, namespace: str, apply: Any) -> None:
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    apply(
        "validating",
        {
            "paramKind": {"apiVersion": "v1", "kind": "Secret"},
            "validations": [
                {
                    "expression": "size(object.data) <= int(params.metadata.annotations.max)",
                    "messageExpression": "'more than ' + params.metadata.annotations.max",
                }
            ],
        },
        {"paramRef": {"selector": {"matchLabels": {"limit": "yes"}}, "parameterNotFoundAction": "Deny"}},
    )
    missing = eventually(lambda: try_to_create(api, namespace, {"a": "1"}), refused)
    assert missing.body["message"].endswith(
        "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    )
    labels = {"limit": "yes"}
    for name, most in (("one", "3"), ("two", "1")):
        api.create(secrets, {"metadata": {"name": name, "labels": labels, "annotations": {"max": most}}})
    eventually(lambda: try_to_create(api, namespace, {"a": "1"}), lambda answer: answer.status == 201)
    answer = eventually(lambda: try_to_create(api, namespace, {"a": "1", "b": "2"}), refused)
    assert answer.body["message"].endswith("denied request: more than 1")


def test_the_authorizer(api: Harness, namespace: str, apply: Any) -> None:
    validations = [
        {
            "expression": "authorizer.group('').resource('configmaps').namespace(object.metadata.namespace)"
            ".check('delete').allowed() && authorizer.requestResource.check('create').allowed()",
        },
        {"expression": "authorizer.path('/healthz').check('get').allowed()"},
        {
            "expression": "authorizer.serviceAccount('default', 'nobody').group('apps')"
            ".resource('deployments').check('get').allowed()",
            "message": "nobody may not",
        },
    ]
    apply("validating", {"validations": validations})
    answer = eventually(lambda: try_to_create(api, namespace), refused)
    assert answer.body["message"].endswith("denied request: nobody may not")


@pytest.mark.parametrize(
    ("spec", "field", "why"),
    [
        ({"validations": [{"expression": "object.x ="}]}, "spec.validations[0].expression", "Syntax error"),
        (
            {"validations": [{"expression": "'text'"}]},
            "spec.validations[0].expression",
            "must evaluate to bool",
        ),
        (
            {"validations": [{"expression": "params.x"}]},
            "spec.validations[0].expression",
            "undeclared reference to 'params'",
        ),
        (
            {"validations": [{"expression": "request.nonsense == 1"}]},
            "spec.validations[0].expression",
            "undefined field 'nonsense'",
        ),
        (
            {
                "variables": [{"name": "v", "expression": "variables.w"}],
                "validations": [{"expression": "true"}],
            },
            "spec.variables[0].expression",
            "undefined field 'w'",
        ),
        (
            {"validations": [{"expression": "true", "messageExpression": "1"}]},
            "spec.validations[0].messageExpression",
            "must evaluate to string",
        ),
        (
            {
                "matchConditions": [{"name": "m", "expression": "foo"}],
                "validations": [{"expression": "true"}],
            },
            "spec.matchConditions[0].expression",
            "undeclared reference to 'foo'",
        ),
    ],
    ids=["syntax", "type", "no params", "field", "variable", "message", "condition"],
)
def test_what_does_not_compile(api: Harness, spec: Object, field: str, why: str) -> None:
    full = {"matchConstraints": {"resourceRules": [rule("configmaps")]}, **spec}
    body = {"metadata": {"name": "bad"}, "spec": full}
    answer = api.request("POST", f"{BASE}/validatingadmissionpolicies?dryRun=All", body)
    assert answer.status == 422, answer.raw
    cause = answer.body["details"]["causes"][0]
    assert cause["field"] == field
    assert why in cause["message"]


def test_json_patches(api: Harness, namespace: str, apply: Any) -> None:
    expression = """
        [JSONPatch{op: "test", path: "/data/k", value: "v"},
         JSONPatch{op: "add", path: "/metadata/labels", value: {"seen/by": variables.who}},
         JSONPatch{op: "add", path: "/data/" + jsonpatch.escapeKey("a.b"), value: string(size(object.data))}]
    """
    mutation = {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}
    variables = [{"name": "who", "expression": "request.userInfo.username"}]
    apply(
        "mutating",
        {
            "mutations": [mutation],
            "variables": variables,
            "reinvocationPolicy": "Never",
            "failurePolicy": "Fail",
        },
    )
    answer = eventually(
        lambda: try_to_create(api, namespace, {"k": "v"}),
        lambda answer: "labels" in answer.body.get("metadata", {}),
    )
    assert answer.body["metadata"]["labels"] == {"seen/by": "admin"}
    assert answer.body["data"] == {"k": "v", "a.b": "1"}
    assert try_to_create(api, namespace, {"k": "w"}).body["data"] == {"k": "w"}, "the test did not hold"


def test_apply_configurations(api: Harness, namespace: str, apply: Any) -> None:
    expression = """
        Object{
          spec: Object.spec{
            initContainers: [
              Object.spec.initContainers{name: "proxy", image: "proxy:1", restartPolicy: "Always"}
            ]
          }
        }
    """
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    rules = {"resourceRules": [rule("pods", operations=("CREATE",))], "namespaceSelector": selector}
    apply(
        "mutating",
        {
            "matchConstraints": rules,
            "matchConditions": [
                {
                    "name": "without",
                    "expression": "!object.spec.?initContainers.orValue([]).exists(c, c.name == 'proxy')",
                }
            ],
            "mutations": [
                {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
            ],
            "reinvocationPolicy": "IfNeeded",
        },
    )
    containers = [{"name": "c", "image": "i"}]
    first = [{"name": "first", "image": "i"}]
    pod = {"metadata": {"name": "p"}, "spec": {"containers": containers, "initContainers": first}}
    path = f"/api/v1/namespaces/{namespace}/pods?dryRun=All"
    answer = eventually(
        lambda: api.request("POST", path, pod),
        lambda answer: len(answer.body.get("spec", {}).get("initContainers", [])) == 2,
    )
    assert answer.status == 201, answer.raw
    found = {each["name"]: each for each in answer.body["spec"]["initContainers"]}
    assert set(found) == {"first", "proxy"}
    assert found["proxy"]["imagePullPolicy"] == "IfNotPresent", "defaulted like anything else"


def test_a_mutation_that_fails(api: Harness, namespace: str, apply: Any) -> None:
    expression = "Object{data: Object.data{x: object.data.missing}}"
    mutation = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
    apply("mutating", {"mutations": [mutation], "reinvocationPolicy": "Never"})
    answer = eventually(lambda: try_to_create(api, namespace, {"k": "v"}), refused)
    assert answer.status == 403
    assert answer.body["message"] == (
        f"policy '{namespace}' with binding '{namespace}' denied request: expression '{expression}' resulted "
        "in error: no such key: missing"
    )


def test_conditions_of_webhooks(api: Harness, namespace: str) -> None:
    """The webhook listens nowhere: who is not left out by its conditions is refused."""
    path = f"{BASE}/validatingwebhookconfigurations"
    webhook = {
        "name": "w.test.dev",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"url": "https://127.0.0.1:1"},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [rule("configmaps")],
        "matchConditions": [{"name": "big", "expression": "size(object.data) > 1"}],
    }
    api.create(path, {"metadata": {"name": namespace}, "webhooks": [webhook]})
    try:
        eventually(lambda: try_to_create(api, namespace, {"a": "1", "b": "2"}), refused)
        assert try_to_create(api, namespace, {"a": "1"}).status == 201
        failing = try_to_create(api, namespace)
        assert failing.status == 403
        assert "no such key: data" in failing.body["message"]
        bad = {**webhook, "matchConditions": [{"name": "bad", "expression": "nothing"}]}
        answer = api.request("POST", path, {"metadata": {"name": "bad"}, "webhooks": [bad]})
        assert answer.status == 422
        assert answer.body["details"]["causes"][0]["field"] == "webhooks[0].matchConditions[0].expression"
    finally:
        api.request("DELETE", f"{path}/{namespace}")
