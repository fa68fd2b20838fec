"""Authentication across members and restarts, through the JSON gateway."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from pathlib import Path
from typing import Any

import orjson
import pytest

from ..conftest import BalsaCluster, TlsFiles, balsa_cluster, eventually

TIMEOUT_S = 10.0


def b(text: str) -> str:
    return b64encode(text.encode()).decode()


class Gateway:
    def __init__(self, url: str, tls: TlsFiles) -> None:
        self._url, self._tls = url, tls

    async def post(self, path: str, body: Any, token: str = "") -> Any:
        reader, writer = await asyncio.open_connection(
            *self._url.removeprefix("https://").split(":"), ssl=self._tls.client_context()
        )
        data = orjson.dumps(body)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(data)}\r\n"
        writer.write((head + (f"Authorization: {token}\r\n" if token else "") + "\r\n").encode() + data)
        async with asyncio.timeout(TIMEOUT_S):
            answer = await reader.readuntil(b"\r\n\r\n")
            if b"chunked" in answer:  # of a stream the first message
                await reader.readline()
                text = await reader.readline()
            else:
                text = await reader.read()
        writer.close()
        return orjson.loads(text)

    async def token(self, name: str, password: str) -> str:
        answer = await self.post("/v3/auth/authenticate", {"name": name, "password": password})
        return str(answer["token"])


async def _prepare(gateway: Gateway) -> None:
    for path, body in (
        ("user/add", {"name": "root", "password": "pw"}),
        ("user/grant", {"user": "root", "role": "root"}),
        ("user/add", {"name": "alice", "password": "a"}),
        ("role/add", {"name": "r"}),
        ("role/grant", {"name": "r", "perm": {"permType": "READWRITE", "key": b("k"), "range_end": b("l")}}),
        ("user/grant", {"user": "alice", "role": "r"}),
        ("enable", {}),
    ):
        answer = await gateway.post(f"/v3/auth/{path}", body)
        assert "error" not in answer, answer


async def test_from_enabling_to_denied(tls: TlsFiles, tmp_path: Path) -> None:
    async with balsa_cluster(tmp_path, tls, size=3) as cluster:
        first, second, third = (Gateway(url, tls) for url in cluster.urls)
        await _prepare(first)
        token = await second.token("alice", "a")

        put = {"key": b("k"), "value": b("v")}
        assert "header" in await third.post("/v3/kv/put", put, token)  # a token counts at every member
        for path, body, why in (
            ("/v3/kv/put", {"key": b("x")}, "permission denied"),
            ("/v3/kv/range", {"key": b("a"), "range_end": b("z")}, "permission denied"),
            ("/v3/auth/user/list", {}, "permission denied"),
            ("/v3/maintenance/defragment", {}, "permission denied"),
            ("/v3/cluster/member/remove", {"ID": "1"}, "permission denied"),
        ):
            assert why in (await third.post(path, body, token))["message"], path
        for given, why in (("", "user name is empty"), ("guessed", "invalid auth token")):
            assert why in (await third.post("/v3/kv/put", put, given))["message"]
            assert why in orjson.dumps(await third.post("/v3/maintenance/snapshot", {}, given)).decode()
        watch = {"create_request": {"key": b("x")}}
        assert "permission denied" in orjson.dumps(await third.post("/v3/watch", watch, token)).decode()

        root = await first.token("root", "pw")
        assert (await third.post("/v3/auth/user/get", {"name": "alice"}, root))["roles"] == ["r"]
        await first.post("/v3/auth/user/changepw", {"name": "alice", "password": "b"}, root)
        assert "invalid auth token" in (await second.post("/v3/kv/put", put, token))["message"]


async def test_users_outlive_a_restart_and_tokens_are_asked_for_again(tls: TlsFiles, tmp_path: Path) -> None:
    async with balsa_cluster(tmp_path, tls, flags=["--snapshot-count=10"]) as cluster:
        gateway = Gateway(cluster.urls[0], tls)
        await _prepare(gateway)
        token = await gateway.token("alice", "a")
        put = {"key": b("k"), "value": b("v")}
        for _ in range(30):  # beyond a snapshot
            assert "header" in await gateway.post("/v3/kv/put", put, token)
        await _restart(cluster)

        async def answers() -> bool:
            try:
                return "message" in await gateway.post("/v3/kv/put", put)
            except (OSError, IndexError):
                return False

        await eventually(answers)
        assert "user name is empty" in (await gateway.post("/v3/kv/put", put))["message"]
        assert "header" in await gateway.post("/v3/kv/put", put, await gateway.token("alice", "a"))


async def _restart(cluster: BalsaCluster) -> None:
    await cluster.members[0].kill()
    await cluster.members[0].start()


@pytest.mark.parametrize("body", [{"name": "x", "password": "y" * 5000}, {"name": "", "password": ""}])
async def test_authenticating_where_it_is_off(tls: TlsFiles, tmp_path: Path, body: Any) -> None:
    async with balsa_cluster(tmp_path, tls) as cluster:
        answer = await Gateway(cluster.urls[0], tls).post("/v3/auth/authenticate", body)
        assert answer["message"] == "etcdserver: authentication is not enabled"
