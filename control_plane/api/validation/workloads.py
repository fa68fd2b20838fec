"""Deployments, sets and their revisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api import errors, names, selectors
from control_plane.api.validation import metadata
from control_plane.api.validation.pod import pod_template
from control_plane.api.validation.registry import (
    Errors,
    Object,
    immutable,
    not_negative,
    on_create,
    on_update,
    one_of,
    problems,
    spec_of,
)

_STATEFUL_MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_STATEFUL_FORBIDDEN = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def _selector_and_template(kind: str, spec: Mapping[str, Any], always: bool = True) -> Errors:
    selector, template = spec.get("selector"), spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector is None:
        yield errors.required("spec.selector")
        yield errors.invalid_value(
            "spec.template.metadata.labels", labels or None, "`selector` does not match template `labels`"
        )
    else:
        yield from metadata.label_selector("spec.selector", selector)
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            yield errors.invalid_value("spec.selector", selector, f"empty selector is invalid for {kind}")
        elif not matches(selector, labels):
            yield errors.invalid_value(
                "spec.template.metadata.labels", labels, "`selector` does not match template `labels`"
            )
    yield from pod_template("spec.template", template)
    pod = template.get("spec") or {}
    if always and pod.get("restartPolicy") not in (None, "", "Always"):
        yield errors.not_supported("spec.template.spec.restartPolicy", pod["restartPolicy"], ("Always",))
    if always and pod.get("activeDeadlineSeconds") is not None:
        shown = {
            "deployment": "ReplicaSet",
            "replicaset": "ReplicaSet",
            "daemonset": "DaemonSet",
            "statefulset": "StatefulSet",
        }
        yield errors.forbidden_field(
            "spec.template.spec.activeDeadlineSeconds",
            f"activeDeadlineSeconds in {shown.get(kind, 'ReplicationController')} is not Supported",
        )


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    try:
        return selectors.from_label_selector(selector).matches(labels)
    except selectors.SelectorError:
        return True  # reported already, as an invalid operator


def numbers(spec: Mapping[str, Any], *keys: str) -> Errors:
    for key in keys:
        yield from not_negative(f"spec.{key}", spec.get(key))


def int_or_percent(path: str, value: int | str | None) -> Errors:
    if isinstance(value, str):
        yield from problems(path, value, names.percent(value))
    else:
        yield from not_negative(path, value)


def at_most_all(path: str, value: int | str | None) -> Errors:
    if isinstance(value, str) and value.endswith("%") and value[:-1].isdigit() and int(value[:-1]) > 100:
        yield errors.invalid_value(path, value, "must not be greater than 100%")


def _is_zero(value: int | str | None) -> bool:
    return value in (None, 0, "0%")


@on_create("deployments.apps")
def deployment(obj: Object) -> Errors:
    spec = spec_of(obj)
    yield from numbers(spec, "replicas")
    yield from _selector_and_template("deployment", spec)
    yield from _strategy(spec.get("strategy") or {})
    yield from numbers(spec, "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    deadline_s = spec.get("progressDeadlineSeconds")
    if deadline_s is not None and deadline_s <= spec.get("minReadySeconds", 0):
        yield errors.invalid_value(
            "spec.progressDeadlineSeconds", deadline_s, "must be greater than minReadySeconds"
        )


def _strategy(strategy: Mapping[str, Any]) -> Errors:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "Recreate":
        if rolling is not None:
            yield errors.forbidden_field(
                "spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'"
            )
    elif kind == "RollingUpdate":
        yield from _rolling("spec.strategy.rollingUpdate", rolling)
    else:
        yield errors.not_supported("spec.strategy", dict(strategy), ("Recreate", "RollingUpdate"))


def _rolling(path: str, rolling: Mapping[str, Any] | None) -> Errors:
    if rolling is None:
        yield errors.required(path, "this should be defaulted and never be nil")
        return
    surge, unavailable = rolling.get("maxSurge"), rolling.get("maxUnavailable")
    yield from int_or_percent(f"{path}.maxUnavailable", unavailable)
    yield from int_or_percent(f"{path}.maxSurge", surge)
    if _is_zero(surge) and _is_zero(unavailable):
        yield errors.invalid_value(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
    yield from at_most_all(f"{path}.maxUnavailable", unavailable)


@on_update("deployments.apps", "replicasets.apps", "daemonsets.apps")
def keep_selector(new: Object, old: Object) -> Errors:
    yield from immutable("spec.selector", spec_of(new).get("selector"), spec_of(old).get("selector"))


@on_create("replicasets.apps")
def replica_set(obj: Object) -> Errors:
    spec = spec_of(obj)
    yield from numbers(spec, "replicas", "minReadySeconds")
    yield from _selector_and_template("replicaset", spec)


@on_create("replicationcontrollers")
def replication_controller(obj: Object) -> Errors:
    spec = spec_of(obj)
    yield from numbers(spec, "minReadySeconds")
    selector, template = spec.get("selector") or {}, spec.get("template")
    yield from metadata.labels("spec.selector", selector)
    if not selector:
        yield errors.required("spec.selector")
    yield from numbers(spec, "replicas")
    if template is None:
        yield errors.required("spec.template")
        return
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector and not selectors.from_set(selector).matches(labels):
        yield errors.invalid_value(
            "spec.template.metadata.labels", labels, "`selector` does not match template `labels`"
        )
    yield from pod_template("spec.template", template)


@on_create("daemonsets.apps")
def daemon_set(obj: Object) -> Errors:
    spec = spec_of(obj)
    yield from _selector_and_template("daemonset", spec)
    yield from numbers(spec, "minReadySeconds", "revisionHistoryLimit")
    strategy = spec.get("updateStrategy") or {}
    rolling = strategy.get("rollingUpdate") or {}
    if strategy.get("type") == "RollingUpdate":
        yield from int_or_percent(
            "spec.updateStrategy.rollingUpdate.maxUnavailable", rolling.get("maxUnavailable")
        )
        yield from int_or_percent("spec.updateStrategy.rollingUpdate.maxSurge", rolling.get("maxSurge"))
        for key in ("maxUnavailable", "maxSurge"):
            yield from at_most_all(f"spec.updateStrategy.rollingUpdate.{key}", rolling.get(key))
        both = not _is_zero(rolling.get("maxUnavailable")) and not _is_zero(rolling.get("maxSurge"))
        if both:
            yield errors.invalid_value(
                "spec.updateStrategy.rollingUpdate.maxSurge",
                rolling["maxSurge"],
                "may not be set when maxUnavailable is non-zero",
            )
        if _is_zero(rolling.get("maxUnavailable")) and _is_zero(rolling.get("maxSurge")):
            yield errors.required(
                "spec.updateStrategy.rollingUpdate.maxUnavailable", "cannot be 0 when maxSurge is 0"
            )
    elif strategy.get("type") != "OnDelete":
        yield errors.not_supported(
            "spec.updateStrategy.type", strategy.get("type", ""), ("OnDelete", "RollingUpdate")
        )


def _with_claimed_volumes(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The claim templates are volumes of the pods, by their names."""
    claimed = [
        (each.get("metadata") or {}).get("name", "") for each in spec.get("volumeClaimTemplates") or ()
    ]
    template = spec.get("template") or {}
    pod = template.get("spec") or {}
    if not claimed or not isinstance(pod, dict):
        return spec
    own = [each for each in pod.get("volumes") or () if each.get("name") not in claimed]
    volumes = [*({"name": name, "emptyDir": {}} for name in claimed), *own]
    return {**spec, "template": {**template, "spec": {**pod, "volumes": volumes}}}


