"""Revisions: a replica set holds one version of the template, known by its content and numbered by annotation."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import orjson

from control_plane.api import meta
from control_plane.api.meta import Object

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
HASH_LABEL = "pod-template-hash"
CHANGE_CAUSE = "kubernetes.io/change-cause"
NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        REVISION_HISTORY,
        DESIRED_REPLICAS,
        MAX_REPLICAS,
        "deprecated.deployment.rollback.to",
    }
)
_SAFE_ALPHABET = (
    "bcdfghjklmnpqrstvwxz2456789"  # no vowels, no look-alikes: the names of Kubernetes' own hashes
)


def template_hash(template: Object, collisions: int) -> str:
    """A short name for a template's content; `collisions` makes another one of the same content."""
    canonical = orjson.dumps(template, option=orjson.OPT_SORT_KEYS)
    if collisions:
        canonical += collisions.to_bytes(8, "little")
    value = 0x811C9DC5  # FNV-1a, 32 bit
    for byte in canonical:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return "".join(_SAFE_ALPHABET[ord(character) % len(_SAFE_ALPHABET)] for character in str(value))


def without_hash(template: Object) -> Object:
    """The template as the deployment wrote it."""
    plain = copy.deepcopy(template)
    labels = meta.labels(plain)
    labels.pop(HASH_LABEL, None)
    metadata = plain.get("metadata") or {}
    metadata.pop("creationTimestamp", None)
    if not labels:
        metadata.pop("labels", None)
    plain["metadata"] = metadata
    return plain


def by_age(sets: Iterable[Object]) -> list[Object]:
    """Oldest first."""
    return sorted(
        sets, key=lambda each: (meta.metadata(each).get("creationTimestamp", ""), meta.name_of(each))
    )


def find_new(deployment: Object, sets: Sequence[Object]) -> Object | None:
    """The oldest set that holds the deployment's template."""
    wanted = without_hash(deployment["spec"]["template"])
    return next((each for each in by_age(sets) if without_hash(each["spec"]["template"]) == wanted), None)


def number(obj: Object) -> int:
    try:
        return int(meta.annotations(obj).get(REVISION, "0"))
    except ValueError:
        return 0


def next_number(old_sets: Iterable[Object]) -> int:
    return max((number(each) for each in old_sets), default=0) + 1


def annotations_of_new(
    deployment: Object, existing: Object | None, old_sets: Sequence[Object]
) -> dict[str, str]:
    """The annotations the new set should carry: the deployment's own, its revision, the revisions it had."""
    wanted = dict(meta.annotations(existing)) if existing else {}
    for key, value in meta.annotations(deployment).items():
        if key not in NOT_COPIED:
            wanted[key] = value
    current, following = (number(existing) if existing else 0), next_number(old_sets)
    if current < following:
        if current:
            history = wanted.get(REVISION_HISTORY)
            wanted[REVISION_HISTORY] = f"{history},{current}" if history else str(current)
        wanted[REVISION] = str(following)
    return wanted


def new_set(deployment: Object, old_sets: Sequence[Object], replicas: int, max_replicas: int) -> Object:
    """A replica set for the deployment's template."""
    spec = deployment["spec"]
    collisions = int(meta.nested(deployment, "status", "collisionCount", default=0))
    digest = template_hash(without_hash(spec["template"]), collisions)
    template = copy.deepcopy(spec["template"])
    meta.set_label(template, HASH_LABEL, digest)
    selector = copy.deepcopy(spec["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: digest}
    annotations = annotations_of_new(deployment, None, old_sets)
    made: Object = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta.name_of(deployment)}-{digest}",
            "namespace": meta.namespace_of(deployment),
            "labels": dict(meta.labels(template)),
            "annotations": {**annotations, **scale_annotations(int(spec.get("replicas", 1)), max_replicas)},
            "ownerReferences": [meta.controller_reference(deployment)],
        },
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    }
    if spec.get("minReadySeconds"):
        made["spec"]["minReadySeconds"] = spec["minReadySeconds"]
    return made


def scale_annotations(desired: int, maximum: int) -> dict[str, str]:
    return {DESIRED_REPLICAS: str(desired), MAX_REPLICAS: str(maximum)}


def to_clean_up(deployment: Object, old_sets: Sequence[Object]) -> list[Object]:
    """Old sets beyond the history limit that have nothing left, lowest revision first."""
    limit = meta.nested(deployment, "spec", "revisionHistoryLimit", default=10)
    cleanable = [each for each in old_sets if not meta.is_deleting(each)]
    excess = len(cleanable) - int(limit)
    if excess <= 0:
        return []
    oldest = sorted(
        cleanable, key=lambda each: (number(each), meta.metadata(each).get("creationTimestamp", ""))
    )
    return [each for each in oldest[:excess] if _is_empty(each)]


def _is_empty(replica_set: Object) -> bool:
    status = replica_set.get("status") or {}
    observed = int(status.get("observedGeneration", 0)) >= int(
        meta.metadata(replica_set).get("generation", 0)
    )
    return observed and not status.get("replicas") and not replica_set["spec"].get("replicas", 1)
