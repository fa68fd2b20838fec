"""A member that joins a running cluster asks the others who is there, before it has a log of its own.

It was added before (`add_member`); the answer holds the cluster's id and its own, without which nobody would greet
it. A member that lags may not know of the addition yet: then another is asked, and all of them again.
"""

from __future__ import annotations

import asyncio
import ssl

import msgpack

from store.raft.codec import PROTOCOL_VERSION, FrameReader, decode, encode
from store.raft.config import Join, RaftConfig
from store.raft.errors import CannotJoin, ProtocolError
from store.raft.membership import Membership
from store.raft.transport import address

ATTEMPT_TIMEOUT_S = 3.0
ROUNDS = 5
PAUSE_S = 0.5
READ_BYTES = 64 * 1024


async def discover(config: RaftConfig) -> Join:
    """Raises CannotJoin."""
    if config.client_tls is None:
        raise CannotJoin("peers need mutual TLS to be asked")
    urls = [url for name, each in config.initial_members.items() if name != config.name for url in each]
    why = "the initial cluster names no other member"
    lagging: Join | None = None
    for _ in range(ROUNDS):
        for url in urls:
            try:
                async with asyncio.timeout(ATTEMPT_TIMEOUT_S):
                    join = await _ask(url, config.client_tls)
                if _knows(join, config):
                    return join
                lagging = join
            except (OSError, EOFError, ProtocolError) as error:
                why = f"{url}: {error or type(error).__name__}"
        await asyncio.sleep(PAUSE_S)
    if lagging is not None:
        return lagging  # nobody knows of it: the storage says what is to be done
    raise CannotJoin(f"no member of the cluster answers; the last was {why}")


def _knows(join: Join, config: RaftConfig) -> bool:
    urls = set(config.initial_members[config.name])
    return any(each.name == config.name or urls == set(each.peer_urls) for each in join.members)


async def _ask(url: str, tls: ssl.SSLContext) -> Join:
    host, port = address(url)
    reader, writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname=host)
    try:
        writer.write(encode({"type": "members_request", "version": PROTOCOL_VERSION}))
        frames = FrameReader()
        while data := await reader.read(READ_BYTES):
            for body in frames.feed(data):
                message = decode(body)
                if message["type"] == "members_reply":
                    members = Membership.unpack(msgpack.unpackb(message["members"]))
                    return Join(message["cluster_id"], members.sorted())
    finally:
        writer.close()
    raise EOFError("hung up")
