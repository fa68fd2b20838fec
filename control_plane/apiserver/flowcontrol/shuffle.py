"""Shuffle sharding: a flow is dealt a hand of queues, and two flows rarely hold the same hand.

The hash of the flow is read as a number in mixed radix, one digit for each card without replacement. A deal may use
`MAX_ENTROPY_BITS` of its 64 bits; validation sees to that.
"""

from __future__ import annotations

import hashlib


def deal(hash_value: int, deck_size: int, hand_size: int) -> tuple[int, ...]:
    """`hand_size` different cards out of `range(deck_size)`."""
    assert 0 < hand_size <= deck_size
    digits: list[int] = []
    hand: list[int] = []
    for dealt in range(hand_size):
        hash_value, digit = divmod(hash_value, deck_size - dealt)
        card = digit
        for earlier in reversed(digits):
            card += card >= earlier
        digits.append(digit)
        hand.append(card)
    return tuple(hand)


def flow_hash(schema: str, distinguisher: str) -> int:
    digest = hashlib.sha256(f"{schema}\x00{distinguisher}".encode()).digest()
    return int.from_bytes(digest[:8], "little")
