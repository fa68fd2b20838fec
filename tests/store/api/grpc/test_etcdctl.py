"""Every command of the stock `etcdctl`, against Balsa's store and a real etcd side by side.

Both begin empty and see the same commands, so the output must be the same to the letter, revisions included;
only what is random (member and lease ids, times, addresses) is masked.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from ...conftest import BalsaCluster, TlsFiles, balsa_cluster, eventually, needs_etcd, real_etcd
from .etcdctl import COMMAND_TIMEOUT_S, Etcdctl, kill, masked, transcript
from .etcdctl_scripts import AUTH_SCRIPTS, SCRIPTS

pytestmark = [
    needs_etcd,
    pytest.mark.skipif(shutil.which("etcdctl") is None, reason="no etcdctl on this machine"),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def balsa(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BalsaCluster]:
    async with balsa_cluster(tmp_path_factory.mktemp("balsa"), tls) as cluster:
        yield cluster


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(
    tls: TlsFiles, balsa: BalsaCluster, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Etcdctl, Etcdctl]]:
    async with real_etcd(tmp_path_factory.mktemp("etcd"), tls) as url:
        yield Etcdctl(balsa.urls[0], tls), Etcdctl(url, tls)


@pytest.mark.parametrize("name", SCRIPTS)
async def test_same_output(both: tuple[Etcdctl, Etcdctl], name: str) -> None:
    mine, theirs = both
    assert await transcript(mine, SCRIPTS[name]) == await transcript(theirs, SCRIPTS[name])


async def test_same_output_with_authentication(tls: TlsFiles, tmp_path: Path) -> None:
    """On stores of their own, since these scripts lock the others out."""
    for name in ("balsa", "etcd"):
        (tmp_path / name).mkdir()
    async with balsa_cluster(tmp_path / "balsa", tls) as cluster, real_etcd(tmp_path / "etcd", tls) as url:
        for script in AUTH_SCRIPTS.values():
            mine = await transcript(Etcdctl(cluster.urls[0], tls), script)
            assert mine == await transcript(Etcdctl(url, tls), script)


async def _watched(etcdctl: Etcdctl, args: str, then: list[str]) -> str:
    """What a watch prints of what then happens."""
    watch = await etcdctl.start("watch", *args.split())
    await asyncio.sleep(1.0)  # it prints nothing when it is ready
    for command in then:
        await etcdctl.run(command)
    await asyncio.sleep(0.5)
    kill(watch)
    assert watch.stdout is not None
    text = (await watch.stdout.read()).decode()
    await watch.wait()
    return masked(text)


WATCHES = {
    "one key": ("w1", ["put w1 1", "put w2 1", "del w1"]),
    "a prefix": ("w --prefix", ["put w1 1", "put w2 1", "del --prefix w"]),
    "previous values": ("w --prefix --prev-kv", ["put w1 1", "put w1 2", "del w1"]),
    "from a revision": ("w --prefix --rev=8", ["put w1 9"]),
    "as JSON": ("w1 -w json", ["put w1 10"]),
}


@pytest.mark.parametrize("name", WATCHES)
async def test_same_watch(both: tuple[Etcdctl, Etcdctl], name: str) -> None:
    mine, theirs = await asyncio.gather(*(_watched(each, *WATCHES[name]) for each in both))
    assert mine == theirs
    assert mine


async def test_watch_interactively(both: tuple[Etcdctl, Etcdctl]) -> None:
    """Many watches on one stream, and progress requests."""

    async def session(etcdctl: Etcdctl) -> str:
        watch = await etcdctl.start("watch", "-i")
        assert watch.stdin is not None
        watch.stdin.write(b"watch i1\nwatch i2\nwatch --prefix i\n")
        await asyncio.sleep(1.0)
        await etcdctl.run("put i1 1")
        await etcdctl.run("put i2 1")
        watch.stdin.write(b"progress\n")
        await asyncio.sleep(1.0)
        kill(watch)
        assert watch.stdout is not None
        lines = (await watch.stdout.read()).decode().splitlines()
        await watch.wait()
        return "\n".join(sorted(lines))

    mine, theirs = await asyncio.gather(*(session(each) for each in both))
    assert masked(mine) == masked(theirs)


async def test_lease_from_grant_to_revoke(both: tuple[Etcdctl, Etcdctl]) -> None:
    async def session(etcdctl: Etcdctl) -> list[str]:
        grant = await etcdctl.start("lease", "grant", "100")
        id = (await grant.communicate())[0].decode().split()[1]
        commands = (
            f"put leased v --lease={id}",
            f"lease timetolive {id} --keys",
            f"lease keep-alive --once {id}",
            "put leased v2 --ignore-lease",
            f"lease revoke {id}",
            "get leased",
        )
        return [await etcdctl.run(command) for command in commands]

    mine, theirs = await asyncio.gather(*(session(each) for each in both))
    assert mine == theirs


async def test_lock_and_elect(both: tuple[Etcdctl, Etcdctl]) -> None:
    async def session(etcdctl: Etcdctl) -> list[str]:
        assert (await etcdctl.run("lock l echo held")) == "held\n"
        holder = await etcdctl.start("elect", "e", "first")
        assert holder.stdout is not None
        first = await holder.stdout.readline() + await holder.stdout.readline()
        contender = await etcdctl.start("elect", "e", "second")
        holder.terminate()  # it resigns
        await holder.wait()
        assert contender.stdout is not None
        second = await contender.stdout.readline() + await contender.stdout.readline()
        contender.terminate()
        await contender.wait()
        return [masked(first.decode()), masked(second.decode())]

    async with asyncio.timeout(COMMAND_TIMEOUT_S):
        mine, theirs = await asyncio.gather(*(session(each) for each in both))
    assert mine == theirs == ["e/<id>\nfirst\n", "e/<id>\nsecond\n"]


async def test_make_mirror(both: tuple[Etcdctl, Etcdctl]) -> None:
    """From a real etcd into Balsa: what is there, and what is put later."""
    mine, theirs = both
    await theirs.run("put m/old 1")
    tls = mine.tls
    flags = (
        f"--dest-cacert={tls.ca}",
        f"--dest-cert={tls.directory / 'client.crt'}",
        f"--dest-key={tls.directory / 'client.key'}",
    )
    mirror = await theirs.start("make-mirror", "--prefix=m/", *flags, mine.url)
    try:
        await eventually(lambda: _shows(mine, "get m/old --print-value-only", "1\n"))
        await theirs.run("put m/new 2")
        await eventually(lambda: _shows(mine, "get m/new --print-value-only", "2\n"))
        await theirs.run("del m/old")
        await eventually(lambda: _shows(mine, "get m/old --print-value-only", ""))
    finally:
        kill(mirror)
        await mirror.wait()


async def _shows(etcdctl: Etcdctl, command: str, output: str) -> bool:
    return await etcdctl.run(command) == output


async def test_snapshot_save(balsa: BalsaCluster, tmp_path: Path) -> None:
    etcdctl = Etcdctl(balsa.urls[0], balsa.tls)
    target = tmp_path / "snapshot"
    assert f"Snapshot saved at {target}" in await etcdctl.run(f"snapshot save {target}")
    assert target.stat().st_size % 512 == 32  # etcdctl has found the checksum


@pytest.mark.slow
@pytest.mark.skipif("BALSA_CHECK_PERF" not in os.environ, reason="takes a minute; BALSA_CHECK_PERF=1 runs it")
async def test_check_perf(balsa: BalsaCluster, tls: TlsFiles) -> None:
    """A minute of 150 puts a second; none fails, and the store calls it good."""
    check = await Etcdctl(balsa.urls[0], tls).start("check", "perf", "--load=s")
    output = (await asyncio.wait_for(check.communicate(), 120))[0].decode()
    assert "FAIL" not in output
    assert output.count("PASS") == 4, output


async def test_a_request_beyond_the_limit(both: tuple[Etcdctl, Etcdctl]) -> None:
    text = "x" * (1536 * 1024 + 1000)
    mine, theirs = await asyncio.gather(*(each.run("put large", text) for each in both))
    assert mine == theirs == "Error: etcdserver: request is too large\n(exit code 1)\n"


async def test_a_cluster_of_three(tls: TlsFiles, tmp_path: Path) -> None:
    """Membership, leadership and what asks every member."""
    async with balsa_cluster(tmp_path, tls, size=3) as cluster:
        etcdctl = Etcdctl(cluster.urls[0], tls)
        await etcdctl.run("put a 1")

        async def same_hash() -> bool:
            lines = (await etcdctl.run("endpoint hashkv --cluster")).splitlines()
            return len(lines) == 3 and len({line.split(", ")[1] for line in lines}) == 1

        await eventually(same_hash)
        health = await etcdctl.run("endpoint health --cluster")
        assert health.count("is healthy") == 3

        added = await etcdctl.run("member add m4 --learner --peer-urls=https://127.0.0.1:1")
        assert "Member <id> added to cluster <id>" in added
        raw = await etcdctl.start("member", "list")
        lines = (await raw.communicate())[0].decode().splitlines()
        learner = next(line.split(", ")[0] for line in lines if "unstarted" in line)
        refused = await etcdctl.run(f"member promote {learner}")
        assert "etcdserver:" in refused
        updated = await etcdctl.run(f"member update {learner} --peer-urls=https://127.0.0.1:2")
        assert updated == "Member <id> updated in cluster <id>\n"
        assert await etcdctl.run(f"member remove {learner}") == "Member <id> removed from cluster <id>\n"

        leader = await cluster.leader()
        follower = next(
            line for line in lines if f", {leader.name}, " not in line and "unstarted" not in line
        )

        async def moved() -> bool:
            output = await Etcdctl(leader.url, tls).run(f"move-leader {follower.split(', ')[0]}")
            assert (
                "Leadership transferred from <id> to <id>" in output
                or "etcdserver: not leader" in output  # it lost the leadership meanwhile
                or "etcdserver: request timed out" in output  # the target fell behind
            ), output
            return (await cluster.leader()).name == follower.split(", ")[2]

        await eventually(moved)
        for member in cluster.members:
            assert await Etcdctl(member.url, tls).run("get a --print-value-only") == "1\n"
