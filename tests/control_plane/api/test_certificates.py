"""Requests for certificates and bundles of trust anchors: what is refused, and what each subresource may change."""

from __future__ import annotations

from base64 import b64encode
from copy import deepcopy
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certs.ca import CertificateAuthority
from control_plane.api import meta
from control_plane.api.strategy import strategy_for
from control_plane.api.validation import validate_create, validate_update
from tests.control_plane.api.samples import resource, stored

Object = dict[str, Any]
REQUESTS, BUNDLES = (
    "certificatesigningrequests.certificates.k8s.io",
    "clustertrustbundles.certificates.k8s.io",
)

KEY = ec.generate_private_key(ec.SECP256R1())
SUBJECT = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ann")])
CSR = x509.CertificateSigningRequestBuilder().subject_name(SUBJECT).sign(KEY, hashes.SHA256())
PEM = CSR.public_bytes(serialization.Encoding.PEM).decode()
FORGED = CSR.public_bytes(serialization.Encoding.DER)[:-4] + b"\0\0\0\0"
AUTHORITY = CertificateAuthority.create("one")
ANCHOR, OTHER = AUTHORITY.cert_pem.decode(), CertificateAuthority.create("two").cert_pem.decode()
LEAF = AUTHORITY.issue_client("leaf").cert_pem.decode()


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def block(label: str, data: bytes, headers: str = "") -> str:
    return f"-----BEGIN {label}-----\n{headers}{b64encode(data).decode()}\n-----END {label}-----\n"


def request(**spec: Any) -> Object:
    full = {"request": encoded(PEM), "signerName": "example.com/x", "usages": ["client auth"]}
    return {"metadata": {"name": "r"}, "spec": {**full, **spec}}


def bundle(trust: str = ANCHOR, signer: str = "", name: str = "b") -> Object:
    spec = {"trustBundle": trust, **({"signerName": signer} if signer else {})}
    return {"metadata": {"name": name}, "spec": spec}


FULL_NAME = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
NOT_A_REQUEST = "PEM block type must be CERTIFICATE REQUEST"
REFUSED: list[Any] = [
    pytest.param(REQUESTS, request(), [], id="a request"),
    pytest.param(REQUESTS, request(request=encoded("x")), [NOT_A_REQUEST], id="no PEM"),
    pytest.param(REQUESTS, request(request=encoded(ANCHOR)), [NOT_A_REQUEST], id="another PEM block"),
    pytest.param(
        REQUESTS,
        request(request=encoded(block("CERTIFICATE REQUEST", b"x"))),
        ["spec.request: Invalid value: "],
        id="no PKCS#10",
    ),
    pytest.param(
        REQUESTS,
        request(request=encoded(block("CERTIFICATE REQUEST", FORGED))),
        ["spec.request: Invalid value: "],
        id="a forged signature",
    ),
    pytest.param(REQUESTS, request(usages=[]), ["spec.usages: Required value"], id="no usages"),
    pytest.param(
        REQUESTS,
        request(usages=["any", "nope", "any"]),
        ['spec.usages[1]: Unsupported value: "nope"', 'spec.usages[2]: Duplicate value: "any"'],
        id="usages",
    ),
    pytest.param(
        REQUESTS,
        request(expirationSeconds=599),
        [
            "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)"
        ],
        id="too short",
    ),
    pytest.param(
        REQUESTS,
        request(signerName="kubernetes.io/legacy-unknown"),
        ["the legacy signerName is not allowed via this API version"],
        id="the legacy signer",
    ),
    *(
        pytest.param(REQUESTS, request(signerName=signer), told, id=f"signer {signer[:30]}")
        for signer, told in [
            ("", ["spec.signerName: Required value"]),
            ("example.com", [FULL_NAME]),
            ("example.com/a/b", [FULL_NAME]),
            ("example/a", ["should be a domain with at least two segments separated by dots"]),
            ("exa_mple.com/a", ['Invalid value: "exa_mple.com": validating label "exa_mple"']),
            ("example.com/A", ['Invalid value: "A": validating label "A"']),
            ("example.com/a.b", []),
        ]
    ),
    pytest.param(BUNDLES, bundle(), [], id="anchors"),
    pytest.param(BUNDLES, bundle(ANCHOR + "and\n" + OTHER), [], id="two anchors, and text between them"),
    pytest.param(BUNDLES, bundle(""), ["at least one trust anchor must be provided"], id="no anchors"),
    pytest.param(
        BUNDLES, bundle(ANCHOR + OTHER + ANCHOR), ["duplicate trust anchor (indices [0 2])"], id="twice"
    ),
    pytest.param(BUNDLES, bundle(ANCHOR + LEAF), ["entry 1 does not have the CA bit set"], id="a leaf"),
    pytest.param(
        BUNDLES, bundle(PEM), ["entry 0 has bad block type: CERTIFICATE REQUEST"], id="a request in it"
    ),
    pytest.param(
        BUNDLES,
        bundle(block("CERTIFICATE", b"x") + block("CERTIFICATE", b"x", "A: b\n\n")),
        ["entry 0 does not parse as X.509", "entry 1 has PEM block headers"],
        id="what is no certificate",
    ),
    pytest.param(
        BUNDLES,
        bundle("x" * (1 << 20) + "y"),
        ["spec.trustBundle: Too long: may not be more than 1048576"],
        id="long",
    ),
    pytest.param(
        BUNDLES, bundle(signer="example.com/x", name="example.com:x:b"), [], id="named after its signer"
    ),
    pytest.param(
        BUNDLES,
        bundle(signer="example.com/x"),
        ["ClusterTrustBundle for signerName example.com/x must be named with prefix example.com:x:"],
        id="not named after its signer",
    ),
    pytest.param(
        BUNDLES,
        bundle(name="a:b"),
        ['ClusterTrustBundle without signer name must not have ":" in its name'],
        id="named after no signer",
    ),
    pytest.param(
        BUNDLES,
        bundle(signer="x", name="x:b"),
        ['spec.signerName: Invalid value: "x"'],
        id="a bad signer",
    ),
]


