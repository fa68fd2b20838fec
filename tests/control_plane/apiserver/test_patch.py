"""Patching objects, as any client sees it over HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.control_plane.apiserver.harness import Harness
from tests.control_plane.apiserver.simple_objects import config_map, path_of, pod

Object = dict[str, Any]


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
