"""Bundles of trust anchors: each once, of authorities only, in a bundle that is named after its signer.

A bundle that an update leaves alone is not judged again.
"""

from __future__ import annotations

from cryptography import x509

from control_plane.api import errors, names, pem
from control_plane.api.validation.certificates import signer_name
from control_plane.api.validation.registry import (
    Errors,
    Object,
    dig,
    immutable,
    on_create,
    on_update,
    problems,
    spec_of,
)

BUNDLES = "clustertrustbundles.certificates.k8s.io"
MAX_BUNDLE_BYTES = 1 << 20
_ANCHOR = "CERTIFICATE"
_OMITTED = "<value omitted>"


@on_create(BUNDLES)
def bundle(obj: Object) -> Errors:
    yield from _named_after_its_signer(obj)
    yield from _anchors(spec_of(obj).get("trustBundle") or "")


@on_update(BUNDLES)
def bundle_update(new: Object, old: Object) -> Errors:
    signers = [spec_of(each).get("signerName") for each in (new, old)]
    yield from immutable("spec.signerName", *signers)


def _named_after_its_signer(obj: Object) -> Errors:
    name, signer = dig(obj, "metadata", "name") or "", spec_of(obj).get("signerName") or ""
    prefix = signer.replace("/", ":") + ":" if signer else ""
    if not signer and ":" in name:
        why = 'ClusterTrustBundle without signer name must not have ":" in its name'
        yield errors.invalid_value("metadata.name", name, why)
    elif not name.startswith(prefix):
        why = f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"
        yield errors.invalid_value("metadata.name", name, why)
    else:
        yield from problems("metadata.name", name, names.dns_subdomain(name.removeprefix(prefix)))
    if signer:
        yield from signer_name("spec.signerName", signer)


def _anchors(text: str) -> Errors:
    path = "spec.trustBundle"
    if len(text.encode()) > MAX_BUNDLE_BYTES:
        yield errors.too_long(path, MAX_BUNDLE_BYTES)
        return
    found: dict[bytes, list[int]] = {}
    wrong = []
    for index, block in enumerate(pem.blocks(text)):
        if why := _wrong_anchor(block):
            wrong.append(f"entry {index} {why}")
        found.setdefault(block.data, []).append(index)
    yield from problems(path, _OMITTED, wrong)
    if wrong:
        return
    if not found:
        yield errors.invalid_value(path, _OMITTED, "at least one trust anchor must be provided")
    for places in found.values():
        if len(places) > 1:
            shown = " ".join(map(str, places))
            yield errors.invalid_value(path, _OMITTED, f"duplicate trust anchor (indices [{shown}])")


def _wrong_anchor(block: pem.Block) -> str:
    if block.label != _ANCHOR:
        return f"has bad block type: {block.label}"
    if block.has_headers:
        return "has PEM block headers"
    try:
        anchor = x509.load_der_x509_certificate(block.data)
        constraints = anchor.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return "does not have the CA bit set"
    except ValueError:
        return "does not parse as X.509"
    return "" if constraints.value.ca else "does not have the CA bit set"
