"""Real processes under kill -9: every acknowledged write is there exactly once, on every member."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from certs.ca import CertificateAuthority
from tests.store.raft.cluster import DEADLINE_S, eventually
from tests.store.raft.processes import Failed, Processes, Writer

WRITERS = 8
KILLS = 6


@pytest.fixture
async def processes(tmp_path: Path, authority: CertificateAuthority) -> AsyncIterator[Processes]:
    # Frequent snapshots and small segments, so that kills meet compaction as well.
    processes = Processes(tmp_path, authority, "abc", snapshot_count=200, catch_up_entries=50)
    for name in processes.names:
        processes.start(name)
    yield processes
    processes.stop()


async def until_follower(processes: Processes, name: str) -> None:
    """The one that believed it led has heard of the new term."""
    end = time.monotonic() + DEADLINE_S
    role = ""
    while role != "follower":
        assert time.monotonic() < end, f"{name} is still {role}"
        with suppress(OSError, EOFError):
            role = (await processes.ask(name, "status", timeout_s=1))["role"]
        await asyncio.sleep(0.02)


async def dump(processes: Processes, name: str) -> list[str]:
    """What the member holds, once it knows how much there is: right after an election it may not yet."""
    end = time.monotonic() + DEADLINE_S
    while True:
        try:
            held: list[str] = await processes.ask(name, "dump", timeout_s=20)
            return held
        except (OSError, EOFError, Failed):
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.05)


async def check(processes: Processes, writers: list[Writer]) -> None:
    dumps = [await dump(processes, name) for name in processes.names]
    counts = Counter(dumps[0])
    missing = [each for writer in writers for each in writer.acknowledged if counts[each] == 0]
    assert missing == [], f"{len(missing)} acknowledged writes are missing"
    assert [each for each, count in counts.items() if count > 1] == []
    assert set(counts) <= {each for writer in writers for each in writer.attempted}
    assert dumps[1] == dumps[0]
    assert dumps[2] == dumps[0]


@pytest.mark.slow
async def test_kills_of_leaders_and_others_lose_and_double_nothing(processes: Processes) -> None:
    rng = random.Random(7)
    await processes.leader()
    writers = [Writer(processes, f"w{number}") for number in range(WRITERS)]
    tasks = [asyncio.ensure_future(writer.run()) for writer in writers]
    for number in range(KILLS):
        await asyncio.sleep(rng.uniform(0.3, 0.8))
        leader = await processes.leader()
        victims = (
            processes.names if number == KILLS - 1 else [leader if number % 2 == 0 else rng.choice("abc")]
        )
        for victim in victims:
            processes.kill(victim)
        await asyncio.sleep(rng.uniform(0.1, 0.5))
        for victim in victims:
            processes.start(victim)
    await processes.leader()
    await asyncio.sleep(0.5)
    for writer in writers:
        writer.stopping = True
    await asyncio.gather(*tasks)
    assert sum(len(writer.acknowledged) for writer in writers) > 100
    await check(processes, writers)


@pytest.mark.slow
async def test_writes_go_on_soon_after_the_leader_is_killed(processes: Processes) -> None:
    leader = await processes.leader()
    others = [name for name in processes.names if name != leader]
    writer = Writer(processes, "w")
    processes.names = others  # a client that does not lose time on the dead member
    task = asyncio.ensure_future(writer.run())
    await asyncio.sleep(0.5)
    began = time.monotonic()
    processes.kill(leader)
    await asyncio.sleep(1.5)
    writer.stopping = True
    await task
    pause_s = writer.longest_pause_s(began)
    print(f"pause {pause_s * 1000:.0f} ms")
    assert pause_s < 1.0


@pytest.mark.slow
async def test_a_paused_leader_is_replaced_and_its_return_is_harmless(processes: Processes) -> None:
    leader = await processes.leader()
    writers = [Writer(processes, "w0")]
    processes.signal(leader, signal.SIGSTOP)
    others = [name for name in processes.names if name != leader]
    names, processes.names = processes.names, others
    task = asyncio.ensure_future(writers[0].run())
    await eventually(lambda: writers[0].acknowledged, "the others have a leader")
    processes.signal(leader, signal.SIGCONT)
    await until_follower(processes, leader)
    count = len(writers[0].acknowledged)
    await eventually(lambda: len(writers[0].acknowledged) > count + 10, "writes go on beside it")
    writers[0].stopping = True
    await task
    processes.names = names
    await check(processes, writers)
