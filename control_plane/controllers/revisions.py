"""ControllerRevisions: the history of a template, for kinds that keep no replica sets (daemonset, statefulset)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers.deployment.revision import template_hash

HASH_LABEL = "controller-revision-hash"


def data_of(owner: Object) -> Object:
    """What a revision holds: a strategic merge patch that brings the owner's template back."""
    return {"spec": {"template": {**owner["spec"]["template"], "$patch": "replace"}}}


def find(owner: Object, history: Sequence[Object]) -> Object | None:
    """The newest revision with the owner's template."""
    wanted = data_of(owner)
    return max((each for each in history if each.get("data") == wanted), key=_number, default=None)


def last(history: Sequence[Object]) -> int:
    return max((_number(each) for each in history), default=0)


def new(owner: Object, history: Sequence[Object]) -> Object:
    data = data_of(owner)
    digest = template_hash(data, int(meta.nested(owner, "status", "collisionCount", default=0)))
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{meta.name_of(owner)}-{digest}",
            "namespace": meta.namespace_of(owner),
            "labels": {**meta.labels(owner["spec"]["template"]), HASH_LABEL: digest},
            "ownerReferences": [meta.controller_reference(owner)],
        },
        "data": data,
        "revision": last(history) + 1,
    }


def digest_of(revision: Object) -> str:
    return str(meta.labels(revision).get(HASH_LABEL, ""))


def to_clean_up(
    owner: Object, history: Sequence[Object], current: Object, in_use: Collection[str]
) -> list[Object]:
    """Old revisions that no pod has, beyond the history limit, oldest first."""
    limit = int(meta.nested(owner, "spec", "revisionHistoryLimit", default=10))
    name = meta.name_of(current)
    unused = [each for each in history if meta.name_of(each) != name and digest_of(each) not in in_use]
    return sorted(unused, key=_number)[: max(len(unused) - limit, 0)]


def _number(revision: Object) -> int:
    return int(revision.get("revision", 0))
