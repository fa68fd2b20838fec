"""One member in a process of its own, with a line protocol for its clients. Run by `test_kill`.

python -m tests.store.raft.process_member NAME DIRECTORY CLIENT_PORT name=url,name=url,name=url [SETTINGS]
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import uvloop

from certs.tls import client_context, server_context
from store.component import logs
from store.raft import RaftConfig, RaftError, RaftNode
from tests.store.raft.toy import Toy


async def serve(
    node: RaftNode, machine: Toy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        while line := await reader.readline():
            request = json.loads(line)
            try:
                answer = {"ok": await answer_to(node, machine, request)}
            except RaftError as error:
                answer = {"error": type(error).__name__}
            writer.write(json.dumps(answer).encode() + b"\n")
    except OSError:
        pass
    finally:
        writer.close()


async def answer_to(node: RaftNode, machine: Toy, request: dict[str, Any]) -> Any:
    if request["op"] == "put":
        return await node.propose(request["command"].encode(), timeout_s=request.get("timeout_s", 3.0))
    if request["op"] == "dump":
        await node.read_index()
        return [command.decode() for command in machine.commands]
    status = node.status()
    return {"role": status.role.value, "term": status.term, "snapshot_index": status.snapshot_index}


async def main(name: str, directory: str, port: str, members: str, settings: str = "{}") -> None:
    pki = Path(directory) / "pki"
    ca, cert, key = pki / "ca.crt", pki / f"{name}.crt", pki / f"{name}.key"
    config = RaftConfig(
        name=name,
        data_dir=Path(directory) / name,
        initial_members={each.split("=")[0]: [each.split("=")[1]] for each in members.split(",")},
        server_tls=server_context(cert, key, ca),
        client_tls=client_context(ca, cert, key, min_tls13=True),
        **json.loads(settings),
    )
    machine = Toy()
    node = RaftNode(config, machine)
    await node.start()
    server = await asyncio.start_server(lambda r, w: serve(node, machine, r, w), "127.0.0.1", int(port))
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    failed = asyncio.ensure_future(node.wait_stopped())
    await asyncio.wait([failed, asyncio.ensure_future(stopping.wait())], return_when=asyncio.FIRST_COMPLETED)
    server.close()
    await node.stop()


if __name__ == "__main__":
    logs.setup(2, "text")
    uvloop.run(main(*sys.argv[1:]))
