"""ResourceQuota: a request is charged to every quota that it counts in before it goes on, or refused.

The charge is a compare-and-swap on the quota's status in the store, so that two requests on two replicas
never both get the last place. Within a replica the charges of a namespace queue up behind one lock instead of
competing. When a swap loses the quota is read again, a bounded number of times. A request that is charged
and then fails leaves the charge; the quota controller's recount corrects it, as it does deletions.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from weakref import WeakValueDictionary

from control_plane.api import errors, meta
from control_plane.apiserver.admission.interface import AdmissionRequest, Object, Operation
from control_plane.apiserver.admission.plugin import Dependencies, Plugin, forbidden
from control_plane.apiserver.admission.pod_resources import Resources
from control_plane.apiserver.admission.quota import ledger, scopes
from control_plane.apiserver.admission.quota.usage import LEGACY_COUNTS, usage

MAX_ATTEMPTS = 10
MAX_REMEMBERED_QUOTAS = 100
NOT_COUNTED = frozenset({("", "events"), ("events.k8s.io", "events")})


class ResourceQuota(Plugin):
    name = "ResourceQuota"

    def __init__(self, dependencies: Dependencies) -> None:
        self._reader = dependencies.reader
        self._writer = dependencies.writer
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._written: OrderedDict[tuple[str, str], Object] = OrderedDict()  # newer than the cache, maybe

    async def validate(self, request: AdmissionRequest) -> None:
        if not _concerns(request) or not self._quotas(request.namespace):
            return
        now_s = time.time()
        new = usage(request.group, request.resource, request.object or {}, now_s)
        if any(value.nanos < 0 for value in new.values()):
            names = ",".join(sorted(name for name, value in new.items() if value.nanos < 0))
            raise forbidden(request, f"quota usage is negative for resource(s): {names}")
        lock = self._locks.setdefault(request.namespace, asyncio.Lock())
        async with lock:
            for quota in self._quotas(request.namespace):
                await self._charge(request, quota, new, now_s)

    def _quotas(self, namespace: str) -> list[Object]:
        found = self._reader.list("", "resourcequotas", namespace)
        return sorted((self._newest(quota) for quota in found), key=meta.name_of)

    def _newest(self, cached: Object) -> Object:
        """What this replica wrote last, while the cache has not caught up with it."""
        written = self._written.get((meta.namespace_of(cached), meta.name_of(cached)))
        if written is None or meta.uid_of(written) != meta.uid_of(cached):
            return cached
        return max(cached, written, key=lambda quota: int(meta.resource_version_of(quota) or 0))

    async def _charge(self, request: AdmissionRequest, quota: Object, new: Resources, now_s: float) -> None:
        current: Object | None = quota
        for _ in range(MAX_ATTEMPTS):
            if current is None:
                return  # deleted meanwhile: nothing is limited any more
            charged = self._charged(request, current, new, now_s)
            if charged is None or request.dry_run:
                return
            try:
                written = await self._writer.update_status("", "resourcequotas", charged)
            except errors.StatusError as error:
                if not errors.is_conflict(error):
                    raise
                current = await self._reader.get_live(
                    "", "resourcequotas", meta.namespace_of(quota), meta.name_of(quota)
                )
                continue
            self._remember(written)
            return
        raise errors.conflict("", "resourcequotas", meta.name_of(quota))

    def _charged(
        self, request: AdmissionRequest, quota: Object, new: Resources, now_s: float
    ) -> Object | None:
        """The quota after this request; None if it has no part in it. Raises StatusError Forbidden."""
        group, resource, obj = request.group, request.resource, request.object or {}
        names = (quota.get("spec") or {}).get("hard") or {}
        if not any(ledger.counts_in(name, group, resource) for name in names):
            return None
        if not scopes.matches(quota, group, resource, obj):
            return None
        if (group, resource) == ("", "pods"):
            missing = ledger.missing_requests(obj, names)
            if missing:
                raise forbidden(request, f"failed quota: {meta.name_of(quota)}: must specify {missing}")
        books = quota if ledger.is_counted(quota) else self._recounted(quota, now_s)
        try:
            charged = ledger.charge(books, self._delta(request, quota, new, now_s))
        except ledger.Exceeded as error:
            raise forbidden(request, str(error)) from error
        if charged is None and books is not quota:
            return books
        return charged

    def _delta(self, request: AdmissionRequest, quota: Object, new: Resources, now_s: float) -> Resources:
        """For an update what it adds, if the object counted before."""
        old = request.old_object
        if request.operation is not Operation.UPDATE or old is None:
            return new
        if not scopes.matches(quota, request.group, request.resource, old):
            return new
        before = usage(request.group, request.resource, old, now_s)
        delta = ledger.difference(new, before)
        return {name: value for name, value in delta.items() if value.nanos > 0}

    def _recounted(self, quota: Object, now_s: float) -> Object:
        namespace = meta.namespace_of(quota)
        kinds = [("", resource) for resource in sorted(LEGACY_COUNTS)]
        kinds += [kind for kind in map(_kind_of_count, (quota.get("spec") or {}).get("hard") or {}) if kind]
        return ledger.recount(
            quota,
            lambda group, resource: self._reader.list(group, resource, namespace),
            list(dict.fromkeys(kinds)),
            now_s,
        )

    def _remember(self, quota: Object) -> None:
        self._written[(meta.namespace_of(quota), meta.name_of(quota))] = quota
        if len(self._written) > MAX_REMEMBERED_QUOTAS:
            self._written.popitem(last=False)


def _concerns(request: AdmissionRequest) -> bool:
    kind = (request.group, request.resource)
    if not request.namespace or request.object is None or kind in NOT_COUNTED or kind == ("", "namespaces"):
        return False
    if kind == ("", "pods"):
        return (request.operation, request.subresource) in (
            (Operation.CREATE, ""),
            (Operation.UPDATE, "resize"),
        )
    if request.subresource:
        return False
    if request.operation is Operation.UPDATE:
        return kind in (("", "services"), ("", "persistentvolumeclaims"))
    return request.operation is Operation.CREATE


def _kind_of_count(name: str) -> tuple[str, str] | None:
    if not name.startswith("count/"):
        return None
    resource, _, group = name.removeprefix("count/").partition(".")
    return group, resource
