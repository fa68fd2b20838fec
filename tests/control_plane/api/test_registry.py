"""The table of resources, held against the published API."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

from control_plane.api import schema
from control_plane.api.registry import Registry, Resource, version_priority

VERBS = {
    "post": "create",
    "put": "update",
    "global_list": "list",
    "global_watch": "watch",
}


def published() -> dict[tuple[str, str, str, str], tuple[bool, set[str]]]:
    """(group, version, plural, subresource) -> (namespaced, verbs), read from lightkube-models' sources."""
    spec = importlib.util.find_spec("lightkube")
    assert spec is not None
    assert spec.submodule_search_locations
    found = {}
    for path in (Path(spec.submodule_search_locations[0]) / "resources").glob("*_v*.py"):
        for node in ast.parse(path.read_text()).body:
            info = next((s.value for s in getattr(node, "body", ()) if _is_info(s)), None)
            if isinstance(node, ast.ClassDef) and isinstance(info, ast.Call):
                fields = {keyword.arg: keyword.value for keyword in info.keywords}
                owner = fields.get("parent", fields["resource"])
                assert isinstance(owner, ast.Call)
                group, version, _ = (ast.literal_eval(arg) for arg in owner.args)
                verbs = {VERBS.get(v, v) for v in ast.literal_eval(fields["verbs"])}
                action = ast.literal_eval(fields["action"]) if "action" in fields else ""
                base = node.bases[0]
                assert isinstance(base, ast.Attribute)
                plural = ast.literal_eval(fields["plural"])
                found[group, version, plural, action] = (base.attr.startswith("Namespaced"), verbs)
    return found


def _is_info(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign) and getattr(statement.targets[0], "id", "") == "_api_info"


def test_everything_published_and_stable_is_served_alike() -> None:
    registry = Registry.builtin()
    for (group, version, plural, action), (namespaced, verbs) in published().items():
        if "alpha" in version or "beta" in version:
            assert registry.get(group, version, plural) is None
            continue
        resource = registry.get(group, version, plural)
        assert resource is not None, (group, version, plural)
        assert resource.namespaced == namespaced
        if action:
            assert set(resource.subresources[action].verbs) == verbs, (plural, action)
        else:
            assert set(resource.verbs) | ({"watch"} if plural == "componentstatuses" else set()) == verbs, (
                plural
            )


@pytest.mark.parametrize(
    "resource", list(Registry.builtin()), ids=lambda r: f"{r.group_resource}/{r.version}"
)
def test_every_kind_has_a_schema(resource: Resource) -> None:
    assert schema.lookup(*resource.gvk) is not None
    if resource.list_kind:
        assert schema.lookup(resource.group, resource.version, resource.list_kind) is not None


def test_versions_are_listed_preferred_first() -> None:
    registry = Registry.builtin()
    assert registry.versions("autoscaling") == ["v2", "v1"]
    hpa = registry.get("autoscaling", "v1", "horizontalpodautoscalers")
    assert hpa is not None
    assert registry.storage(hpa).version == "v2"
    event = registry.get("events.k8s.io", "v1", "events")
    assert event is not None
    assert registry.storage(event).gvr == ("", "v1", "events")


def test_custom_resources_come_and_go() -> None:
    registry = Registry.builtin()
    before = registry.generation
    widget = Resource("x.io", "v1beta1", "widgets", "Widget", "widget", True, ("get",), custom=True)
    newer = Resource("x.io", "v1", "widgets", "Widget", "widget", True, ("get",), custom=True)
    registry.add(widget, newer)
    assert registry.versions("x.io") == ["v1", "v1beta1"]
    assert registry.groups()[-1] == "x.io"
    assert registry.generation > before
    registry.remove(widget, newer)
    assert "x.io" not in registry.groups()
    assert len(registry) == len(Registry.builtin())


def test_version_order() -> None:
    versions = ["foo1", "v1alpha1", "v1", "v11beta2", "v2", "v10", "v1beta1", "foo10", "v12alpha1"]
    assert sorted(versions, key=version_priority) == [
        "v10", "v2", "v1", "v11beta2", "v1beta1", "v12alpha1", "v1alpha1", "foo1", "foo10",
    ]  # fmt: skip
