"""Committed entries become state: in log order, each once, after the sync of the turn that committed them.

A change of members waits until the member cannot forget that it is committed. Members follow a change when they
apply it: the one that stays of two would otherwise, after a crash, need the vote of the one that left.

An exception of the state machine goes up and ends the member before the entry counts as applied: nothing is retried
here, and no replica goes on with a state of its own (stock defect B7).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from store.raft.adapter import Clock, Core
from store.raft.entry import Kind, unpack_change, unpack_commands
from store.raft.interface import MembershipError, StateMachine
from store.raft.membership import Change
from store.raft.proposals import Proposals


class Applier:
    def __init__(
        self,
        core: Core,
        machine: StateMachine,
        proposals: Proposals,
        change_members: Callable[[Change], None],
        clock: Clock,
    ) -> None:
        self._core = core
        self._machine = machine
        self._proposals = proposals
        self._change_members = change_members
        self._clock = clock

    def apply(self, last: int, until: float) -> None:
        """Apply what is committed up to `last`, until the clock says so; the rest comes next turn."""
        core = self._core
        index = core.applied
        last = min(last, core.commit)
        while index < last:
            index += 1
            data, _, term = core.log.entry(index)
            if data[0] == Kind.CHANGE and not core.log.require_commit(index):
                break
            self._proposals.applied_entry(term)
            self._apply_entry(index, data)
            core.applied = index
            if self._clock() > until:
                break

    def _apply_entry(self, index: int, data: bytes) -> None:
        kind = data[0]
        if kind == Kind.COMMANDS:
            self._apply_commands(index, data)
        elif kind == Kind.CHANGE:
            self._apply_change(data)
        else:
            assert kind == Kind.NO_OP, f"entry {index} is of kind {kind}"

    def _apply_commands(self, index: int, data: bytes) -> None:
        groups = unpack_commands(data)
        commands = [command for group in groups for command in group.commands]
        results = self._machine.apply(index, commands)
        assert len(results) == len(commands), f"{len(results)} results of {len(commands)} commands"
        start = 0
        for group in groups:
            end = start + len(group.numbers)
            self._proposals.resolve(group.session, group.numbers, results[start:end])
            start = end

    def _apply_change(self, data: bytes) -> None:
        session, number, change = unpack_change(data)
        result: Any = None
        try:
            self._change_members(change)
        except MembershipError as error:
            result = error
        self._proposals.resolve(session, [number], [result])
