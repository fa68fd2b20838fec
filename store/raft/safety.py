"""Corrections of pysyncobj's message handling, as pure functions of a message and the log.

What the Raft paper asks and the stock handler does not do (the letters are those of tests/store/raft/test_defects):

* B1  A commit index counts only up to the entry at which the logs are known to match (§5.3). Snapshots never reach
      the stock handler, which took the commit index from their pieces.
* B2  A follower drops entries only from the first that *conflicts* on (§5.3, receiver's step 3); the stock handler
      drops everything behind prevLogIdx, also what it has acknowledged already.
* B3  An acknowledgement counts in the term in which it was given.
* A vote counts once per member and term, even if its message is delivered twice.
"""

from __future__ import annotations

from typing import NamedTuple

from store.raft.codec import Message
from store.raft.log import RaftLog


class Append(NamedTuple):
    message: Message
    acknowledge: int | None  # what to acknowledge instead of what the stock handler would; None: as it does


def trim_append(message: Message, log: RaftLog) -> Append:
    """The part of an append that the follower's log does not hold yet.

    If it holds all of it, the result is an append of nothing at the log's own end, which drops nothing; what is
    acknowledged is still the end of the message, since the leader has not vouched for what lies behind it.
    """
    previous, entries = message["prevLogIdx"], message["entries"]
    if previous < log.base_index:
        previous, entries, message = _skip_compacted(message, log)
    if log.term_at(previous) != message["prevLogTerm"]:
        return Append(message, None)  # a gap or a conflict; the stock handler asks for earlier entries
    same = 0
    while same < len(entries) and log.term_at(entries[same][1]) == entries[same][2]:
        same += 1
    end = previous + len(entries)
    commit = min(message["commit_index"], end)
    if same == len(entries):
        last = log.entries[-1]
        rest = {"prevLogIdx": last[1], "prevLogTerm": last[2], "entries": (), "commit_index": commit}
        return Append({**message, **rest}, end + 1)
    if same:
        known = entries[same - 1]
        rest = {"prevLogIdx": known[1], "prevLogTerm": known[2], "entries": entries[same:]}
        return Append({**message, **rest, "commit_index": commit}, None)
    return Append({**message, "commit_index": commit}, None)


def _skip_compacted(
    message: Message, log: RaftLog
) -> tuple[int, tuple[tuple[bytes, int, int], ...], Message]:
    """What is compacted here was committed, so it is the same as the leader's: begin behind it."""
    base = log.base_index
    entries = tuple(entry for entry in message["entries"] if entry[1] > base)
    reaches = message["prevLogIdx"] + len(message["entries"]) >= base
    if not reaches:  # all of it is compacted: nothing to compare, acknowledge the base
        entries = ()
    message = {**message, "prevLogIdx": base, "prevLogTerm": log.entries[0][2], "entries": entries}
    return base, entries, message


def retry_from(next_index: int, log: RaftLog) -> int:
    """Where a follower that cannot take an append asks the leader to begin.

    Behind its log's end if that is too short; if an entry conflicts, behind what is committed, which cannot: one
    round trip instead of one per conflicting entry.
    """
    return next_index if next_index > log.last_index else log.commit + 1
