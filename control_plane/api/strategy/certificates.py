"""CertificateSigningRequest: who asks is who is logged in; the decision and the certificate come through subresources.

Whether a decision may come or go through the subresource that is written is for validation to say; here it is only
kept from being changed in passing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control_plane.api import meta

Object = dict[str, Any]

_DECISIONS = ("Approved", "Denied")


def create_as(request: Object, user: Mapping[str, Any]) -> None:
    """Who asks for a certificate is who is logged in, whatever the object says."""
    spec = request.setdefault("spec", {})
    for key in ("username", "uid", "groups", "extra"):
        spec.pop(key, None)
        if user.get(key):
            spec[key] = user[key]


def keep_spec(new: Object, old: Object) -> None:
    new["spec"] = old.get("spec") or {}


def only_conditions(new: Object, old: Object) -> None:
    """`approval` may change the conditions and nothing else."""
    conditions = _conditions(new)
    keep_spec(new, old)
    new["status"] = {key: value for key, value in (old.get("status") or {}).items() if key != "conditions"}
    _set_conditions(new, old, conditions)


def keep_decisions(new: Object, old: Object) -> None:
    """`status`: decisions are as they were, where there are as many of them."""
    new.setdefault("status", {})
    conditions = _conditions(new)
    for type_ in _DECISIONS:
        before = [each for each in _conditions(old) if each.get("type") == type_]
        places = [place for place, each in enumerate(conditions) if each.get("type") == type_]
        if len(before) == len(places):
            for place, condition in zip(places, before, strict=True):
                conditions[place] = condition
    _set_conditions(new, old, conditions)


def _conditions(obj: Object) -> list[Object]:
    return list((obj.get("status") or {}).get("conditions") or ())


def _set_conditions(new: Object, old: Object, conditions: Sequence[Object]) -> None:
    """With the times that clients leave to the server: of the last write, and of the last change of the status."""
    now = meta.now_rfc3339()
    since = {}
    for each in reversed(_conditions(old)):
        if each.get("lastTransitionTime"):
            since[each.get("type"), each.get("status")] = each["lastTransitionTime"]
    stamped = []
    for each in conditions:
        before = since.get((each.get("type"), each.get("status")), now)
        times = {
            "lastUpdateTime": each.get("lastUpdateTime") or now,
            "lastTransitionTime": each.get("lastTransitionTime") or before,
        }
        stamped.append({**each, **times})
    new["status"].pop("conditions", None)
    if stamped:
        new["status"]["conditions"] = stamped
