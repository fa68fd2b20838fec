"""The EncryptionConfiguration file: checked as kube-apiserver checks it, and what it comes to."""

from __future__ import annotations

import argparse
import binascii
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, permutations
from typing import Any

import yaml

from control_plane.apiserver.storage.encryption.errors import BadConfiguration
from control_plane.apiserver.storage.encryption.kms import KmsProvider
from control_plane.apiserver.storage.encryption.providers import (
    AES_KEY_BYTES,
    SECRETBOX_KEY_BYTES,
    AesCbc,
    AesGcm,
    Identity,
    Provider,
    Secretbox,
)
from control_plane.apiserver.storage.encryption.transformer import Scope, Transformer, Transformers
from store.component.flags import parse_duration

API_VERSION, KIND = "apiserver.config.k8s.io/v1", "EncryptionConfiguration"

_KINDS: dict[str, tuple[Callable[[str, bytes], Provider], tuple[int, ...]]] = {
    "aesgcm": (AesGcm, AES_KEY_BYTES),
    "aescbc": (AesCbc, AES_KEY_BYTES),
    "secretbox": (Secretbox, SECRETBOX_KEY_BYTES),
}
_NO_OBJECTS = ("apiserveripinfo", "serviceipallocations", "servicenodeportallocations")
_PROVIDERS = "KMS, AESGCM, AESCBC, Secretbox, Identity"

Object = dict[str, Any]


def load(raw: bytes, known: Sequence[KmsProvider] = ()) -> Transformers:
    """`known` are the key management services in use: those that stay keep their keys.
    Raises BadConfiguration, which names everything that is wrong, and no secret."""
    try:
        document = yaml.safe_load(raw)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadConfiguration("the encryption configuration is no YAML") from error
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise BadConfiguration(f"the encryption configuration is no {KIND}")
    if document.get("apiVersion") != API_VERSION:
        raise BadConfiguration(f"the encryption configuration's apiVersion must be {API_VERSION}")
    problems = list(_problems(document))
    if problems:
        raise BadConfiguration("the encryption configuration is invalid: " + "; ".join(problems))
    return _transformers(document, known)


def _transformers(document: Object, known: Sequence[KmsProvider]) -> Transformers:
    providers: dict[str, list[Provider]] = {}
    services: list[KmsProvider] = []
    for entry in document["resources"]:
        made = [each for provider in entry["providers"] for each in _made(provider, known)]
        services += [each for each in made if isinstance(each, KmsProvider)]
        for name in entry["resources"]:
            providers.setdefault(name, []).extend(made)
    scopes = [(Scope.parse(name), Transformer(each)) for name, each in providers.items()]
    return Transformers(scopes, services)


def _made(provider: Object, known: Sequence[KmsProvider]) -> list[Provider]:
    """One for each key."""
    if "kms" in provider:
        kms = provider["kms"]
        made = KmsProvider(kms["name"], kms["endpoint"], parse_duration(str(kms.get("timeout", "3s"))))
        return [next((each for each in known if each.same_as(made)), made)]
    for kind, (make, _) in _KINDS.items():
        if kind in provider:
            return [make(key["name"], b64decode(key["secret"])) for key in provider[kind]["keys"]]
    return [Identity()]


def _bad_kms(kms: Any, path: str) -> Iterator[str]:
    settings = kms if isinstance(kms, dict) else {}
    name, endpoint = str(settings.get("name") or ""), str(settings.get("endpoint") or "")
    if not name:
        yield f"{path}.name: Required value: name is a mandatory field for a kms"
    elif ":" in name:
        yield f"{path}.name: Invalid value: invalid KMS provider name {name}, must not contain ':'"
    if not endpoint:
        yield f"{path}.endpoint: Required value: endpoint is a mandatory field for a kms"
    elif not endpoint.startswith("unix://"):
        yield f"{path}.endpoint: Invalid value: unsupported scheme for KMS provider, only unix is supported"
    if settings.get("apiVersion", "v1") != "v2":
        yield f"{path}.apiVersion: Invalid value: unsupported apiVersion for KMS provider, only v2 is supported"
    if "cachesize" in settings:
        yield f"{path}.cachesize: Invalid value: cachesize is not supported in v2"
    try:
        valid = parse_duration(str(settings.get("timeout", "3s"))) > 0
    except argparse.ArgumentTypeError:
        valid = False
    if not valid:
        yield f"{path}.timeout: Invalid value: timeout should be a positive value"


