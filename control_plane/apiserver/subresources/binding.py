"""`pods/binding`: the scheduler's word that a pod runs on a node. A pod is bound once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from control_plane.api import errors, meta
from control_plane.api.copying import copied
from control_plane.apiserver.admission.interface import Operation
from control_plane.apiserver.core import Context
from control_plane.apiserver.handlers import body, respond, write
from control_plane.apiserver.handlers.options import write_options
from control_plane.apiserver.messages import Response
from control_plane.apiserver.storage.objects import Stored

BINDING_GVK = ("", "v1", "Binding")

Object = dict[str, Any]


async def create(ctx: Context) -> Response:
    options = write_options(ctx.request, "CreateOptions")
    binding = await body.read_object(ctx, BINDING_GVK, options.field_validation)
    write.check_namespace(ctx, binding)
    name = binding["metadata"].get("name", "")
    if not ctx.info.name:  # a POST to `bindings` names its pod in the body only
        ctx = replace(ctx, info=replace(ctx.info, name=name, resource="pods", subresource="binding"))
    elif name and name != ctx.info.name:
        raise errors.bad_request("name in URL does not match name in Binding object")
    _check_target(ctx, binding)
    request = write.admission_request(ctx, Operation.CREATE, binding, None, options.dry_run)
    await ctx.core.admission.mutate(request)
    await ctx.core.admission.validate(request)

    async def change(current: Stored) -> write.Plan:
        return write.Plan(bound(ctx, copied(current.object), binding))

    await write.guaranteed_update(ctx, change, options.dry_run)
    return respond.plain_object(ctx, errors.success() | {"code": 201}, 201)


def _check_target(ctx: Context, binding: Object) -> None:
    target = binding.get("target") or {}
    problems = []
    if target.get("kind") not in (None, "", "Node"):
        problems.append(errors.not_supported("target.kind", target["kind"], ("Node", "<empty>")))
    if not target.get("name"):
        problems.append(errors.required("target.name"))
    if problems:
        raise errors.invalid("", "Binding", ctx.info.name, problems)


def bound(ctx: Context, pod: Object, binding: Object) -> Object:
    """The pod on its node. Raises StatusError Conflict."""
    metadata, spec = pod["metadata"], pod["spec"]
    target = binding["target"]["name"]
    wanted = binding["metadata"]
    why = ""
    if wanted.get("uid") and wanted["uid"] != metadata.get("uid"):
        why = (
            f"Precondition failed: UID in precondition: {wanted['uid']}, "
            f"UID in object meta: {metadata.get('uid', '')}"
        )
    elif wanted.get("resourceVersion") and wanted["resourceVersion"] != metadata.get("resourceVersion"):
        why = (
            f"Precondition failed: ResourceVersion in precondition: {wanted['resourceVersion']}, "
            f"ResourceVersion in object meta: {metadata.get('resourceVersion', '')}"
        )
    elif metadata.get("deletionTimestamp"):
        why = f"pod {metadata['name']} is being deleted, cannot be assigned to a host"
    elif spec.get("nodeName"):
        why = f"pod {metadata['name']} is already assigned to node {errors.quote(spec['nodeName'])}"
    elif spec.get("schedulingGates"):
        why = f"pod {metadata['name']} has non-empty .spec.schedulingGates"
    if why:
        if metadata.get("deletionTimestamp") or spec.get("nodeName") or spec.get("schedulingGates"):
            raise errors.conflict("", "pods/binding", ctx.info.name, why)
        raise errors.conflict("", "pods", ctx.info.name, why)
    spec["nodeName"] = target
    for field in ("annotations", "labels"):
        if wanted.get(field):
            metadata[field] = {**(metadata.get(field) or {}), **wanted[field]}
    _set_scheduled(pod, meta.rfc3339(ctx.core.clock()))
    return pod


def _set_scheduled(pod: Object, now: str) -> None:
    status = pod.setdefault("status", {})
    status.pop("nominatedNodeName", None)  # the promise is kept
    conditions = [each for each in status.get("conditions") or [] if each.get("type") != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
    if generation := pod["metadata"].get("generation"):
        scheduled["observedGeneration"] = generation
    status["conditions"] = [*conditions, scheduled]
