"""The store against a model that is too simple to be wrong: a list of whole states, one per revision."""

from __future__ import annotations

from collections.abc import Callable

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from store.lease.table import LeaseTable
from store.mvcc import snapshot
from store.mvcc.errors import Compacted, FutureRevision, RequestError
from store.mvcc.messages import (
    CompactionRequest,
    Compare,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    Record,
    RequestOp,
    TxnRequest,
)
from store.mvcc.store import MvccStore

KEYS = [b"a", b"a/1", b"a/2", b"b", b"b\xff", b"c"]
ENDS = [b"", b"\x00", b"a0", b"b", b"c", b"d"]

keys = st.sampled_from(KEYS)
ends = st.sampled_from(ENDS)
values = st.binary(max_size=3)

State = dict[bytes, Record]


def within(key: bytes, start: bytes, end: bytes) -> bool:
    if end == b"":
        return key == start
    return start <= key and (end == b"\x00" or key < end)


class Model:
    """`states[revision]` is everything that was live then."""

    def __init__(self) -> None:
        self.states: list[State] = [{}, {}]
        self.changes: list[Record] = []

    @property
    def revision(self) -> int:
        return len(self.states) - 1

    def change(self, edit: Callable[[State, int], list[Record]]) -> None:
        state = dict(self.states[-1])
        changes = edit(state, self.revision + 1)
        if changes:
            self.states.append(state)
            self.changes += changes

    @staticmethod
    def put(state: State, revision: int, key: bytes, value: bytes) -> list[Record]:
        old = state.get(key)
        create, version = (old.create_revision, old.version + 1) if old else (revision, 1)
        state[key] = Record(key, value, create, revision, version)
        return [state[key]]

    @staticmethod
    def delete(state: State, revision: int, key: bytes, end: bytes) -> list[Record]:
        gone = [each for each in sorted(state) if within(each, key, end)]
        for each in gone:
            del state[each]
        return [Record(each, b"", 0, revision, 0) for each in gone]

    def range(self, revision: int, key: bytes, end: bytes) -> list[Record]:
        state = self.states[revision]
        return [state[each] for each in sorted(state) if within(each, key, end)]


class StoreAgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = MvccStore(LeaseTable())
        self.model = Model()
        self.views: list[tuple[snapshot.MvccView, Model, int]] = []

    @rule(key=keys, value=values)
    def put(self, key: bytes, value: bytes) -> None:
        self.store.put(PutRequest(key, value))
        self.model.change(lambda state, revision: Model.put(state, revision, key, value))

    @rule(key=keys, end=ends)
    def delete(self, key: bytes, end: bytes) -> None:
        expected = len(self.model.range(self.model.revision, key, end))
        assert self.store.delete_range(DeleteRangeRequest(key, end)).deleted == expected
        self.model.change(lambda state, revision: Model.delete(state, revision, key, end))

    @rule(first=keys, second=keys, value=values, version=st.integers(0, 2))
    def txn(self, first: bytes, second: bytes, value: bytes, version: int) -> None:
        request = TxnRequest(
            [Compare("EQUAL", "VERSION", first, version=version)],
            [
                RequestOp(request_put=PutRequest(first, value)),
                RequestOp(request_range=RangeRequest(first)),
                RequestOp(request_delete_range=DeleteRangeRequest(second)),
            ],
            [RequestOp(request_range=RangeRequest(second))],
        )
        if first == second:
            with_error = None
            try:
                self.store.txn(request)
            except RequestError as error:
                with_error = error
            assert with_error is not None
            return
        old = self.model.states[-1].get(first)
        succeeded = (old.version if old else 0) == version
        response = self.store.txn(request)
        assert response.succeeded is succeeded
        if succeeded:
            self.model.change(
                lambda state, revision: (
                    Model.put(state, revision, first, value) + Model.delete(state, revision, second, b"")
                )
            )
            assert response.responses[1].kvs == self.model.range(self.model.revision, first, b"")

    @rule(back=st.integers(0, 6))
    def compact(self, back: int) -> None:
        revision = self.model.revision - back
        if revision <= self.store.compact_revision:
            return
        self.store.compact(CompactionRequest(revision))

    @rule(steps=st.integers(1, 5))
    def release(self, steps: int) -> None:
        for _ in range(steps):
            self.store.release_some(2)

    @rule(key=keys, end=ends, back=st.integers(0, 8), limit=st.integers(0, 3))
    def read(self, key: bytes, end: bytes, back: int, limit: int) -> None:
        revision = self.model.revision - back
        if revision < 1:
            return
        request = RangeRequest(key, end, revision=revision, limit=limit)
        if revision < self.store.compact_revision:
            try:
                self.store.range(request)
            except Compacted:
                return
            raise AssertionError("a compacted revision was read")
        expected = self.model.range(revision, key, end)
        response = self.store.range(request)
        assert response.count == len(expected)
        assert response.kvs == (expected[:limit] if limit else expected)
        assert response.more == (0 < limit < len(expected))

    @rule(back=st.integers(0, 10))
    def history(self, back: int) -> None:
        start = max(1, self.model.revision - back)
        expected = [record for record in self.model.changes if record.mod_revision >= start]
        if start < self.store.compact_revision:
            return
        assert self.store.history(start, 1000) == expected

    @rule()
    def read_the_future(self) -> None:
        try:
            self.store.range(RangeRequest(b"a", revision=self.model.revision + 1))
        except FutureRevision:
            return
        raise AssertionError("the future was read")

    @precondition(lambda self: len(self.views) < 2)
    @rule()
    def take_view(self) -> None:
        model = Model()
        model.states, model.changes = list(self.model.states), list(self.model.changes)
        self.views.append((snapshot.MvccView(self.store), model, self.store.compact_revision))

    @precondition(lambda self: self.views)
    @rule()
    def load_view(self) -> None:
        view, model, compacted = self.views.pop(0)
        loaded = snapshot.finished(snapshot.loading(view.chunks(), LeaseTable()))
        assert loaded.revision == model.revision
        assert loaded.compact_revision == compacted
        for revision in range(max(1, compacted), model.revision + 1):
            request = RangeRequest(b"\x00", b"\x00", revision=revision)
            assert loaded.range(request).kvs == model.range(revision, b"\x00", b"\x00")
            assert loaded.hash_at(revision) == self._hash_at(revision)
        if not self.views:
            # go on with what was loaded, brought up to date by the changes since
            self.store, self.model = loaded, model

    def _hash_at(self, revision: int) -> int:
        return (
            self.store.hash_at(revision)
            if revision >= self.store.compact_revision
            else self.store.log.hash_at(revision)
        )

    @invariant()
    def current_state_is_the_model(self) -> None:
        assert self.store.revision == self.model.revision
        expected = self.model.range(self.model.revision, b"\x00", b"\x00")
        assert self.store.range(RangeRequest(b"\x00", b"\x00")).kvs == expected
        assert len(self.store.index) == len(expected)


StoreAgainstModel.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestStoreAgainstModel = StoreAgainstModel.TestCase
