"""resource.k8s.io: what the server adds to slices and taint rules, and takes from claims."""

from __future__ import annotations

from typing import Any

from control_plane.api import meta

Object = dict[str, Any]


def create_slice(slice_: Object) -> None:
    _stamp(slice_, {})


def update_slice(new: Object, old: Object) -> None:
    _stamp(new, {key: since for key, since in _taints(old) if since})


def create_rule(rule: Object) -> None:
    taint = rule["spec"]["taint"]
    rule["spec"]["taint"] = {**taint, "timeAdded": taint.get("timeAdded") or meta.now_rfc3339()}


def update_rule(new: Object, old: Object) -> None:
    """The time is that of the effect: how long a taint is tolerated counts from when it began to matter."""
    taint, before = new["spec"]["taint"], old["spec"]["taint"]
    since = taint.get("timeAdded") or before["timeAdded"]
    if taint["effect"] != before["effect"] and since == before["timeAdded"]:
        since = meta.now_rfc3339()
    new["spec"]["taint"] = {**taint, "timeAdded": since}


def update_claim_status(new: Object, old: Object) -> None:
    """Of devices that are no longer allocated nobody needs to know how they are."""
    status = new.get("status") or {}
    if not status.get("devices"):
        return
    given = {_device(each) for each in meta.nested(status, "allocation", "devices", "results", default=())}
    kept = [each for each in status["devices"] if _device(each) in given]
    if kept:
        status["devices"] = kept
    else:
        del status["devices"]


def _stamp(slice_: Object, known: dict[tuple[str, ...], str]) -> None:
    """When a taint came, where the driver does not say: it keeps its time while it stays."""
    spec, now = slice_["spec"], meta.now_rfc3339()
    if not any(device.get("taints") for device in spec.get("devices") or ()):
        return
    spec["devices"] = [
        {**device, "taints": [_stamped(device, taint, known, now) for taint in device["taints"]]}
        if device.get("taints")
        else device
        for device in spec["devices"]
    ]


def _stamped(device: Object, taint: Object, known: dict[tuple[str, ...], str], now: str) -> Object:
    return {**taint, "timeAdded": taint.get("timeAdded") or known.get(_key(device, taint), now)}


def _taints(slice_: Object) -> list[tuple[tuple[str, ...], str]]:
    return [
        (_key(device, taint), taint.get("timeAdded") or "")
        for device in meta.nested(slice_, "spec", "devices", default=())
        for taint in device.get("taints") or ()
    ]


def _key(device: Object, taint: Object) -> tuple[str, ...]:
    return device["name"], taint["key"], taint.get("value") or "", taint["effect"]


def _device(of: Object) -> tuple[str, str, str]:
    return of["driver"], of["pool"], of["device"]
