"""Variables of a container, by cases."""

from __future__ import annotations

from typing import Any

import pytest

from node.agent import environment
from node.agent.downward import NodeFacts
from node.agent.environment import Sources
from node.agent.errors import ConfigError
from tests.node.agent.conftest import make_pod

Obj = dict[str, Any]

OBJECTS = {
    ("ConfigMap", "default", "settings"): {"data": {"color": "red", "size": "10"}},
    ("Secret", "default", "keys"): {"data": {"password": "c2VjcmV0"}},
}
SERVICES = [
    {
        "metadata": {"name": "kubernetes", "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443, "protocol": "TCP"}]},
    },
    {
        "metadata": {"name": "my-db", "namespace": "other"},
        "spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 5432, "protocol": "TCP"}]},
    },
    {"metadata": {"name": "headless", "namespace": "other"}, "spec": {"clusterIP": "None"}},
]


def made(container: Obj, namespace: str = "default", **spec: Any) -> dict[str, str]:
    pod = make_pod(containers=[{"name": "main", **container}], **spec)
    pod["metadata"] |= {"namespace": namespace, "labels": {"app": "web"}, "annotations": {"note": "x"}}
    sources = Sources(
        lookup=lambda *key: OBJECTS.get(key),
        services=SERVICES,
        pod_ips=("10.244.1.7",),
        host_ips=("172.30.0.11",),
        node=NodeFacts("node-1", {"cpu": "4", "memory": "8Gi"}),
    )
    return dict(environment.make(pod, pod["spec"]["containers"][0], sources))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)z", "x1y2z"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(UNKNOWN)", "$(UNKNOWN)"),
        ("$(A", "$(A"),
        ("$A", "$A"),
        ("a$", "a$"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert environment.expand(text, {"A": "1", "B": "2"}) == expected


def test_a_variable_refers_to_those_before_it() -> None:
    values = {"A": "1", "B": "$(A)$(C)", "C": "3"}
    env = made({"env": [{"name": name, "value": value} for name, value in values.items()]})
    assert env["B"] == "1$(C)"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"fieldRef": {"fieldPath": "metadata.name"}}, "web"),
        ({"fieldRef": {"fieldPath": "metadata.labels['app']"}}, "web"),
        ({"fieldRef": {"fieldPath": "metadata.annotations['none']"}}, ""),
        ({"fieldRef": {"fieldPath": "status.podIP"}}, "10.244.1.7"),
        ({"fieldRef": {"fieldPath": "status.hostIP"}}, "172.30.0.11"),
        ({"fieldRef": {"fieldPath": "spec.nodeName"}}, "node-1"),
        ({"configMapKeyRef": {"name": "settings", "key": "color"}}, "red"),
        ({"secretKeyRef": {"name": "keys", "key": "password"}}, "secret"),
        ({"resourceFieldRef": {"resource": "limits.cpu"}}, "4"),
        ({"resourceFieldRef": {"resource": "requests.cpu"}}, "1"),
        ({"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}, "250"),
        ({"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}, "64"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_sources(source: Obj, expected: str) -> None:
    resources = {"requests": {"cpu": "250m"}, "limits": {"memory": "64Mi"}}
    assert made({"env": [{"name": "A", "valueFrom": source}], "resources": resources})["A"] == expected


def test_the_limit_of_a_pod_as_a_whole_is_that_of_its_containers() -> None:
    refs = {"A": "limits.cpu", "B": "limits.memory"}
    env = [{"name": name, "valueFrom": {"resourceFieldRef": {"resource": ref}}} for name, ref in refs.items()]
    container = {"env": env, "resources": {"limits": {"memory": "64Mi"}}}
    whole = {"limits": {"cpu": "2", "memory": "128Mi"}}
    found = made(container, resources=whole)
    assert (found["A"], found["B"]) == ("2", str(64 << 20))
    assert made(container)["A"] == "4", "the node's"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMapKeyRef": {"name": "none", "key": "a"}}, 'configmap "none" not found'),
        ({"secretKeyRef": {"name": "none", "key": "a"}}, 'secret "none" not found'),
        ({"secretKeyRef": {"name": "keys", "key": "a"}}, "couldn't find key a in Secret default/keys"),
        (
            {"configMapKeyRef": {"name": "settings", "key": "a"}},
            "couldn't find key a in ConfigMap default/settings",
        ),
        ({"fieldRef": {"fieldPath": "spec.nothing"}}, "unsupported fieldPath: spec.nothing"),
    ],
    ids=["no config map", "no secret", "no key in a secret", "no key in a config map", "no field"],
)
def test_what_is_missing_is_a_config_error(source: Obj, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        made({"env": [{"name": "A", "valueFrom": source}]})
    assert str(raised.value) == message


@pytest.mark.parametrize("ref", [{"name": "none", "key": "a"}, {"name": "settings", "key": "a"}])
def test_what_is_optional_is_left_out(ref: Obj) -> None:
    env = made({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {**ref, "optional": True}}}]})
    assert "A" not in env


def test_env_from_with_a_prefix_is_below_env() -> None:
    source = [{"prefix": "P_", "configMapRef": {"name": "settings"}}, {"secretRef": {"name": "keys"}}]
    env = made({"envFrom": source, "env": [{"name": "P_color", "value": "blue"}]})
    assert (env["P_color"], env["P_size"], env["password"]) == ("blue", "10", "secret")


def test_service_variables_are_those_of_the_namespace_and_the_api_server() -> None:
    env = made({}, namespace="other")
    assert env["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    assert env["KUBERNETES_SERVICE_PORT_HTTPS"] == "443"
    assert env["KUBERNETES_PORT_443_TCP"] == "tcp://10.96.0.1:443"
    assert (env["MY_DB_SERVICE_HOST"], env["MY_DB_PORT_5432_TCP_ADDR"]) == ("10.96.0.9", "10.96.0.9")
    assert not any(name.startswith("HEADLESS") for name in env)


@pytest.mark.parametrize(("links", "there"), [(True, True), (False, False)], ids=["links", "no links"])
def test_service_links_can_be_turned_off(links: bool, there: bool) -> None:
    env = made({}, namespace="other", enableServiceLinks=links)
    assert ("MY_DB_SERVICE_HOST" in env) is there
    assert "KUBERNETES_SERVICE_HOST" in env
