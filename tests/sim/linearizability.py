"""Is a history of concurrent transactions linearizable? Wing and Gong's search with Lowe's memory.

An operation is a transaction on keys: compares, and operations for either outcome. A single put, read,
delete or compare-and-swap is a small one. The model is a map from key to (value, version): the version
counts the puts since the key was last created, so that a write applied twice shows even when it wrote the
same value.

Histories fall apart into groups of keys that no transaction joins (linearizability is local); each is
searched alone. The search takes operations in an order in which each could have happened, one after another;
`hint`, the store's revision, only says which to try first, so that a good history costs linear time, and
cannot make a bad one pass.

An operation without an answer (`returned` is infinite) may have happened at any time after its call, or never.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

MAX_STEPS = 100_000
"""Of the search in one group of keys; beyond it the answer is `unknown`."""

Value = tuple[bytes, int] | None
"""A key's value and version; None when it is not there."""


class Do(NamedTuple):
    """One operation inside a transaction: `kind` is put, get or delete."""

    kind: str
    key: bytes
    value: bytes = b""


class Compare(NamedTuple):
    key: bytes
    value: bytes | None  # None: the key is not there


@dataclass(slots=True, eq=False)
class Operation:
    client: str
    called: float
    compares: Sequence[Compare] = ()
    success: Sequence[Do] = ()
    failure: Sequence[Do] = ()
    returned: float = math.inf
    succeeded: bool | None = None  # None: no answer
    results: Sequence[Value] = ()
    """For each operation of the branch: what a get found, what a put or delete replaced; `IGNORED` if not known."""
    hint: float = math.inf

    @property
    def keys(self) -> list[bytes]:
        return [each.key for each in (*self.compares, *self.success, *self.failure)]

    @property
    def is_write(self) -> bool:
        return any(each.kind != "get" for each in (*self.success, *self.failure))

    def __str__(self) -> str:
        answer = "no answer" if self.succeeded is None else f"{self.succeeded} {list(self.results)}"
        text = "; ".join(f"{each.kind} {each.key!r} {each.value!r}" for each in self.success)
        if self.compares:
            text = f"if {[tuple(each) for each in self.compares]} then {text}"
            if self.failure:
                text += " else " + "; ".join(f"{each.kind} {each.key!r}" for each in self.failure)
        return f"{self.called:10.4f}–{self.returned:<10.4f} {self.client:<5} {text} → {answer} (hint {self.hint})"


IGNORED: Value = (b"", -1)


@dataclass(slots=True)
class Verdict:
    linearizable: bool
    unknown: bool = False
    steps: int = 0
    operations: Sequence[Operation] = field(default_factory=list)
    """Of a group of keys that is not linearizable: from the first that could not be placed on, those around it."""


def check(history: Sequence[Operation], max_steps: int = MAX_STEPS) -> Verdict:
    steps = 0
    for group in _groups(history):
        verdict = _Search(group, max_steps).run()
        steps += verdict.steps
        if not verdict.linearizable:
            return verdict
    return Verdict(True, steps=steps)


class Change(Protocol):
    """What is known of a change that was made: a record of the store, or an event of a watch."""

    @property
    def key(self) -> bytes: ...

    @property
    def value(self) -> bytes: ...

    @property
    def mod_revision(self) -> int: ...

    @property
    def version(self) -> int: ...


def give_hints(history: Sequence[Operation], changes: Sequence[Change]) -> None:
    """Say of operations without an answer when they happened, if a change shows it: a put by its value,
    which no other wrote; a delete by being the first that explains one which nobody was told of."""
    written = {each.value: each.mod_revision for each in changes if each.version}
    claimed = {
        (do.key, operation.hint)
        for operation in history
        if operation.succeeded
        for do, result in zip(operation.success, operation.results, strict=True)
        if do.kind == "delete" and result is not None
    }
    deleted: dict[bytes, deque[int]] = defaultdict(deque)
    for change in changes:
        if not change.version and (change.key, change.mod_revision) not in claimed:
            deleted[change.key].append(change.mod_revision)
    for operation in sorted(history, key=lambda each: each.called):
        if operation.succeeded is None:
            operation.hint = _hint(operation, written, deleted)


