"""The AuthorizationConfiguration file (`--authorization-config`): the chain of authorizers, webhooks among them.

Checked as kube-apiserver checks it; everything that is wrong is named at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from control_plane.api import names
from control_plane.apiserver import cel
from control_plane.apiserver.authz.conditions import MatchConditions, compiled
from store.component.flags import parse_duration

API_VERSIONS = tuple(f"apiserver.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
TYPES = ("AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook")
MAX_CONDITIONS = 64
MAX_TIMEOUT_S = 30.0

Object = Mapping[str, Any]


class BadAuthorization(ValueError):
    """The configuration cannot be used."""


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    config_file: Path
    version: str
    timeout_s: float
    allowed_ttl_s: float
    refused_ttl_s: float
    denies_on_failure: bool
    conditions: MatchConditions | None


@dataclass(frozen=True, slots=True)
class Link:
    """One authorizer of the chain."""

    type: str
    name: str
    webhook: WebhookSettings | None = None


def load(raw: bytes) -> list[Link]:
    """Raises BadAuthorization."""
    try:
        document = yaml.safe_load(raw)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadAuthorization(f"the authorization configuration is no YAML: {error}") from error
    if not isinstance(document, dict) or document.get("kind") != "AuthorizationConfiguration":
        raise BadAuthorization("the authorization configuration is no AuthorizationConfiguration")
    if document.get("apiVersion") not in API_VERSIONS:
        raise BadAuthorization(f"apiVersion must be one of {', '.join(API_VERSIONS)}")
    given = document.get("authorizers")
    if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
        raise BadAuthorization("authorizers: Required value: at least one authorization mode must be defined")
    problems = list(_problems(given))
    if problems:
        raise BadAuthorization("the authorization configuration is invalid: " + "; ".join(problems))
    return [_link(each) for each in given]


def _link(given: Object) -> Link:
    webhook = given.get("webhook")
    if webhook is None:
        return Link(given["type"], given["name"])
    texts = [each["expression"] for each in webhook.get("matchConditions") or ()]
    cached = {
        key: webhook.get(flag) is not False
        for key, flag in (
            ("authorizedTTL", "cacheAuthorizedRequests"),
            ("unauthorizedTTL", "cacheUnauthorizedRequests"),
        )
    }
    ttls_s = {key: parse_duration(str(webhook[key])) if wanted else 0.0 for key, wanted in cached.items()}
    settings = WebhookSettings(
        Path(webhook["connectionInfo"]["kubeConfigFile"]),
        webhook["subjectAccessReviewVersion"],
        parse_duration(str(webhook["timeout"])),
        ttls_s["authorizedTTL"],
        ttls_s["unauthorizedTTL"],
        webhook["failurePolicy"] == "Deny",
        MatchConditions([compiled(text) for text in texts]) if texts else None,
    )
    return Link(given["type"], given["name"], settings)


def _problems(given: Sequence[Object]) -> Iterator[str]:
    types: set[str] = set()
    known: set[str] = set()
    for index, each in enumerate(given):
        path, kind, name = f"authorizers[{index}]", each.get("type"), each.get("name")
        if not kind:
            yield f"{path}.type: Required value"
            continue
        if kind not in TYPES:
            supported = ", ".join(f'"{each}"' for each in TYPES)
            yield f'{path}.type: Unsupported value: "{kind}": supported values: {supported}'
            continue
        if kind in types and kind != "Webhook":
            yield f'{path}.type: Duplicate value: "{kind}"'
        types.add(kind)
        if not isinstance(name, str) or not name:
            yield f"{path}.name: Required value"
        elif name in known:
            yield f'{path}.name: Duplicate value: "{name}"'
        else:
            yield from (f'{path}.name: Invalid value: "{name}": {why}' for why in names.dns_subdomain(name))
        known.add(str(name))
        webhook = each.get("webhook")
        if kind != "Webhook" and webhook is not None:
            yield f"{path}.webhook: Invalid value: may only be specified when type=Webhook"
        elif kind == "Webhook" and not isinstance(webhook, dict):
            yield f"{path}.webhook: Required value: required when type=Webhook"
        elif isinstance(webhook, dict):
            yield from _bad_webhook(webhook, f"{path}.webhook")


def _bad_webhook(webhook: Object, path: str) -> Iterator[str]:
    yield from _bad_duration(webhook.get("timeout"), f"{path}.timeout", MAX_TIMEOUT_S)
    for key in ("authorizedTTL", "unauthorizedTTL"):
        yield from _bad_duration(webhook.get(key), f"{path}.{key}")
    for key, accepted in (
        ("subjectAccessReviewVersion", ("v1", "v1beta1")),
        ("failurePolicy", ("NoOpinion", "Deny")),
    ):
        if not webhook.get(key):
            yield f"{path}.{key}: Required value"
        elif webhook[key] not in accepted:
            yield f'{path}.{key}: Unsupported value: "{webhook[key]}": supported values: {", ".join(accepted)}'
    yield from _bad_connection(webhook.get("connectionInfo"), f"{path}.connectionInfo")
    yield from _bad_conditions(webhook, path)


def _bad_duration(given: Any, path: str, most_s: float = float("inf")) -> Iterator[str]:
    if given in (None, ""):
        yield f"{path}: Required value"
        return
    try:
        duration_s = parse_duration(str(given))
    except argparse.ArgumentTypeError as error:
        yield f"{path}: Invalid value: {error}"
        return
    if not 0 < duration_s <= most_s:
        yield f"{path}: Invalid value: must be > 0s" + (
            f" and <= {most_s:g}s" if most_s < float("inf") else ""
        )


def _bad_connection(given: Any, path: str) -> Iterator[str]:
    info = given if isinstance(given, dict) else {}
    if info.get("type") != "KubeConfigFile":
        what = "Required value" if not info.get("type") else f'Unsupported value: "{info["type"]}"'
        yield f"{path}.type: {what}: supported values: KubeConfigFile"
        return
    file = info.get("kubeConfigFile")
    if not isinstance(file, str) or not file:
        yield f"{path}.kubeConfigFile: Required value"
    elif not Path(file).is_absolute():
        yield f'{path}.kubeConfigFile: Invalid value: "{file}": must be an absolute path'
    elif not Path(file).is_file():
        yield f'{path}.kubeConfigFile: Invalid value: "{file}": must be a regular file'


def _bad_conditions(webhook: Object, path: str) -> Iterator[str]:
    conditions = webhook.get("matchConditions") or []
    if not isinstance(conditions, list) or not all(isinstance(each, dict) for each in conditions):
        yield f"{path}.matchConditions: must be a list"
        return
    if len(conditions) > MAX_CONDITIONS:
        yield f"{path}.matchConditions: Too many: {len(conditions)}: must have at most {MAX_CONDITIONS} items"
        return
    version = webhook.get("matchConditionSubjectAccessReviewVersion")
    if conditions and version != "v1":
        what = f'Unsupported value: "{version}"' if version else "Required value"
        yield f"{path}.matchConditionSubjectAccessReviewVersion: {what}: supported values: v1"
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        where, text = f"{path}.matchConditions[{index}].expression", condition.get("expression")
        if not isinstance(text, str) or not text.strip():
            yield f"{where}: Required value"
            continue
        if text in seen:
            yield f'{where}: Duplicate value: "{text}"'
        seen.add(text)
        try:
            compiled(text)
        except (cel.CompileError, ValueError) as error:
            yield f"{where}: Invalid value: {error}"
