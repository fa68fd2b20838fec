"""A snapshot is of one moment, whatever happens to the member while it is sent."""

from __future__ import annotations

from pathlib import Path

from store.api import snapshot_file
from store.api.etcd_buckets import EtcdView
from store.api.leases import LeaseKeeper
from store.api.machine import StoreMachine
from store.mvcc.messages import CompactionRequest, DeleteRangeRequest, PutRequest, RangeRequest

from .doubles import InstantEngine

KEYS = 3000
EVERYTHING = RangeRequest(b"\0", b"\0")


def filled() -> StoreMachine:
    machine = StoreMachine(LeaseKeeper(lambda: 0.0))
    for number in range(KEYS):
        machine.store.put(PutRequest(b"k%05d" % number, b"v%d" % number))
    machine.store.compact(CompactionRequest(KEYS // 2))
    machine.store.take_events()
    while machine.release_some(500):
        pass
    return machine


def test_writes_compaction_and_an_installed_snapshot_meanwhile(tmp_path: Path) -> None:
    machine = filled()
    expected, revision = machine.store.range(EVERYTHING).kvs, machine.store.revision
    other = list(StoreMachine(LeaseKeeper(lambda: 0.0)).snapshot().chunks())
    view = EtcdView(machine, InstantEngine(machine).status())
    data = b""
    for number, (piece, _) in enumerate(snapshot_file.pieces(view)):
        data += piece
        if number == 3:
            machine.store.put(PutRequest(b"k00001", b"changed"))
            machine.store.put(PutRequest(b"new", b""))
            machine.store.delete_range(DeleteRangeRequest(b"k00002"))
            machine.store.compact(CompactionRequest(machine.store.revision))
        if number == 6:
            machine.restore(other)  # from now on the state is another one
        machine.release_some(1000)
    view.close()
    file = tmp_path / "snapshot"
    file.write_bytes(data)
    snapshot_file.check(file)
    loaded = snapshot_file.load(file).store
    assert (loaded.revision, loaded.range(EVERYTHING).kvs) == (revision, expected)
    assert machine.store.range(EVERYTHING).kvs == []
    while machine.release_some(1000):  # and the old one goes in the end
        pass
    assert machine._retired == []
