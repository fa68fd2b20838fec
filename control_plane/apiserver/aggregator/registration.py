"""A local APIService for every group version served here, so that `kubectl get apiservices` shows the whole API.

Those of built-in groups are made at start; those of custom resources come and go with their definitions. What a
person has made under the same name is left alone: only what carries the label is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from control_plane.api import meta
from control_plane.api.registry import Registry
from control_plane.apiserver.aggregator import priorities

GROUP, RESOURCE = "apiregistration.k8s.io", "apiservices"
LABEL = "kube-aggregator.kubernetes.io/automanaged"
ON_START, CONTINUOUSLY = "onstart", "true"

Object = dict[str, Any]


def name_of(group: str, version: str) -> str:
    return f"{version}.{group}"


def builtin(registry: Registry) -> list[Object]:
    """Those of the built-in groups. apiregistration.k8s.io itself has none, as upstream."""
    served = {(each.group, each.version) for each in registry if not each.custom and each.group != GROUP}
    return [
        _local(
            group,
            version,
            priorities.group_priority(group),
            priorities.version_priority(group, version),
            ON_START,
        )
        for group, version in sorted(served)
    ]


def custom(definitions: Sequence[Object]) -> dict[str, Object]:
    """Those that CustomResourceDefinitions ask for, by name."""
    found: dict[str, Object] = {}
    for definition in definitions:
        spec = definition.get("spec") or {}
        for version in spec.get("versions") or ():
            if version.get("served"):
                local = _local(
                    spec.get("group", ""),
                    version.get("name", ""),
                    priorities.CUSTOM_GROUP_PRIORITY,
                    priorities.CUSTOM_VERSION_PRIORITY,
                    CONTINUOUSLY,
                )
                found[meta.name_of(local)] = local
    return found


def is_continuous(service: Object) -> bool:
    return meta.labels(service).get(LABEL) == CONTINUOUSLY


def _local(group: str, version: str, group_priority: int, version_priority: int, managed: str) -> Object:
    spec = {
        "group": group,
        "version": version,
        "groupPriorityMinimum": group_priority,
        "versionPriority": version_priority,
    }
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "APIService",
        "metadata": {"name": name_of(group, version), "labels": {LABEL: managed}},
        "spec": spec if group else {k: v for k, v in spec.items() if k != "group"},
    }
