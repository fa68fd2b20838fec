"""The programs a cluster is made of: one line each. Every one is started as `balsa <name> [flags]`."""

from __future__ import annotations

import importlib
from collections.abc import Callable

COMPONENTS: dict[str, str] = {
    "store": "store.api.main",
    "apiserver": "control_plane.apiserver.main",
    "scheduler": "control_plane.scheduler.main",
    "controller-manager": "control_plane.controllers.main",
    "node": "node.agent.main",
    "hollow-node": "node.hollow.main",
}


def load(component: str) -> Callable[[list[str]], int]:
    """The component's `main(argv) -> exit status`."""
    main: Callable[[list[str]], int] = importlib.import_module(COMPONENTS[component]).main
    return main
