"""The ways back: from a lost quorum, from a damaged log, from a full disk, from a full store. What
docs/guides/store-recovery.md says is done here, command by command."""

from __future__ import annotations

import asyncio
import errno
import re
import shutil
from pathlib import Path

import pytest

from store.api import main
from store.client import StoreClient, StoreError
from tests.chaos.cluster import ChaosMember

from ..conftest import START_TIMEOUT_S, BalsaCluster, TlsFiles, balsa_cluster, free_port, wait_ready
from .grpc.etcdctl import Etcdctl


def run(*argv: str) -> int:
    return main.main(list(argv))


async def restored(snapshot: Path, directory: Path, tls: TlsFiles, size: int = 1) -> BalsaCluster:
    """A new cluster whose members begin with the snapshot; not started."""
    directory.mkdir()
    cluster = BalsaCluster(directory, tls, size)
    for member in cluster.members:
        flags = ["--name", member.name, "--data-dir", str(directory / member.name)]
        assert (
            run("snapshot", "restore", str(snapshot), *flags, "--initial-cluster", cluster.initial_cluster)
            == 0
        )
    return cluster


async def keys_of(cluster: BalsaCluster) -> dict[bytes, bytes]:
    try:
        for member in cluster.members:
            await member.start()
        async with cluster.client() as client:
            await wait_ready(client, cluster.members[0].process)
            await client.put(b"after", b"it goes on")
            return {kv.key: kv.value for kv in (await client.range(b"\0", b"\0")).kvs}
    finally:
        for member in cluster.members:
            await member.kill()


async def write(client: StoreClient, count: int) -> dict[bytes, bytes]:
    written = {b"k%03d" % number: b"v%d" % number for number in range(count)}
    for key, value in written.items():
        await client.put(key, value)
    return written


async def test_a_lost_quorum_with_one_member_left_running(tls: TlsFiles, tmp_path: Path) -> None:
    """Two of three are gone for good; the third knows everything and may decide nothing."""
    (tmp_path / "old").mkdir()
    snapshot = tmp_path / "snapshot"
    async with balsa_cluster(tmp_path / "old", tls, 3) as old, old.client(request_timeout_s=30.0) as client:
        written = await write(client, 100)
        survivor = old.members[2]
        async with old.client(survivor.url) as its:
            await its.range(b"k")  # it is as far as the others
        for member in old.members[:2]:
            await member.kill()
            shutil.rmtree(tmp_path / "old" / member.name)
        files = (tls.ca, tls.directory / "client.crt", tls.directory / "client.key")
        flags = [
            part
            for pair in zip(("--cacert", "--cert", "--key"), map(str, files), strict=True)
            for part in pair
        ]
        argv = ["snapshot", "save", str(snapshot), "--endpoints", survivor.url, *flags]
        assert await asyncio.to_thread(run, *argv) == 0
    found = await keys_of(await restored(snapshot, tmp_path / "new", tls, 3))
    assert found == {**written, b"after": b"it goes on"}


