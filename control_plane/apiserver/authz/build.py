"""Puts the authorizers together from `--authorization-mode`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from control_plane.apiserver.admission.interface import Reader
from control_plane.apiserver.authz.bootstrap.policy import node_rules
from control_plane.apiserver.authz.escalation import EscalationCheck
from control_plane.apiserver.authz.interface import Authorizer
from control_plane.apiserver.authz.node import NodeAuthorizer
from control_plane.apiserver.authz.rbac import RBACAuthorizer
from control_plane.apiserver.authz.rules_review import RulesResolver
from control_plane.apiserver.authz.static import AlwaysAllow, AlwaysDeny, PrivilegedGroup
from control_plane.apiserver.authz.union import UnionAuthorizer

MODES = ("AlwaysAllow", "AlwaysDeny", "RBAC", "Node")
DEFAULT_MODES = ("Node", "RBAC")


class UnknownMode(ValueError):
    """`--authorization-mode` names a mode that there is not, or one twice."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """What the apiserver needs of this package."""

    authorizer: Authorizer  # every request; refuse unless the decision is ALLOW, with `forbidden_error`
    rules: RulesResolver  # SelfSubjectRulesReview
    escalation: EscalationCheck | None  # given to `build_admission`; None without RBAC


def build_authorizer(modes: Sequence[str], reader: Reader) -> Authorization:
    """The modes in the order given, after `system:masters`. Raises UnknownMode.

    After start the server calls `authz.bootstrap.reconcile.ensure_default_policy` once if RBAC is among them.
    """
    if len(set(modes)) != len(modes) or not modes:
        raise UnknownMode(f"authorization modes must be given once each: {', '.join(modes)}")
    rbac = RBACAuthorizer(reader) if "RBAC" in modes else None
    authorizers: list[Authorizer] = [PrivilegedGroup()]
    for mode in modes:
        match mode:
            case "AlwaysAllow":
                authorizers.append(AlwaysAllow())
            case "AlwaysDeny":
                authorizers.append(AlwaysDeny())
            case "Node":
                authorizers.append(NodeAuthorizer(reader, node_rules()))
            case "RBAC":
                assert rbac is not None
                authorizers.append(rbac)
            case _:
                raise UnknownMode(f'"{mode}" is not a valid mode; there are {", ".join(MODES)}')
    union = UnionAuthorizer(authorizers)
    escalation = EscalationCheck(rbac, union, reader) if rbac is not None else None
    return Authorization(union, RulesResolver(rbac, modes), escalation)
