"""From a CustomResourceDefinition to what the registry serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from control_plane.api import meta
from control_plane.api.registry import Resource
from control_plane.api.resources import ALL_VERBS, SCALE, STATUS, definition_name
from control_plane.apiserver.crd.conversion import Converter, WebhookFor
from control_plane.apiserver.crd.kind import CustomVersion

Object = dict[str, Any]

ESTABLISHED, NAMES_ACCEPTED, TERMINATING = "Established", "NamesAccepted", "Terminating"
WITHOUT_CREATE = tuple(verb for verb in ALL_VERBS if verb != "create")


@dataclass(frozen=True, slots=True)
class Served:
    """What one definition brings: a Resource for each served version, and the one objects are stored in."""

    name: str
    serves: bytes  # what decided all of it, for comparison
    resources: tuple[Resource, ...]
    storage: Resource
    versions: Mapping[str, CustomVersion]


def is_served(definition: Mapping[str, Any]) -> bool:
    return meta.condition_is_true(definition, ESTABLISHED)


def served(definition: Mapping[str, Any], serves: bytes, webhook_for: WebhookFor) -> Served:
    spec = definition["spec"]
    storage = next(each["name"] for each in spec["versions"] if each.get("storage"))
    name = meta.name_of(definition)
    converter = Converter(spec["group"], storage, webhook_for(name, spec.get("conversion") or {}))
    group, kind = spec["group"], spec["names"]["kind"]
    versions = {each["name"]: CustomVersion(each, converter, group, kind) for each in spec["versions"]}
    converter.versions.update(versions)
    terminating = meta.condition_is_true(definition, TERMINATING)
    resources = {
        each["name"]: _resource(definition, each, storage, versions[each["name"]], terminating)
        for each in spec["versions"]
    }
    offered = tuple(resources[each["name"]] for each in spec["versions"] if each.get("served"))
    return Served(name, serves, offered, resources[storage], versions)


def _resource(
    definition: Mapping[str, Any],
    declared: Mapping[str, Any],
    storage: str,
    version: CustomVersion,
    terminating: bool,
) -> Resource:
    spec = definition["spec"]
    names = (definition.get("status") or {}).get("acceptedNames") or spec["names"]
    subresources = declared.get("subresources") or {}
    offered = [each for each in (SCALE, STATUS) if subresources.get(each.name) is not None]
    return Resource(
        group=spec["group"],
        version=declared["name"],
        resource=names["plural"],
        kind=names["kind"],
        singular=names.get("singular", ""),
        namespaced=spec["scope"] == "Namespaced",
        verbs=WITHOUT_CREATE if terminating else ALL_VERBS,
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources={each.name: each for each in offered},
        list_kind=names.get("listKind") or f"{names['kind']}List",
        definition=definition_name(spec["group"], declared["name"], names["kind"]),
        storage_group=spec["group"],
        storage_version=storage,
        custom=True,
        custom_kind=version,
    )


def storage_resource(definition: Mapping[str, Any]) -> Resource:
    """The resource as objects are stored, whether or not that version is served: for deleting them."""
    return served(definition, b"", lambda name, conversion: None).storage
