"""clusterrole-aggregation: a ClusterRole with an aggregation rule has the rules of all that its selectors match."""

from __future__ import annotations

from collections.abc import Iterable

from control_plane.api import meta, selectors
from control_plane.api.meta import Object
from control_plane.client.gvr import CLUSTER_ROLES
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller, named


def aggregate(role: Object, roles: Iterable[Object]) -> list[Object] | None:
    """The rules, each once, roles in the order of their names; None for a role that does not aggregate."""
    wanted = meta.nested(role, "aggregationRule", "clusterRoleSelectors")
    if not wanted:
        return None
    parsed = [selectors.from_label_selector(each) for each in wanted]
    rules: list[Object] = []
    for other in sorted(roles, key=meta.name_of):
        if other is role or meta.name_of(other) == meta.name_of(role):
            continue
        if any(each.matches(meta.labels(other)) for each in parsed):
            rules += [rule for rule in other.get("rules") or () if rule not in rules]
    return rules


class ClusterRoleAggregationController(Controller):
    name = "clusterrole-aggregation"
    account = "clusterrole-aggregation-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.roles = self.informer(CLUSTER_ROLES)
        self.roles.add_handler(self._changed, lambda _, new: self._changed(new), self._changed)

    async def reconcile(self, key: str) -> None:
        role = named(self.roles, key)
        rules = aggregate(role, self.roles.list()) if role else None
        if role is not None and rules is not None and rules != (role.get("rules") or []):
            await self.client.update(CLUSTER_ROLES, {**role, "rules": rules})

    def _changed(self, _: Object) -> None:
        for role in self.roles.list():
            if role.get("aggregationRule"):
                self.enqueue(role)
