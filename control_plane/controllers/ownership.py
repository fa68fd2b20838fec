"""Which objects are an owner's: its selector says what it may have, the controller reference what it has.

`plan` is kube-controller-manager's ControllerRefManager: what is controlled by another is left alone; what is ours
and matches is kept, what is ours and does not is released; an orphan that matches is adopted, unless it or we are
being deleted. `claim` carries the plan out and returns what is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_invalid, is_not_found
from control_plane.api.meta import Object
from control_plane.api.selectors import LabelSelector
from control_plane.client.client import Client
from control_plane.client.gvr import GVR
from control_plane.client.informer import Informer

BY_OWNER = "controller uid"
ORPHANS = "namespace of orphans"


def index_by_owner(informer: Informer) -> None:
    """Make `children` cheap on this informer."""
    informer.add_index(BY_OWNER, owner_uid)
    informer.add_index(ORPHANS, _orphan_namespace)


def children(informer: Informer, owner: Object) -> list[Object]:
    """What `owner` controls, whether it matches or not."""
    return list(informer.by_index(BY_OWNER, meta.uid_of(owner)))


def candidates(informer: Informer, owner: Object) -> list[Object]:
    """What `owner` controls, and the orphans of its namespace."""
    return [*children(informer, owner), *informer.by_index(ORPHANS, meta.namespace_of(owner))]


@dataclass(frozen=True, slots=True)
class Claim:
    keep: list[Object] = field(default_factory=list)
    adopt: list[Object] = field(default_factory=list)
    release: list[Object] = field(default_factory=list)


def plan(
    owner: Object, selector: LabelSelector, objects: Iterable[Object], may_adopt: Callable[[Object], bool]
) -> Claim:
    claim = Claim()
    ending = meta.is_deleting(owner)
    for obj in objects:
        controller = meta.controller_of(obj)
        matches = selector.matches(meta.labels(obj))
        if controller is not None and controller.get("uid") == meta.uid_of(owner):
            if matches:
                claim.keep.append(obj)
            elif not ending:
                claim.release.append(obj)
        elif controller is None and matches and not ending and not meta.is_deleting(obj) and may_adopt(obj):
            claim.adopt.append(obj)
    return claim


async def claim(
    client: Client,
    gvr: GVR,
    owner_gvr: GVR,
    owner: Object,
    selector: LabelSelector,
    objects: Iterable[Object],
    may_adopt: Callable[[Object], bool] = lambda _: True,
) -> list[Object]:
    """What is `owner`'s now. Before it adopts, it asks the API whether the owner is still the one it knows."""
    planned = plan(owner, selector, objects, may_adopt)
    for obj in planned.release:
        await _patch_owner(client, gvr, obj, [{"$patch": "delete", "uid": meta.uid_of(owner)}])
    if not planned.adopt or not await _is_current(client, owner_gvr, owner):
        return planned.keep
    adopted = [
        await _patch_owner(client, gvr, obj, [meta.controller_reference(owner)]) for obj in planned.adopt
    ]
    return [*planned.keep, *(obj for obj in adopted if obj is not None)]


async def _is_current(client: Client, gvr: GVR, owner: Object) -> bool:
    fresh = await client.get(gvr, meta.name_of(owner), meta.namespace_of(owner))
    return meta.uid_of(fresh) == meta.uid_of(owner) and not meta.is_deleting(fresh)


async def _patch_owner(client: Client, gvr: GVR, obj: Object, references: list[Object]) -> Object | None:
    """None when the object has gone, or is another one of that name, meanwhile."""
    patch = {"metadata": {"uid": meta.uid_of(obj), "ownerReferences": references}}
    try:
        return await client.patch(gvr, meta.name_of(obj), patch, meta.namespace_of(obj), "strategic")
    except StatusError as error:
        if is_not_found(error) or is_invalid(error):
            return None
        raise


def owner_uid(obj: Object) -> list[str]:
    controller = meta.controller_of(obj)
    return [controller["uid"]] if controller else []


def _orphan_namespace(obj: Object) -> list[str]:
    return [] if meta.controller_of(obj) else [meta.namespace_of(obj)]
