"""Which certificates a cluster needs, and their renewal.

Three authorities (see `certs.ca`) sign leaves that live a week; `ensure` makes what is missing and renews
what has less than half of its life left. It runs at every start and daily in the supervisor; processes read
renewed files by themselves.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from certs import serviceaccount
from certs.ca import LEAF_LIFETIME, CertificateAuthority, KeyPair
from certs.kubeconfig import KubeConfig
from cluster.home import Home
from cluster.spec import ClusterSpec

LOCAL = ("127.0.0.1", "localhost")
API_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
FABRIC_ADDRESS = "172.30.0.1"


@dataclass(frozen=True, slots=True)
class Leaf:
    """`file` is the stem under pki/; `authority` one of ca, store-ca, front-proxy-ca."""

    file: str
    authority: str
    common_name: str
    organizations: tuple[str, ...] = ()
    sans: tuple[str, ...] = ()
    kubeconfig: bool = False


def leaves(spec: ClusterSpec, service_address: str) -> list[Leaf]:
    """Every leaf of the cluster."""
    members = [Leaf(name, "store-ca", name, sans=LOCAL) for name in spec.store_names()]
    nodes = [
        Leaf(name, "ca", f"system:node:{name}", ("system:nodes",), (name, *LOCAL), kubeconfig=True)
        for name in spec.node_names()
    ]
    hollow = [
        Leaf(name, "ca", "balsa:hollow-nodes", sans=LOCAL, kubeconfig=True) for name in spec.hollow_names()
    ]
    return [
        *members,
        Leaf("store-client", "store-ca", "root"),
        Leaf("apiserver", "ca", "kube-apiserver", sans=(*LOCAL, *API_NAMES, service_address, FABRIC_ADDRESS)),
        Leaf("apiserver-kubelet-client", "ca", "kube-apiserver-kubelet-client", ("system:masters",)),
        Leaf("front-proxy-client", "front-proxy-ca", "front-proxy-client"),
        Leaf("admin", "ca", "kubernetes-admin", ("system:masters",), kubeconfig=True),
        Leaf("scheduler", "ca", "system:kube-scheduler", sans=LOCAL, kubeconfig=True),
        Leaf("controller-manager", "ca", "system:kube-controller-manager", sans=LOCAL, kubeconfig=True),
        *nodes,
        *hollow,
    ]


def ensure(home: Home, spec: ClusterSpec, service_address: str, server: str) -> None:
    """Make or renew what needs it. Raises certs.errors.CertsError, OSError."""
    authorities = {
        name: _authority(home.pki, name, common_name)
        for name, common_name in (
            ("ca", "balsa-ca"),
            ("store-ca", "balsa-store-ca"),
            ("front-proxy-ca", "balsa-front-proxy-ca"),
        )
    }
    if not (home.pki / "sa.key").exists():
        serviceaccount.create_key(home.pki / "sa.key", home.pki / "sa.pub")
    for leaf in leaves(spec, service_address):
        _ensure_leaf(home, authorities[leaf.authority], leaf, server)
    admin = KubeConfig.load(home.pki / "admin.kubeconfig")
    if not home.kubeconfig.exists() or KubeConfig.load(home.kubeconfig) != admin:
        admin.write(home.kubeconfig)


def _authority(directory: Path, name: str, common_name: str) -> CertificateAuthority:
    cert, key = directory / f"{name}.crt", directory / f"{name}.key"
    if cert.exists():
        return CertificateAuthority.load(cert, key)
    made = CertificateAuthority.create(common_name)
    made.write(cert, key)
    return made


def _ensure_leaf(home: Home, authority: CertificateAuthority, leaf: Leaf, server: str) -> None:
    cert, key = home.pki / f"{leaf.file}.crt", home.pki / f"{leaf.file}.key"
    config = home.pki / f"{leaf.file}.kubeconfig"
    fresh = _is_fresh(cert, leaf.sans) and key.exists()
    if not fresh:
        _issue(authority, leaf).write(cert, key)
    if leaf.kubeconfig and not (fresh and config.exists() and KubeConfig.load(config).server == server):
        KubeConfig(server, authority.cert_pem, cert.read_bytes(), key.read_bytes()).write(
            config, user=leaf.file
        )


def _issue(authority: CertificateAuthority, leaf: Leaf) -> KeyPair:
    if leaf.sans:
        return authority.issue_peer(leaf.common_name, leaf.sans, leaf.organizations)
    return authority.issue_client(leaf.common_name, leaf.organizations)


def _is_fresh(cert: Path, sans: Sequence[str]) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(cert.read_bytes())
    except (OSError, ValueError):
        return False
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return left > LEAF_LIFETIME / 2 and set(sans) <= _names_of(certificate)


def _names_of(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in names}
