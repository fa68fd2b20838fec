"""One rule and one request; one rule and what it covers."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.authz.interface import Attributes
from control_plane.apiserver.authz.rules import break_down, compacted, describe, rule_allows, uncovered

ANN = UserInfo("ann")


def rule(
    verbs: str, resources: str = "", groups: str = "core", names: str = "", urls: str = ""
) -> dict[str, Any]:
    if urls:
        return {"verbs": verbs.split(), "nonResourceURLs": urls.split()}
    found: dict[str, Any] = {
        "verbs": verbs.split(),
        "apiGroups": ["" if g == "core" else g for g in groups.split()],
        "resources": resources.split(),
    }
    return {**found, "resourceNames": names.split()} if names else found


@pytest.mark.parametrize(
    ("policy", "verb", "resource", "subresource", "group", "name", "allowed"),
    [
        (rule("get", "pods"), "get", "pods", "", "", "", True),
        (rule("get", "pods"), "list", "pods", "", "", "", False),
        (rule("get", "pods"), "get", "nodes", "", "", "", False),
        (rule("get", "pods"), "get", "pods", "", "apps", "", False),
        (rule("*", "*", "*"), "frob", "things", "sub", "acme.com", "x", True),
        (rule("get", "pods"), "get", "pods", "log", "", "", False),
        (rule("get", "pods/log"), "get", "pods", "log", "", "", True),
        (rule("get", "pods/log"), "get", "pods", "", "", "", False),
        (rule("get", "*/scale", "*"), "get", "deployments", "scale", "apps", "", True),
        (rule("get", "*/scale", "*"), "get", "deployments", "", "apps", "", False),
        (rule("get", "pods/*"), "get", "pods", "log", "", "", False),
        (rule("get", "pods", names="a b"), "get", "pods", "", "", "b", True),
        (rule("get", "pods", names="a b"), "get", "pods", "", "", "c", False),
        (rule("create", "pods", names="a"), "create", "pods", "", "", "", False),
        (rule("get", urls="*"), "get", "pods", "", "", "", False),
    ],
)
def test_resources(
    policy: Any, verb: str, resource: str, subresource: str, group: str, name: str, allowed: bool
) -> None:
    asked = Attributes(ANN, verb, group, "v1", resource, subresource, name=name)
    assert rule_allows(policy, asked) is allowed


@pytest.mark.parametrize(
    ("urls", "path", "allowed"),
    [
        ("/healthz", "/healthz", True),
        ("/healthz", "/healthz/etcd", False),
        ("/healthz/*", "/healthz/etcd", True),
        ("/healthz/*", "/healthz", False),
        ("/api*", "/apis", True),
        ("*", "/any", True),
        ("/a /b", "/b", True),
    ],
)
def test_urls(urls: str, path: str, allowed: bool) -> None:
    assert rule_allows(rule("get", urls=urls), Attributes(ANN, "get", path=path)) is allowed
    assert not rule_allows(rule("post", urls=urls), Attributes(ANN, "get", path=path))


def test_break_down_has_one_of_each() -> None:
    atoms = list(break_down(rule("get list", "pods nodes", "core apps", names="a b")))
    assert len(atoms) == 16
    assert {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": ["a"]} in atoms


@pytest.mark.parametrize(
    ("owned", "wanted", "missing"),
    [
        pytest.param([rule("get", "pods")], [rule("get", "pods")], 0, id="same"),
        pytest.param(
            [rule("get", "pods"), rule("list", "pods")], [rule("get list", "pods")], 0, id="pieced together"
        ),
        pytest.param([rule("*", "*", "*")], [rule("get", "pods/log", "apps", names="a")], 0, id="all"),
        pytest.param([rule("get", "pods")], [rule("get", "pods", names="a")], 0, id="narrower names"),
        pytest.param([rule("get", "pods", names="a")], [rule("get", "pods")], 1, id="wider names"),
        pytest.param(
            [rule("get", "pods", names="a")], [rule("get", "pods", names="a b")], 1, id="more names"
        ),
        pytest.param([rule("get", "*/scale")], [rule("get", "x/scale")], 0, id="any subresource"),
        pytest.param([rule("get", "pods")], [rule("*", "pods")], 1, id="star needs star"),
        pytest.param([rule("get", "pods")], [rule("get", "*")], 1, id="star resource needs star"),
        pytest.param([rule("get", urls="/a/*")], [rule("get", urls="/a/b")], 0, id="url below"),
        pytest.param([rule("get", urls="/a/*")], [rule("get", urls="/a/b/*")], 0, id="pattern below"),
        pytest.param([rule("get", urls="/a")], [rule("get", urls="/a/*")], 1, id="pattern above"),
        pytest.param([], [rule("get", "pods")], 1, id="nothing"),
    ],
)
def test_covers(owned: list, wanted: list, missing: int) -> None:
    assert len(uncovered(owned, wanted)) == missing


def test_description() -> None:
    [merged] = compacted([rule("get", "pods"), rule("list", "pods")])
    assert describe(merged) == '{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}'
    assert describe(rule("get", urls="/x")) == '{NonResourceURLs:["/x"], Verbs:["get"]}'
