"""What a CertificateSigningRequest asks for, and whether its signer may give it.

The rules are those of Kubernetes' built-in signers: what a node agent's certificates must look like, and which
usages a client's may have.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

from control_plane.api import meta
from control_plane.api.meta import Object

CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
LEGACY = "kubernetes.io/legacy-unknown"

NODE_PREFIX = "system:node:"
NODES_GROUP = "system:nodes"
_OPTIONAL = {"key encipherment"}
_KUBELET_CLIENT_USAGES = {"digital signature", "client auth"}
_KUBELET_SERVING_USAGES = {"digital signature", "server auth"}
_CLIENT_USAGES = {"digital signature", "key encipherment", "client auth"}
_WRONG_USAGES = "usages did not match those of a kubelet's certificate"


@dataclass(frozen=True, slots=True)
class Subject:
    common_name: str
    organizations: tuple[str, ...]
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


def pem_of(request: Object) -> bytes:
    """Raises ValueError."""
    try:
        return base64.b64decode(request["spec"].get("request", ""), validate=True)
    except binascii.Error as error:
        raise ValueError(f"unable to parse csr: {error}") from error


def subject_of(request: Object) -> Subject:
    """Raises ValueError."""
    parsed = x509.load_pem_x509_csr(pem_of(request))
    names = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    organizations = parsed.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    common_name = str(names[0].value) if names else ""
    groups = tuple(str(each.value) for each in organizations)
    try:
        alternative = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return Subject(common_name, groups)
    return Subject(
        common_name,
        groups,
        tuple(alternative.get_values_for_type(x509.DNSName)),
        tuple(str(each) for each in alternative.get_values_for_type(x509.IPAddress)),
        tuple(alternative.get_values_for_type(x509.RFC822Name)),
        tuple(alternative.get_values_for_type(x509.UniformResourceIdentifier)),
    )


def refusal(signer: str, subject: Subject, usages: Sequence[str]) -> str:
    """Why this signer must not sign it; "" if it may."""
    wanted = set(usages)
    match signer:
        case "kubernetes.io/kube-apiserver-client":
            if "client auth" not in wanted or not wanted <= _CLIENT_USAGES:
                return f"usages did not match {sorted(_CLIENT_USAGES)}"
        case "kubernetes.io/kube-apiserver-client-kubelet":
            return _kubelet_client_refusal(subject, wanted)
        case "kubernetes.io/kubelet-serving":
            return _kubelet_serving_refusal(subject, wanted)
    return ""


def _kubelet_client_refusal(subject: Subject, usages: set[str]) -> str:
    if subject.organizations != (NODES_GROUP,):
        return "subject organization is not system:nodes"
    if subject.dns_names or subject.addresses:
        return "DNS or IP subjectAltNames are not allowed"
    if subject.emails or subject.uris:
        return "Email or URI subjectAltNames are not allowed"
    if not subject.common_name.startswith(NODE_PREFIX):
        return "subject common name does not begin with system:node:"
    return "" if usages - _OPTIONAL == _KUBELET_CLIENT_USAGES else _WRONG_USAGES


def _kubelet_serving_refusal(subject: Subject, usages: set[str]) -> str:
    if subject.organizations != (NODES_GROUP,):
        return "subject organization is not system:nodes"
    if not subject.dns_names and not subject.addresses:
        return "DNS or IP subjectAltName is required"
    if subject.emails or subject.uris:
        return "Email or URI subjectAltNames are not allowed"
    if not subject.common_name.startswith(NODE_PREFIX):
        return "subject common name does not begin with system:node:"
    return "" if usages - _OPTIONAL == _KUBELET_SERVING_USAGES else _WRONG_USAGES


def is_approved(request: Object) -> bool:
    return _has(request, "Approved") and not _has(request, "Denied")


def is_decided(request: Object) -> bool:
    return _has(request, "Approved") or _has(request, "Denied")


def is_done(request: Object) -> bool:
    return bool(meta.nested(request, "status", "certificate")) or _has(request, "Failed")


def _has(request: Object, type_: str) -> bool:
    return meta.condition(request, type_) is not None


def with_condition(request: Object, type_: str, reason: str, message: str, now: float) -> Object:
    stamp = meta.rfc3339(now)
    made = {
        "type": type_,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastUpdateTime": stamp,
        "lastTransitionTime": stamp,
    }
    status = request.get("status") or {}
    return {**request, "status": {**status, "conditions": [*(status.get("conditions") or ()), made]}}
