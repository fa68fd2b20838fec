"""An agent for test_adoption: makes pods, prints their ids, and waits to be killed."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from node.runtime.process.runtime import ProcessRuntime
from tests.node.runtime.pods import NoNetwork, Pods


async def main(root: Path, logs: Path) -> None:
    runtime = ProcessRuntime(root, NoNetwork())  # type: ignore[arg-type]
    await runtime.start()
    pods = Pods(runtime, logs)
    sandbox = await pods.sandbox()
    ids = {
        "sandbox": sandbox,
        "running": await pods.start("while :; do echo tick; sleep 0.05; done", sandbox),
        "ends-later": await pods.start(
            "while ! test -e /dev/shm/go; do sleep 0.05; done; echo end; exit 42", sandbox
        ),
        "ended": await pods.start("echo over; exit 7", sandbox),
        "created": await pods.create("echo late", sandbox),
    }
    await pods.ended(ids["ended"])
    print(json.dumps(ids), flush=True)
    await asyncio.sleep(3600)


asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
