"""The multi-version key-value store: a pure, deterministic state machine.

Every request that changes something is one revision; the changes inside it keep their order. Nothing is
ever overwritten: an old revision can be read until it is compacted. There is no clock, no randomness and no
I/O here, so the same requests in the same order give the same bytes on every member; `hash_at` proves it.

Methods raise `RequestError`s; the state is then unchanged. Invariants: the revision only grows; a record's
create revision never exceeds its mod revision; what was live at a revision that is not compacted can be
read.

Compaction has two parts. `compact` moves the limit of what may be read, at once. `release_some` then frees
memory in small steps, whenever the shell finds time; it changes nothing that can be observed.
"""

from __future__ import annotations

from store.mvcc.errors import Compacted, FutureRevision
from store.mvcc.index import KeyIndex, record_size_bytes
from store.mvcc.log import RevisionLog
from store.mvcc.messages import (
    CompactionRequest,
    CompactionResponse,
    DeleteRangeRequest,
    DeleteRangeResponse,
    Event,
    PutRequest,
    PutResponse,
    RangeRequest,
    RangeResponse,
    Record,
    TxnRequest,
    TxnResponse,
)
from store.mvcc.query import check_range, read_range, read_revision
from store.mvcc.txn import (
    Leases,
    Plan,
    check_delete,
    check_operations,
    check_put,
    check_put_possible,
    check_txn,
)

FIRST_REVISION = 1  # of an empty store, as etcd's


class MvccStore:
    def __init__(self, leases: Leases) -> None:
        self.revision = FIRST_REVISION
        self.compact_revision = 0
        self.size_bytes = 0
        self.index = KeyIndex()
        self.log = RevisionLog()
        self.leases = leases
        self.pins = 0  # snapshot views in progress: nothing is released meanwhile
        self._events: list[Event] = []

    def take_events(self) -> list[Event]:
        """The changes since the last call, in order; whoever applies requests collects them."""
        events, self._events = self._events, []
        return events

    # -- requests --

    def range(self, request: RangeRequest) -> RangeResponse:
        check_range(request)
        return self._range(request, self.revision)

    def put(self, request: PutRequest) -> PutResponse:
        check_put(request)
        check_put_possible(self.index, self.leases, request)
        response = self._put(request, self.revision + 1)
        self._commit()
        return response

    def delete_range(self, request: DeleteRangeRequest) -> DeleteRangeResponse:
        check_delete(request)
        response = self._delete(request, self.revision + 1)
        self._commit()
        response.revision = self.revision
        return response

    def txn(self, request: TxnRequest) -> TxnResponse:
        check_txn(request)
        plan = Plan(self.index, request)
        check_operations(self.index, self.leases, plan, self.revision, self.compact_revision)
        response = self._execute(plan, self.revision + 1)
        self._commit()
        return response

    def delete_keys(self, keys: list[bytes]) -> int:
        """Delete these keys in one revision, if any of them is live: the end of a lease."""
        for key in sorted(keys):
            self._delete_key(key, self.revision + 1)
        self._commit()
        return self.revision

    def compact(self, request: CompactionRequest) -> CompactionResponse:
        if request.revision <= self.compact_revision:
            raise Compacted
        if request.revision > self.revision:
            raise FutureRevision
        self.compact_revision = request.revision
        return CompactionResponse(self.revision)

    # -- history --

    def history(self, start_revision: int, limit: int) -> list[Record]:
        """About `limit` changes from a revision on, never a part of a revision. Raises Compacted."""
        if start_revision < self.compact_revision:
            raise Compacted
        return self.log.whole_revisions(self.log.position(start_revision), limit)

    def previous(self, record: Record) -> Record | None:
        """What was live just before a change; None also when that is compacted."""
        if record.version == 1:
            return None
        return self.index.at(record.key, record.mod_revision - 1)

    def hash_at(self, revision: int) -> int:
        """The hash of the history up to `revision` (0: all of it), equal on every member."""
        return self.log.hash_at(read_revision(revision, self.revision, self.compact_revision))

    # -- memory --

    def release_some(self, limit: int) -> bool:
        """Free about `limit` compacted changes, whole revisions; False when there is nothing (more) to do.

        The changes of the compact revision itself stay in the log: a watch may start there.
        """
        if self.pins:
            return False
        end = self.log.position(self.compact_revision)
        if end == 0:
            return False
        batch = self.log.slice(0, end) if end <= limit else self.log.whole_revisions(0, limit)
        for key in {record.key for record in batch}:
            self.size_bytes -= self.index.compact(key, self.compact_revision)
        self.log.drop_first(len(batch))
        return True

    def dismantle(self, limit: int) -> bool:
        """Free about `limit` records of a store that nobody uses any more; False at the end."""
        self.log.drop_last(limit)
        return self.index.drop_some(limit) or len(self.log) > 0

    # -- execution --

    def _commit(self) -> None:
        if self._events and self._events[-1].record.mod_revision > self.revision:
            self.revision += 1

    def _execute(self, plan: Plan, revision: int) -> TxnResponse:
        responses: list[RangeResponse | PutResponse | DeleteRangeResponse | TxnResponse] = []
        for step in plan.steps:
            match step:
                case PutRequest():
                    responses.append(self._put(step, revision))
                case RangeRequest():
                    responses.append(self._range(step, self._written(revision)))
                case DeleteRangeRequest():
                    responses.append(self._delete(step, revision))
                case Plan():
                    responses.append(self._execute(step, revision))
        return TxnResponse(self._written(revision), plan.succeeded, responses)

    def _written(self, revision: int) -> int:
        """The revision that a reader inside the running transaction sees: its own, once it wrote."""
        wrote = self._events and self._events[-1].record.mod_revision == revision
        return revision if wrote else self.revision

    def _range(self, request: RangeRequest, now: int) -> RangeResponse:
        revision = read_revision(request.revision, now, self.compact_revision)
        return read_range(self.index, self.log, request, revision, now)

    def _put(self, request: PutRequest, revision: int) -> PutResponse:
        key = request.key
        before = self.index.current(key)
        value, lease = request.value, request.lease
        if before is None:
            record = Record(key, value, revision, revision, 1, lease)
        else:
            if request.ignore_value:
                value = before.value
            if request.ignore_lease:
                lease = before.lease
            record = Record(key, value, before.create_revision, revision, before.version + 1, lease)
            if before.lease and before.lease != lease:
                self.leases.detach(before.lease, key)
        if lease:
            self.leases.attach(lease, key)
        self._write(record, before)
        return PutResponse(revision, before if request.prev_kv else None)

    def _delete(self, request: DeleteRangeRequest, revision: int) -> DeleteRangeResponse:
        keys = list(self.index.live_keys(request.key, request.range_end))
        deleted = [self._delete_key(key, revision) for key in keys]
        previous = [record for record in deleted if record is not None]
        response = DeleteRangeResponse(self._written(revision), len(previous))
        if request.prev_kv:
            response.prev_kvs = previous
        return response

    def _delete_key(self, key: bytes, revision: int) -> Record | None:
        before = self.index.current(key)
        if before is None:
            return None
        if before.lease:
            self.leases.detach(before.lease, key)
        self._write(Record(key, b"", 0, revision, 0), before)
        return before

    def _write(self, record: Record, before: Record | None) -> None:
        assert record.create_revision <= record.mod_revision
        self.index.insert(record)
        self.log.append(record)
        self.size_bytes += record_size_bytes(record)
        self._events.append(Event(record, before))