def _problems(document: Object) -> Iterator[str]:
    entries = document.get("resources")
    if not isinstance(entries, list) or not entries:
        yield "resources: Required value: at least one resources is required"
        return
    services = [
        str(_map(provider.get("kms")).get("name") or "")
        for entry in entries
        for provider in _map(entry).get("providers") or ()
        if isinstance(provider, dict) and "kms" in provider
    ]
    for name in sorted({name for name in services if services.count(name) > 1}):
        yield f"resources: Invalid value: duplicate KMS provider name {name}, names must be unique"
    for index, entry in enumerate(entries):
        path = f"resources[{index}]"
        if not isinstance(entry, dict):
            yield f"{path}: must be an object"
            continue
        yield from _bad_names(entry.get("resources"), f"{path}.resources")
        providers = entry.get("providers")
        if not isinstance(providers, list) or not providers:
            yield f"{path}.providers: Required value: at least one {path}.providers is required"
            continue
        for number, provider in enumerate(providers):
            yield from _bad_provider(provider, f"{path}.providers[{number}]")


def _bad_names(names: Any, path: str) -> Iterator[str]:
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        yield f"{path}: Required value: at least one {path} is required"
        return
    for index, name in enumerate(names):
        why = _bad_name(name)
        if why:
            yield f'{path}[{index}]: Invalid value: "{name}": {why}'
    if any(one == other for one, other in pairwise(sorted(names))):
        yield f"{path}: Invalid value: the same resource cannot be specified multiple times"
    scopes = [Scope.parse(name) for name in names]
    if any(_overlap(one, other) for one, other in permutations(scopes, 2) if one != other):
        yield (
            f"{path}: Invalid value: using overlapping resources such as 'secrets' and '*.' in the same resource "
            "list is not allowed as they will be masked"
        )


def _bad_name(name: str) -> str:
    scope = Scope.parse(name)
    if name != name.lower():
        return "resource name should not contain capital letters"
    if name == "*":
        return "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources"
    if name in _NO_OBJECTS:
        return "resources which do not have REST API/s cannot be encrypted"
    if scope.group == "events.k8s.io":
        return (
            "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in "
            "the config file"
        )
    if scope.group == "extensions":
        return "'extensions' group has been removed and cannot be used for encryption"
    if scope.group == "*" and scope.resource != "*":
        return "encrypting the same resource across groups is not supported"
    return ""


def _overlap(one: Scope, other: Scope) -> bool:
    return one.resource == "*" and one.group in ("*", other.group)


def _bad_provider(provider: Any, path: str) -> Iterator[str]:
    given = [kind for kind in (*_KINDS, "kms", "identity") if isinstance(provider, dict) and kind in provider]
    if not given:
        yield f"{path}: provider does not contain any of the expected providers: {_PROVIDERS}"
    elif len(given) > 1:
        yield (
            f"{path}: more than one provider specified in a single element, should split into different list "
            "elements"
        )
    elif given == ["kms"]:
        yield from _bad_kms(provider["kms"], f"{path}.kms")
    elif given != ["identity"]:
        kind = given[0]
        settings = provider[kind] if isinstance(provider[kind], dict) else {}
        yield from _bad_keys(settings.get("keys"), f"{path}.{kind}.keys", _KINDS[kind][1])


def _bad_keys(given: Any, path: str, sizes: tuple[int, ...]) -> Iterator[str]:
    if not isinstance(given, list) or not given:
        yield f"{path}: Required value: at least one keys is required"
        return
    for index, key in enumerate(given):
        where = f"{path}[{index}]"
        if not isinstance(key, dict) or not isinstance(key.get("name"), str) or not key["name"]:
            yield f"{where}.name: Required value: name is a mandatory field for a key"
            continue
        secret = key.get("secret")
        if not isinstance(secret, str) or not secret:
            yield f"{where}.secret: Required value: secret is a mandatory field for a key"
            continue
        try:
            size = len(b64decode(secret, validate=True))
        except (binascii.Error, ValueError):
            yield f'{where}.secret: Invalid value: "REDACTED": secrets must be base64 encoded'
            continue
        if size not in sizes:
            wanted = " ".join(map(str, sizes))
            yield (
                f'{where}.secret: Invalid value: "REDACTED": secret is not of the expected length, got {size}, '
                f"expected one of [{wanted}]"
            )


def _map(value: Any) -> Object:
    return value if isinstance(value, dict) else {}
