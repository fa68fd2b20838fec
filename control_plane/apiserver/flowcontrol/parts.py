"""Priority and fairness of one server, put together."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from itertools import islice

from prometheus_client import REGISTRY

from control_plane.api.flowcontrol import GROUP, LEVELS, SCHEMAS
from control_plane.apiserver.core import Core
from control_plane.apiserver.flowcontrol.controller import Controller
from control_plane.apiserver.flowcontrol.debug import Dumps
from control_plane.apiserver.flowcontrol.fairness import Fairness
from control_plane.apiserver.flowcontrol.metrics import FlowControlCollector
from control_plane.apiserver.limits import InFlight
from control_plane.apiserver.system_storage import SystemStorage

SAMPLE_OBJECTS = 16
CONFIG_HOOK = "priority-and-fairness-config-producer"


@dataclass(slots=True)
class FlowControl:
    fairness: Fairness
    controller: Controller
    dumps: Dumps

    @property
    def hooks(self) -> Mapping[str, Callable[[Core], Awaitable[None]]]:
        async def produce(_: Core) -> None:
            await self.controller.maintain()

        return {CONFIG_HOOK: produce}


class Sampled:
    """Number and average size of a resource's objects; the average is of a sample, taken again as the number
    grows or shrinks."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._known: dict[tuple[str, str], tuple[int, int]] = {}

    def __call__(self, group: str, resource: str) -> tuple[int, int]:
        described = self._core.registry.find(group, resource)
        if described is None:
            return 0, 0
        cache = self._core.cache(described)
        objects = len(cache)
        sampled, average = self._known.get((group, resource), (0, 0))
        if abs(objects - sampled) > sampled // 8:
            sizes = [len(entry.raw) for _, entry in islice(cache.entries(), SAMPLE_OBJECTS)]
            average = sum(sizes) // len(sizes) if sizes else 0
            self._known[group, resource] = objects, average
        return objects, average


def flow_control(core: Core, seats: int, in_flight: InFlight) -> FlowControl:
    schemas, levels = core.feed.cache(GROUP, SCHEMAS), core.feed.cache(GROUP, LEVELS)

    fairness = Fairness(schemas, levels, Sampled(core), seats, time.monotonic, in_flight)
    REGISTRY.register(FlowControlCollector(fairness))
    controller = Controller(fairness, SystemStorage(core), schemas, levels)
    return FlowControl(fairness, controller, Dumps(fairness, time.time() - time.monotonic()))
