"""`balsa store snapshot`: from a running member to a new cluster that holds the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from store.api import main, snapshot_command

from ..conftest import BalsaCluster, TlsFiles, balsa_cluster, wait_ready

Run = list[str]


def save(cluster: BalsaCluster, target: Path) -> Run:
    tls = cluster.tls
    return [
        *("snapshot", "save", str(target), "--endpoint", cluster.urls[0], "--cacert", str(tls.ca)),
        *("--cert", str(tls.directory / "client.crt"), "--key", str(tls.directory / "client.key")),
    ]


async def test_save_and_restore_into_a_new_cluster(
    tls: TlsFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "snapshot"
    (tmp_path / "old").mkdir()
    async with balsa_cluster(tmp_path / "old", tls) as old, old.client() as client:
        lease = await client.lease_grant(1000)
        for number in range(300):
            await client.put(b"k%03d" % number, b"v" * 1000, lease=lease.id if number == 0 else 0)
        await client.delete_range(b"k001")
        await client.compact(100)
        revision = (await client.range(b"k000")).revision
        assert await asyncio.to_thread(main.main, save(old, file)) == 0
    assert main.main(["snapshot", "status", str(file)]) == 0
    printed = capsys.readouterr().out.splitlines()[-1].split(", ")
    assert (printed[1], printed[3]) == (str(revision), str(file.stat().st_size))

    (tmp_path / "new").mkdir()
    new = BalsaCluster(tmp_path / "new", tls, 3)
    initial = new.members[0]._argv[new.members[0]._argv.index("--initial-cluster") + 1]
    for member in new.members:
        directory = str(tmp_path / "new" / member.name)
        argv = ["snapshot", "restore", str(file), "--name", member.name, "--data-dir", directory]
        assert (
            main.main([*argv, "--initial-cluster", initial, "--initial-cluster-token", "etcd-cluster"]) == 0
        )
    assert main.main([*argv, "--initial-cluster", initial]) == 1  # never over something
    assert "exists already" in capsys.readouterr().err
    try:
        for member in new.members:
            await member.start()
        async with new.client() as client:
            await wait_ready(client, new.members[0].process)
            found = await client.range(b"k", b"l")
            assert (found.revision, found.count) == (revision, 299)
            assert (await client.range(b"k001", revision=revision - 1)).count == 1  # history too
            assert (await client.lease_time_to_live(lease.id, keys=True)).keys == [b"k000"]
            assert (await client.put(b"more", b"")).revision == revision + 1
    finally:
        for member in new.members:
            await member.kill()


def _damage(data: bytes) -> bytes:
    return data[:600] + bytes((data[600] ^ 1,)) + data[601:]


@pytest.mark.parametrize(
    ("damage", "why"),
    [(_damage, "do not match"), (lambda data: data[:-1], "cannot be"), (lambda data: b"", "cannot be")],
    ids=["a bit", "cut off", "empty"],
)
async def test_a_damaged_file_is_refused(
    tls: TlsFiles, tmp_path: Path, damage: object, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "snapshot"
    async with balsa_cluster(tmp_path, tls) as cluster, cluster.client() as client:
        await client.put(b"k", b"v" * 1000)
        assert await asyncio.to_thread(snapshot_command.main, save(cluster, file)[1:]) == 0
    file.write_bytes(damage(file.read_bytes()))  # type: ignore[operator]
    for argv in (["status", str(file)], ["restore", str(file), "--data-dir", str(tmp_path / "none")]):
        assert snapshot_command.main(argv) == 1
        assert why in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


async def test_without_credentials(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert snapshot_command.main(["save", str(tmp_path / "f"), "--cacert", "/none"]) == 1
    assert "error: " in capsys.readouterr().err