@pytest.mark.parametrize(("kind", "obj", "told"), REFUSED)
def test_creates(kind: str, obj: Object, told: list[str]) -> None:
    found = [str(each) for each in validate_create(*stored(kind, obj))]
    assert len(found) == len(told), found
    for problem, part in zip(found, told, strict=True):
        assert part in problem


def test_a_signer_stays() -> None:
    kind, old = stored(BUNDLES, bundle(signer="example.com/x", name="example.com:x:b"))
    new = deepcopy(old)
    new["spec"]["signerName"] = "example.com/y"
    assert 'spec.signerName: Invalid value: "example.com/y": field is immutable' in [
        str(each) for each in validate_update(kind, new, old)
    ]


# --- conditions and certificates

T1 = "2024-01-01T00:00:00Z"


def condition(type_: str, status: str = "True", **more: Any) -> Object:
    return {"type": type_, "status": status, "lastUpdateTime": T1, "lastTransitionTime": T1, **more}


def decided(*conditions: Object, certificate: str = "") -> Object:
    kind, made = stored(REQUESTS, request())
    assert kind.has_status
    made["status"] = {"conditions": list(conditions)} if conditions else {}
    if certificate:
        made["status"]["certificate"] = encoded(certificate)
    return made


APPROVED, DENIED, FAILED = condition("Approved"), condition("Denied"), condition("Failed")
CONDITIONS = "status.conditions: Forbidden: updates may not "
EXCLUSIVE = "Approved and Denied conditions are mutually exclusive"
WRITES: list[Any] = [
    pytest.param("approval", decided(), decided(APPROVED), [], id="approved"),
    pytest.param("approval", decided(), decided(condition("Approved", "False")), ['supported values: "True"'], id="no"),
    pytest.param("approval", decided(), decided({"type": "Approved"}), ["[0].status: Required value"], id="no status"),
    pytest.param("approval", decided(), decided(condition("")), ["[0].type: Required value"], id="no type"),
    pytest.param("approval", decided(), decided(condition("X", "Maybe")), ['"Maybe"'], id="an odd status"),
    pytest.param("approval", decided(), decided(APPROVED, DENIED), [EXCLUSIVE], id="both"),
    pytest.param("approval", decided(APPROVED), decided(APPROVED, DENIED), [EXCLUSIVE], id="both, one after the other"),
    pytest.param(
        "approval", decided(APPROVED, DENIED), decided(APPROVED, DENIED, condition("X")), [], id="both from before"
    ),
    pytest.param("approval", decided(), decided(FAILED, FAILED), ['Duplicate value: "Failed"'], id="twice"),
    pytest.param("approval", decided(FAILED, FAILED), decided(FAILED, FAILED), [], id="twice from before"),
    pytest.param("approval", decided(APPROVED), decided(), [f'{CONDITIONS}remove a condition of type "Approved"'], id="taken back"),
    pytest.param("approval", decided(FAILED), decided(), [f'{CONDITIONS}remove a condition of type "Failed"'], id="not failed"),
    pytest.param("status", decided(), decided(FAILED), [], id="failed"),
    pytest.param("status", decided(), decided(APPROVED), [f'{CONDITIONS}add a condition of type "Approved"'], id="approved through status"),
    pytest.param("status", decided(DENIED), decided(), [f'{CONDITIONS}remove a condition of type "Denied"'], id="denial removed through status"),
    pytest.param("status", decided(APPROVED), decided(APPROVED, certificate=LEAF), [], id="signed"),
    pytest.param("status", decided(), decided(certificate=LEAF + ANCHOR), [], id="a chain"),
    pytest.param("status", decided(), decided(certificate="x"), ["must contain one or more CERTIFICATE PEM blocks"], id="no PEM"),
    pytest.param("status", decided(), decided(certificate=LEAF + PEM), ["only CERTIFICATE PEM blocks are allowed"], id="another block"),
    pytest.param("status", decided(), decided(certificate=block("CERTIFICATE", b"x")), ["status.certificate: Invalid"], id="no certificate"),
    pytest.param(
        "status", decided(), decided(certificate=block("CERTIFICATE", b"x", "A: b\n\n")), ["no PEM block headers"], id="headers"
    ),
    pytest.param(
        "status",
        decided(certificate=LEAF),
        decided(certificate=ANCHOR),
        ["status.certificate: Forbidden: updates may not modify existing certificate content"],
        id="signed again",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("subresource", "old", "new", "told"), WRITES)
def test_subresources(subresource: str, old: Object, new: Object, told: list[str]) -> None:
    kind, made = resource(REQUESTS), deepcopy(new)
    strategy_for(kind).prepare_for_subresource_update(subresource, made, old)
    found = [str(each) for each in validate_update(kind, made, old, subresource)]
    assert len(found) == len(told), found
    for problem, part in zip(found, told, strict=True):
        assert part in problem


def prepared(subresource: str, old: Object, new: Object) -> Object:
    made = deepcopy(new)
    strategy_for(resource(REQUESTS)).prepare_for_subresource_update(subresource, made, old)
    return made


class TestPreparation:
    def test_status_changes_no_decision_in_passing(self) -> None:
        changed = condition("Approved", message="mine")
        made = prepared("status", decided(APPROVED), decided(FAILED, changed))
        assert made["status"]["conditions"] == [FAILED, APPROVED]

    def test_approval_sets_conditions_only(self) -> None:
        new = decided(APPROVED, certificate=LEAF)
        new["spec"]["signerName"] = "other.com/x"
        made = prepared("approval", decided(), new)
        assert made["status"] == {"conditions": [APPROVED]}
        assert made["spec"]["signerName"] == "example.com/x"

    def test_times_are_filled_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(meta, "now_rfc3339", lambda: "now")
        given: list[Object] = [{"type": type_, "status": "True"} for type_ in ("Failed", "Ready")]
        made = prepared("status", decided(FAILED), decided(*given))
        times = [
            (each["lastTransitionTime"], each["lastUpdateTime"]) for each in made["status"]["conditions"]
        ]
        assert times == [(T1, "now"), ("now", "now")]
