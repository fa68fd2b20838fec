"""Certificates open what they should and nothing else; files survive a reader at any moment."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from certs import serviceaccount
from certs.ca import CertificateAuthority, KeyPair
from certs.errors import BadRequest, Unreadable
from certs.kubeconfig import KubeConfig
from certs.tls import Reloader, client_context, server_context


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    ca = CertificateAuthority.create("test-ca")
    ca.write(tmp_path / "ca.crt", tmp_path / "ca.key")
    ca.issue_server("server", ["127.0.0.1", "localhost"]).write(tmp_path / "s.crt", tmp_path / "s.key")
    ca.issue_client("alice", ["devs", "ops"]).write(tmp_path / "c.crt", tmp_path / "c.key")
    other = CertificateAuthority.create("other-ca")
    other.write(tmp_path / "other.crt", tmp_path / "other.key")
    other.issue_client("alice", ["devs"]).write(tmp_path / "oc.crt", tmp_path / "oc.key")
    return tmp_path


async def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, object]:
    """Connect once over loopback; return what the server knows of the client."""
    seen: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.set_result(writer.get_extra_info("peercert"))
        writer.write(await reader.read(1))
        writer.close()

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=server)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        writer.write(b"x")
        answer = await reader.read(1)
        writer.close()
        if answer != b"x":
            raise ssl.SSLError("refused")
        return await seen


async def test_mutual_tls_names_the_client(pki: Path) -> None:
    server = server_context(pki / "s.crt", pki / "s.key", pki / "ca.crt")
    client = client_context(pki / "ca.crt", pki / "c.crt", pki / "c.key")
    subject = dict(pair[0] for pair in (await handshake(server, client))["subject"])  # type: ignore[attr-defined]
    assert subject["commonName"] == "alice"


@pytest.mark.parametrize(
    ("ca", "cert"),
    [
        pytest.param("ca", None, id="no certificate"),
        pytest.param("ca", "oc", id="certificate of another CA"),
        pytest.param("other", "c", id="server of another CA"),
    ],
)
async def test_refused(pki: Path, ca: str, cert: str | None) -> None:
    server = server_context(pki / "s.crt", pki / "s.key", pki / "ca.crt")
    files = (pki / f"{cert}.crt", pki / f"{cert}.key") if cert else (None, None)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await handshake(server, client_context(pki / f"{ca}.crt", *files))


def test_keys_are_private(pki: Path) -> None:
    assert {path.name for path in pki.glob("*.key") if path.stat().st_mode & 0o077} == set()


def test_reloader_takes_the_new_and_keeps_the_old_over_damage(pki: Path) -> None:
    context = server_context(pki / "s.crt", pki / "s.key")
    reloader = Reloader(context, pki / "s.crt", pki / "s.key")
    assert not reloader.check()
    ca = CertificateAuthority.load(pki / "ca.crt", pki / "ca.key")
    ca.issue_server("server", ["127.0.0.1"]).write(pki / "s.crt", pki / "s.key")
    assert reloader.check()
    KeyPair(b"damaged", b"damaged").write(pki / "s.crt", pki / "s.key")
    assert not reloader.check()


def test_sign_request_refuses_garbage(pki: Path) -> None:
    with pytest.raises(BadRequest):
        CertificateAuthority.load(pki / "ca.crt", pki / "ca.key").sign_request(b"garbage", ())


def test_kubeconfig_round_trip(pki: Path) -> None:
    config = KubeConfig(
        server="https://127.0.0.1:6443",
        ca_data=(pki / "ca.crt").read_bytes(),
        cert_data=(pki / "c.crt").read_bytes(),
        key_data=(pki / "c.key").read_bytes(),
    )
    config.write(pki / "kubeconfig")
    assert KubeConfig.load(pki / "kubeconfig") == config
    assert (pki / "kubeconfig").stat().st_mode & 0o077 == 0
    assert config.ssl_context().verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("text", ["", "a: [", "contexts: []\ncurrent-context: x", "[]"])
def test_damaged_kubeconfig_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "kubeconfig").write_text(text)
    with pytest.raises(Unreadable, match="kubeconfig"):
        KubeConfig.load(tmp_path / "kubeconfig")


def test_service_account_keys(tmp_path: Path) -> None:
    serviceaccount.create_key(tmp_path / "sa.key", tmp_path / "sa.pub")
    private = serviceaccount.load_private_key(tmp_path / "sa.key")
    (public,) = serviceaccount.load_public_keys(tmp_path / "sa.pub")
    assert serviceaccount.key_id(public) == serviceaccount.key_id(private.public_key())
