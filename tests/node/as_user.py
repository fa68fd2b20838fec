"""Run pytest as an ordinary user would: `python -m tests.node.as_user [--enter] ARGUMENTS`.

--enter: inside a user namespace of the cluster, as the launcher's processes are. Without it every pod makes one.
"""

from __future__ import annotations

import sys

from node.network import fabric


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--enter"]:
        fabric.enter(fabric.capabilities())
        arguments = arguments[1:]
    import pytest

    return int(pytest.main(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
