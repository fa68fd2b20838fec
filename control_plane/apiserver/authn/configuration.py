"""The AuthenticationConfiguration file (`--authentication-config`): issuers of tokens, and who may be anonymous.

Everything that is wrong with it is named at once, in kube-apiserver's words; no certificate or key is shown.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import yaml

from control_plane.api import names
from control_plane.apiserver.authn.anonymous import AnonymousConfig
from control_plane.apiserver.authn.claim_mapping import (
    CLAIMS,
    USER,
    ClaimMapping,
    JWTAuthenticator,
    Rule,
    Source,
)
from control_plane.apiserver.authn.external_issuer import TokenIssuer

API_VERSIONS = tuple(f"apiserver.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
MAX_ISSUERS = 64

Object = Mapping[str, Any]


class BadAuthentication(ValueError):
    """The configuration cannot be used."""


@dataclass(frozen=True, slots=True)
class AuthenticationConfiguration:
    issuers: Sequence[JWTAuthenticator] = ()
    anonymous: AnonymousConfig | None = None  # None: as the flag says


def load(raw: bytes, disallowed_issuers: Sequence[str] = ()) -> AuthenticationConfiguration:
    """`disallowed_issuers` are the server's own. Raises BadAuthentication."""
    try:
        document = yaml.safe_load(raw)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadAuthentication(f"the authentication configuration is no YAML: {error}") from error
    if not isinstance(document, dict) or document.get("kind") != "AuthenticationConfiguration":
        raise BadAuthentication("the authentication configuration is no AuthenticationConfiguration")
    if document.get("apiVersion") not in API_VERSIONS:
        raise BadAuthentication(f"apiVersion must be one of {', '.join(API_VERSIONS)}")
    return _Reading(disallowed_issuers).configuration(document)


