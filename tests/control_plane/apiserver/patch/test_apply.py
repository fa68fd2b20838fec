"""Server-side apply: ownership, conflicts, force, removal, lists, and the bookkeeping of other writes."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.api.errors import StatusError
from control_plane.api.schema import Node, lookup
from control_plane.apiserver.patch.apply import apply
from control_plane.apiserver.patch.apply.fields import flatten, from_fields_v1, show, to_fields_v1
from tests.control_plane.apiserver.patch.drive import drive

Object = dict[str, Any]
T1, T2, T3 = "2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "2024-01-03T00:00:00Z"


def node(group: str, kind: str) -> Node:
    found = lookup(group, "v1", kind)
    assert found is not None
    return found


DEPLOYMENT, SERVICE, CONFIG_MAP, POD = (
    node(group, kind)
    for group, kind in [("apps", "Deployment"), ("", "Service"), ("", "ConfigMap"), ("", "Pod")]
)


def config_map(data: Any = None, **metadata: Any) -> Object:
    made: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", **metadata}}
    return made if data is None else {**made, "data": data}


def service(*ports: Object) -> Object:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": list(ports)}}


def deployment(*containers: Object, **spec: Any) -> Object:
    template = {"spec": {"containers": list(containers)}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"template": template, **spec},
    }


def owners(obj: Object) -> dict[str, set[str]]:
    """What each manager owns, as conflicts would show it."""
    return {
        entry["manager"]: {show(path) for path in from_fields_v1(entry["fieldsV1"])}
        for entry in obj["metadata"].get("managedFields", ())
    }


def ssa(
    live: Object | None, config: Object, schema: Node, manager: str = "ann", force: bool = False
) -> Object:
    before = copy.deepcopy((live, config))
    result = drive(apply(live, config, schema, manager, force, T1))
    assert (live, config) == before, "inputs were changed"
    return result


class TestOwnership:
    def test_the_applier_owns_what_it_says(self) -> None:
        made = ssa(None, config_map({"a": "1"}, labels={"x": "y"}), CONFIG_MAP)
        assert made["data"] == {"a": "1"}
        assert owners(made) == {"ann": {".data.a", ".metadata.labels.x"}}
        [entry] = made["metadata"]["managedFields"]
        assert {key: entry[key] for key in ("manager", "operation", "apiVersion", "time", "fieldsType")} == {
            "manager": "ann",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": T1,
            "fieldsType": "FieldsV1",
        }
        assert entry["fieldsV1"] == {"f:data": {"f:a": {}}, "f:metadata": {"f:labels": {"f:x": {}}}}

    def test_two_managers_side_by_side(self) -> None:
        made = ssa(ssa(None, config_map({"a": "1"}), CONFIG_MAP), config_map({"b": "2"}), CONFIG_MAP, "bob")
        assert made["data"] == {"a": "1", "b": "2"}
        assert owners(made) == {"ann": {".data.a"}, "bob": {".data.b"}}

    def test_what_is_not_applied_any_more_goes(self) -> None:
        made = ssa(None, config_map({"a": "1", "b": "2"}), CONFIG_MAP)
        made = ssa(made, config_map({"a": "1"}), CONFIG_MAP)
        assert made["data"] == {"a": "1"}
        assert owners(made) == {"ann": {".data.a"}}

    def test_unless_another_owns_it_too(self) -> None:
        made = ssa(None, config_map({"a": "1", "b": "2"}), CONFIG_MAP)
        made = ssa(made, config_map({"b": "2"}), CONFIG_MAP, "bob")
        made = ssa(made, config_map({"a": "1"}), CONFIG_MAP)
        assert made["data"] == {"a": "1", "b": "2"}
        assert owners(made) == {"ann": {".data.a"}, "bob": {".data.b"}}

    def test_the_last_field_takes_its_parent_along(self) -> None:
        made = ssa(None, deployment({"name": "c"}, strategy={"type": "Recreate"}), DEPLOYMENT)
        made = ssa(made, deployment({"name": "c"}), DEPLOYMENT)
        assert "strategy" not in made["spec"]

    def test_what_nobody_applied_stays(self) -> None:
        made = ssa(None, deployment({"name": "c", "image": "x"}), DEPLOYMENT)
        made["spec"]["replicas"] = 1  # a default
        made["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = "Always"
        made = ssa(made, deployment({"name": "c", "image": "y"}), DEPLOYMENT)
        assert made["spec"]["replicas"] == 1
        assert made["spec"]["template"]["spec"]["containers"] == [
            {"name": "c", "image": "y", "imagePullPolicy": "Always"}
        ]

    def test_applying_the_same_again_changes_nothing(self) -> None:
        made = ssa(None, config_map({"a": "1"}), CONFIG_MAP)
        assert drive(apply(made, config_map({"a": "1"}), CONFIG_MAP, "ann", False, T3)) == made

    def test_identity_is_owned_by_nobody(self) -> None:
        config = config_map({"a": "1"}, uid="u", resourceVersion="5", creationTimestamp=None, generation=1)
        assert owners(ssa(None, config, CONFIG_MAP)) == {"ann": {".data.a"}}


class TestConflicts:
    def both(self) -> Object:
        return ssa(None, deployment({"name": "c", "image": "1"}, replicas=1), DEPLOYMENT)

    def test_one(self) -> None:
        with pytest.raises(StatusError) as caught:
            ssa(self.both(), deployment({"name": "c"}, replicas=2), DEPLOYMENT, "bob")
        assert (caught.value.code, caught.value.reason) == (409, "Conflict")
        assert caught.value.message == 'Apply failed with 1 conflict: conflict with "ann": .spec.replicas'
        assert caught.value.status()["details"]["causes"] == [
            {"reason": "FieldManagerConflict", "message": 'conflict with "ann"', "field": ".spec.replicas"}
        ]

    def test_several(self) -> None:
        with pytest.raises(StatusError) as caught:
            ssa(self.both(), deployment({"name": "c", "image": "2"}, replicas=2), DEPLOYMENT, "bob")
        assert caught.value.message == (
            'Apply failed with 2 conflicts: conflicts with "ann":\n- .spec.replicas\n'
            '- .spec.template.spec.containers[name="c"].image'
        )

    def test_force_takes_over(self) -> None:
        made = ssa(self.both(), deployment({"name": "c"}, replicas=2), DEPLOYMENT, "bob", force=True)
        assert made["spec"]["replicas"] == 2
        assert ".spec.replicas" not in owners(made)["ann"]
        assert ".spec.replicas" in owners(made)["bob"]

    def test_the_same_value_is_shared(self) -> None:
        made = ssa(self.both(), deployment({"name": "c"}, replicas=1), DEPLOYMENT, "bob")
        assert all(".spec.replicas" in paths for paths in owners(made).values())

    def test_with_a_writer_that_did_not_apply(self) -> None:
        live = {**config_map({"a": "1"}), "metadata": {"name": "c", "uid": "u"}}
        with pytest.raises(StatusError, match=r'conflict with "before-first-apply" using v1: \.data\.a'):
            ssa(live, config_map({"a": "2"}), CONFIG_MAP)
        made = ssa(live, config_map({"a": "2"}), CONFIG_MAP, force=True)
        assert owners(made) == {"ann": {".data.a"}}


class TestComingFromClientSideApply:
    def live(self, **data: str) -> Object:
        config = json.dumps(config_map({"a": "1"}))
        annotations = {"kubectl.kubernetes.io/last-applied-configuration": config}
        return config_map({"a": "1", **data}, annotations=annotations)

    def test_kubectl_may_change_what_it_applied_before(self) -> None:
        made = ssa(self.live(), config_map({"a": "2"}), CONFIG_MAP, "kubectl")
        assert made["data"] == {"a": "2"}
        kept = made["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
        assert json.loads(kept) == config_map({"a": "2"})
        assert kept.endswith("\n")

    def test_but_nothing_else(self) -> None:
        with pytest.raises(StatusError, match=r"1 conflict: .*: \.data\.b"):
            ssa(self.live(b="x"), config_map({"a": "2", "b": "y"}), CONFIG_MAP, "kubectl")

    def test_and_nobody_else(self) -> None:
        with pytest.raises(StatusError, match=r"1 conflict: .*: \.data\.a"):
            ssa(self.live(), config_map({"a": "2"}), CONFIG_MAP, "ann")

    def test_an_annotation_that_cannot_be_read(self) -> None:
        live = self.live()
        live["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "{"}
        with pytest.raises(StatusError, match="conflict"):
            ssa(live, config_map({"a": "2"}), CONFIG_MAP, "kubectl")


class TestLists:
    def test_elements_are_merged_by_all_their_keys(self) -> None:
        udp, tcp = {"port": 53, "protocol": "UDP", "name": "u"}, {"port": 53, "protocol": "TCP", "name": "t"}
        made = ssa(ssa(None, service(udp), SERVICE), service(tcp), SERVICE, "bob")
        assert made["spec"]["ports"] == [udp, tcp]

    def test_a_key_with_a_default_may_be_left_out(self) -> None:
        made = ssa(
            ssa(None, service({"port": 80, "protocol": "TCP"}), SERVICE), service({"port": 80}), SERVICE
        )
        assert len(made["spec"]["ports"]) == 1

    def test_an_element_that_is_dropped_goes_with_its_defaults(self) -> None:
        made = ssa(None, deployment({"name": "a"}, {"name": "b"}), DEPLOYMENT)
        made["spec"]["template"]["spec"]["containers"][1]["imagePullPolicy"] = "Always"
        made = ssa(made, deployment({"name": "a"}), DEPLOYMENT)
        assert made["spec"]["template"]["spec"]["containers"] == [{"name": "a"}]

    def test_order(self) -> None:
        made = ssa(None, deployment({"name": "a"}, {"name": "b"}), DEPLOYMENT)
        made = ssa(made, deployment({"name": "c"}, {"name": "b"}), DEPLOYMENT, "bob")
        assert [c["name"] for c in made["spec"]["template"]["spec"]["containers"]] == ["a", "c", "b"]

    def test_sets(self) -> None:
        made = ssa(None, config_map(finalizers=["x/a", "x/b"]), CONFIG_MAP)
        made = ssa(made, config_map(finalizers=["x/c"]), CONFIG_MAP, "bob")
        assert made["metadata"]["finalizers"] == ["x/a", "x/b", "x/c"]
        made = ssa(made, config_map(finalizers=["x/b"]), CONFIG_MAP)
        assert made["metadata"]["finalizers"] == ["x/b", "x/c"]

    def test_atomic_lists_and_maps_are_one_field(self) -> None:
        first = deployment({"name": "c", "command": ["a"]}, selector={"matchLabels": {"a": "1"}})
        made = ssa(None, first, DEPLOYMENT)
        assert {".spec.selector", '.spec.template.spec.containers[name="c"].command'} <= owners(made)["ann"]
        second = deployment({"name": "c", "command": ["b"]}, selector={"matchLabels": {"b": "1"}})
        made = ssa(made, second, DEPLOYMENT)
        assert made["spec"]["selector"] == {"matchLabels": {"b": "1"}}

    def test_an_element_without_a_key(self) -> None:
        with pytest.raises(StatusError, match='omits key field "name"') as caught:
            ssa(None, deployment({"image": "x"}), DEPLOYMENT)
        assert caught.value.code == 400


def test_nested_without_end() -> None:
    value: Object = {}
    for _ in range(5000):
        value = {"a": value}
    with pytest.raises(StatusError, match="exceeded max depth"):
        drive(apply(None, {"apiVersion": "x/v1", "kind": "X", "spec": value}, None, "ann", False, T1))


def test_managed_fields_are_not_applied() -> None:
    with pytest.raises(StatusError, match=r"metadata\.managedFields must be nil"):
        ssa(None, config_map(managedFields=[{"manager": "x"}]), CONFIG_MAP)


def test_fields_that_the_endpoint_does_not_write_are_ignored() -> None:
    config = {**deployment({"name": "c"}), "status": {"replicas": 5}}
    made = drive(apply(None, config, DEPLOYMENT, "ann", False, T1, reset=frozenset({("f:status",)})))
    assert "status" not in made
    assert not any(path.startswith(".status") for path in owners(made)["ann"])


def test_custom_resources_without_a_schema() -> None:
    live = drive(
        apply(None, {"apiVersion": "x/v1", "kind": "X", "spec": {"a": 1, "l": [1]}}, None, "ann", False, T1)
    )
    made = drive(apply(live, {"apiVersion": "x/v1", "kind": "X", "spec": {"b": 2}}, None, "bob", False, T2))
    assert made["spec"] == {"a": 1, "l": [1], "b": 2}
    assert owners(made) == {"ann": {".spec.a", ".spec.l"}, "bob": {".spec.b"}}


KEYS = st.sampled_from("abcd")
DATA = st.dictionaries(KEYS, st.sampled_from(["1", "2"]), max_size=4)


@given(DATA, DATA)
def test_alone_the_last_configuration_is_the_object(first: Any, second: Any) -> None:
    made = ssa(ssa(None, config_map(first), CONFIG_MAP), config_map(second), CONFIG_MAP)
    assert made.get("data", {}) == second


@given(DATA, DATA)
def test_forced_configurations_hold(first: Any, second: Any) -> None:
    made = ssa(None, config_map(first), CONFIG_MAP)
    made = ssa(made, config_map(second), CONFIG_MAP, "bob", force=True)
    assert made.get("data", {}) == {**first, **second}


CONTAINERS = st.lists(
    st.fixed_dictionaries({"name": KEYS}, optional={"image": KEYS, "command": st.lists(KEYS, max_size=2)}),
    max_size=3,
    unique_by=lambda container: container["name"],
)


@given(CONTAINERS)
def test_fields_v1_keeps_every_path(containers: Any) -> None:
    paths = frozenset(flatten(deployment(*containers), DEPLOYMENT))
    assert from_fields_v1(to_fields_v1(paths)) == paths


@given(CONTAINERS, CONTAINERS)
def test_alone_lists_follow_the_last_configuration(first: Any, second: Any) -> None:
    made = ssa(ssa(None, deployment(*first), DEPLOYMENT), deployment(*second), DEPLOYMENT)
    result = made.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
    assert {c["name"]: c for c in result} == {c["name"]: c for c in second}
