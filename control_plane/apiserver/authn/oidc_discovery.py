"""What lets others verify service-account tokens: the OIDC discovery document and the key set (JWKS).

They are made once, from the public keys; the documents are small, static, and served as they are.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric import ec

from certs.serviceaccount import key_id

DISCOVERY_PATH = "/.well-known/openid-configuration"
JWKS_PATH = "/openid/v1/jwks"
JWKS_CONTENT_TYPE = "application/jwk-set+json"
DISCOVERY_CONTENT_TYPE = "application/json"
CACHE_CONTROL = "public, max-age=3600"

_ALGORITHMS = {256: "ES256", 384: "ES384", 521: "ES512"}
_CURVES = {256: "P-256", 384: "P-384", 521: "P-521"}


def discovery_document(issuer: str, jwks_uri: str, keys: Sequence[ec.EllipticCurvePublicKey]) -> bytes:
    algorithms = sorted({_ALGORITHMS[key.curve.key_size] for key in keys})
    return orjson.dumps(
        {
            "issuer": issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
        }
    )


def key_set(keys: Sequence[ec.EllipticCurvePublicKey]) -> bytes:
    return orjson.dumps({"keys": [_jwk(key) for key in keys]})


def _jwk(key: ec.EllipticCurvePublicKey) -> dict[str, Any]:
    size_bits = key.curve.key_size
    numbers = key.public_numbers()
    length_bytes = (size_bits + 7) // 8
    return {
        "use": "sig",
        "kty": "EC",
        "kid": key_id(key),
        "crv": _CURVES[size_bits],
        "alg": _ALGORITHMS[size_bits],
        "x": _base64url(numbers.x.to_bytes(length_bytes, "big")),
        "y": _base64url(numbers.y.to_bytes(length_bytes, "big")),
    }


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
