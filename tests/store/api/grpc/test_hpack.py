"""Our HPACK decoder against the one of the `hpack` package: the same fields, or both refuse."""

from __future__ import annotations

from hpack import Decoder, Encoder, HPACKError
from hypothesis import given, settings
from hypothesis import strategies as st

from store.api.grpc.hpack_decoder import TABLE_BYTES, BadBlock, HpackDecoder

MAX_LIST_BYTES = 64 * 1024

texts = st.binary(min_size=1, max_size=30)
fields = st.lists(st.tuples(texts, st.binary(max_size=400), st.booleans()), max_size=12)


@settings(max_examples=200, deadline=None)
@given(st.lists(fields, max_size=20), st.booleans(), st.integers(0, TABLE_BYTES))
def test_what_an_encoder_writes(
    blocks: list[list[tuple[bytes, bytes, bool]]], huffman: bool, size: int
) -> None:
    encoder, decoder = Encoder(), HpackDecoder(MAX_LIST_BYTES)
    for number, block in enumerate(blocks):
        if number == 3:
            encoder.header_table_size = size
        encoded = encoder.encode(block, huffman=huffman)
        assert decoder.decode(encoded) == [(name, value) for name, value, _ in block]


pieces = st.one_of(
    st.integers(0x80, 0xFF).map(lambda byte: bytes((byte,))),
    st.sampled_from(
        [b"\x40\x01a\x01b", b"\x00\x01a\x00", b"\x20", b"\x3f\xe1\x1f", b"\x41\x02xy", b"\x0f\x00\x01z"]
    ),
    st.binary(max_size=6),
)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.lists(pieces, max_size=8).map(b"".join), max_size=5))
def test_whatever_comes(blocks: list[bytes]) -> None:
    theirs, ours = Decoder(MAX_LIST_BYTES), HpackDecoder(MAX_LIST_BYTES)
    for block in blocks:
        expected, found = _theirs(theirs, block), _ours(ours, block)
        assert found == expected
        if found is None:
            return


def _theirs(decoder: Decoder, block: bytes) -> list[tuple[bytes, bytes]] | None:
    try:
        return [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)]
    except (HPACKError, IndexError):
        return None


def _ours(decoder: HpackDecoder, block: bytes) -> list[tuple[bytes, bytes]] | None:
    try:
        return decoder.decode(block)
    except BadBlock:
        return None
