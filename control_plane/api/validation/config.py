"""ConfigMaps, Secrets, service accounts."""

from __future__ import annotations

from base64 import b64decode

from control_plane.api import errors, names
from control_plane.api.validation.registry import Errors, Object, immutable, on_create, on_update, problems

MAX_BYTES = 1024 * 1024
_SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name"
_REQUIRED_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


@on_create("configmaps")
def config_map(obj: Object) -> Errors:
    size = 0
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    for key, value in data.items():
        yield from problems(f"data[{key}]", key, names.config_key(key))
        if key in binary:
            yield errors.invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData")
        size += len(value.encode())
    for key, value in binary.items():
        yield from problems(f"binaryData[{key}]", key, names.config_key(key))
        size += len(b64decode(value))
    if size > MAX_BYTES:
        yield errors.too_long("", MAX_BYTES)


@on_update("configmaps")
def config_map_update(new: Object, old: Object) -> Errors:
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield errors.forbidden_field("immutable", "field is immutable when `immutable` is set")
    for key in ("data", "binaryData"):
        if (new.get(key) or {}) != (old.get(key) or {}):
            yield errors.forbidden_field(key, "field is immutable when `immutable` is set")


@on_create("secrets")
def secret(obj: Object) -> Errors:
    data, kind, size = obj.get("data") or {}, obj.get("type", ""), 0
    for key, value in data.items():
        yield from problems(f"data[{key}]", key, names.config_key(key))
        size += len(b64decode(value))
    if size > MAX_BYTES:
        yield errors.too_long("data", MAX_BYTES)
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    if kind == "kubernetes.io/service-account-token" and not annotations.get(_SERVICE_ACCOUNT_NAME):
        yield errors.required(f"metadata.annotations[{_SERVICE_ACCOUNT_NAME}]")
    for key in _REQUIRED_KEYS.get(kind, ()):
        if key not in data:
            yield errors.required(f"data[{key}]")
    if kind == "kubernetes.io/basic-auth" and not ("username" in data or "password" in data):
        yield errors.required("data[username]")
        yield errors.required("data[password]")


@on_update("secrets")
def secret_update(new: Object, old: Object) -> Errors:
    yield from immutable("type", new.get("type"), old.get("type"))
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield errors.forbidden_field("immutable", "field is immutable when `immutable` is set")
    if (new.get("data") or {}) != (old.get("data") or {}):
        yield errors.forbidden_field("data", "field is immutable when `immutable` is set")
