"""The watch hub, without sockets: what each watcher is given, in which order, and what happens to the slow ones."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from store.lease.table import LeaseTable
from store.mvcc.messages import CompactionRequest, DeleteRangeRequest, PutRequest, RequestOp, TxnRequest
from store.mvcc.store import MvccStore
from store.watch import hub as hub_module
from store.watch import stream as stream_module
from store.watch.hub import BROADCAST_ID, WatchHub
from store.watch.stream import Spec, WatchResponse, WatchStream


class Bench:
    """A store, a hub and one stream; `drain` reads what the stream was given."""

    def __init__(self) -> None:
        self.store = MvccStore(LeaseTable())
        self.hub = WatchHub(self.store)
        self.woken = 0
        self.stream = self.open()

    def open(self) -> WatchStream:
        return self.hub.open_stream(self._wake)

    def _wake(self) -> None:
        self.woken += 1

    def put(self, *keys: bytes) -> None:
        self.store.txn(TxnRequest(success=[RequestOp(request_put=PutRequest(key, b"v")) for key in keys]))
        self.hub.notify(self.store.take_events())

    def delete(self, key: bytes) -> None:
        self.store.delete_range(DeleteRangeRequest(key))
        self.hub.notify(self.store.take_events())

    def compact(self, revision: int) -> None:
        self.store.compact(CompactionRequest(revision))
        while self.store.release_some(100):
            pass

    def drain(self, stream: WatchStream | None = None) -> list[WatchResponse]:
        stream = stream or self.stream
        taken = stream.take()
        while self.hub.sync(stream) or not stream.is_idle:
            taken += stream.take()
        return taken


@pytest.fixture
def bench() -> Bench:
    return Bench()


def told(responses: list[WatchResponse]) -> list[str]:
    """Responses in words: `+key@revision` for a put, `-key@revision` for a deletion."""
    words = []
    for response in responses:
        if response.created:
            words.append("created")
        elif response.canceled:
            words.append(f"canceled {response.compact_revision}".strip())
        elif response.batch is None:
            words.append(f"progress {response.revision}")
        else:
            for event in response.batch.events:
                sign = "-" if event.is_delete else "+"
                words.append(f"{sign}{event.record.key.decode()}@{event.record.mod_revision}")
    return words


def test_changes_from_now_on(bench: Bench) -> None:
    bench.put(b"a")
    bench.hub.create(bench.stream, Spec(b"a", b"c"), 0, False)
    bench.put(b"b")
    bench.put(b"c")
    bench.delete(b"a")
    assert told(bench.drain()) == ["created", "+b@3", "-a@5"]


def test_changes_from_the_past_then_from_now_on(bench: Bench) -> None:
    for key in (b"a", b"b", b"a"):
        bench.put(key)
    bench.hub.create(bench.stream, Spec(b"a", b"c"), 3, False)
    bench.put(b"b")
    assert told(bench.drain()) == ["created", "+b@3", "+a@4", "+b@5"]


def test_changes_from_the_future(bench: Bench) -> None:
    bench.hub.create(bench.stream, Spec(b"a"), 4, False)
    for _ in range(4):
        bench.put(b"a")
    assert told(bench.drain()) == ["created", "+a@4", "+a@5"]


FILTERS = {
    "no filter": (Spec(b"k"), ["+k@2", "-k@3"]),
    "no puts": (Spec(b"k", no_put=True), ["-k@3"]),
    "no deletions": (Spec(b"k", no_delete=True), ["+k@2"]),
    "other key": (Spec(b"l"), []),
    "all keys": (Spec(b"\x00", b"\x00"), ["+k@2", "-k@3"]),
    "range before": (Spec(b"a", b"k"), []),
}


@pytest.mark.parametrize("start", [0, 1], ids=["live", "history"])
@pytest.mark.parametrize(("spec", "expected"), FILTERS.values(), ids=FILTERS)
def test_filters(bench: Bench, spec: Spec, expected: list[str], start: int) -> None:
    if start == 0:
        bench.hub.create(bench.stream, spec, 0, False)
    bench.put(b"k")
    bench.delete(b"k")
    if start == 1:
        bench.hub.create(bench.stream, spec, 1, False)
    assert told(bench.drain()) == ["created", *expected]


@pytest.mark.parametrize("start", [0, 1], ids=["live", "history"])
def test_prev_kv(bench: Bench, start: int) -> None:
    if start == 0:
        bench.hub.create(bench.stream, Spec(b"k", prev_kv=True), 0, False)
    bench.put(b"k")
    bench.put(b"k")
    bench.delete(b"k")
    if start == 1:
        bench.hub.create(bench.stream, Spec(b"k", prev_kv=True), 1, False)
    events = [event for response in bench.drain() if response.batch for event in response.batch.events]
    assert [event.prev and event.prev.mod_revision for event in events] == [None, 2, 3]


def test_equal_watchers_share_one_batch(bench: Bench) -> None:
    streams = [bench.open() for _ in range(3)]
    for stream in streams:
        bench.hub.create(stream, Spec(b"a", b"z"), 0, False)
        bench.drain(stream)
    bench.put(b"k")
    batches = {id(bench.drain(stream)[0].batch) for stream in streams}
    assert len(batches) == 1


def test_a_slow_stream_catches_up_from_history(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "MAX_OUTBOX_EVENTS", 3)
    monkeypatch.setattr(hub_module, "SYNC_CHANGES", 2)
    fast = bench.open()
    for stream in (bench.stream, fast):
        bench.hub.create(stream, Spec(b"k"), 0, False)
    seen_by_fast: list[str] = []
    for _ in range(10):
        bench.put(b"k")
        seen_by_fast += told(bench.drain(fast))
    assert bench.hub.unsynced == 1
    assert seen_by_fast == ["created"] + [f"+k@{revision}" for revision in range(2, 12)]
    assert told(bench.drain()) == seen_by_fast
    assert bench.hub.unsynced == 0


def test_a_slow_stream_is_told_when_what_it_needs_is_compacted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "MAX_OUTBOX_EVENTS", 2)
    bench.hub.create(bench.stream, Spec(b"k"), 0, False)
    for _ in range(5):
        bench.put(b"k")
    bench.compact(6)
    assert told(bench.drain()) == ["created", "+k@2", "+k@3", "canceled 6"]
    bench.put(b"k")
    assert bench.drain() == []


def test_a_compacted_start_is_refused_and_the_compact_revision_is_not(bench: Bench) -> None:
    for _ in range(3):
        bench.put(b"k")
    bench.delete(b"k")
    bench.compact(5)
    bench.hub.create(bench.stream, Spec(b"k"), 4, False)
    assert told(bench.drain()) == ["created", "canceled 5"]
    bench.hub.create(bench.stream, Spec(b"k"), 5, False)
    assert told(bench.drain()) == ["created", "-k@5"]


def test_a_revision_is_never_split(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "SYNC_CHANGES", 2)
    bench.put(b"a", b"b", b"c")
    bench.put(b"a", b"b", b"c")
    bench.hub.create(bench.stream, Spec(b"a", b"z"), 1, False)
    batches = [len(response.batch.events) for response in bench.drain() if response.batch]
    assert batches == [3, 3]


def test_progress_on_request_waits_for_the_unsynced(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "SYNC_TURN_CHANGES", 1)
    monkeypatch.setattr(hub_module, "SYNC_CHANGES", 1)
    for _ in range(3):
        bench.put(b"k")
    bench.hub.create(bench.stream, Spec(b"k"), 1, False)
    bench.hub.request_progress(bench.stream)
    responses = bench.drain()
    assert told(responses) == ["created", "+k@2", "+k@3", "+k@4", "progress 4"]
    assert responses[-1].watch_id == BROADCAST_ID


def test_progress_notifications_go_to_the_idle(bench: Bench) -> None:
    bench.hub.create(bench.stream, Spec(b"k"), 0, True)
    bench.hub.create(bench.stream, Spec(b"l"), 0, True)
    bench.hub.create(bench.stream, Spec(b"m"), 0, False)
    bench.drain()
    bench.put(b"k")
    bench.drain()
    bench.hub.notify_progress()
    assert [(r.watch_id, r.revision) for r in bench.drain()] == [(1, 2)]
    bench.hub.notify_progress()
    assert [(r.watch_id, r.revision) for r in bench.drain()] == [(0, 2), (1, 2)]


def test_cancel(bench: Bench) -> None:
    watcher = bench.hub.create(bench.stream, Spec(b"k"), 0, False)
    assert watcher is not None
    bench.hub.cancel(bench.stream, watcher.id)
    bench.put(b"k")
    bench.hub.cancel(bench.stream, 99)
    assert told(bench.drain()) == ["created", "canceled 0"]
    assert len(bench.hub) == 0


def test_ids_are_the_clients_or_free_ones(bench: Bench) -> None:
    ids = [bench.hub.create(bench.stream, Spec(b"k"), 0, False, id=id) for id in (0, 1, 0, 1)]
    assert [watcher and watcher.id for watcher in ids] == [0, 1, 2, None]
    refusal = bench.drain()[-1]
    assert refusal.canceled
    assert refusal.cancel_reason == "mvcc: watcher with given ID already exists"


def test_a_replaced_store_is_caught_up_with(bench: Bench) -> None:
    """A snapshot is installed on a lagging member: its watchers miss nothing and see nothing twice."""
    bench.put(b"k")
    bench.hub.create(bench.stream, Spec(b"k"), 0, False)
    bench.put(b"k")
    other = Bench()
    for _ in range(5):
        other.put(b"k")
    bench.hub.reset(other.store)
    assert told(bench.drain()) == ["created", "+k@3", "+k@4", "+k@5", "+k@6"]


def test_a_closed_stream_is_forgotten(bench: Bench) -> None:
    bench.hub.create(bench.stream, Spec(b"k"), 0, False)
    bench.hub.close_stream(bench.stream)
    bench.put(b"k")
    assert (len(bench.hub), bench.hub.streams) == (0, 0)


@given(
    changes=st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.booleans()), max_size=40),
    watchers=st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 45), st.sampled_from([b"b", b"c", b"z"])), max_size=6
    ),
    drains=st.sets(st.integers(0, 40)),
    room=st.integers(1, 6),
)
@settings(max_examples=150, deadline=None)
def test_every_watcher_gets_every_change_once_in_order(
    changes: list[tuple[bytes, bool]],
    watchers: list[tuple[int, int, bytes]],
    drains: set[int],
    room: int,
) -> None:
    """Whatever the starts, however slow the streams."""
    bench = Bench()
    old = stream_module.MAX_OUTBOX_EVENTS, hub_module.SYNC_CHANGES
    stream_module.MAX_OUTBOX_EVENTS, hub_module.SYNC_CHANGES = room, 2
    try:
        opened: list[tuple[WatchStream, Spec, int, list[str]]] = []
        for number, (key, delete) in enumerate([*changes, (b"a", False)]):
            for created_at, start, end in watchers:
                if created_at == number:
                    stream, spec = bench.open(), Spec(b"a", end)
                    bench.hub.create(stream, spec, start, False)
                    opened.append((stream, spec, start or bench.store.revision + 1, []))
            if delete:
                bench.delete(key)
            else:
                bench.put(key)
            if number in drains:
                for stream, _, _, seen in opened:
                    seen += told(bench.drain(stream))
        for stream, spec, start, seen in opened:
            seen += told(bench.drain(stream))
            wanted = [
                f"{'+' if record.version else '-'}{record.key.decode()}@{record.mod_revision}"
                for record in bench.store.history(start, 1000)
                if spec.wants(record)
            ]
            assert seen == ["created", *wanted]
    finally:
        stream_module.MAX_OUTBOX_EVENTS, hub_module.SYNC_CHANGES = old
