"""Requests of this member's clients, and of followers when it leads: proposals, changes of members, reads.

On the leader, all that waits in a turn becomes one log entry (a change of members has one to itself). On a follower
it goes to the leader in one message that names the term, and the leader takes it in that term only (see `proposals`
for why). Numbers rise along a connection; a leader that sees one again has it already and ignores it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from store.raft.adapter import Core
from store.raft.codec import Message
from store.raft.config import Limits
from store.raft.election import Electorate
from store.raft.entry import Group, pack_change, pack_commands
from store.raft.interface import MembershipError
from store.raft.membership import Change, Membership, Operation
from store.raft.proposals import Proposal, Proposals
from store.raft.read_index import Reads, Rounds

PROMOTION_READY = 0.9
"""A learner may be promoted when it has this part of the leader's log (etcd's readyPercent)."""

Send = Callable[[int, Message], None]


class Requests:
    def __init__(
        self,
        core: Core,
        electorate: Electorate,
        proposals: Proposals,
        reads: Reads,
        limits: Limits,
        send: Send,
    ) -> None:
        self.proposals = proposals
        self.reads = reads
        self.rounds = Rounds()
        self.on_hold = False  # leadership is being handed over: nothing new enters the log
        self.awaited: dict[int, int] = {}  # peer → the last entry that holds something of its
        self._proposers: set[int] = set()  # of what is forwarded and not in the log yet
        self._core = core
        self._electorate = electorate
        self._limits = limits
        self._send = send
        self._forwarded: list[Group | tuple[int, int, Change]] = []
        self._forwarded_numbers: dict[int, tuple[int, int]] = {}  # peer → its session, the last number taken
        self._change_index = 0  # of the last change of members in the log

    # Leadership

    def lead(self) -> None:
        """Changes of members that an earlier leader left in the log may still be ahead."""
        self._change_index = self._core.log.last_index
        self._forget_forwarded()

    def follow(self) -> None:
        self.rounds.abandon()
        self._forget_forwarded()

    def _forget_forwarded(self) -> None:
        self._forwarded.clear()
        self._proposers.clear()
        self.awaited.clear()

    # Proposals

    def propose(self, leader_connected: bool, membership: Membership, connected: set[int]) -> None:
        """Put what waits into the log, or send it to the leader."""
        core = self._core
        if core.is_leader and not self.on_hold:
            self._append(membership, connected)
        elif not core.is_leader and core.leader and leader_connected:
            self._forward(core.leader)

    def connected_anew(self) -> None:
        """The leader is the same, the connection to it is not."""
        if not self._core.is_leader:
            self.proposals.send_again(self._core.term)

    def on_propose(self, peer: int, message: Message) -> None:
        numbers, commands = message["numbers"], message["commands"]
        known = bisect_right(numbers, self._taken(peer, message))
        if self._leads_in(message) and known < len(numbers):
            self._forwarded_numbers[peer] = message["session"], numbers[-1]
            self._forwarded.append(Group(message["session"], numbers[known:], commands[known:]))
            self._proposers.add(peer)

    def on_propose_change(self, peer: int, message: Message) -> None:
        number = message["number"]
        if self._leads_in(message) and number > self._taken(peer, message):
            self._forwarded_numbers[peer] = message["session"], number
            self._forwarded.append((message["session"], number, Change.unpack(message["change"])))
            self._proposers.add(peer)

    def _leads_in(self, message: Message) -> bool:
        """If not, whoever sent it learns from the next leader's first entry that it was dropped."""
        return self._core.is_leader and bool(message["term"] == self._core.term)

    def _taken(self, peer: int, message: Message) -> int:
        session, taken = self._forwarded_numbers.get(peer, (0, 0))
        return taken if session == message["session"] else 0

    def _append(self, membership: Membership, connected: set[int]) -> None:
        waiting, self._forwarded = self._forwarded, []
        while taken := self.proposals.take(self._core.term):
            waiting.append(_as_group(self.proposals.session, taken))
        groups: list[Group] = []
        size = 0
        for each in waiting:
            if not isinstance(each, Group):
                self._append_groups(groups)
                groups, size = [], 0
                self._append_change(*each, membership, connected)
                continue
            added = sum(map(len, each.commands))
            if groups and size + added > self._limits.batch_bytes:
                self._append_groups(groups)
                groups, size = [], 0
            groups.append(each)
            size += added
        self._append_groups(groups)
        if self._proposers:
            self.awaited.update(dict.fromkeys(self._proposers, self._core.log.last_index))
            self._proposers.clear()

    def _append_groups(self, groups: list[Group]) -> None:
        if groups:
            self._core.append(pack_commands(groups))

    def _append_change(
        self, session: int, number: int, change: Change, membership: Membership, connected: set[int]
    ) -> None:
        why = self._objection(change, membership, connected)
        if why is not None:
            change = Change(Operation.REFUSE, change.member, why)
        index = self._core.append(pack_change(session, number, change))
        if why is None:
            self._change_index = index
            self._proposers.update(self._core.peers)  # a leader that removes itself has one chance to tell

    def _objection(self, change: Change, membership: Membership, connected: set[int]) -> str | None:
        """Why the change is not possible now; the text is etcd's where etcd has one."""
        if self._change_index > self._core.applied:
            return "another change of members is in progress"
        try:
            after = membership.apply(change)
        except MembershipError as error:
            return str(error)
        member = change.member
        if change.operation is Operation.PROMOTE:
            reached = self._core.match(member.id) if member.id in self._core.peers else 0
            if reached < PROMOTION_READY * self._core.log.last_index:
                return "can only promote a learner member which is in sync with leader"
        active = len((connected | {self._electorate.member_id}) & after.voters)
        shifts = change.operation in (Operation.REMOVE, Operation.PROMOTE) or (
            change.operation is Operation.ADD and not member.is_learner and len(membership.voters) > 1
        )  # the second voter of a single one cannot have started yet
        if shifts and active < len(after.voters) // 2 + 1:
            return "re-configuration failed due to not enough started members"
        return None

    def _forward(self, leader: int) -> None:
        while taken := self.proposals.take(self._core.term):
            group = _as_group(self.proposals.session, taken)
            message: Message
            if isinstance(group, Group):
                message = {"type": "propose", "numbers": group.numbers, "commands": group.commands}
            else:
                message = {"type": "propose_change", "number": group[1], "change": group[2].pack()}
            self._send(leader, {**message, "term": self._core.term, "session": self.proposals.session})

    # Reads

    def read(self, now: float, leader_connected: bool) -> bool:
        """Ask for the index of the reads that wait; says whether messages must go out for a round."""
        core = self._core
        if core.is_leader:
            number = self.reads.ask(now)
            if number is not None:
                self._confirm_with_round(number)
            begun = core.commit >= core.noop_index and self.rounds.begin(core.commit)
            self.rounds.settle(self._electorate.others, self._electorate.quorum)
            return begun
        if core.leader and leader_connected:
            number = self.reads.ask(now)
            if number is not None:
                self._send(core.leader, {"type": "read_request", "term": core.term, "number": number})
        return False

    def _confirm_with_round(self, number: int) -> None:
        self.rounds.request(lambda index: self.reads.confirm(number, index))

    def on_read_request(self, peer: int, message: Message) -> None:
        if self._core.is_leader:
            number = message["number"]
            self.rounds.request(lambda index: self._reply(peer, number, index))

    def on_read_reply(self, peer: int, message: Message) -> None:
        self.reads.confirm(message["number"], message["index"])

    def _reply(self, peer: int, number: int, index: int) -> None:
        self._send(peer, {"type": "read_reply", "term": self._core.term, "number": number, "index": index})


def _as_group(session: int, taken: list[Proposal]) -> Group | tuple[int, int, Change]:
    change = taken[0].change
    if change is not None:
        return session, taken[0].number, change
    return Group(session, tuple(each.number for each in taken), tuple(each.command for each in taken))
