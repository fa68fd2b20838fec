"""ClusterTrustBundles, where `--runtime-config` turns them on: by signer, and only by who may attest for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from certs.ca import CertificateAuthority
from tests.control_plane.apiserver.harness import Harness

Object = dict[str, Any]
GROUP = "certificates.k8s.io"
PATH = f"/apis/{GROUP}/v1beta1/clustertrustbundles"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
ANCHOR = CertificateAuthority.create("anchor").cert_pem.decode()


def bundle(name: str, signer: str = "") -> Object:
    spec = {"trustBundle": ANCHOR, **({"signerName": signer} if signer else {})}
    return {"metadata": {"name": name}, "spec": spec}


def grant(api: Harness, name: str, **rule: list[str]) -> None:
    api.create(
        f"{RBAC}/clusterroles", {"metadata": {"name": name}, "rules": [{"apiGroups": [GROUP], **rule}]}
    )
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}]
    binding = {"metadata": {"name": name}, "roleRef": role, "subjects": subjects}
    api.create(f"{RBAC}/clusterrolebindings", binding)


def test_trust_bundles(tmp_path: Path) -> None:
    with Harness(tmp_path, f"--runtime-config={GROUP}/v1beta1=true") as api:
        api.create(PATH, bundle("plain"))
        refused = api.request("POST", PATH, {"metadata": {"name": "x"}, "spec": {"trustBundle": "x"}})
        assert refused.status == 422
        grant(api, "writes", resources=["clustertrustbundles"], verbs=["create", "update", "get"])
        signed = bundle("example.com:x:b", "example.com/x")
        denied = api.request("POST", PATH, signed, user="jane")
        assert denied.status == 403
        assert 'user not permitted to attest for signerName "example.com/x"' in denied.body["message"]
        api.create(PATH, bundle("jane"), user="jane")  # of no signer: nobody vouches
        grant(api, "attests", resources=["signers"], resourceNames=["example.com/*"], verbs=["attest"])
        api.create(PATH, signed, user="jane")
        listed = api.get(f"{PATH}?fieldSelector=spec.signerName%3Dexample.com/x")["items"]
        assert [each["metadata"]["name"] for each in listed] == ["example.com:x:b"]
        shown = api.kubectl("get", "clustertrustbundles", "example.com:x:b").stdout.split()
        assert shown == ["NAME", "SIGNERNAME", "example.com:x:b", "example.com/x"]


def test_they_are_off_by_default(api: Harness) -> None:
    assert api.request("GET", PATH).status == 404
