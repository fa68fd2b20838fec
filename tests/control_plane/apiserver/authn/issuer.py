"""An OpenID issuer on a server of its own."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.control_plane.apiserver.webhook_server import WebhookServer

CLIENT = "kubernetes"


class Issuer:
    """An OpenID issuer, whose keys can be changed."""

    def __init__(self, server: WebhookServer) -> None:
        self.url = server.url("").rstrip("/")
        self._server = server
        self._keys: dict[str, rsa.RSAPrivateKey] = {}
        server.documents["/.well-known/openid-configuration"] = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
        }
        self.rotate("one")

    def rotate(self, key_id: str) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._keys[key_id] = key
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
        self._server.documents["/keys"] = {"keys": [{**public, "kid": key_id, "use": "sig", "alg": "RS256"}]}

    def token(self, key_id: str = "one", **claims: Any) -> str:
        whole = {"iss": self.url, "aud": CLIENT, "sub": "ann", "exp": int(time.time()) + 600, **claims}
        return jwt.encode(whole, self._keys[key_id], "RS256", {"kid": key_id})
