"""kubeconfig files: one cluster, one user, one context is all a component needs; reading takes what kubectl
writes, certificates inline or by file."""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from certs import tls
from certs.errors import Unreadable
from certs.files import write_atomic


@dataclass(frozen=True, slots=True)
class KubeConfig:
    """Where the apiserver is and who we are. PEM bytes; `token_file` is read again by its user."""

    server: str
    ca_data: bytes
    cert_data: bytes = b""
    key_data: bytes = b""
    token: str = ""
    token_file: str = ""
    namespace: str = "default"

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> KubeConfig:
        """The current context of the file. Raises Unreadable."""
        try:
            document = yaml.safe_load(Path(path).read_bytes())
            return _from_document(document, Path(path).parent)
        except (OSError, yaml.YAMLError, KeyError, TypeError, StopIteration, ValueError) as error:
            raise Unreadable(f"cannot read the kubeconfig {path}: {error!r}") from error

    def write(self, path: str | os.PathLike[str], cluster: str = "balsa", user: str = "admin") -> None:
        write_atomic(Path(path), yaml.safe_dump(self.document(cluster, user), sort_keys=False).encode())

    def document(self, cluster: str, user: str) -> dict[str, Any]:
        credentials: dict[str, str] = {}
        if self.cert_data:
            credentials["client-certificate-data"] = _encode(self.cert_data)
            credentials["client-key-data"] = _encode(self.key_data)
        if self.token:
            credentials["token"] = self.token
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": cluster,
                    "cluster": {
                        "server": self.server,
                        "certificate-authority-data": _encode(self.ca_data),
                    },
                }
            ],
            "users": [{"name": user, "user": credentials}],
            "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
            "current-context": cluster,
            "preferences": {},
        }

    def ssl_context(self) -> ssl.SSLContext:
        """A client context; OpenSSL takes the key from a file only, so it passes through a private one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(cadata=self.ca_data.decode())
        if self.cert_data:
            with tempfile.NamedTemporaryFile() as pem:  # mode 0600
                pem.write(self.cert_data + b"\n" + self.key_data)
                pem.flush()
                tls.load_chain(context, pem.name, pem.name)
        return context


def _from_document(document: dict[str, Any], base: Path) -> KubeConfig:
    contexts = {each["name"]: each["context"] for each in document["contexts"]}
    context = contexts[document["current-context"]]
    cluster = next(each["cluster"] for each in document["clusters"] if each["name"] == context["cluster"])
    user = next(each["user"] for each in document["users"] if each["name"] == context["user"]) or {}
    return KubeConfig(
        server=cluster["server"],
        ca_data=_data(cluster, "certificate-authority", base),
        cert_data=_data(user, "client-certificate", base),
        key_data=_data(user, "client-key", base),
        token=user.get("token", ""),
        token_file=user.get("tokenFile", ""),
        namespace=context.get("namespace", "default"),
    )


def _data(section: dict[str, Any], field: str, base: Path) -> bytes:
    if inline := section.get(f"{field}-data"):
        return base64.b64decode(inline)
    name: str = section.get(field, "")
    if name:
        return (base / name).read_bytes()
    return b""


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()
