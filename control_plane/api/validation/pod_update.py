"""What of a pod may change once it exists: little, because a kubelet has acted on the rest."""

from __future__ import annotations

from typing import Any

from control_plane.api import errors
from control_plane.api.validation import pod as pods
from control_plane.api.validation.registry import Errors, Object, on_update, spec_of

_ALLOWED = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


@on_update("pods")
def pod(new: Object, old: Object) -> Errors:
    spec, before = spec_of(new), spec_of(old)
    for key in ("containers", "initContainers"):
        if len(spec.get(key) or ()) != len(before.get(key) or ()):
            yield errors.forbidden_field(f"spec.{key}", "pod updates may not add or remove containers")
            return
    yield from _deadline(spec, before)
    yield from _tolerations(spec, before)
    yield from _gates(spec, before)
    if _neutral(spec, before) != before:
        yield errors.forbidden_field("spec", f"{_ALLOWED}\n{_difference(spec, before)}")


def _deadline(spec: dict[str, Any], before: dict[str, Any]) -> Errors:
    new_s, old_s = spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")
    if new_s is None and old_s is not None:
        yield errors.invalid_value(
            "spec.activeDeadlineSeconds", None, "must not update from a positive integer to nil value"
        )
    elif new_s is not None and old_s is not None and new_s > old_s:
        yield errors.invalid_value(
            "spec.activeDeadlineSeconds", new_s, f"must be less than or equal to previous value {old_s}"
        )


def _tolerations(spec: dict[str, Any], before: dict[str, Any]) -> Errors:
    kept = [_key(t) for t in spec.get("tolerations") or ()]
    if any(_key(toleration) not in kept for toleration in before.get("tolerations") or ()):
        yield errors.forbidden_field(
            "spec.tolerations", "existing toleration can not be modified except its tolerationSeconds"
        )


def _key(toleration: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}


def _gates(spec: dict[str, Any], before: dict[str, Any]) -> Errors:
    had = {gate.get("name") for gate in before.get("schedulingGates") or ()}
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        if gate.get("name") not in had:
            yield errors.forbidden_field(
                f"spec.schedulingGates[{index}].name",
                f"only deletion is allowed, but found new scheduling gate '{gate.get('name', '')}'",
            )


def _neutral(spec: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """The new spec with everything that may change put back."""
    same = dict(spec)
    for key in ("containers", "initContainers"):
        if key in spec:
            pairs = zip(spec[key], before.get(key) or (), strict=False)
            same[key] = [c | {"image": was.get("image", "")} if c.get("image") else c for c, was in pairs]
    for key in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        _restore(same, before, key)
    if same.get("terminationGracePeriodSeconds") == 1 and before.get("terminationGracePeriodSeconds", 0) < 0:
        same["terminationGracePeriodSeconds"] = before["terminationGracePeriodSeconds"]
    if before.get("schedulingGates"):  # a gated pod may be steered before the scheduler sees it
        for key in ("nodeSelector", "affinity"):
            _restore(same, before, key)
    return same


def _restore(same: dict[str, Any], before: dict[str, Any], key: str) -> None:
    if key in before:
        same[key] = before[key]
    else:
        same.pop(key, None)


def _difference(spec: dict[str, Any], before: dict[str, Any]) -> str:
    """The fields that changed, old and new."""
    same = _neutral(spec, before)
    changed = sorted(key for key in same.keys() | before.keys() if same.get(key) != before.get(key))
    lines = [
        f"-  {key}: {errors.show_value(before.get(key))}\n+  {key}: {errors.show_value(spec.get(key))}"
        for key in changed
    ]
    return "\n".join(lines)


def ephemeral_containers(new: Object, old: Object) -> Errors:
    """They are added, never changed or taken away."""
    spec, before = spec_of(new), spec_of(old)
    yield from pods.pod_spec("spec", spec)
    now = {container.get("name"): container for container in spec.get("ephemeralContainers") or ()}
    for container in before.get("ephemeralContainers") or ():
        found = now.get(container.get("name"))
        if found is None:
            yield errors.forbidden_field(
                "spec.ephemeralContainers",
                f"existing ephemeral containers {errors.quote(container.get('name', ''))} may not be removed\n",
            )
        elif found != container:
            yield errors.forbidden_field(
                "spec.ephemeralContainers",
                f"existing ephemeral containers {errors.quote(container.get('name', ''))} may not be changed\n",
            )
