"""The downgrade guard's answers are etcd 3.6's."""

from __future__ import annotations

import pytest

from store.api.downgrade import downgrade
from store.api.grpc import responses
from store.api.grpc.protobuf import message_field
from store.api.json_encode import encode_status
from store.api.leases import LeaseKeeper
from store.api.machine import StoreMachine
from store.api.messages import DowngradeAction, DowngradeRequest
from store.api.service import StoreService
from store.mvcc.errors import RequestError

from .doubles import InstantEngine

FORMAT = "etcdserver: wrong downgrade target version format"
TARGET = "etcdserver: invalid downgrade target version"
IN_PROCESS = "etcdserver: cluster has a downgrade job in progress"

Step = tuple[DowngradeAction, str, str]  # action, version, the cluster's version or the error


@pytest.mark.parametrize(
    ("steps", "target"),
    [
        ([("VALIDATE", "3.5.0", "3.6"), ("VALIDATE", "3.5", "3.6"), ("VALIDATE", "3.5.9", "3.6")], ""),
        ([("VALIDATE", "3.6.0", TARGET), ("VALIDATE", "3.4.0", TARGET), ("ENABLE", "4.0.0", TARGET)], ""),
        ([("VALIDATE", "", FORMAT), ("ENABLE", "three", FORMAT), ("ENABLE", "3.x", FORMAT)], ""),
        ([("ENABLE", "3.5.0", "3.6"), ("VALIDATE", "3.5.0", IN_PROCESS)], "3.5.0"),
        ([("ENABLE", "3.5.0", "3.6"), ("ENABLE", "3.5.0", IN_PROCESS), ("CANCEL", "", "3.6")], ""),
        ([("CANCEL", "", "3.6")], ""),
    ],
    ids=["allowed", "one minor version only", "no version", "enabled once", "cancelled", "nothing to cancel"],
)
async def test_answers(steps: list[Step], target: str) -> None:
    leases = LeaseKeeper(lambda: 0.0)
    machine = StoreMachine(leases)
    service = StoreService(InstantEngine(machine), machine, leases)
    for action, version, expected in steps:
        try:
            answer = (await downgrade(service, DowngradeRequest(action, version))).version
        except RequestError as error:
            answer = error.message
        assert answer == expected
    copy = StoreMachine(leases)
    copy.restore(list(machine.snapshot().chunks()))
    assert machine.downgrade == copy.downgrade == target
    status = service.status()
    info = message_field(13, b"\x08\x01\x12\x05" + target.encode()) if target else b""
    assert responses.status(b"", status).endswith(info)
    assert (b'"targetVersion":"3.5.0"' in encode_status(b"{}", status)) == bool(target)
