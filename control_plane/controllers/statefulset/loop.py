"""The stateful set loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from control_plane.api import meta, selectors
from control_plane.api.errors import StatusError, is_already_exists
from control_plane.api.meta import Object
from control_plane.client.gvr import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from control_plane.controllers import ownership, pods, revisions
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller, named
from control_plane.controllers.expectations import LOOK_AGAIN_S
from control_plane.controllers.pod_control import PodControl, Words
from control_plane.controllers.statefulset import identity, retention
from control_plane.controllers.statefulset import plan as planning
from control_plane.controllers.statefulset.plan import Plan

WORDS = Words(
    created="create Pod {pod} in StatefulSet {owner} successful",
    not_created="create Pod {pod} in StatefulSet {owner} failed error: {error}",
    deleted="delete Pod {pod} in StatefulSet {owner} successful",
    not_deleted="delete Pod {pod} in StatefulSet {owner} failed error: {error}",
)


class StatefulSetController(Controller):
    name = "statefulset"
    account = "statefulset-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.sets = self.informer(STATEFUL_SETS)
        self.pods = self.informer(PODS)
        self.revisions = self.informer(CONTROLLER_REVISIONS)
        self.claims = self.informer(PERSISTENT_VOLUME_CLAIMS)
        self.pod_control = PodControl(self, self.pods, WORDS)
        self.expectations = self.pod_control.expectations
        ownership.index_by_owner(self.pods)
        ownership.index_by_owner(self.revisions)
        self.reconcile_each(self.sets)
        self.reconcile_owner(self.pods, "StatefulSet")
        self.claims.add_handler(on_delete=self._claim_gone)

    async def reconcile(self, key: str) -> float | None:
        stateful_set = named(self.sets, key)
        if stateful_set is None:
            self.expectations.forget(key)
            return None
        owned = await self._owned(stateful_set)
        newest, current, history = await self._revisions(stateful_set)
        now = self.context.now()
        if not self.expectations.satisfied(key, owned):
            return LOOK_AGAIN_S
        if not meta.is_deleting(stateful_set):
            names = meta.name_of(newest), meta.name_of(current)
            planned = planning.plan(stateful_set, owned, *names, now)
            await self._keep_claims(stateful_set, owned)
            await self._carry_out(key, stateful_set, planned, newest, current)
        wanted = planning.status(stateful_set, owned, newest, current, now)
        if wanted != (stateful_set.get("status") or {}):
            await self.client.update(STATEFUL_SETS, {**stateful_set, "status": wanted}, "status")
        await self._clean_up(stateful_set, owned, history, newest, current)
        min_ready_s = int(stateful_set["spec"].get("minReadySeconds", 0))
        return pods.available_in_s(owned, min_ready_s, now)

    async def _owned(self, stateful_set: Object) -> list[Object]:
        selector = selectors.from_label_selector(stateful_set["spec"]["selector"])
        return await ownership.claim(
            self.client,
            PODS,
            STATEFUL_SETS,
            stateful_set,
            selector,
            ownership.candidates(self.pods, stateful_set),
            may_adopt=lambda pod: identity.ordinal(stateful_set, pod) is not None,
        )

    async def _revisions(self, stateful_set: Object) -> tuple[Object, Object, list[Object]]:
        """The newest revision (recorded first, if it is new), the current one, all."""
        history = ownership.children(self.revisions, stateful_set)
        newest = revisions.find(stateful_set, history)
        if newest is None:
            newest = await self._record_revision(
                revisions.new(stateful_set, history, revisions.STATEFUL_HASH_LABEL)
            )
        elif newest["revision"] < revisions.last(history):
            changed = {**newest, "revision": revisions.last(history) + 1}
            newest = await self.client.update(CONTROLLER_REVISIONS, changed)
        name = meta.nested(stateful_set, "status", "currentRevision")
        current = next((each for each in history if meta.name_of(each) == name), newest)
        return newest, current, history

    async def _record_revision(self, wanted: Object) -> Object:
        try:
            return await self.client.create(CONTROLLER_REVISIONS, wanted)
        except StatusError as error:
            if not is_already_exists(error):
                raise
            return await self.client.get(
                CONTROLLER_REVISIONS, meta.name_of(wanted), meta.namespace_of(wanted)
            )

    async def _carry_out(
        self, key: str, stateful_set: Object, planned: Plan, newest: Object, current: Object
    ) -> None:
        for pod in planned.delete:
            await self.pod_control.delete(key, stateful_set, pod)
        await asyncio.gather(
            *(
                self._create(key, stateful_set, number, newest if is_newest else current)
                for number, is_newest in planned.create
            )
        )

    async def _create(self, key: str, stateful_set: Object, number: int, revision: Object) -> None:
        if self._has_stale_claim(stateful_set, number):
            return
        await self._ensure_claims(stateful_set, number)
        template = revision["data"]["spec"]["template"]
        clean = {field: value for field, value in template.items() if field != "$patch"}
        pod = identity.make_pod(stateful_set, clean, number, meta.name_of(revision))
        await self.pod_control.create(key, stateful_set, pod)

    def _has_stale_claim(self, stateful_set: Object, number: int) -> bool:
        """Its going wakes us."""
        found = (
            self.claims.get(meta.namespace_of(each), meta.name_of(each))
            for each in identity.make_claims(stateful_set, number)
        )
        name = identity.pod_name(stateful_set, number)
        return any(claim is not None and retention.is_stale(claim, name, "") for claim in found)

    async def _keep_claims(self, stateful_set: Object, owned: Sequence[Object]) -> None:
        """Before a pod goes its claims say whether they go along; one that waits for a lost claim gets another."""
        for pod in owned:
            number = identity.ordinal(stateful_set, pod)
            if number is None:
                continue
            if pod.get("status", {}).get("phase") == "Pending" and not meta.is_deleting(pod):
                await self._ensure_claims(stateful_set, number)
            for made in identity.make_claims(stateful_set, number):
                claim = self.claims.get(meta.namespace_of(made), meta.name_of(made))
                changed = retention.owned(claim, stateful_set, pod) if claim is not None else None
                if changed is not None:
                    await self.client.update(PERSISTENT_VOLUME_CLAIMS, changed)

    async def _ensure_claims(self, stateful_set: Object, number: int) -> None:
        for claim in identity.make_claims(stateful_set, number):
            known = self.claims.get(meta.namespace_of(claim), meta.name_of(claim))
            if known is not None:
                continue
            try:
                await self.client.create(PERSISTENT_VOLUME_CLAIMS, claim)
            except StatusError as error:
                if not is_already_exists(error):
                    raise

    async def _clean_up(
        self,
        stateful_set: Object,
        owned: Sequence[Object],
        history: list[Object],
        newest: Object,
        current: Object,
    ) -> None:
        in_use = {meta.labels(pod).get(revisions.HASH_LABEL, "") for pod in owned} | {meta.name_of(current)}
        unused = [each for each in history if meta.name_of(each) not in in_use]
        for old in revisions.to_clean_up(stateful_set, unused, newest):
            await self.client.delete(
                CONTROLLER_REVISIONS, meta.name_of(old), meta.namespace_of(old), uid=meta.uid_of(old)
            )

    def _claim_gone(self, claim: Object) -> None:
        """A pod may have waited for it to go, or may need another."""
        for stateful_set in self.sets.list(meta.namespace_of(claim)):
            prefixes = (
                f"{meta.name_of(each)}-{meta.name_of(stateful_set)}-"
                for each in identity.claim_templates(stateful_set)
            )
            if meta.name_of(claim).startswith(tuple(prefixes)):
                self.enqueue(stateful_set)
