"""Service-account tokens from issue to revocation, legacy and bootstrap tokens, and the token file."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from certs.serviceaccount import create_key, load_private_key
from control_plane.api import meta
from control_plane.api.errors import StatusError
from control_plane.apiserver.authn import oidc_discovery
from control_plane.apiserver.authn.bearer import token_of
from control_plane.apiserver.authn.build import Authentication, AuthenticationOptions, build_authenticator
from control_plane.apiserver.authn.interface import Unauthenticated
from control_plane.apiserver.authn.token_file import MalformedTokenFile, parse_token_file
from control_plane.apiserver.authn.token_signatures import TokenSignatures
from tests.control_plane.apiserver.authn.fakes import NOW_S, FakeReader, Object, obj, request

ISSUER = "https://kubernetes.default.svc"


class World:
    """A server with one account and one pod of it, and a clock to move."""

    def __init__(self, directory: Path) -> None:
        self.now_s = NOW_S
        self.key_file = directory / "sa.key"
        create_key(self.key_file, directory / "sa.pub")
        self.reader = FakeReader(
            serviceaccounts=[obj("robot", "ns", "u1")],
            pods=[obj("web", "ns", "p1", spec={"serviceAccountName": "robot", "nodeName": "n1"})],
            nodes=[obj("n1", uid="n-uid")],
            secrets=[obj("s", "ns", "s1")],
        )
        options = AuthenticationOptions(service_account_signing_key_file=self.key_file)
        self.authn: Authentication = build_authenticator(options, self.reader, lambda: self.now_s)

    async def token(self, **spec: Any) -> Object:
        assert self.authn.token_requests is not None
        account = self.reader.get("", "serviceaccounts", "ns", "robot")
        assert account is not None
        return await self.authn.token_requests.create(account, {"spec": spec})

    async def authenticate(self, token: str, *audiences: str) -> Any:
        return await self.authn.tokens.authenticate_token(token, audiences)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def pod_reference(**more: str) -> dict[str, str]:
    return {"kind": "Pod", "apiVersion": "v1", "name": "web", **more}


async def test_a_plain_token(world: World) -> None:
    answer = await world.token()
    assert answer["status"]["expirationTimestamp"] == meta.rfc3339(NOW_S + 3600)
    assert answer["spec"]["audiences"] == [ISSUER]
    result = await world.authenticate(answer["status"]["token"])
    assert result.user.name == "system:serviceaccount:ns:robot"
    assert result.user.uid == "u1"
    assert result.user.groups == ("system:serviceaccounts", "system:serviceaccounts:ns")
    assert result.audiences == (ISSUER,)
    assert result.user.extra["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")


async def test_the_claims_are_those_of_kubernetes(world: World) -> None:
    token = (await world.token(boundObjectRef=pod_reference()))["status"]["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["kubernetes.io"] == {
        "namespace": "ns",
        "serviceaccount": {"name": "robot", "uid": "u1"},
        "pod": {"name": "web", "uid": "p1"},
        "node": {"name": "n1", "uid": "n-uid"},
    }
    assert claims["sub"] == "system:serviceaccount:ns:robot"
    assert (claims["iss"], claims["iat"], claims["nbf"], claims["exp"]) == (
        ISSUER,
        NOW_S,
        NOW_S,
        NOW_S + 3600,
    )


async def test_a_pods_token_tells_pod_and_node(world: World) -> None:
    result = await world.authenticate((await world.token(boundObjectRef=pod_reference()))["status"]["token"])
    told = {key.rpartition("/")[2]: value for key, value in result.user.extra.items()}
    del told["credential-id"]
    assert told == {"pod-name": ("web",), "pod-uid": ("p1",), "node-name": ("n1",), "node-uid": ("n-uid",)}


async def test_a_pods_odd_lifetime_is_extended_and_not_told(world: World) -> None:
    answer = await world.token(boundObjectRef=pod_reference(), expirationSeconds=3607)
    assert answer["status"]["expirationTimestamp"] == meta.rfc3339(NOW_S + 3607)
    claims = jwt.decode(answer["status"]["token"], options={"verify_signature": False})
    assert claims["exp"] == NOW_S + 365 * 86400
    assert claims["kubernetes.io"]["warnafter"] == NOW_S + 3607


@pytest.mark.parametrize(
    ("resource", "name", "namespace", "reference"),
    [
        pytest.param("serviceaccounts", "robot", "ns", None, id="account"),
        pytest.param("pods", "web", "ns", pod_reference(), id="pod"),
        pytest.param("secrets", "s", "ns", {"kind": "Secret", "apiVersion": "v1", "name": "s"}, id="secret"),
        pytest.param("nodes", "n1", "", {"kind": "Node", "apiVersion": "v1", "name": "n1"}, id="node"),
    ],
)
async def test_revoked_with_what_it_is_bound_to(
    world: World, resource: str, name: str, namespace: str, reference: Any
) -> None:
    token = (await world.token(boundObjectRef=reference))["status"]["token"]
    assert await world.authenticate(token) is not None
    stored = world.reader.objects[("", resource)]
    [original] = stored
    stored[:] = [obj(name, namespace, "another")]
    with pytest.raises(Unauthenticated, match="does not match"):
        await world.authenticate(token)
    stored[:] = [
        {**original, "metadata": {**original["metadata"], "deletionTimestamp": meta.rfc3339(NOW_S - 61)}}
    ]
    with pytest.raises(Unauthenticated, match=r"deleted|invalidated"):
        await world.authenticate(token)
    stored[:] = [
        {**original, "metadata": {**original["metadata"], "deletionTimestamp": meta.rfc3339(NOW_S - 5)}}
    ]
    assert await world.authenticate(token) is not None, "the last requests of a pod that ends"
    stored.clear()
    with pytest.raises(Unauthenticated):
        await world.authenticate(token)


async def test_the_node_of_a_pod_may_go_first(world: World) -> None:
    token = (await world.token(boundObjectRef=pod_reference()))["status"]["token"]
    world.reader.objects[("", "nodes")].clear()
    assert await world.authenticate(token) is not None


async def test_an_account_that_only_the_store_has(world: World) -> None:
    token = (await world.token())["status"]["token"]
    world.reader.live[("", "serviceaccounts")] = world.reader.objects[("", "serviceaccounts")]
    world.reader.objects[("", "serviceaccounts")] = []
    assert await world.authenticate(token) is not None


async def test_time(world: World) -> None:
    token = (await world.token(expirationSeconds=600))["status"]["token"]
    world.now_s = NOW_S + 600 + 61
    with pytest.raises(Unauthenticated, match="expired"):
        await world.authenticate(token)
    world.now_s = NOW_S - 61
    with pytest.raises(Unauthenticated, match="not valid yet"):
        await world.authenticate(token)


async def test_audiences(world: World) -> None:
    token = (await world.token(audiences=["vault", "x"]))["status"]["token"]
    assert (await world.authenticate(token, "y", "vault")).audiences == ("vault",)
    with pytest.raises(Unauthenticated, match="is invalid for the target audiences"):
        await world.authenticate(token)


async def test_a_forged_token(world: World) -> None:
    claims = jwt.decode((await world.token())["status"]["token"], options={"verify_signature": False})
    forged = jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256")
    with pytest.raises(Unauthenticated, match="signature"):
        await world.authenticate(forged)
    unsigned = jwt.encode(claims, None, algorithm="none")
    with pytest.raises(Unauthenticated, match="signature"):
        await world.authenticate(unsigned)
    header = jwt.utils.base64url_encode(json.dumps({"alg": "HS256"}).encode())
    assert await world.authenticate(f"{header.decode()}.e30.AAAA") is None, "another issuer's"


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        ({"expirationSeconds": 599}, 422, "may not specify a duration less than 10 minutes"),
        ({"expirationSeconds": (1 << 32) + 1}, 422, "larger than 2^32 seconds"),
        ({"boundObjectRef": pod_reference(name="none")}, 404, 'pods "none" not found'),
        ({"boundObjectRef": pod_reference(uid="other")}, 409, "does not match the UID in record"),
        (
            {"boundObjectRef": {"kind": "Job", "apiVersion": "batch/v1"}},
            400,
            "cannot bind token to object of type",
        ),
    ],
)
async def test_refused_requests(world: World, spec: Any, code: int, message: str) -> None:
    with pytest.raises(StatusError) as caught:
        await world.token(**spec)
    assert caught.value.code == code
    assert message in caught.value.message


async def test_no_token_for_another_accounts_pod(world: World) -> None:
    world.reader.objects[("", "pods")] = [obj("web", "ns", spec={"serviceAccountName": "other"})]
    with pytest.raises(StatusError, match="running with different serviceaccount name"):
        await world.token(boundObjectRef=pod_reference())


def legacy_token(world: World) -> str:
    prefix = "kubernetes.io/serviceaccount/"
    claims = {
        "iss": "kubernetes/serviceaccount",
        "sub": "system:serviceaccount:ns:robot",
        prefix + "namespace": "ns",
        prefix + "secret.name": "old",
        prefix + "service-account.name": "robot",
        prefix + "service-account.uid": "u1",
    }
    return jwt.encode(claims, load_private_key(world.key_file), algorithm="ES256")


async def test_legacy_token_lives_while_its_secret_holds_it(world: World) -> None:
    token = legacy_token(world)
    data = {"token": base64.b64encode(token.encode()).decode()}
    world.reader.add("secrets", obj("old", "ns", data=data))
    assert (await world.authenticate(token)).user.name == "system:serviceaccount:ns:robot"
    data["token"] = base64.b64encode(b"another").decode()
    with pytest.raises(Unauthenticated, match="invalidated"):
        await world.authenticate(token)


async def test_signatures_are_remembered_within_bounds(world: World) -> None:
    signatures = TokenSignatures(world.authn.public_keys, max_remembered=2)
    tokens = [(await world.token())["status"]["token"] for _ in range(3)]
    first = signatures.verify(tokens[0])
    assert signatures.verify(tokens[0]) is first
    for token in tokens[1:]:
        signatures.verify(token)
    assert len(signatures._good) == 2
    assert signatures.verify(tokens[0]) is not first


async def test_others_can_verify_with_the_published_keys(world: World) -> None:
    token = (await world.token())["status"]["token"]
    keys = json.loads(oidc_discovery.key_set(world.authn.public_keys))
    [key] = jwt.PyJWKSet.from_dict(keys).keys
    assert key.key_id == jwt.get_unverified_header(token)["kid"]
    options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    claims = jwt.decode(token, key, audience=ISSUER, issuer=ISSUER, options=options)
    assert claims["sub"] == "system:serviceaccount:ns:robot"
    document = json.loads(
        oidc_discovery.discovery_document(ISSUER, ISSUER + "/openid/v1/jwks", world.authn.public_keys)
    )
    assert document["issuer"] == ISSUER
    assert document["id_token_signing_alg_values_supported"] == ["ES256"]


class TestBootstrapTokens:
    TOKEN = "abcdef.0123456789abcdef"

    def secret(self, **changes: str | None) -> Object:
        plain = {
            "token-id": "abcdef",
            "token-secret": "0123456789abcdef",
            "usage-bootstrap-authentication": "true",
            "auth-extra-groups": "system:bootstrappers:workers",
            **{key.replace("_", "-"): value for key, value in changes.items()},
        }
        data = {k: base64.b64encode(v.encode()).decode() for k, v in plain.items() if v is not None}
        return obj("bootstrap-token-abcdef", "kube-system", type="bootstrap.kubernetes.io/token", data=data)

    async def test_user(self, world: World) -> None:
        world.reader.add("secrets", self.secret())
        user = (await world.authenticate(self.TOKEN)).user
        assert user.name == "system:bootstrap:abcdef"
        assert user.groups == ("system:bootstrappers", "system:bootstrappers:workers")

    @pytest.mark.parametrize(
        "changes",
        [
            {"token_secret": "fedcba9876543210"},
            {"token_id": "zzzzzz"},
            {"usage_bootstrap_authentication": "false"},
            {"usage_bootstrap_authentication": None},
            {"auth_extra_groups": "system:masters"},
            {"expiration": meta.rfc3339(NOW_S - 1)},
            {"expiration": "tomorrow"},
        ],
        ids=str,
    )
    async def test_refused(self, world: World, changes: Any) -> None:
        world.reader.add("secrets", self.secret(**changes))
        with pytest.raises(Unauthenticated):
            await world.authenticate(self.TOKEN)

    async def test_expiration_ahead(self, world: World) -> None:
        world.reader.add("secrets", self.secret(expiration=meta.rfc3339(NOW_S + 1)))
        assert await world.authenticate(self.TOKEN) is not None

    async def test_unknown_token(self, world: World) -> None:
        assert await world.authenticate(self.TOKEN) is None


def test_token_file() -> None:
    users = parse_token_file('# comment\nt1,ann,1\n t2, bob ,2,"dev, ops"\n\n')
    assert [(token, user.name, user.uid, user.groups) for token, user in users] == [
        ("t1", "ann", "1", ()),
        ("t2", "bob", "2", ("dev", "ops")),
    ]


@pytest.mark.parametrize("text", ["t1,ann", ",ann,1"])
def test_malformed_token_file(text: str) -> None:
    with pytest.raises(MalformedTokenFile, match="line 1"):
        parse_token_file(text)


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ([("Authorization", "Bearer abc")], "abc"),
        ([("authorization", "  bearer   abc ")], "abc"),
        ([("Authorization", "Basic abc")], ""),
        ([("Authorization", "Bearer")], ""),
        ([("Sec-WebSocket-Protocol", "x, base64url.bearer.authorization.k8s.io.YWJj")], "abc"),
        ([], ""),
    ],
)
def test_where_the_token_is(headers: list, token: str) -> None:
    assert token_of(request(headers)) == token
