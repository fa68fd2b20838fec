"""What must hold at every step, whatever fails (Raft, figure 3), and what a member's word is worth.

    election safety         at most one leader per term
    log matching            an index and a term name one entry, and one entry before it
    leader completeness     a leader's log holds all that was committed in earlier terms
    state machine safety    all members apply the same commands at an index, and come to the same state
    quorum                  what a leader commits is on the disks of a majority of voters
    reads                   are answered from a state that has all that was committed when they were asked
    promises                a vote is given once per term; what was said in a vote or an acknowledgement is
    still
                            known after a restart

The last is checked from outside: from the messages that left, and from what is read back from the disk.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

from store.mvcc.messages import Record
from store.raft.codec import Message

if TYPE_CHECKING:
    from tests.sim.store.member import SimMember

MAX_RECORDS_PER_ENTRY = 100_000
PROMISES = os.environ.get("SIM_PROMISES", "1") == "1"
"""Without them, only what clients and the logs show counts: to see how much the rest finds alone."""


class Violation(Exception):
    """The text says which invariant, and where."""


class Invariants:
    def __init__(self) -> None:
        self.leaders: dict[int, str] = {}
        self.events: list[Record] = []  # every change, in order: what watches are judged by
        self._entries: dict[tuple[int, int], tuple[int, int]] = {}  # index, term → crc, term before
        self._committed: dict[int, tuple[int, int]] = {}  # index → term, crc
        self._commits: list[tuple[int, int]] = []  # (term in which it was noticed, index), both rising
        self._applied: dict[int, tuple[int, int, int]] = {}  # index → crc of commands, revision, hash after
        self._votes: dict[tuple[str, int], str] = {}
        self._said: dict[str, _Said] = defaultdict(_Said)
        self._seen: dict[str, _Seen] = {}

    def fail(self, what: str) -> None:
        raise Violation(what)

    # A member's life

    def booted(self, member: SimMember) -> None:
        log = member.storage.log
        if PROMISES:
            self._check_memory(member)
        self._seen[member.name] = _Seen(log.base_index, member.storage.applied)
        append, truncate, apply = log.append, log.truncate, member.machine.apply
        said = self._said[member.name]

        def checked_append(entry: tuple[bytes, int, int]) -> None:
            before = log.entries[-1][2]
            append(entry)
            self._appended(member.name, entry, before)

        def noted_truncate(index: int) -> None:
            truncate(index)
            if said.index >= index:
                said.index, said.index_term = log.entries[-1][1], log.entries[-1][2]

        def checked_apply(index: int, commands: Sequence[bytes]) -> Sequence[Any]:
            before = member.machine.store.revision
            results = apply(index, commands)
            self._applied_entry(member, index, commands, before)
            return results

        log.append = checked_append  # type: ignore[method-assign]
        log.truncate = noted_truncate  # type: ignore[method-assign]
        member.machine.apply = checked_apply  # type: ignore[method-assign]

    def installed(self, member: SimMember) -> None:
        said, log = self._said[member.name], member.storage.log
        if said.index > log.last_index:
            said.index, said.index_term = log.last_index, log.entries[-1][2]

    def turned(self, member: SimMember) -> None:
        core, seen = member.replica.core, self._seen[member.name]
        led = core.is_leader and seen.led_term == core.term  # in the turn before already
        if core.is_leader and not led:
            seen.led_term = core.term
            self._elected(member)
        commit = core.commit
        if commit != seen.commit:
            if commit < seen.commit:
                self.fail(f"{member.name}: the commit index fell from {seen.commit} to {commit}")
            self._committed_up_to(member, seen.commit, commit, led)
            seen.commit = commit

    # Invariants

    def _elected(self, member: SimMember) -> None:
        term, log = member.replica.core.term, member.storage.log
        if self.leaders.setdefault(term, member.name) != member.name:
            self.fail(f"election safety: {self.leaders[term]} and {member.name} lead in term {term}")
        voters = member.replica.membership.voters
        votes = 1 + sum(
            term_voted == term and whom == member.name for (_, term_voted), whom in self._votes.items()
        )
        if votes <= len(voters) // 2:
            self.fail(f"election: {member.name} leads in term {term} by {votes} of {len(voters)} votes")
        index = max((index for noticed, index in self._commits if noticed < term), default=0)
        if index > log.base_index and log.term_at(index) != self._committed[index][0]:
            self.fail(
                f"leader completeness: {member.name} leads in term {term} without entry {index}, "
                f"which was committed before"
            )

    def _appended(self, name: str, entry: tuple[bytes, int, int], before: int) -> None:
        data, index, term = entry
        found = (crc32(data), before)
        if self._entries.setdefault((index, term), found) != found:
            self.fail(f"log matching: {name} has another entry {index} of term {term}")

    def _committed_up_to(self, member: SimMember, before: int, commit: int, led: bool) -> None:
        log = member.storage.log
        for index in range(max(before, log.base_index) + 1, commit + 1):
            data, _, term = log.entry(index)
            found = (term, crc32(data))
            if self._committed.setdefault(index, found) != found:
                self.fail(f"state machine safety: {member.name} commits another entry {index}")
        if led:
            self._check_quorum(member, commit)
        if commit > self.highest_commit and commit in self._committed:
            self._commits.append((member.replica.core.term, commit))

    @property
    def highest_commit(self) -> int:
        """The furthest commit index that any member knows."""
        return self._commits[-1][1] if self._commits else 0

    def _check_quorum(self, leader: SimMember, commit: int) -> None:
        members, name_of = leader.cluster.members, leader.cluster.name_of
        term = leader.storage.log.term_at(commit)
        voters = sorted(leader.replica.membership.voters)
        logs = [members[name_of[each]].storage.log for each in voters if name_of.get(each) in members]
        holding = sum(
            log.base_index >= commit or (log.synced_index >= commit and log.term_at(commit) == term)
            for log in logs
        )
        if term != leader.replica.core.term:
            self.fail(
                f"commit rule: {leader.name} commits entry {commit} of term {term} by counting (§5.4.2)"
            )
        if holding <= len(voters) // 2:
            self.fail(
                f"quorum: {leader.name} commits entry {commit}, which {holding} of {len(voters)} voters hold"
            )

    def read_served(self, member: SimMember, floor: int) -> None:
        """A linearizable read that was asked when `floor` was committed is answered from this member's state."""
        applied = member.replica.core.applied
        if applied < floor:
            self.fail(f"stale read: {member.name} answers at entry {applied}; {floor} was committed before")

    def _applied_entry(self, member: SimMember, index: int, commands: Sequence[bytes], before: int) -> None:
        store = member.machine.store
        seen = self._seen[member.name]
        if index <= seen.applied:
            self.fail(f"{member.name} applies entry {index} again")
        seen.applied = index
        found = (crc32(b"".join(commands)), store.revision, store.log.last_hash)
        known = self._applied.get(index)
        if known is None:
            self._applied[index] = found
            if store.revision > before:
                start = store.log.position(before + 1)
                self._changed(store.log.slice(start, MAX_RECORDS_PER_ENTRY))
        elif known != found:
            self.fail(
                f"state machine safety: {member.name} differs at entry {index}: "
                f"(crc, revision, hash) {found}, others {known}"
            )

    def _changed(self, records: Sequence[Record]) -> None:
        for record in records:
            if self.events and record.mod_revision < self.events[-1].mod_revision:
                self.fail(f"revision {record.mod_revision} after {self.events[-1].mod_revision}")
            self.events.append(record)

    # Promises

    def promised(self, member: SimMember, target: str, message: Message) -> None:
        said, term = self._said[member.name], message["term"]
        said.term = max(said.term, term)
        if message["type"] == "response_vote":
            if self._votes.setdefault((member.name, term), target) != target:
                self.fail(
                    f"{member.name} votes for {target} in term {term}, "
                    f"after a vote for {self._votes[member.name, term]}"
                )
        elif message["success"]:
            index = message["next_node_idx"] - 1
            entry_term = member.storage.log.term_at(index)
            if index > said.index and entry_term is not None:
                said.index, said.index_term = index, entry_term

    def _check_memory(self, member: SimMember) -> None:
        said, log = self._said[member.name], member.storage.log
        if log.term < said.term:
            self.fail(f"{member.name} forgot term {said.term}: its disk says {log.term}")
        vote = self._votes.get((member.name, log.term))
        if vote is not None and log.vote != member.cluster.members[vote].id:
            self.fail(f"{member.name} forgot its vote for {vote} in term {log.term}")
        if log.entries[0][2] > said.index_term:  # by a snapshot: others were committed there
            self.installed(member)
        if said.index > log.base_index and log.term_at(said.index) != said.index_term:
            self.fail(
                f"{member.name} forgot entry {said.index} of term {said.index_term}, which it acknowledged; "
                f"its log ends at {log.last_index}"
            )


class _Said:
    """The furthest that a member has committed itself to in its messages."""

    __slots__ = ("index", "index_term", "term")

    def __init__(self) -> None:
        self.term = self.index = self.index_term = 0


class _Seen:
    """How far a member's present life was followed."""

    __slots__ = ("applied", "commit", "led_term")

    def __init__(self, commit: int, applied: int) -> None:
        self.commit, self.applied, self.led_term = commit, applied, 0
