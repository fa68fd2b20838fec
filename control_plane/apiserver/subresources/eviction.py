"""`pods/eviction`: a deletion that a PodDisruptionBudget may refuse (policy/v1).

The budget's status is the ledger: an eviction takes one of `disruptionsAllowed` and notes the pod in
`disruptedPods`, by compare-and-swap, before the pod is deleted. What the disruption controller has not observed
yet cannot be spent.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

from control_plane.api import errors, meta, selectors
from control_plane.apiserver.admission.interface import Operation
from control_plane.apiserver.core import Context
from control_plane.apiserver.handlers import body, respond, write
from control_plane.apiserver.handlers.delete import check_preconditions, delete_object
from control_plane.apiserver.handlers.get import not_found
from control_plane.apiserver.handlers.options import DeleteOptions, delete_options, write_options
from control_plane.apiserver.messages import Response
from control_plane.apiserver.storage.objects import Stored

EVICTION_GVK = ("policy", "v1", "Eviction")
MAX_DISRUPTED_PODS = 2000
RETRY_AFTER_S = 10

Object = dict[str, Any]


async def create(ctx: Context) -> Response:
    query = write_options(ctx.request, "CreateOptions")
    eviction = await body.read_object(ctx, EVICTION_GVK, query.field_validation)
    write.check_namespace(ctx, eviction)
    name = eviction["metadata"].get("name", "")
    if name and name != ctx.info.name:
        raise errors.bad_request("name in URL does not match name in Eviction object")
    options = delete_options(ctx.request, eviction.get("deleteOptions") or {})
    options = replace(options, dry_run=options.dry_run or query.dry_run)
    request = write.admission_request(ctx, Operation.CREATE, eviction, None, options.dry_run)
    await ctx.core.admission.mutate(request)
    await ctx.core.admission.validate(request)
    stored, _ = await write.current_object(ctx, live=True)
    if stored is None:
        raise not_found(ctx)
    pod = stored.object
    if not options.uid:
        options = replace(options, uid=pod["metadata"]["uid"])
    if not _ignores_budget(pod):
        budget = await _budget(ctx, pod)
        if budget is not None and not _unready_may_go(pod, budget):
            await _spend(ctx, pod, budget, options.dry_run)
    if not options.dry_run:
        options = await _mark(ctx, options)
    await delete_object(replace(ctx, info=replace(ctx.info, subresource="")), options)
    return respond.plain_object(ctx, errors.success() | {"code": 201}, 201)


async def _mark(ctx: Context, options: DeleteOptions) -> DeleteOptions:
    """The pod says why it goes, for whoever counts its failures. A version that the client named is that before the
    mark: the options returned name the one after it."""
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
        "lastTransitionTime": meta.rfc3339(ctx.core.clock()),
    }
    other = replace(ctx, info=replace(ctx.info, subresource="status"))

    async def change(current: Stored) -> write.Plan:
        check_preconditions(ctx, current, options)
        if meta.condition_is_true(current.object, condition["type"]):
            return write.Plan(current.object)
        new = deepcopy(current.object)
        status = new.setdefault("status", {})
        others = [each for each in status.get("conditions") or () if each["type"] != condition["type"]]
        status["conditions"] = [*others, condition]
        return write.Plan(new)

    outcome = await write.guaranteed_update(other, change)
    if not options.resource_version:
        return options
    return replace(options, resource_version=meta.resource_version_of(outcome.object))


def _ignores_budget(pod: Object) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or bool(pod["metadata"].get("deletionTimestamp"))


async def _budget(ctx: Context, pod: Object) -> Object | None:
    """The one budget that selects the pod. Raises StatusError when several do."""
    labels = meta.labels(pod)
    cache = ctx.core.feed.cache("policy", "poddisruptionbudgets")
    matching = [
        budget
        for budget in cache.objects(f"{ctx.namespace}/")
        if selectors.from_label_selector((budget.get("spec") or {}).get("selector")).matches(labels)
    ]
    if len(matching) > 1:
        raise errors.internal(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    return matching[0] if matching else None


def _unready_may_go(pod: Object, budget: Object) -> bool:
    """An unready pod disrupts nothing: by policy always, or when enough are healthy without it."""
    if meta.condition_is_true(pod, "Ready"):
        return False
    spec, status = budget.get("spec") or {}, budget.get("status") or {}
    if spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    healthy, desired = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
    return bool(healthy >= desired > 0)


async def _spend(ctx: Context, pod: Object, budget: Object, dry_run: bool) -> None:
    """Take one allowed disruption. Raises StatusError TooManyRequests."""
    resource = ctx.core.registry.find("policy", "poddisruptionbudgets")
    assert resource is not None
    name = budget["metadata"]["name"]
    info = replace(ctx.info, name=name, resource=resource.resource, group="policy", subresource="status")
    other = replace(ctx, resource=resource, info=info)

    async def change(current: Stored) -> write.Plan:
        new = deepcopy(current.object)
        _check_and_count(new, pod, meta.rfc3339(ctx.core.clock()))
        return write.Plan(new)

    await write.guaranteed_update(other, change, dry_run)


def _check_and_count(budget: Object, pod: Object, now: str) -> None:
    status = budget.setdefault("status", {})
    generation = budget["metadata"].get("generation", 0)
    name = budget["metadata"]["name"]
    if status.get("observedGeneration", 0) < generation:
        raise _refusal(name, f"The disruption budget {name} is still being processed by the server.")
    allowed = status.get("disruptionsAllowed", 0)
    if allowed < 0:
        raise errors.forbidden("policy", "poddisruptionbudgets", name, "pdb disruptions allowed is negative")
    disrupted = status.get("disruptedPods") or {}
    if len(disrupted) > MAX_DISRUPTED_PODS:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise errors.forbidden("policy", "poddisruptionbudgets", name, why)
    if allowed == 0:
        message = (
            f"The disruption budget {name} needs {status.get('desiredHealthy', 0)} healthy pods and has "
        )
        raise _refusal(name, message + f"{status.get('currentHealthy', 0)} currently")
    status["disruptionsAllowed"] = allowed - 1
    status["disruptedPods"] = {**disrupted, pod["metadata"]["name"]: now}


def _refusal(name: str, message: str) -> errors.StatusError:
    cause = {"reason": "DisruptionBudget", "message": message}
    return errors.StatusError(
        429,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
        {"causes": [cause]},
        RETRY_AFTER_S if "still being processed" in message else None,
    )
