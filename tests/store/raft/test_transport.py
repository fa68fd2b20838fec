"""Peer connections: who may connect, who may not, and what a partition looks like."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from certs.ca import CertificateAuthority
from certs.tls import client_context
from store.raft import transport
from store.raft.codec import encode
from store.raft.interface import Role
from store.raft.transport import PROTOCOL_VERSION
from tests.store.raft.cluster import Cluster, eventually, write_identity

ANSWER_S = 5.0


def address(cluster: Cluster, name: str) -> tuple[str, int]:
    parts = urlsplit(cluster.urls[name][0])
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


class Refused(Exception):
    """It said nothing, or broke off the handshake."""


async def greet(cluster: Cluster, context: ssl.SSLContext | None, hello: bytes) -> bytes:
    """Connect to member a, say something, and return what it says until it hangs up. Raises Refused."""
    said = b""
    try:
        reader, writer = await asyncio.open_connection(*address(cluster, "a"), ssl=context)
    except OSError as error:
        raise Refused from error
    try:
        writer.write(hello)
        async with asyncio.timeout(ANSWER_S):
            said = await reader.read(-1)
    except OSError as error:
        raise Refused from error
    finally:
        writer.close()
        with suppress(OSError, ssl.SSLError):
            await writer.wait_closed()
    if not said:
        raise Refused
    return said


def hello(cluster: Cluster, **changes: int) -> bytes:
    status = cluster.nodes["a"].status()
    other = next(member for member in status.members if member.name == "b")
    message = {
        "type": "hello",
        "version": PROTOCOL_VERSION,
        "cluster_id": status.cluster_id,
        "member_id": other.id,
        **changes,
    }
    return encode(message)


@pytest.fixture
async def lonely(cluster: Cluster) -> Cluster:
    """Member a of three, the others not there."""
    await cluster.start("a")
    return cluster


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("stranger", {}),
        ("c", {}),
        ("b", {"cluster_id": 1}),
        ("b", {"member_id": 1}),
        ("b", {"version": 99}),
    ],
    ids=["unknown name", "another member's id", "another cluster", "unknown id", "another version"],
)
async def test_who_is_not_the_member_it_claims_is_hung_up_on(
    lonely: Cluster, tmp_path: Path, name: str, changes: dict[str, int]
) -> None:
    ca, cert, key = write_identity(tmp_path / "other", lonely.authority, name)
    await greet(lonely, client_context(ca, cert, key), hello(lonely, **changes))
    assert not lonely.nodes["a"]._replica._connected


async def test_without_a_certificate_of_the_stores_ca_nobody_gets_in(lonely: Cluster, tmp_path: Path) -> None:
    own = lonely.directory / "pki" / "ca.crt"
    _, cert, key = write_identity(tmp_path / "foreign", CertificateAuthority.create("foreign"), "b")
    for context in (client_context(own), client_context(own, cert, key)):
        with pytest.raises(Refused):
            await greet(lonely, context, hello(lonely))


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x80\x04cos\nsystem\n", bytes(4096)], ids=repr
)
async def test_garbage_ends_the_connection_and_nothing_else(
    lonely: Cluster, tmp_path: Path, garbage: bytes
) -> None:
    with pytest.raises(Refused):
        await greet(lonely, None, garbage)
    ca, cert, key = write_identity(tmp_path / "other", lonely.authority, "b")
    await greet(lonely, client_context(ca, cert, key), garbage + b"\xff" * 8)
    await lonely.start("b")
    await lonely.nodes["a"].propose(b"x")


async def test_those_who_say_nothing_are_bounded(
    lonely: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound a new one is closed at once, and the members still get in."""
    monkeypatch.setattr(transport, "MAX_STRANGERS", 2)
    ca, cert, key = write_identity(tmp_path / "other", lonely.authority, "b")
    context = client_context(ca, cert, key)
    silent = [await asyncio.open_connection(*address(lonely, "a"), ssl=context) for _ in range(2)]
    for reader, _ in silent:
        assert await reader.read(1)  # it greets
    with pytest.raises(Refused):
        await greet(lonely, context, b"")
    for _, writer in silent:
        writer.close()
    await lonely.start("b")
    await lonely.nodes["a"].propose(b"x")


async def test_nothing_older_than_tls_1_3(lonely: Cluster, tmp_path: Path) -> None:
    ca, cert, key = write_identity(tmp_path / "other", lonely.authority, "b")
    context = client_context(ca, cert, key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(Refused):
        await greet(lonely, context, hello(lonely))


async def test_a_partitioned_leader_is_replaced_and_comes_back(cluster: Cluster) -> None:
    await cluster.start()
    old = await cluster.leader()
    others = [name for name in cluster.nodes if name != old.status().name]
    old.transport.faults.cut(others)
    new = await eventually(
        lambda: next(
            (cluster.nodes[each] for each in others if cluster.nodes[each].status().role == Role.LEADER), None
        )
    )
    await new.propose(b"x")
    await eventually(lambda: old.status().role != Role.LEADER, "check-quorum")
    assert cluster.machines[old.status().name].commands == []
    term = new.status().term
    old.transport.faults.heal()
    assert await cluster.converged() == [b"x"]
    assert new.status().term == term, "pre-vote: the one that was cut off disturbs nobody"


async def test_a_leader_whose_connections_close_is_replaced_at_once(cluster: Cluster) -> None:
    """What the kernel does for a killed process."""
    cluster.settings = {"election_timeout_s": 5.0}
    await cluster.start()
    leader = await cluster.leader()
    survivor = await cluster.follower()
    loop = asyncio.get_running_loop()
    leader._turns.end()
    began = loop.time()
    await leader.transport.stop()
    await survivor.propose(b"x")
    assert loop.time() - began < 1.0
