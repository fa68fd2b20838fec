"""Definitions and objects for the tests of custom resources."""

from __future__ import annotations

import itertools
from typing import Any

Object = dict[str, Any]

_numbers = itertools.count(1)

SCHEMA: Object = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["cronSpec"],
            "properties": {
                "cronSpec": {"type": "string", "pattern": r"^\S+ \S+$"},
                "image": {"type": "string", "default": "busybox", "description": "What is run."},
                "replicas": {"type": "integer", "minimum": 1, "maximum": 10},
                "mode": {"type": "string", "enum": ["fast", "slow"]},
                "port": {"x-kubernetes-int-or-string": True},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "hosts": {
                    "type": "array",
                    "maxItems": 5,
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {
                            "name": {"type": "string"},
                            "weight": {"type": "integer", "default": 1},
                        },
                    },
                },
            },
        },
        "status": {
            "type": "object",
            "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}},
        },
    },
}

SCALE = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector",
}


def version(name: str = "v1", storage: bool = True, served: bool = True, **more: Any) -> Object:
    return {
        "name": name,
        "served": served,
        "storage": storage,
        "schema": {"openAPIV3Schema": SCHEMA},
        "subresources": {"status": {}, "scale": SCALE},
        "additionalPrinterColumns": [
            {"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec", "description": "When."},
            {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
        "selectableFields": [{"jsonPath": ".spec.image"}],
        **more,
    }


def definition(*versions: Object, group: str = "", scope: str = "Namespaced", **spec: Any) -> Object:
    """A definition of CronTabs in a group of its own, so that tests do not meet."""
    group = group or f"g{next(_numbers)}.example.com"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"crontabs.{group}"},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"plural": "crontabs", "kind": "CronTab", "shortNames": ["ct"], "categories": ["all"]},
            "versions": list(versions or (version(),)),
            **spec,
        },
    }


def with_schema(schema: Object, **more: Any) -> Object:
    """A definition with one version of this schema and nothing else."""
    plain = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return definition(plain, **more)


def spec_schema(properties: Object, **more: Any) -> Object:
    """A root schema whose spec has these properties."""
    return {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": properties, **more}},
    }


def cron_tab(crd: Object, name: str = "a", version: str = "v1", **spec: Any) -> Object:
    return {
        "apiVersion": f"{crd['spec']['group']}/{version}",
        "kind": "CronTab",
        "metadata": {"name": name},
        "spec": {"cronSpec": "* *", **spec},
    }
