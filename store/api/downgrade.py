"""The downgrade guard, as etcd 3.6 has it: which version the cluster may be taken down to, and whether that
is under way.

Only one minor version lower is allowed. What is enabled is replicated and shown in every member's status;
it changes nothing about what is written, since the log's commands and the etcd files of `Snapshot` are those
that the version before reads.
"""

from __future__ import annotations

import re

from store.api import commands as c
from store.api.errors import DowngradeInProcess, DowngradeRefused, WrongVersionFormat
from store.api.messages import DowngradeRequest, DowngradeResponse
from store.api.service import CLUSTER_VERSION, StoreService

_VERSION = re.compile(r"(\d+)\.(\d+)(\.\d+)?(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")


async def downgrade(service: StoreService, request: DowngradeRequest) -> DowngradeResponse:
    service.auth.require_admin()
    if request.action == "CANCEL":
        await service.linearize()
        if service.machine.downgrade:
            await service.propose(c.SetDowngrade(""))
        return DowngradeResponse(CLUSTER_VERSION)
    target = parse(request.version)
    await service.linearize()
    major, minor = map(int, CLUSTER_VERSION.split("."))
    if target != (major, minor - 1):
        raise DowngradeRefused
    if service.machine.downgrade:
        raise DowngradeInProcess
    if request.action == "ENABLE":
        await service.propose(c.SetDowngrade(f"{major}.{minor - 1}.0"))
    return DowngradeResponse(CLUSTER_VERSION)


def parse(text: str) -> tuple[int, int]:
    """(major, minor) of a semantic version, whose patch may be missing. Raises WrongVersionFormat."""
    match = _VERSION.fullmatch(text)
    if match is None:
        raise WrongVersionFormat
    return int(match[1]), int(match[2])
