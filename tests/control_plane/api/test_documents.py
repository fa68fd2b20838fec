"""Discovery and OpenAPI: complete, consistent, cacheable. kubectl itself is asked in the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from control_plane.api import build, discovery
from control_plane.api.openapi import documents, gnostic
from control_plane.api.openapi.served import OpenAPI
from control_plane.api.registry import Registry, Resource
from control_plane.api.resources import OFF_BY_DEFAULT

REGISTRY = Registry.builtin()
GROUP_VERSIONS = [
    (group, version) for group in ["", *REGISTRY.groups()] for version in REGISTRY.versions(group)
]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)


def resolve(document: Any, reference: str) -> Any:
    for step in reference.removeprefix("#/").split("/"):
        document = document[step]
    return document


@pytest.mark.parametrize(("group", "version"), GROUP_VERSIONS, ids=lambda v: v or "core")
def test_v3_documents_have_every_kind_path_and_reference(group: str, version: str) -> None:
    served = OpenAPI().v3(documents.group_version_key(group, version))
    assert served is not None
    document = orjson.loads(served.body)
    for reference in set(references(document)):
        resolve(document, reference)
    for resource in REGISTRY.of_group_version(group, version):
        holder = "/namespaces/{namespace}" if resource.namespaced else ""
        item = document["paths"][f"{resource.path}{holder}/{resource.resource}"]
        gvks = [op["x-kubernetes-group-version-kind"] for op in item.values() if isinstance(op, dict)]
        assert {"group": group, "version": version, "kind": resource.kind} in gvks


def test_v2_resolves_and_operations_are_unique() -> None:
    document = orjson.loads(OpenAPI().v2(protobuf=False).body)
    for reference in set(references(document)):
        resolve(document, reference)
    ids = [
        op["operationId"]
        for path in document["paths"].values()
        for op in path.values()
        if isinstance(op, dict)
    ]
    assert len(ids) == len(set(ids))
    assert document["definitions"]["io.k8s.apimachinery.pkg.api.resource.Quantity"]["type"] == "string"
    nulls = [d for d in orjson.dumps(document["definitions"]).split(b",") if b'"null"' in d]
    assert not nulls


def fields(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """The length-delimited fields of a protobuf message."""

    def varint(at: int) -> tuple[int, int]:
        number = shift = 0
        while True:
            number |= (raw[at] & 127) << shift
            shift += 7
            at += 1
            if raw[at - 1] < 128:
                return number, at

    position = 0
    while position < len(raw):
        tag, position = varint(position)
        length, position = varint(position)
        if tag & 7 == 2:
            yield tag >> 3, raw[position : position + length]
            position += length


def test_the_protobuf_form_has_every_definition() -> None:
    document = orjson.loads(OpenAPI().v2(protobuf=False).body)
    encoded = OpenAPI().v2(protobuf=True).body
    assert encoded == gnostic.document(document)
    top = dict(fields(encoded))
    assert top[1] == b"2.0"
    names = [dict(fields(entry))[1].decode() for number, entry in fields(top[9]) if number == 1]
    assert names == list(document["definitions"])
    paths = [dict(fields(entry))[1].decode() for number, entry in fields(top[8]) if number == 2]
    assert paths == list(document["paths"])


def test_the_index_names_each_document_by_its_hash() -> None:
    api = OpenAPI()
    index = orjson.loads(api.v3_index().body)["paths"]
    assert len(index) == len(GROUP_VERSIONS)
    for key, entry in index.items():
        served = api.v3(key)
        assert served is not None
        assert entry["serverRelativeURL"] == f"/openapi/v3/{key}?hash={served.etag.strip(chr(34))}"
        assert documents.digest(served.body) == served.etag.strip('"')


def test_custom_documents_are_added_and_dropped() -> None:
    additions = Additions()
    api = OpenAPI(additions)
    before, v2 = api.v3_index().etag, [api.v2(protobuf).etag for protobuf in (False, True)]
    path = {"get": {"description": "x", "responses": {}, "operationId": "x"}}
    additions.documents["apis/x.io/v1"] = discovery.render({"openapi": "3.0.0"})
    additions.added = {"paths": {"/apis/x.io/v1/x": path}, "definitions": {"io.x.v1.X": {"type": "object"}}}
    assert api.v3("apis/x.io/v1") is not None
    assert api.v3_index().etag != before
    assert [api.v2(protobuf).etag for protobuf in (False, True)] != v2
    whole = orjson.loads(api.v2(protobuf=False).body)
    assert "/apis/x.io/v1/x" in whole["paths"]
    assert "io.x.v1.X" in whole["definitions"]
    assert b"io.x.v1.X" in api.v2(protobuf=True).body
    additions.documents.clear()
    additions.added = {"paths": {}, "definitions": {}}
    assert api.v3_index().etag == before
    assert [api.v2(protobuf).etag for protobuf in (False, True)] == v2


class Additions:
    def __init__(self, added: dict[str, Any] | None = None) -> None:
        self.documents: dict[str, discovery.Rendered] = {}
        self.added = added or {"paths": {}, "definitions": {}}

    def v3_keys(self) -> list[str]:
        return list(self.documents)

    def v3(self, key: str) -> discovery.Rendered | None:
        return self.documents.get(key)

    def v2(self) -> dict[str, Any]:
        return self.added


@pytest.mark.parametrize(("group", "version"), OFF_BY_DEFAULT, ids="/".join)
def test_what_is_off_by_default_is_described_where_it_is_on(group: str, version: str) -> None:
    key = documents.group_version_key(group, version)
    assert OpenAPI().v3(key) is None
    on = OpenAPI(also=[(group, version)])
    served = on.v3(key)
    assert served is not None
    assert served.etag.strip('"') in orjson.loads(on.v3_index().body)["paths"][key]["serverRelativeURL"]
    document, whole = orjson.loads(served.body), orjson.loads(on.v2(protobuf=False).body)
    for each in (document, whole):
        for reference in set(references(each)):
            resolve(each, reference)
    for resource in Registry.optional([(group, version)]):
        holder = "/namespaces/{namespace}" if resource.namespaced else ""
        path = f"{resource.path}{holder}/{resource.resource}"
        assert path in document["paths"]
        assert path in whole["paths"]
        assert resource.definition.encode() in on.v2(protobuf=True).body
    assert "/api/v1/namespaces/{namespace}/pods" in whole["paths"]
    assert OpenAPI().v2(protobuf=False).etag != on.v2(protobuf=False).etag


def test_it_stands_beside_what_else_is_added() -> None:
    more = Additions({"paths": {"/apis/x.io/v1/w": {}}, "definitions": {"io.x.v1.W": {"type": "object"}}})
    on = OpenAPI(more, OFF_BY_DEFAULT)
    whole = orjson.loads(on.v2(protobuf=False).body)
    assert "/apis/x.io/v1/w" in whole["paths"]
    assert "io.x.v1.W" in whole["definitions"]
    assert all(resource.definition in whole["definitions"] for resource in Registry.optional(OFF_BY_DEFAULT))
    more.added = {"paths": {"/apis/x.io/v1/v": {}}, "definitions": {}}
    assert "/apis/x.io/v1/w" not in orjson.loads(on.v2(protobuf=False).body)["paths"]


def test_legacy_and_aggregated_discovery_agree() -> None:
    aggregated = discovery.aggregated_groups(REGISTRY, core=False)["items"]
    aggregated += discovery.aggregated_groups(REGISTRY, core=True)["items"]
    for item in aggregated:
        group = item["metadata"].get("name", "")
        for version in item["versions"]:
            legacy = discovery.api_resources(REGISTRY, group, version["version"])
            assert legacy is not None
            rows = {row["name"]: row for row in legacy["resources"]}
            shown = set()
            for entry in version["resources"]:
                row = rows[entry["resource"]]
                shown.add(entry["resource"])
                assert row["verbs"] == entry["verbs"]
                assert row["kind"] == entry["responseKind"]["kind"]
                assert row["namespaced"] == (entry["scope"] == "Namespaced")
                shown |= {
                    f"{entry['resource']}/{sub['subresource']}" for sub in entry.get("subresources", ())
                }
            assert shown == set(rows)


def test_the_preferred_version_comes_first() -> None:
    groups = {g["name"]: g for g in discovery.api_groups(REGISTRY)["groups"]}
    assert groups["autoscaling"]["preferredVersion"]["version"] == "v2"
    assert next(iter(groups)) == "apiregistration.k8s.io"


def test_discovery_is_rendered_again_when_the_registry_changes() -> None:
    registry = Registry.builtin()
    served = discovery.Discovery(registry)
    before = served.aggregated(core=False, api_version="v2")
    assert served.aggregated(core=False, api_version="v2") is before
    widget = Resource(
        "x.io", "v1", "widgets", "Widget", "widget", True, ("get", "list"), ("wd",), custom=True
    )
    registry.add(widget)
    after = served.aggregated(core=False, api_version="v2")
    assert after.etag != before.etag
    assert orjson.loads(after.body)["items"][-1]["versions"][0]["resources"][0]["shortNames"] == ["wd"]
    assert served.resources("x.io", "v1") is not None
    registry.remove(widget)
    assert served.resources("x.io", "v1") is None
    assert served.aggregated(core=False, api_version="v2").etag == before.etag


def build_at(target: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(build, "build_directory", lambda: target)
    return build.ensure_built()


def test_the_build_is_made_once_per_digest_and_old_ones_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build_at(tmp_path / "digest-0", monkeypatch)
    when = (first / "schema.json").stat().st_mtime_ns
    build_at(first, monkeypatch)
    assert (first / "schema.json").stat().st_mtime_ns == when
    for number in range(1, build.KEPT_BUILDS + 1):
        build_at(tmp_path / f"digest-{number}", monkeypatch)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == [f"digest-{n}" for n in range(1, build.KEPT_BUILDS + 1)], "and nothing is left beside them"


def test_a_build_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(directory: Path) -> None:
        (directory / "half").write_text("x")
        raise OSError("disk full")

    monkeypatch.setattr(build, "_compile", fail)
    with pytest.raises(OSError, match="disk full"):
        build_at(tmp_path / "digest", monkeypatch)
    assert not list(tmp_path.iterdir())
