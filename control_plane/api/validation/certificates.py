"""Requests for certificates: what may be asked for, and what each subresource may decide.

The decision (conditions Approved and Denied) comes through `approval`, the certificate through `status`; neither
takes back what is there. What was wrong before an update and stays may stay.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error
from collections.abc import Callable, Sequence
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from control_plane.api import errors, names, pem
from control_plane.api.validation.registry import (
    Errors,
    Object,
    dig,
    immutable,
    on_create,
    on_status,
    on_update,
    problems,
    spec_of,
)

REQUESTS = "certificatesigningrequests.certificates.k8s.io"

APPROVED, DENIED, FAILED = "Approved", "Denied", "Failed"
LEGACY_SIGNER = "kubernetes.io/legacy-unknown"
MIN_EXPIRATION_S = 600
MAX_SIGNER_CHARS = names.SUBDOMAIN_MAX + 1 + names.SUBDOMAIN_MAX + names.LABEL_MAX + 1
_CONDITIONS, _CERTIFICATE = "status.conditions", "status.certificate"
_STATUSES = ("False", "True", "Unknown")
_REQUEST, _ANCHOR = "CERTIFICATE REQUEST", "CERTIFICATE"
_USAGES = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)


@on_create(REQUESTS)
def request(obj: Object) -> Errors:
    spec = spec_of(obj)
    if why := _wrong_request(spec.get("request") or ""):
        yield errors.invalid_value("spec.request", spec.get("request") or "", why)
    yield from _usages(spec.get("usages") or ())
    signer = spec.get("signerName") or ""
    if signer == LEGACY_SIGNER:
        why = "the legacy signerName is not allowed via this API version"
        yield errors.invalid_value("spec.signerName", signer, why)
    else:
        yield from signer_name("spec.signerName", signer)
    expiration_s = spec.get("expirationSeconds")
    if expiration_s is not None and expiration_s < MIN_EXPIRATION_S:
        why = "may not specify a duration less than 600 seconds (10 minutes)"
        yield errors.invalid_value("spec.expirationSeconds", expiration_s, why)


def _wrong_request(encoded: str) -> str:
    try:
        text = b64decode(encoded).decode("utf-8", "replace")
    except Error:
        text = ""
    first = next(pem.blocks(text), None)
    if first is None or first.label != _REQUEST:
        return f"PEM block type must be {_REQUEST}"
    try:
        parsed = x509.load_der_x509_csr(first.data)
        return "" if parsed.is_signature_valid else "x509: signature is not valid"
    except (ValueError, InvalidSignature, UnsupportedAlgorithm) as error:
        return f"x509: {error}"


def _usages(usages: Sequence[str]) -> Errors:
    if not usages:
        yield errors.required("spec.usages")
    for index, usage in enumerate(usages):
        if usage not in _USAGES:
            yield errors.not_supported(f"spec.usages[{index}]", usage, _USAGES)
    for index, usage in enumerate(usages):
        if usage in usages[:index]:
            yield errors.duplicate(f"spec.usages[{index}]", usage)


def signer_name(path: str, signer: str) -> Errors:
    if not signer:
        yield errors.required(path)
        return
    segments = signer.split("/")
    if len(segments) != 2:
        why = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        yield errors.invalid_value(path, signer, why)
        return
    domain, rest = segments
    longest = names.SUBDOMAIN_MAX
    if len(domain) > longest:
        yield errors.too_long(path, longest)
    labels = domain.split(".")
    yield from _first_wrong(path, domain, labels, names.dns_label)
    if len(labels) < 2:
        why = "should be a domain with at least two segments separated by dots"
        yield errors.invalid_value(path, domain, why)
    yield from _first_wrong(path, rest, rest.split("."), names.dns_subdomain)
    if len(signer) > MAX_SIGNER_CHARS:
        yield errors.too_long(path, MAX_SIGNER_CHARS)


def _first_wrong(
    path: str, shown: str, labels: Sequence[str], check: Callable[[str], Sequence[str]]
) -> Errors:
    for label in labels:
        if found := list(check(label)):
            yield from problems(
                path, shown, [f"validating label {errors.quote(label)}: {each}" for each in found]
            )
            return


@on_update(REQUESTS)
def request_update(new: Object, old: Object) -> Errors:
    yield from immutable("spec", new.get("spec"), old.get("spec"))


@on_status(REQUESTS)
def signing(new: Object, old: Object) -> Errors:
    """A write of the status may set a certificate once, and decides nothing."""
    yield from _status(new, old)
    for decision in (APPROVED, DENIED):
        before, after = _of_type(old, decision), _of_type(new, decision)
        if len(after) > len(before):
            yield errors.forbidden_field(_CONDITIONS, f'updates may not add a condition of type "{decision}"')
        elif len(after) == len(before) and after != before:
            yield errors.forbidden_field(
                _CONDITIONS, f'updates may not modify a condition of type "{decision}"'
            )
    issued, given = dig(old, "status", "certificate"), dig(new, "status", "certificate")
    if issued and given != issued:
        yield errors.forbidden_field(_CERTIFICATE, "updates may not modify existing certificate content")


def approval(new: Object, old: Object) -> Errors:
    """A write of the decision."""
    yield from _status(new, old)


def _status(new: Object, old: Object) -> Errors:
    yield from _conditions(_all_conditions(new), _all_conditions(old))
    if not _wrong_certificate(old) and (why := _wrong_certificate(new)):
        yield errors.invalid_value(_CERTIFICATE, "<certificate data>", why)
    for kept in (APPROVED, DENIED, FAILED):
        if len(_of_type(new, kept)) < len(_of_type(old, kept)):
            yield errors.forbidden_field(_CONDITIONS, f'updates may not remove a condition of type "{kept}"')


def _conditions(conditions: Sequence[Any], before: Sequence[Any]) -> Errors:
    types, types_before = ([each.get("type", "") for each in group] for group in (conditions, before))
    both_before = {APPROVED, DENIED} <= set(types_before)
    for index, condition in enumerate(conditions):
        path, type_ = f"{_CONDITIONS}[{index}]", types[index]
        if not type_ and "" not in types_before:
            yield errors.required(f"{path}.type")
        status = condition.get("status", "")
        valid = ("True",) if type_ in (APPROVED, DENIED, FAILED) else _STATUSES
        if not status:
            yield errors.required(f"{path}.status")
        elif status not in valid:
            yield errors.not_supported(f"{path}.status", status, valid)
        other = {APPROVED: DENIED, DENIED: APPROVED}.get(type_)
        if other in types[:index] and not both_before:
            why = "Approved and Denied conditions are mutually exclusive"
            yield errors.invalid_value(f"{path}.type", type_, why)
        if type_ in types[:index] and len(set(types_before)) == len(types_before):
            yield errors.duplicate(f"{path}.type", type_)


def _wrong_certificate(obj: Object) -> str:
    encoded = dig(obj, "status", "certificate")
    if not encoded:
        return ""
    found = list(pem.blocks(b64decode(encoded).decode("utf-8", "replace")))
    for block in found:
        if block.label != _ANCHOR:
            return f"only CERTIFICATE PEM blocks are allowed, found {errors.quote(block.label)}"
        if block.has_headers:
            return "no PEM block headers are permitted"
        try:
            x509.load_der_x509_certificate(block.data)
        except ValueError as error:
            return f"x509: malformed certificate: {error}"
    return "" if found else "must contain one or more CERTIFICATE PEM blocks"


def _all_conditions(obj: Object) -> Sequence[Any]:
    return dig(obj, "status", "conditions") or ()


def _of_type(obj: Object, type_: str) -> list[Any]:
    return [each for each in _all_conditions(obj) if each.get("type") == type_]
