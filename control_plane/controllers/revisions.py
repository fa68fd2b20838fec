"""ControllerRevisions: the history of a template, for kinds that keep no replica sets (daemonset, statefulset)."""

from __future__ import annotations

from collections.abc import Sequence

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers.deployment.revision import template_hash

HASH_LABEL = "controller-revision-hash"
"""On a pod: which revision it has: of a daemon set its hash, as on the revision; of a stateful set its name."""
STATEFUL_HASH_LABEL = "controller.kubernetes.io/hash"
"""On the revisions of a stateful set."""


def data_of(owner: Object) -> Object:
    """What a revision holds: a strategic merge patch that brings the owner's template back."""
    return {"spec": {"template": {**owner["spec"]["template"], "$patch": "replace"}}}


def find(owner: Object, history: Sequence[Object]) -> Object | None:
    """The newest revision with the owner's template."""
    wanted = data_of(owner)
    return max((each for each in history if each.get("data") == wanted), key=_number, default=None)


def last(history: Sequence[Object]) -> int:
    return max((_number(each) for each in history), default=0)


def new(owner: Object, history: Sequence[Object], hash_label: str = HASH_LABEL) -> Object:
    data = data_of(owner)
    digest = template_hash(data, int(meta.nested(owner, "status", "collisionCount", default=0)))
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{meta.name_of(owner)}-{digest}",
            "namespace": meta.namespace_of(owner),
            "labels": {**meta.labels(owner["spec"]["template"]), hash_label: digest},
            "ownerReferences": [meta.controller_reference(owner)],
        },
        "data": data,
        "revision": last(history) + 1,
    }


def digest_of(revision: Object) -> str:
    return str(meta.labels(revision).get(HASH_LABEL, ""))


def to_clean_up(owner: Object, unused: Sequence[Object], newest: Object) -> list[Object]:
    """Old revisions that no pod has, beyond the history limit, oldest first."""
    limit = int(meta.nested(owner, "spec", "revisionHistoryLimit", default=10))
    old = [each for each in unused if meta.name_of(each) != meta.name_of(newest)]
    return sorted(old, key=_number)[: max(len(old) - limit, 0)]


def _number(revision: Object) -> int:
    return int(revision.get("revision", 0))