class _Reading:
    """One pass over the document: what it comes to, and what is wrong with it."""

    def __init__(self, disallowed_issuers: Sequence[str]) -> None:
        self._disallowed = disallowed_issuers
        self._problems: list[str] = []

    def configuration(self, document: Object) -> AuthenticationConfiguration:
        issuers = _list(document.get("jwt"))
        if len(issuers) > MAX_ISSUERS:
            raise BadAuthentication(f"jwt: Too many: {len(issuers)}: must have at most {MAX_ISSUERS} items")
        made = [self._issuer(each, f"jwt[{index}]") for index, each in enumerate(issuers)]
        for key in ("url", "discoveryURL"):
            urls = [str(_map(each.get("issuer")).get(key) or "") for each in issuers]
            for url in sorted({url for url in urls if url and urls.count(url) > 1}):
                self._problems.append(f'jwt.issuer.{key}: Duplicate value: "{url}"')
        anonymous = self._anonymous(document.get("anonymous"))
        if self._problems:
            raise BadAuthentication(
                "the authentication configuration is invalid: " + "; ".join(self._problems)
            )
        return AuthenticationConfiguration([each for each in made if each is not None], anonymous)

    def _anonymous(self, given: Any) -> AnonymousConfig | None:
        if given is None:
            return None
        config = _map(given)
        paths = frozenset(str(_map(each).get("path", "")) for each in _list(config.get("conditions")))
        enabled = config.get("enabled") is True
        if paths and not enabled:
            self._problems.append(
                "anonymous.conditions: Invalid value: enabled should be set to true when conditions are defined"
            )
        return AnonymousConfig(enabled, paths)

    def _issuer(self, given: Any, path: str) -> JWTAuthenticator | None:
        config = _map(given)
        issuer = _map(config.get("issuer"))
        before = len(self._problems)
        self._problems += _bad_issuer(issuer, f"{path}.issuer", self._disallowed)
        mapping = self._mapping(config, path)
        if len(self._problems) > before or mapping is None:
            return None
        return JWTAuthenticator(
            TokenIssuer(
                issuer["url"],
                issuer["audiences"],
                ca_pem=issuer.get("certificateAuthority") or "",
                discovery_url=issuer.get("discoveryURL") or "",
            ),
            mapping,
        )

    def _mapping(self, config: Object, path: str) -> ClaimMapping | None:
        mappings = _map(config.get("claimMappings"))
        where = f"{path}.claimMappings"
        username = self._source(mappings.get("username"), f"{where}.username", prefixed=True)
        if not username:
            self._problems.append(f"{where}.username: Required value: claim or expression is required")
        groups = self._source(mappings.get("groups"), f"{where}.groups", prefixed=True)
        uid = self._source(mappings.get("uid"), f"{where}.uid", prefixed=False)
        extra = self._extra(_list(mappings.get("extra")), f"{where}.extra")
        required, claim_rules = self._claim_rules(
            _list(config.get("claimValidationRules")), f"{path}.claimValidationRules"
        )
        user_rules = self._user_rules(_list(config.get("userValidationRules")), f"{path}.userValidationRules")
        self._check_email(config, where)
        return ClaimMapping(username, groups, uid, extra, required, claim_rules, user_rules)

    def _source(self, given: Any, path: str, *, prefixed: bool) -> Source:
        config = _map(given)
        claim, expression = str(config.get("claim") or ""), str(config.get("expression") or "")
        prefix = config.get("prefix")
        if claim and expression:
            self._problems.append(f"{path}: Invalid value: claim and expression can't both be set")
        elif prefix is not None and expression:
            self._problems.append(f"{path}: Invalid value: prefix can't be set when expression is set")
        elif prefixed and claim and prefix is None:
            self._problems.append(f"{path}.prefix: Required value: prefix is required when claim is set")
        elif expression:
            wanted = ("string", "list") if path.endswith("groups") else ("string",)
            program = self._compiled(expression, CLAIMS, f"{path}.expression", wanted)
            return Source(expression=program) if program is not None else Source(claim="invalid")
        return Source(claim, str(prefix or ""))

    def _extra(self, given: Sequence[Any], path: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for index, each in enumerate(given):
            config, where = _map(each), f"{path}[{index}]"
            key, expression = str(config.get("key") or ""), str(config.get("valueExpression") or "")
            self._problems += [f'{where}.key: Invalid value: "{key}": {why}' for why in _bad_key(key)]
            if key in found:
                self._problems.append(f'{where}.key: Duplicate value: "{key}"')
            elif not expression:
                self._problems.append(f"{where}.valueExpression: Required value")
            else:
                found[key] = self._compiled(
                    expression, CLAIMS, f"{where}.valueExpression", ("string", "list")
                )
        return found

    def _claim_rules(self, given: Sequence[Any], path: str) -> tuple[dict[str, str], list[Rule]]:
        required: dict[str, str] = {}
        rules: list[Rule] = []
        for index, each in enumerate(given):
            config, where = _map(each), f"{path}[{index}]"
            claim, expression = str(config.get("claim") or ""), str(config.get("expression") or "")
            if bool(claim) == bool(expression):
                why = "claim and expression can't both be set" if claim else "claim or expression is required"
                self._problems.append(f"{where}: Invalid value: {why}")
            elif claim:
                if config.get("message"):
                    self._problems.append(
                        f"{where}.message: Invalid value: may not be specified when claim is set"
                    )
                required[claim] = str(config.get("requiredValue") or "")
            else:
                rules += self._rule(config, CLAIMS, where)
        return required, rules

    def _user_rules(self, given: Sequence[Any], path: str) -> list[Rule]:
        rules: list[Rule] = []
        for index, each in enumerate(given):
            config, where = _map(each), f"{path}[{index}]"
            if not config.get("expression"):
                self._problems.append(f"{where}.expression: Required value")
            else:
                rules += self._rule(config, USER, where)
        return rules

    def _rule(self, config: Object, variables: Mapping[str, Any], path: str) -> list[Rule]:
        text = str(config["expression"])
        program = self._compiled(text, variables, f"{path}.expression", ("bool",))
        return [Rule(text, program, str(config.get("message") or ""))] if program is not None else []

    def _compiled(self, text: str, variables: Mapping[str, Any], path: str, wanted: Sequence[str]) -> Any:
        from control_plane.apiserver import cel

        try:
            program = cel.compile_expression(text, variables)
        except cel.CompileError as error:
            self._problems.append(f"{path}: Invalid value: compilation failed: {error}")
            return None
        kind = str(program.result_type).partition("(")[0]
        if program.result_type != cel.DYN and kind not in wanted:
            self._problems.append(f"{path}: Invalid value: must evaluate to {' or '.join(wanted)}")
            return None
        return program

    def _check_email(self, config: Object, path: str) -> None:
        """An address that nobody has verified names nobody."""
        mappings = _map(config.get("claimMappings"))
        username = str(_map(mappings.get("username")).get("expression") or "")
        others = [_map(each).get("valueExpression") for each in _list(mappings.get("extra"))]
        others += [_map(each).get("expression") for each in _list(config.get("claimValidationRules"))]
        said = " ".join(str(each or "") for each in (username, *others))
        if re.search(r"\bclaims\.\??email\b", username) and "email_verified" not in said:
            self._problems.append(
                f"{path}.username.expression: Invalid value: claims.email_verified must be used in "
                "claimMappings.username.expression or claimMappings.extra[*].valueExpression or "
                "claimValidationRules[*].expression when claims.email is used in "
                "claimMappings.username.expression"
            )


def _bad_issuer(issuer: Object, path: str, disallowed: Sequence[str]) -> Iterator[str]:
    url, discovery = str(issuer.get("url") or ""), str(issuer.get("discoveryURL") or "")
    if not url:
        yield f"{path}.url: Required value"
    else:
        yield from _bad_url(url, f"{path}.url")
        if url in disallowed:
            yield f'{path}.url: Invalid value: "{url}": URL must not overlap with disallowed issuers'
    if discovery:
        yield from _bad_url(discovery, f"{path}.discoveryURL")
        if discovery.rstrip("/") == url.rstrip("/"):
            yield f"{path}.discoveryURL: Invalid value: discoveryURL must be different from URL"
    yield from _bad_audiences(issuer, path)
    pem = issuer.get("certificateAuthority")
    if pem:
        try:
            ssl.create_default_context(cadata=str(pem))
        except (ssl.SSLError, ValueError):
            yield f'{path}.certificateAuthority: Invalid value: "<omitted>": no certificate can be read from it'
    if issuer.get("egressSelectorType"):
        yield f"{path}.egressSelectorType: Invalid value: this server has no egress selectors"


def _bad_audiences(issuer: Object, path: str) -> Iterator[str]:
    audiences, policy = _list(issuer.get("audiences")), issuer.get("audienceMatchPolicy") or ""
    if not audiences:
        yield f"{path}.audiences: Required value: at least one {path}.audiences is required"
    if any(not isinstance(each, str) or not each for each in audiences):
        yield f"{path}.audiences: Required value"
    elif len(set(audiences)) < len(audiences):
        yield f"{path}.audiences: Duplicate value"
    if policy not in ("", "MatchAny"):
        yield f"{path}.audienceMatchPolicy: Invalid value: audienceMatchPolicy must be empty or MatchAny"
    elif len(audiences) > 1 and not policy:
        yield f"{path}.audienceMatchPolicy: Invalid value: must be MatchAny for multiple audiences"


def _bad_url(url: str, path: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        yield f'{path}: Invalid value: "{url}": {error}'
        return
    if parts.scheme != "https":
        yield f'{path}: Invalid value: "{url}": URL scheme must be https'
    if parts.username or parts.password:
        yield f"{path}: Invalid value: URL must not contain a username or password"
    if parts.query:
        yield f'{path}: Invalid value: "{url}": URL must not contain a query'
    if parts.fragment:
        yield f'{path}: Invalid value: "{url}": URL must not contain a fragment'


def _bad_key(key: str) -> Iterator[str]:
    """A key of extra is a domain, a slash, and more."""
    domain, slash, rest = key.partition("/")
    if not slash or not domain or not rest:
        yield 'must be a domain-prefixed path (such as "acme.io/foo")'
        return
    yield from names.dns_subdomain(domain)
    if key != key.lower():
        yield "must be lowercase"
    if any(domain == own or domain.endswith(f".{own}") for own in ("k8s.io", "kubernetes.io")):
        yield "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use"


def _map(value: Any) -> Object:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
