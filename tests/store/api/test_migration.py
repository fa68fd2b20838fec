"""A snapshot of Balsa's becomes an etcd, and one of an etcd's becomes a Balsa: keys with their history,
leases, users, compaction, revisions."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from store.api import main
from store.client import Compacted, LeaseNotFound, StoreClient

from ..conftest import BalsaCluster, TlsFiles, balsa_cluster, needs_etcd, real_etcd, wait_ready
from .grpc.etcdctl import Etcdctl

pytestmark = [
    needs_etcd,
    pytest.mark.skipif(shutil.which("etcdctl") is None, reason="no etcdctl on this machine"),
]

KEYS = 2500  # more than a leaf of the file, and than what is looked at in one go


async def fill(client: StoreClient, etcdctl: Etcdctl) -> tuple[int, int]:
    """Returns (the last revision, a lease)."""
    lease = (await client.lease_grant(1000)).id
    for start in range(0, KEYS, 10):
        await asyncio.gather(
            *(client.put(b"k%05d" % number, b"v" * (number % 300)) for number in range(start, start + 10))
        )
    await client.put(b"k00000", b"leased", lease=lease)
    middle = (await client.delete_range(b"k00001")).revision
    await client.compact(middle)
    await client.delete_range(b"k00002", b"k00005")
    await client.put(b"k00003", b"again")
    await client.put(b"large", b"x" * 1_000_000)
    for command in (
        "user add root:secret",
        "user add alice:pw",
        "role add reader",
        "role grant-permission reader read k00003",
        "role grant-permission reader readwrite --prefix p/",
        "user grant-role alice reader",
        "user grant-role root root",
    ):
        assert "exit code" not in await etcdctl.run(command)
    return (await client.put(b"last", b"")).revision, lease


async def check(client: StoreClient, etcdctl: Etcdctl, revision: int, lease: int) -> None:
    found = await client.range(b"k", b"l")
    assert found.revision == revision
    assert found.count == KEYS - 3  # k00001, k00002, k00004 are gone
    values = {kv.key: kv for kv in found.kvs}
    assert values[b"k00299"].value == b"v" * 299
    assert (values[b"k00003"].value, values[b"k00003"].version) == (b"again", 1)
    assert (await client.range(b"k00002", revision=revision - 4)).count == 1  # history
    assert len((await client.range(b"large")).kvs[0].value) == 1_000_000
    with pytest.raises(Compacted):
        await client.range(b"k00001", revision=100)
    assert (await client.lease_time_to_live(lease, keys=True)).keys == [b"k00000"]
    await client.lease_revoke(lease)
    assert (await client.range(b"k00000")).count == 0
    with pytest.raises(LeaseNotFound):
        await client.lease_revoke(lease)
    assert "KV Read" in await etcdctl.run("role get reader")
    await etcdctl.run("auth enable")
    assert "again" in await etcdctl.run("--user=alice:pw get k00003")
    assert "permission denied" in await etcdctl.run("--user=alice:pw get k00005")
    assert "invalid user ID or password" in await etcdctl.run("--user=alice:wrong get k00003")
    assert await etcdctl.run("--user=alice:pw put p/x 1") == "OK\n"


@asynccontextmanager
async def etcd_from(etcdctl: Etcdctl, tls: TlsFiles, snapshot: Path, directory: Path) -> AsyncIterator[str]:
    restored = await etcdctl.run(
        f"snapshot restore {snapshot} --name m1 --data-dir {directory / 'etcd'} "
        "--initial-cluster m1=https://127.0.0.1:1 --initial-advertise-peer-urls https://127.0.0.1:1"
    )
    assert "exit code" not in restored
    async with real_etcd(directory, tls) as url:
        yield url


async def test_from_balsa_to_etcd(tls: TlsFiles, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot"
    async with balsa_cluster(tmp_path, tls) as cluster, cluster.client() as client:
        balsa = Etcdctl(cluster.urls[0], tls)
        revision, lease = await fill(client, balsa)
        assert "Snapshot saved" in await balsa.run(f"snapshot save {snapshot}")
    status = await balsa.run(f"snapshot status {snapshot}")
    assert status.split(", ")[1] == str(revision)
    async with (
        etcd_from(balsa, tls, snapshot, tmp_path) as url,
        StoreClient([url], tls.client_context()) as client,
    ):
        assert "Finished defragmenting" in await Etcdctl(url, tls).run(
            "defrag"
        )  # every page is read and written
        await check(client, Etcdctl(url, tls), revision, lease)


@pytest.mark.parametrize("through", ["etcdctl", "balsa"])
async def test_from_etcd_to_balsa(
    tls: TlsFiles, tmp_path: Path, through: str, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot = tmp_path / "snapshot"
    async with real_etcd(tmp_path, tls) as url, StoreClient([url], tls.client_context()) as client:
        etcd = Etcdctl(url, tls)
        revision, lease = await fill(client, etcd)
        if through == "etcdctl":
            assert "Snapshot saved" in await etcd.run(f"snapshot save {snapshot}")
        else:
            files = (tls.ca, tls.directory / "client.crt", tls.directory / "client.key")
            names = ("--cacert", "--cert", "--key")
            flags = [part for pair in zip(names, map(str, files), strict=True) for part in pair]
            argv = ["snapshot", "save", str(snapshot), "--endpoint", url, *flags]
            assert await asyncio.to_thread(main.main, argv) == 0
    theirs = await etcd.run(f"snapshot status {snapshot}")
    assert main.main(["snapshot", "status", str(snapshot)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split(", ")[1:3] == theirs.split(", ")[1:3]
    cluster = BalsaCluster(tmp_path, tls, 1)
    member = cluster.members[0]
    argv = ["snapshot", "restore", str(snapshot), "--name", "m1", "--data-dir", str(tmp_path / "m1")]
    assert main.main([*argv, "--initial-cluster", cluster.initial_cluster]) == 0
    try:
        await member.start()
        async with cluster.client() as client:
            await wait_ready(client, member.process)
            await check(client, Etcdctl(member.url, tls), revision, lease)
    finally:
        await member.kill()
