"""Priority: turns a pod's priority class into its priority, and keeps default classes to one."""

from __future__ import annotations

from control_plane.api import meta
from control_plane.apiserver.admission.interface import AdmissionRequest, Object, Operation
from control_plane.apiserver.admission.plugin import PODS, Dependencies, Plugin, forbidden, is_resource

GROUP = "scheduling.k8s.io"
DEFAULT_PRIORITY = 0
DEFAULT_PREEMPTION = "PreemptLowerPriority"


class Priority(Plugin):
    name = "Priority"
    concerns = frozenset({PODS, (GROUP, "priorityclasses")})

    def __init__(self, dependencies: Dependencies) -> None:
        self._reader = dependencies.reader

    async def mutate(self, request: AdmissionRequest) -> None:
        if not is_resource(request, "", "pods") or request.object is None:
            return
        spec = request.object.setdefault("spec", {})
        if request.operation is Operation.CREATE:
            await self._set_priority(request, spec)
        elif request.operation is Operation.UPDATE:
            old = (request.old_object or {}).get("spec") or {}
            for field in ("priority", "preemptionPolicy"):
                if spec.get(field) is None and old.get(field) is not None:
                    spec[field] = old[field]

    async def validate(self, request: AdmissionRequest) -> None:
        if request.operation not in (Operation.CREATE, Operation.UPDATE) or request.object is None:
            return
        if is_resource(request, GROUP, "priorityclasses") and request.object.get("globalDefault"):
            for other in self._reader.list(GROUP, "priorityclasses"):
                if other.get("globalDefault") and meta.name_of(other) != meta.name_of(request.object):
                    raise forbidden(
                        request,
                        f"PriorityClass {meta.name_of(other)} is already marked as default. "
                        "Only one default can exist",
                    )

    async def _set_priority(self, request: AdmissionRequest, spec: Object) -> None:
        name = spec.get("priorityClassName") or ""
        if name:
            found = self._reader.get(GROUP, "priorityclasses", "", name)
            if found is None:
                found = await self._reader.get_live(GROUP, "priorityclasses", "", name)
            if found is None:
                raise forbidden(request, f"no PriorityClass with name {name} was found")
        else:
            found = self._default()
        if found is None:
            value, policy = DEFAULT_PRIORITY, DEFAULT_PREEMPTION
        else:
            value = int(found.get("value") or 0)
            policy = found.get("preemptionPolicy") or DEFAULT_PREEMPTION
            if not name:
                spec["priorityClassName"] = meta.name_of(found)
        _settle(request, spec, "priority", value, "integer value of priority")
        _settle(request, spec, "preemptionPolicy", policy, "string value of PreemptionPolicy")

    def _default(self) -> Object | None:
        """The lowest of the default classes: there can be two for a moment."""
        defaults = [c for c in self._reader.list(GROUP, "priorityclasses") if c.get("globalDefault")]
        return min(defaults, key=lambda c: int(c.get("value") or 0), default=None)


def _settle(request: AdmissionRequest, spec: Object, field: str, value: object, words: str) -> None:
    given = spec.get(field)
    if given is not None and given != value:
        raise forbidden(
            request,
            f"the {words} ({given}) must not be provided in pod spec; priority admission controller computed "
            f"{value} from the given PriorityClass name",
        )
    spec[field] = value
