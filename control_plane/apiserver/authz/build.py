"""Puts the authorizers together from `--authorization-mode`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from control_plane.apiserver.admission.interface import Reader
from control_plane.apiserver.authz.bootstrap.policy import node_rules
from control_plane.apiserver.authz.escalation import EscalationCheck
from control_plane.apiserver.authz.interface import Authorizer
from control_plane.apiserver.authz.node import NodeAuthorizer
from control_plane.apiserver.authz.rbac import RBACAuthorizer
from control_plane.apiserver.authz.rules_review import RulesResolver
from control_plane.apiserver.authz.static import AlwaysAllow, AlwaysDeny, PrivilegedGroup
from control_plane.apiserver.authz.union import UnionAuthorizer
from control_plane.apiserver.authz.webhook import (
    DEFAULT_ALLOWED_TTL_S,
    DEFAULT_REFUSED_TTL_S,
    WebhookAuthorizer,
)
from control_plane.apiserver.review_client import ReviewClient

if TYPE_CHECKING:
    from control_plane.apiserver.authz.structured import StructuredAuthorizer

MODES = ("AlwaysAllow", "AlwaysDeny", "RBAC", "Node", "Webhook")
DEFAULT_MODES = ("Node", "RBAC")


class UnknownMode(ValueError):
    """`--authorization-mode` names a mode that there is not, or one twice."""


@dataclass(frozen=True, slots=True)
class WebhookOptions:
    """The fields are kube-apiserver's `--authorization-webhook-` flags."""

    config_file: Path | None = None
    version: str = "v1"
    cache_authorized_ttl_s: float = DEFAULT_ALLOWED_TTL_S
    cache_unauthorized_ttl_s: float = DEFAULT_REFUSED_TTL_S


@dataclass(frozen=True, slots=True)
class Authorization:
    """What the apiserver needs of this package."""

    authorizer: Authorizer  # every request; refuse unless the decision is ALLOW, with `forbidden_error`
    rules: RulesResolver  # SelfSubjectRulesReview
    escalation: EscalationCheck | None  # given to `build_admission`; None without RBAC
    webhook: ReviewClient | None = None  # to be closed at the end
    structured: StructuredAuthorizer | None = None  # reloaded, and closed at the end


def build_structured(path: Path, reader: Reader) -> Authorization:
    """The chain of an AuthorizationConfiguration. Raises BadAuthorization, certs.errors.Unreadable."""
    # loads the compiler of CEL, which a server without expressions does not need
    from control_plane.apiserver.authz.structured import StructuredAuthorizer

    rbac = RBACAuthorizer(reader)

    def builtin(mode: str) -> Authorizer:
        return rbac if mode == "RBAC" else _builtin(mode, reader)

    chain = StructuredAuthorizer(path, builtin)
    known = rbac if "RBAC" in chain.modes else None
    escalation = EscalationCheck(known, chain, reader) if known is not None else None
    return Authorization(chain, RulesResolver(known, chain.modes), escalation, structured=chain)


def build_authorizer(
    modes: Sequence[str], reader: Reader, webhook: WebhookOptions | None = None
) -> Authorization:
    """The modes in the order given, after `system:masters`. Raises UnknownMode, certs.errors.Unreadable.

    After start the server calls `authz.bootstrap.reconcile.ensure_default_policy` once if RBAC is among them.
    """
    if len(set(modes)) != len(modes) or not modes:
        raise UnknownMode(f"authorization modes must be given once each: {', '.join(modes)}")
    rbac = RBACAuthorizer(reader) if "RBAC" in modes else None
    authorizers: list[Authorizer] = [PrivilegedGroup()]
    client: ReviewClient | None = None
    for mode in modes:
        match mode:
            case "AlwaysAllow" | "AlwaysDeny" | "Node":
                authorizers.append(_builtin(mode, reader))
            case "RBAC":
                assert rbac is not None
                authorizers.append(rbac)
            case "Webhook":
                if webhook is None or webhook.config_file is None:
                    raise UnknownMode(
                        "authorization-mode Webhook requires --authorization-webhook-config-file to be set"
                    )
                client = ReviewClient.load(webhook.config_file)
                ttls_s = webhook.cache_authorized_ttl_s, webhook.cache_unauthorized_ttl_s
                authorizers.append(WebhookAuthorizer(client, webhook.version, *ttls_s))
            case _:
                raise UnknownMode(f'"{mode}" is not a valid mode; there are {", ".join(MODES)}')
    union = UnionAuthorizer(authorizers)
    escalation = EscalationCheck(rbac, union, reader) if rbac is not None else None
    return Authorization(union, RulesResolver(rbac, modes), escalation, client)


def _builtin(mode: str, reader: Reader) -> Authorizer:
    match mode:
        case "AlwaysAllow":
            return AlwaysAllow()
        case "AlwaysDeny":
            return AlwaysDeny()
    assert mode == "Node"
    return NodeAuthorizer(reader, node_rules())