def _hint(operation: Operation, written: dict[bytes, int], deleted: dict[bytes, deque[int]]) -> float:
    for do in operation.success:
        if do.kind == "put" and do.value in written:
            return written[do.value]
        if do.kind == "delete" and deleted[do.key]:
            return deleted[do.key].popleft()
    return math.inf


def _groups(history: Sequence[Operation]) -> list[list[Operation]]:
    parent: dict[bytes, bytes] = {}

    def root(key: bytes) -> bytes:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for operation in history:
        first, *others = operation.keys
        for key in others:
            parent[root(key)] = root(first)
    groups: dict[bytes, list[Operation]] = defaultdict(list)
    for operation in history:
        groups[root(operation.keys[0])].append(operation)
    return list(groups.values())


State = tuple[Value, ...]


class _Search:
    def __init__(self, operations: Sequence[Operation], max_steps: int) -> None:
        answered = [each for each in operations if each.succeeded is not None]
        self._known = sorted(answered, key=lambda each: each.called)
        self._open = sorted(
            (each for each in operations if each.succeeded is None and each.is_write),
            key=lambda each: each.called,
        )
        keys = sorted({key for each in operations for key in each.keys})
        self._place = {key: place for place, key in enumerate(keys)}
        self._empty: State = (None,) * len(keys)
        self._max_steps = max_steps
        self._furthest = 0

    def run(self) -> Verdict:
        """Depth first; a frame is (first operation not taken, those taken behind it, open ones taken, state)."""
        steps = 0
        seen = {(0, 0, 0, self._empty)}
        stack = [self._next(0, 0, 0, self._empty)]
        while stack:
            node = next(stack[-1], None)
            if node is None:
                stack.pop()
                continue
            if node in seen:
                continue
            steps += 1
            if node[0] == len(self._known):
                return Verdict(True, steps=steps)
            if steps > self._max_steps:
                return Verdict(False, True, steps, self._around())
            seen.add(node)
            self._furthest = max(self._furthest, node[0])
            stack.append(self._next(*node))
        done = not self._known
        return Verdict(done, steps=steps, operations=[] if done else self._around())

    def _around(self) -> list[Operation]:
        return self._known[max(0, self._furthest - 6) : self._furthest + 6] + self._open[-6:]

    def _next(
        self, base: int, taken: int, opened: int, state: State
    ) -> Iterator[tuple[int, int, int, State]]:
        """What may have happened next: what was called before anything that is not taken returned."""
        limit, candidates = math.inf, []
        position, bits = base, taken
        while position < len(self._known):
            operation = self._known[position]
            if operation.called > limit:
                break
            if not bits & 1:
                candidates.append((operation.hint, position, operation))
                limit = min(limit, operation.returned)
            bits >>= 1
            position += 1
        candidates = [each for each in candidates if each[2].called <= limit]
        unhinted = []
        for number, operation in enumerate(self._open):
            if operation.called > limit:
                break
            if not opened >> number & 1:
                if operation.hint < math.inf:
                    candidates.append((operation.hint, -1 - number, operation))
                else:
                    unhinted.append((operation.hint, -1 - number, operation))
        candidates.sort(key=lambda each: (each[0], not each[2].is_write, each[1]))
        for _, where, operation in (*candidates, *unhinted):
            after = self._step(state, operation)
            if after is None:
                continue
            if where < 0:
                yield base, taken, opened | 1 << (-1 - where), after
                continue
            new_base, new_taken = base, taken | 1 << (where - base)
            while new_taken & 1:
                new_base, new_taken = new_base + 1, new_taken >> 1
            yield new_base, new_taken, opened, after

    def _step(self, state: State, operation: Operation) -> State | None:
        """The state after the operation; None if it cannot have been answered so in this state."""
        place = self._place
        holds = True
        for key, value in operation.compares:
            found = state[place[key]]
            if (None if found is None else found[0]) != value:
                holds = False
                break
        answered = operation.succeeded is not None
        if answered and holds != operation.succeeded:
            return None
        changed: list[Value] | None = None
        for number, (kind, key, value) in enumerate(operation.success if holds else operation.failure):
            where = place[key]
            before = state[where] if changed is None else changed[where]
            if answered:
                result = operation.results[number]
                if result is not IGNORED and result != before:
                    return None
            if kind == "get":
                continue
            if changed is None:
                changed = list(state)
            changed[where] = (value, before[1] + 1 if before is not None else 1) if kind == "put" else None
        return state if changed is None else tuple(changed)
