"""`balsa store status` says what `etcdctl endpoint status` says."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import orjson
import pytest

from store.api import main
from store.api.status_command import size

from ..conftest import TlsFiles, balsa_cluster, eventually
from .grpc.etcdctl import Etcdctl

needs_etcdctl = pytest.mark.skipif(shutil.which("etcdctl") is None, reason="no etcdctl on this machine")


def flags(tls: TlsFiles, urls: list[str]) -> list[str]:
    files = (tls.ca, tls.directory / "client.crt", tls.directory / "client.key")
    named = zip(("--cacert", "--cert", "--key"), map(str, files), strict=True)
    return ["status", "--endpoints", ",".join(urls), *(part for pair in named for part in pair)]


@needs_etcdctl
async def test_every_member_in_a_table_and_as_json(
    tls: TlsFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with balsa_cluster(tmp_path, tls, 3) as cluster:
        etcdctl = Etcdctl(cluster.urls[0], tls)
        await etcdctl.run("put k v")  # etcdctl leaves out zeroes

        async def run(*args: str) -> tuple[int, str, str]:
            code = await asyncio.to_thread(main.main, [*flags(tls, cluster.urls[:1]), *args])
            return (code, *capsys.readouterr())

        async def etcdctls(*args: str) -> str:
            process = await etcdctl.start("endpoint", "status", "--cluster", *args)
            return (await process.communicate())[0].decode()

        async def same_table() -> bool:
            """Once the members have said where their clients reach them, and are as far as each other."""
            code, mine, _ = await run()
            theirs = await etcdctls("-w", "table")
            whole = (code, mine.count("https://")) == (0, 3)
            return whole and sorted(mine.splitlines()) == sorted(theirs.splitlines())

        await eventually(same_table)
        mine, theirs = orjson.loads((await run("-o", "json"))[1]), orjson.loads(await etcdctls("-w", "json"))
        assert len(mine) == 3
        by_url = {each["Endpoint"]: each["Status"] for each in theirs}
        assert {each["Endpoint"]: each["Status"] for each in mine} == by_url

        await cluster.members[2].kill()
        code, out, err = await run()
        assert (code, out.count("https://")) == (1, 2)
        assert f"{cluster.urls[2]} does not answer" in err


def test_without_credentials(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["status", "--endpoints", "https://127.0.0.1:1"]) == 1
    assert "--cacert is needed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (9, "9 B"), (999, "999 B"), (1000, "1.0 kB"), (20480, "20 kB"), (2_147_483_648, "2.1 GB")],
)
def test_sizes(size_bytes: int, text: str) -> None:
    assert size(size_bytes) == text