async def test_a_lost_quorum_with_one_directory_left(
    tls: TlsFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old").mkdir()
    snapshot, directory = tmp_path / "snapshot", tmp_path / "old" / "m3"
    flags = ["--snapshot-count=40"]  # so that there is a snapshot, and entries behind it
    async with (
        balsa_cluster(tmp_path / "old", tls, 3, flags) as old,
        old.client(request_timeout_s=30.0) as client,
    ):
        written = await write(client, 150)
        async with old.client(old.members[2].url) as its:
            await its.range(b"k")
        assert run("verify", str(directory)) == 1  # it is in use
        assert "another process uses" in capsys.readouterr().err
    assert run("verify", str(directory)) == 0
    said = capsys.readouterr().out
    assert re.fullmatch(
        r"member m3 of .*: term \d+, entry \d+, snapshot at entry \d+, .* 150 keys, .*\n", said
    )
    assert run("snapshot", "save", str(snapshot), "--data-dir", str(directory)) == 0
    assert run("snapshot", "verify", str(snapshot)) == 0
    found = await keys_of(await restored(snapshot, tmp_path / "new", tls))
    assert found == {**written, b"after": b"it goes on"}


async def test_a_damaged_log_is_refused_and_what_precedes_is_saved(
    tls: TlsFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old").mkdir()
    snapshot, directory = tmp_path / "snapshot", tmp_path / "old" / "m1"
    async with balsa_cluster(tmp_path / "old", tls) as old, old.client() as client:
        for number in range(60):
            await client.put(b"k%03d" % number, b"v" * 100)
        member = old.members[0]
        await member.terminate()
        (log,) = (directory / "member" / "wal").iterdir()
        data = bytearray(log.read_bytes())
        data[data.index(b"k040") + 20] ^= 1
        log.write_bytes(data)

        await member.start()
        assert member.process is not None
        assert await asyncio.wait_for(member.process.wait(), START_TIMEOUT_S) == 1
        said = member.log.read_text().splitlines()[-1]
        assert re.search(rf"{log} is corrupt at offset \d+: a record does not match its checksum", said)
        assert f"balsa store snapshot save FILE --data-dir {directory} --up-to-damage" in said

    assert run("verify", str(directory)) == 1
    assert "is corrupt at offset" in capsys.readouterr().err
    assert run("snapshot", "save", str(snapshot), "--data-dir", str(directory)) == 1
    assert not list(tmp_path.glob("snapshot*"))
    assert run("snapshot", "save", str(snapshot), "--data-dir", str(directory), "--up-to-damage") == 0
    assert "what follows is lost" in capsys.readouterr().err
    found = await keys_of(await restored(snapshot, tmp_path / "new", tls))
    assert [key for key in found if key != b"after"] == [b"k%03d" % number for number in range(40)]


async def keep_writing(client: StoreClient) -> None:
    """Until it is refused: the fault may be on its way still."""
    async with asyncio.timeout(START_TIMEOUT_S):
        while True:
            await client.put(b"too much", b"")


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=["full", "broken"])
async def test_a_disk_that_fails_ends_the_process_and_loses_nothing(
    tls: TlsFiles, tmp_path: Path, error: int
) -> None:
    member = ChaosMember(tmp_path, tls, "m1", free_port(), f"m1=https://127.0.0.1:{free_port()}")
    await member.start()
    try:
        async with StoreClient([member.url], tls.client_context()) as client:
            await wait_ready(client, member.process)
            written = await write(client, 50)
            member.break_(disk_error=error)
            with pytest.raises(StoreError):
                await keep_writing(client)
            assert member.process is not None
            assert await asyncio.wait_for(member.process.wait(), START_TIMEOUT_S) == 1
            said = member.log.read_text()
            assert "cannot go on" in said
            assert "cannot write the log" in said
            assert "Traceback" not in said
            member.break_()
            await member.start()
            await wait_ready(client, member.process)
            found = {kv.key: kv.value for kv in (await client.range(b"k", b"l")).kvs}
            assert found == written
    finally:
        await member.kill()


@pytest.mark.skipif(shutil.which("etcdctl") is None, reason="no etcdctl on this machine")
async def test_a_full_store_and_the_way_out(tls: TlsFiles, tmp_path: Path) -> None:
    """As etcd's operators do it: delete, compact, defragment, disarm."""
    async with balsa_cluster(tmp_path, tls, flags=["--quota-backend-bytes=300000"]) as cluster:
        etcdctl = Etcdctl(cluster.urls[0], tls)
        for number in range(4):
            output = await etcdctl.run(f"put big{number}", "x" * 100_000)
        assert "etcdserver: mvcc: database space exceeded" in output
        assert "alarm:NOSPACE" in await etcdctl.run("alarm list")
        assert await etcdctl.run("get big1 --keys-only --print-value-only=false") == "big1\n\n"
        assert await etcdctl.run("del --prefix big") == "3\n"
        revision = (await etcdctl.run("get none -w fields")).split('"Revision" : ')[1].split()[0]
        assert await etcdctl.run(f"compaction {revision} --physical") == f"compacted revision {revision}\n"
        assert "Finished defragmenting" in await etcdctl.run("defrag")
        assert "alarm:NOSPACE" in await etcdctl.run("alarm disarm")
        assert await etcdctl.run("put big0", "x" * 100_000) == "OK\n"
        assert await etcdctl.run("alarm list") == ""


async def test_a_directory_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", str(tmp_path)) == 1
    assert "not the data directory of a member" in capsys.readouterr().err
    assert run("snapshot", "save", str(tmp_path / "f"), "--data-dir", str(tmp_path)) == 1
