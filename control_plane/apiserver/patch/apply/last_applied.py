"""From `kubectl apply` to `kubectl apply --server-side` without conflicts, and back.

Client-side apply keeps its configuration in an annotation. What that names kubectl has applied before, so
kubectl's own server-side apply may change it; and it keeps the annotation up to date, for whoever goes back.
"""

from __future__ import annotations

from typing import Any

import orjson

from control_plane.api import meta
from control_plane.api.schema import Node
from control_plane.apiserver.patch.apply.fields import NOTHING, Paths, flatten
from control_plane.apiserver.patch.errors import MalformedPatch

Object = dict[str, Any]

ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
KUBECTL = "kubectl"
MAX_ANNOTATION_BYTES = 256 * 1024  # of all annotations; a longer configuration is not kept


def applied_before(live: Object, manager: str, node: Node | None) -> Paths:
    """The fields that kubectl applied by the annotation; none for other managers."""
    if manager != KUBECTL:
        return NOTHING
    try:
        config = orjson.loads(meta.annotations(live).get(ANNOTATION, ""))
        return frozenset(flatten(config, node)) if isinstance(config, dict) else NOTHING
    except (orjson.JSONDecodeError, MalformedPatch):
        return NOTHING


def keep(new: Object, config: Object, manager: str) -> Object:
    """The object with its annotation, if it has one, brought up to the configuration that kubectl applies."""
    if manager != KUBECTL or ANNOTATION not in meta.annotations(new):
        return new
    annotations = {key: value for key, value in meta.annotations(new).items() if key != ANNOTATION}
    text = orjson.dumps(_without_annotation(config), option=orjson.OPT_SORT_KEYS).decode() + "\n"
    if len(text) <= MAX_ANNOTATION_BYTES:
        annotations[ANNOTATION] = text
    return {**new, "metadata": {**meta.metadata(new), "annotations": annotations}}


def _without_annotation(config: Object) -> Object:
    if ANNOTATION not in meta.annotations(config):
        return config
    annotations = {key: value for key, value in meta.annotations(config).items() if key != ANNOTATION}
    return {**config, "metadata": {**meta.metadata(config), "annotations": annotations}}
