"""When to stand for election: pre-vote, and the evidence that a leader is gone.

Pre-vote (Raft thesis §9.6): before it raises its term, a member asks whether it could win; a member that cannot
(cut off, or behind) thus never disturbs a leader that others hear. Who is asked agrees if the asker's log is not
behind its own and it has not heard a leader itself for an election timeout.

A killed process has its connections closed by the kernel at once, so a closed connection from the leader is taken
as evidence that it is gone: the member stops vouching for it and may ask without waiting for the timeout. Members
then ask one after another by rank, so that they do not split the vote. This is about liveness alone: if the
evidence is wrong, the others still hear their leader and refuse.
"""

from __future__ import annotations

import random

RANK_STEP_S = 0.05
"""How much later the member of the next rank asks when all have lost the leader."""
RETRY_S = 0.05
"""How soon a member that lost the leader asks again after a refusal (the others may learn of it a moment later)."""
YIELD_S = 0.3
"""How long a member that has just agreed to another's candidacy holds back its own."""
HURRIED_TIMEOUT_S = (0.15, 0.3)
"""Range of the election timeout while the leader is known to be gone: only a split vote can outlast it."""
HURRY_S = 3.0
"""How long the hurry lasts; then the ordinary timeouts rule again."""


class Elections:
    """This member's candidacy. It decides when to ask; the caller sends, and stands for election on success."""

    def __init__(self, member_id: int, election_timeout_s: float, rng: random.Random) -> None:
        self._member_id = member_id
        self._timeout_s = election_timeout_s
        self._rng = rng
        self._granted: set[int] | None = None  # None: not asking
        self.ballot = rng.getrandbits(32)  # names one asking, so that late answers to another do not count
        self.ask_at: float | None = None  # set while the leader's connection is lost
        self._hurry_until = 0.0

    def hurried(self, now: float) -> bool:
        return now < self._hurry_until

    def draw_timeout(self, now: float) -> float:
        """Between one and two election timeouts; short while the leader is known to be gone."""
        if self.hurried(now):
            return self._rng.uniform(*HURRIED_TIMEOUT_S)
        return self._rng.uniform(self._timeout_s, 2 * self._timeout_s)

    def leader_lost(self, now: float, voters: frozenset[int], leader: int) -> None:
        """The connection to the leader closed."""
        ranks = sorted(voters - {leader})
        rank = ranks.index(self._member_id) if self._member_id in ranks else len(ranks)
        self.ask_at = now + rank * RANK_STEP_S + self._rng.uniform(0, RANK_STEP_S / 5)
        self._hurry_until = now + HURRY_S

    def leader_heard(self) -> None:
        self._granted = None
        self.ask_at = None
        self._hurry_until = 0.0

    def agreed_to_another(self, now: float) -> None:
        if self.ask_at is not None:
            self.ask_at = now + YIELD_S + self._rng.uniform(0, YIELD_S / 3)

    def due(self, now: float) -> bool:
        """Whether to ask early, because the leader is gone."""
        return self.ask_at is not None and self.ask_at <= now

    def ask(self, now: float) -> int:
        """Begin an asking; returns its ballot."""
        self.ballot += 1
        self._granted = {self._member_id}
        if self.ask_at is not None:
            hurried = self.hurried(now)
            self.ask_at = now + RETRY_S + self._rng.uniform(0, RETRY_S) if hurried else None
        return self.ballot

    def won(self, quorum: int, voters: frozenset[int]) -> bool:
        """Whether a quorum agrees; true once per asking."""
        if self._granted is None or len(self._granted & voters) < quorum:
            return False
        self._granted = None
        return True

    def grant(self, peer: int, ballot: int) -> None:
        if self._granted is not None and ballot == self.ballot:
            self._granted.add(peer)

    def stood(self, now: float) -> None:
        """This member stands for election: the votes need time to arrive."""
        self.agreed_to_another(now)