@on_create("statefulsets.apps")
def stateful_set(obj: Object) -> Errors:
    spec = spec_of(obj)
    policy = spec.get("podManagementPolicy")
    if not policy:
        yield errors.required("spec.podManagementPolicy")
    elif policy not in ("OrderedReady", "Parallel"):
        yield errors.invalid_value("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        if strategy.get("rollingUpdate") is not None:
            yield errors.invalid_value(
                "spec.updateStrategy.rollingUpdate",
                strategy["rollingUpdate"],
                "only allowed for updateStrategy 'RollingUpdate'",
            )
    else:
        if not strategy.get("type"):
            yield errors.required("spec.updateStrategy")
        elif strategy["type"] != "RollingUpdate":
            yield errors.invalid_value(
                "spec.updateStrategy", strategy, "must be 'RollingUpdate' or 'OnDelete'"
            )
        rolling = strategy.get("rollingUpdate") or {}
        yield from not_negative("spec.updateStrategy.rollingUpdate.partition", rolling.get("partition"))
        if (unavailable := rolling.get("maxUnavailable")) is not None:
            where = "spec.updateStrategy.rollingUpdate.maxUnavailable"
            yield from int_or_percent(where, unavailable)
            if _is_zero(unavailable):
                yield errors.invalid_value(where, unavailable, "cannot be 0")
            yield from at_most_all(where, unavailable)
    yield from not_negative("spec.ordinals.start", (spec.get("ordinals") or {}).get("start"))
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for key in ("whenDeleted", "whenScaled"):
        if key in retention:
            yield from one_of(
                f"spec.persistentVolumeClaimRetentionPolicy.{key}", retention[key], ("Delete", "Retain")
            )
    yield from numbers(spec, "replicas", "minReadySeconds", "revisionHistoryLimit")
    yield from _selector_and_template("statefulset", _with_claimed_volumes(spec))


@on_update("statefulsets.apps")
def stateful_set_update(new: Object, old: Object) -> Errors:
    now = {k: v for k, v in spec_of(new).items() if k not in _STATEFUL_MUTABLE}
    then = {k: v for k, v in spec_of(old).items() if k not in _STATEFUL_MUTABLE}
    if now != then:
        yield errors.forbidden_field("spec", _STATEFUL_FORBIDDEN)


@on_create("controllerrevisions.apps")
def controller_revision(obj: Object) -> Errors:
    if obj.get("data") is None:
        yield errors.required("data", "data is mandatory")
    yield from not_negative("revision", obj.get("revision"))


@on_update("controllerrevisions.apps")
def controller_revision_update(new: Object, old: Object) -> Errors:
    yield from immutable("data", new.get("data"), old.get("data"))
