"""Small helpers on API objects, which are plain dicts everywhere: metadata, owners, conditions, times.

Nothing here reads a clock: times are passed in as seconds since the epoch and leave as RFC 3339.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

Object = dict[str, Any]


def name_of(obj: Mapping[str, Any]) -> str:
    return str(metadata(obj).get("name") or "")


def namespace_of(obj: Mapping[str, Any]) -> str:
    return str(metadata(obj).get("namespace") or "")


def uid_of(obj: Mapping[str, Any]) -> str:
    return str(metadata(obj).get("uid") or "")


def resource_version_of(obj: Mapping[str, Any]) -> str:
    return str(metadata(obj).get("resourceVersion") or "")


def metadata(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata for reading; an object without any has an empty one."""
    found: dict[str, Any] = obj.get("metadata") or {}
    return found


def ensure_metadata(obj: Object) -> dict[str, Any]:
    """The metadata for writing."""
    found = obj.get("metadata")
    if not isinstance(found, dict):
        found = obj["metadata"] = {}
    return found


def labels(obj: Mapping[str, Any]) -> dict[str, str]:
    return metadata(obj).get("labels") or {}


def annotations(obj: Mapping[str, Any]) -> dict[str, str]:
    return metadata(obj).get("annotations") or {}


def set_label(obj: Object, key: str, value: str) -> None:
    meta = ensure_metadata(obj)
    meta["labels"] = {**(meta.get("labels") or {}), key: value}


def set_annotation(obj: Object, key: str, value: str) -> None:
    meta = ensure_metadata(obj)
    meta["annotations"] = {**(meta.get("annotations") or {}), key: value}


def key_of(obj: Mapping[str, Any]) -> str:
    """`namespace/name`, or `name` where there is no namespace: the key of caches and queues."""
    namespace = namespace_of(obj)
    return f"{namespace}/{name_of(obj)}" if namespace else name_of(obj)


def split_key(key: str) -> tuple[str, str]:
    namespace, slash, name = key.rpartition("/")
    return (namespace, name) if slash else ("", key)


def is_deleting(obj: Mapping[str, Any]) -> bool:
    return bool(metadata(obj).get("deletionTimestamp"))


def finalizers(obj: Mapping[str, Any]) -> list[str]:
    return metadata(obj).get("finalizers") or []


def owner_references(obj: Mapping[str, Any]) -> list[dict[str, Any]]:
    return metadata(obj).get("ownerReferences") or []


def controller_of(obj: Mapping[str, Any]) -> dict[str, Any] | None:
    """The one owner that manages this object."""
    return next((owner for owner in owner_references(obj) if owner.get("controller")), None)


def is_controlled_by(obj: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    controller = controller_of(obj)
    return controller is not None and controller.get("uid") == uid_of(owner)


def controller_reference(owner: Mapping[str, Any]) -> dict[str, Any]:
    """What an object made on `owner`'s behalf carries. `owner` must have its apiVersion and kind."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def condition(obj: Mapping[str, Any], type_: str) -> dict[str, Any] | None:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c.get("type") == type_), None)


def condition_is_true(obj: Mapping[str, Any], type_: str) -> bool:
    found = condition(obj, type_)
    return found is not None and found.get("status") == "True"


def group_version(api_version: str) -> tuple[str, str]:
    """`apps/v1` -> (`apps`, `v1`); the core group has no name."""
    group, slash, version = api_version.rpartition("/")
    return (group, version) if slash else ("", api_version)


def api_version(group: str, version: str) -> str:
    return f"{group}/{version}" if group else version


def rfc3339(epoch_s: float) -> str:
    """`metav1.Time`: whole seconds."""
    return _to_the_second(int(epoch_s)) + "Z"


def rfc3339_micro(epoch_s: float) -> str:
    """`metav1.MicroTime`: always six digits."""
    micros = round(epoch_s * 1_000_000)
    return f"{_to_the_second(micros // 1_000_000)}.{micros % 1_000_000:06d}Z"


@lru_cache(maxsize=256)  # most times that are written are of the present second
def _to_the_second(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def now_rfc3339() -> str:
    """The present moment, for shells that own the clock; cores take `now` instead and call `rfc3339`."""
    return rfc3339(datetime.now(UTC).timestamp())


def now_rfc3339_micro() -> str:
    return rfc3339_micro(datetime.now(UTC).timestamp())


def parse_time(text: str | None) -> float | None:
    """Seconds since the epoch, or None for what is unset or no time."""
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def nested(obj: Any, *path: str, default: Any = None) -> Any:
    """`nested(pod, "spec", "nodeName")` without tripping over what is unset."""
    for step in path:
        # the second question costs ten times the first
        if type(obj) is not dict and not isinstance(obj, Mapping):
            return default
        obj = obj.get(step)
    return default if obj is None else obj
