"""What single kinds add to the generic write strategy, one table row per kind at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from control_plane.api import meta
from control_plane.api.strategy import certificates, devices, label_keys, service
from control_plane.api.strategy.qos import qos_class

Object = dict[str, Any]

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
NAMESPACE_FINALIZER = "kubernetes"


@dataclass(frozen=True, slots=True)
class Hooks:
    create: Callable[[Object], None] | None = None
    create_as: Callable[[Object, Mapping[str, Any]], None] | None = None
    update: Callable[[Object, Object], None] | None = None
    status_update: Callable[[Object, Object], None] | None = None
    grace: Callable[[Object, int | None], int] | None = None
    subresources: Mapping[str, Callable[[Object, Object], None]] = field(default_factory=dict)


NONE = Hooks()


def _create_pod(pod: Object) -> None:
    spec = pod.setdefault("spec", {})
    label_keys.merge(pod)
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}
    if spec.get("schedulingGates"):
        pod["status"]["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }
        ]


def _update_pod_status(new: Object, old: Object) -> None:
    """Owner references stay: old kubelets send them back mangled."""
    metadata, before = new["metadata"], old.get("metadata") or {}
    metadata.pop("ownerReferences", None)
    if "ownerReferences" in before:
        metadata["ownerReferences"] = before["ownerReferences"]
    status = new.setdefault("status", {})
    if not status.get("qosClass"):
        status["qosClass"] = (old.get("status") or {}).get("qosClass") or qos_class(new.get("spec") or {})


def _only_ephemeral_containers(new: Object, old: Object) -> None:
    wanted = (new.get("spec") or {}).get("ephemeralContainers")
    _restore_all_but_metadata(new, old)
    if wanted is not None:
        before: Object = old.get("spec") or {}
        new["spec"] = {**before, "ephemeralContainers": wanted}


def _only_resources(new: Object, old: Object) -> None:
    """`pods/resize`: resources and resize policies of containers and resources of the pod, nothing else. Containers
    that are not the same ones are left for validation to refuse."""
    wanted = new.get("spec") or {}
    _restore_all_but_metadata(new, old)
    spec = dict(old.get("spec") or {})
    for key in ("containers", "initContainers"):
        if key in spec or key in wanted:
            spec[key] = _with_resources(spec.get(key) or [], wanted.get(key) or [])
    _replace(spec, wanted, "resources")
    new["spec"] = spec


def _with_resources(containers: list[Object], wanted: list[Object]) -> list[Object]:
    if [each.get("name") for each in containers] != [each.get("name") for each in wanted]:
        return wanted
    merged = [dict(container) for container in containers]
    for container, asked in zip(merged, wanted, strict=True):
        for key in ("resources", "resizePolicy"):
            _replace(container, asked, key)
    return merged


def _replace(obj: Object, by: Object, key: str) -> None:
    """Absent there is absent here."""
    obj.pop(key, None)
    if key in by:
        obj[key] = by[key]


def _restore_all_but_metadata(new: Object, old: Object) -> None:
    for key in list(new):
        if key not in ("metadata", "apiVersion", "kind"):
            del new[key]
    for key in old:
        if key not in ("metadata", "apiVersion", "kind"):
            new[key] = old[key]
    before, metadata = old.get("metadata") or {}, new["metadata"]
    for key in ("labels", "annotations", "finalizers", "ownerReferences"):
        metadata.pop(key, None)
        if key in before:
            metadata[key] = before[key]


def _pod_grace_s(pod: Object, requested_s: int | None) -> int:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    period_s: int = requested_s if requested_s is not None else spec.get("terminationGracePeriodSeconds", 30)
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0  # nothing runs that would need time
    return period_s if period_s >= 0 else 1


def _create_namespace(namespace: Object) -> None:
    spec = namespace.setdefault("spec", {})
    finalizers = spec.get("finalizers") or []
    if NAMESPACE_FINALIZER not in finalizers:
        spec["finalizers"] = [*finalizers, NAMESPACE_FINALIZER]
    namespace["status"] = {"phase": "Active"}


def _update_namespace(new: Object, old: Object) -> None:
    new.setdefault("spec", {})["finalizers"] = list((old.get("spec") or {}).get("finalizers") or [])


def _finalize_namespace(new: Object, old: Object) -> None:
    finalizers = (new.get("spec") or {}).get("finalizers") or []
    before: Object = old.get("spec") or {}
    new["status"] = old.get("status") or {}
    new["spec"] = {**before, "finalizers": finalizers}


def _create_job(job: Object) -> None:
    """Without a selector of its own a job selects by its uid, so that no two jobs share pods."""
    spec = job.setdefault("spec", {})
    if spec.get("manualSelector"):
        return
    metadata = job["metadata"]
    uid, name = metadata.get("uid", ""), metadata.get("name", "")
    template_metadata = spec.setdefault("template", {}).setdefault("metadata", {})
    labels = dict(template_metadata.get("labels") or {})
    for key, value in (
        (JOB_NAME, name),
        (CONTROLLER_UID, uid),
        ("job-name", name),
        ("controller-uid", uid),
    ):
        labels.setdefault(key, value)
    template_metadata["labels"] = labels
    selector = spec.setdefault("selector", {})
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), CONTROLLER_UID: uid}


def _create_daemon_set(daemon_set: Object) -> None:
    _annotate(daemon_set, TEMPLATE_GENERATION, "1")


def _update_daemon_set(new: Object, old: Object) -> None:
    before = ((old.get("metadata") or {}).get("annotations") or {}).get(TEMPLATE_GENERATION, "1")
    generation = int(before) if before.isdigit() else 1
    changed = (new.get("spec") or {}).get("template") != (old.get("spec") or {}).get("template")
    _annotate(new, TEMPLATE_GENERATION, str(generation + 1 if changed else generation))


def _annotate(obj: Object, key: str, value: str) -> None:
    metadata = obj.setdefault("metadata", {})
    metadata["annotations"] = {**(metadata.get("annotations") or {}), key: value}


def _create_secret(secret: Object) -> None:
    _merge_string_data(secret)


def _update_secret(new: Object, old: Object) -> None:
    if not new.get("type"):
        new["type"] = old.get("type", "Opaque")
    _merge_string_data(new)


def _merge_string_data(secret: Object) -> None:
    """`stringData` is written only: it overrides `data` and is gone afterwards."""
    from base64 import b64encode

    plain = secret.pop("stringData", None)
    if plain:
        encoded = {key: b64encode(value.encode()).decode("ascii") for key, value in plain.items()}
        secret["data"] = {**(secret.get("data") or {}), **encoded}


def _create_volume(volume: Object) -> None:
    volume["status"] = {"phase": "Pending"}


def _create_definition(definition: Object) -> None:
    """A CustomResourceDefinition starts with its storage version among the stored ones."""
    versions = (definition.get("spec") or {}).get("versions") or ()
    stored = [version.get("name", "") for version in versions if version.get("storage")]
    definition["status"] = {**(definition.get("status") or {}), "storedVersions": stored}


def _update_definition(new: Object, old: Object) -> None:
    status = new["status"] = dict(old.get("status") or {})
    stored = list(status.get("storedVersions") or ())
    for version in (new.get("spec") or {}).get("versions") or ():
        if version.get("storage") and version.get("name") not in stored:
            stored.append(version["name"])
    status["storedVersions"] = stored


def _create_api_service(api_service: Object) -> None:
    """What is served here is available from the start; of what others serve, the checks will tell."""
    if (api_service.get("spec") or {}).get("service"):
        return
    condition = {
        "type": "Available",
        "status": "True",
        "lastTransitionTime": meta.now_rfc3339(),
        "reason": "Local",
        "message": "Local APIServices are always available",
    }
    api_service["status"] = {"conditions": [condition]}


HOOKS: Mapping[str, Hooks] = {
    "apiservices.apiregistration.k8s.io": Hooks(create=_create_api_service),
    "pods": Hooks(
        create=_create_pod,
        status_update=_update_pod_status,
        grace=_pod_grace_s,
        subresources={"ephemeralcontainers": _only_ephemeral_containers, "resize": _only_resources},
    ),
    "namespaces": Hooks(
        create=_create_namespace, update=_update_namespace, subresources={"finalize": _finalize_namespace}
    ),
    "services": Hooks(create=service.prepare, update=service.prepare_update),
    "secrets": Hooks(create=_create_secret, update=_update_secret),
    "persistentvolumes": Hooks(create=_create_volume),
    "persistentvolumeclaims": Hooks(create=_create_volume),
    "jobs.batch": Hooks(create=_create_job),
    "daemonsets.apps": Hooks(create=_create_daemon_set, update=_update_daemon_set),
    "certificatesigningrequests.certificates.k8s.io": Hooks(
        create_as=certificates.create_as,
        update=certificates.keep_spec,
        status_update=certificates.keep_decisions,
        subresources={"approval": certificates.only_conditions},
    ),
    "resourceclaims.resource.k8s.io": Hooks(status_update=devices.update_claim_status),
    "devicetaintrules.resource.k8s.io": Hooks(create=devices.create_rule, update=devices.update_rule),
    "resourceslices.resource.k8s.io": Hooks(create=devices.create_slice, update=devices.update_slice),
    "customresourcedefinitions.apiextensions.k8s.io": Hooks(
        create=_create_definition, update=_update_definition
    ),
}
