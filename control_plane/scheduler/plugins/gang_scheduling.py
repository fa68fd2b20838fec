"""All or none: the pods of a group are bound when as many of them have a place as the group needs.

A pod says its group, how many members it needs, and how long a place may be held for the others:

    scheduling.balsa.dev/group: training
    scheduling.balsa.dev/min-member: "8"
    scheduling.balsa.dev/group-timeout: 60s      (the default)

Before so many pods exist none of them is tried. Each that finds a place keeps it (Reserve) and waits (Permit);
the last one needed lets all of them go on. Whoever waits has its siblings tried at once: a place is held no longer
than it takes to find out whether they have one as well. When one gives its place back, cannot find one, or the
time is up, all of those that wait give theirs back, so that half a group never blocks the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control_plane.api import meta
from control_plane.client.types import Obj
from control_plane.scheduler.framework.annotations import Group, group_of
from control_plane.scheduler.framework.events import Action, ClusterEvent, Interest, Kind
from control_plane.scheduler.framework.interface import (
    CycleState,
    Handle,
    PermitPlugin,
    PostFilterPlugin,
    PostFilterResult,
    PreEnqueuePlugin,
    ReservePlugin,
)
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import Code, Status, unschedulable

Key = tuple[str, str]  # namespace and group
MAX_GROUPS = 1024  # remembered; then those without a pod are forgotten


class GangScheduling(PreEnqueuePlugin, PostFilterPlugin, ReservePlugin, PermitPlugin):
    name = "GangScheduling"

    def __init__(self, handle: Handle, args: Mapping[str, Any]) -> None:
        super().__init__(handle, args)
        self._placed: dict[Key, set[str]] = {}  # uids that hold a place, until they are seen bound

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        group = group_of(pod.pod)
        if group is None:
            return None
        uids = {meta.uid_of(each) for each in self._members(group)} | {pod.uid}
        missing = group.min_member - len(uids)
        return (
            unschedulable(f"waiting for {missing} more pod(s) of group {group.name}") if missing > 0 else None
        )

    def post_filter(
        self, state: CycleState, pod: PodInfo, statuses: Mapping[str, Status]
    ) -> tuple[PostFilterResult | None, Status]:
        """It finds no place: without it, can the group still be complete?"""
        group = group_of(pod.pod)
        if group is not None and len(self._members(group)) - 1 < group.min_member:
            self._give_up(group, f"pod {pod.name} of group {group.name} fits on no node")
        return None, Status(Code.UNSCHEDULABLE)

    def reserve(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        if (group := group_of(pod.pod)) is not None:
            if len(self._placed) >= MAX_GROUPS:
                self._forget_finished()
            self._placed.setdefault(_key(group), set()).add(pod.uid)
        return None

    def unreserve(self, state: CycleState, pod: PodInfo, node_name: str) -> None:
        group = group_of(pod.pod)
        placed = self._placed.get(_key(group)) if group is not None else None
        if group is None or placed is None or pod.uid not in placed:
            return
        placed.discard(pod.uid)
        self._give_up(group, f"pod {pod.name} of group {group.name} gave its place back")

    def permit(self, state: CycleState, pod: PodInfo, node_name: str) -> tuple[Status | None, float]:
        group = group_of(pod.pod)
        if group is None:
            return None, 0.0
        members = self._members(group)
        bound = {meta.uid_of(each) for each in members if each["spec"].get("nodeName")}
        placed = self._placed[_key(group)]
        placed -= bound
        if len(placed | bound) < group.min_member:
            there = placed | bound
            self.handle.activate([uid for uid in map(meta.uid_of, members) if uid not in there])
            return Status(Code.WAIT), group.timeout_s
        for uid in placed:
            self.handle.allow(uid, self.name)
        return None, 0.0

    def interests(self) -> Sequence[Interest]:
        return (
            Interest(ClusterEvent(Kind.UNSCHEDULED_POD, Action.ADD), _sibling),
            Interest(ClusterEvent(Kind.ASSIGNED_POD, Action.DELETE), _stranger),
            Interest(
                ClusterEvent(
                    Kind.NODE, Action.ADD | Action.UPDATE_NODE_ALLOCATABLE | Action.UPDATE_NODE_TAINT
                )
            ),
        )

    def _forget_finished(self) -> None:
        self._placed = {key: uids for key, uids in self._placed.items() if self.handle.group(*key)}

    def _members(self, group: Group) -> list[Obj]:
        every = self.handle.group(group.namespace, group.name)
        return [each for each in every if not meta.is_deleting(each)]

    def _give_up(self, group: Group, why: str) -> None:
        """Those that wait: each of them undoes its own reservation."""
        for uid in self._placed.pop(_key(group), ()):
            self.handle.reject(uid, self.name, why)


def _key(group: Group) -> Key:
    return group.namespace, group.name


def _same(pod: PodInfo, other: Obj | None) -> bool:
    one, two = group_of(pod.pod), group_of(other) if other is not None else None
    return one is not None and two is not None and _key(one) == _key(two)


def _sibling(pod: PodInfo, old: Obj | None, new: Obj | None) -> bool:
    return _same(pod, new)


def _stranger(pod: PodInfo, old: Obj | None, new: Obj | None) -> bool:
    """A sibling that gives its place back makes no room for its group."""
    return not _same(pod, old)
