"""From the claims of a token to the user: by the name of a claim, or by a CEL expression over all of them.

`claims` is a map; `user` has username, uid, groups and extra. Expressions are compiled when the configuration is
read, so that what cannot be compiled is refused there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from control_plane.apiserver import cel
from control_plane.apiserver.authn.distributed_claims import DistributedClaim
from control_plane.apiserver.authn.external_issuer import Claims, TokenIssuer
from control_plane.apiserver.authn.interface import TokenResult, Unauthenticated
from control_plane.apiserver.authn.user import UserInfo

CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"

_STRINGS = cel.list_of(cel.STRING)
CLAIMS = {"claims": cel.map_of(cel.STRING, cel.DYN)}
USER = {
    "user": cel.object_of(
        "kubernetes.UserInfo",
        lambda: {
            "username": cel.STRING,
            "uid": cel.STRING,
            "groups": _STRINGS,
            "extra": cel.map_of(cel.STRING, _STRINGS),
        },
    )
}


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value comes from: a claim, or an expression; neither is no value."""

    claim: str = ""
    prefix: str = ""
    expression: cel.Program | None = None

    def __bool__(self) -> bool:
        return bool(self.claim) or self.expression is not None


@dataclass(frozen=True, slots=True)
class Rule:
    """What must be true; `message` says so where it is not."""

    text: str
    program: cel.Program
    message: str = ""


@dataclass(frozen=True, slots=True)
class ClaimMapping:
    """What becomes of claims."""

    username: Source
    groups: Source = field(default_factory=Source)
    uid: Source = field(default_factory=Source)
    extra: Mapping[str, cel.Program] = field(default_factory=dict)
    required: Mapping[str, str] = field(default_factory=dict)
    claim_rules: Sequence[Rule] = ()
    user_rules: Sequence[Rule] = ()


class JWTAuthenticator:
    """One issuer of an AuthenticationConfiguration."""

    def __init__(self, issuer: TokenIssuer, mapping: ClaimMapping) -> None:
        self._issuer = issuer
        self._mapping = mapping
        self._groups = DistributedClaim(mapping.groups.claim, issuer)

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenResult | None:
        claims = await self._issuer.claims(token)
        if claims is None:
            return None
        return TokenResult(user_of(await self._groups.expanded(claims), self._mapping), tuple(audiences))


def user_of(claims: Claims, mapping: ClaimMapping) -> UserInfo:
    """Pure. Raises Unauthenticated."""
    values = {"claims": dict(claims)}
    name = _username(claims, values, mapping.username)
    user = UserInfo(
        name,
        _uid(claims, values, mapping.uid),
        _groups(claims, values, mapping.groups),
        _extra(values, mapping),
    )
    for claim, wanted in mapping.required.items():
        if claim not in claims:
            raise Unauthenticated(f"oidc: required claim {claim} not present in ID token")
        if claims[claim] != wanted:
            raise Unauthenticated(f"oidc: required claim {claim} value does not match")
    _check(mapping.claim_rules, values, "claim validation expression")
    extra = {key: list(each) for key, each in user.extra.items()}
    seen = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": extra}
    _check(mapping.user_rules, {"user": seen}, "user info validation rule")
    return user


def _username(claims: Claims, values: Mapping[str, Any], source: Source) -> str:
    if source.expression is not None:
        name = _evaluated(source.expression, values, "username claim expression")
        if not isinstance(name, str):
            raise Unauthenticated("oidc: username claim expression must return a string")
        if not name:
            raise Unauthenticated("oidc: empty username via CEL expression is not allowed")
        return name
    name = claims.get(source.claim)
    if not isinstance(name, str):
        raise Unauthenticated(f"oidc: parse username claims {source.claim!r}: claim not present")
    if source.claim == "email" and claims.get("email_verified", True) is not True:
        raise Unauthenticated("oidc: email not verified")
    return source.prefix + name


def _groups(claims: Claims, values: Mapping[str, Any], source: Source) -> tuple[str, ...]:
    if source.expression is not None:
        return _strings(_evaluated(source.expression, values, "group claim expression"), "group")
    given = claims.get(source.claim) if source.claim else None
    if given is None:
        return ()
    groups = [given] if isinstance(given, str) else given
    if not isinstance(groups, list) or not all(isinstance(each, str) for each in groups):
        raise Unauthenticated(f"oidc: parse groups claim {source.claim!r}: not a list of strings")
    return tuple(source.prefix + each for each in groups)


def _uid(claims: Claims, values: Mapping[str, Any], source: Source) -> str:
    if not source:
        return ""
    uid = claims.get(source.claim)
    if source.expression is not None:
        uid = _evaluated(source.expression, values, "uid claim expression")
    if not isinstance(uid, str):
        raise Unauthenticated("oidc: the uid is no string, or its claim not present")
    return uid


def _extra(values: Mapping[str, Any], mapping: ClaimMapping) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    credential = values["claims"].get("jti")
    if isinstance(credential, str) and credential:
        found[CREDENTIAL_ID] = (f"JTI={credential}",)
    for key, program in mapping.extra.items():
        strings = _strings(_evaluated(program, values, "extra claim expression"), "extra")
        if strings:
            found[key] = strings
    return found


def _strings(value: Any, what: str) -> tuple[str, ...]:
    """Empty ones are as if they were not there."""
    if value is None:
        return ()
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or not all(isinstance(each, str) for each in listed):
        raise Unauthenticated(
            f"oidc: error evaluating {what} claim expression: expression must return a string or a list of strings"
        )
    return tuple(each for each in listed if each)


def _check(rules: Sequence[Rule], values: Mapping[str, Any], what: str) -> None:
    for rule in rules:
        if _evaluated(rule.program, values, what) is not True:
            why = rule.message or f"validation expression '{rule.text}' failed"
            raise Unauthenticated(f"oidc: error evaluating {what}: {why}")


def _evaluated(program: cel.Program, values: Mapping[str, Any], what: str) -> Any:
    try:
        return program.evaluate(values)
    except cel.CELError as error:
        raise Unauthenticated(f"oidc: error evaluating {what}: {error}") from error
