"""Every parser of bytes that come from elsewhere, as a function that takes any: the parser understands them or
ends with its own error, and keeps what it holds within a bound. Returned is whether it understood.

`SEEDS` are inputs that are right, for a fuzzer to begin with.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from store.api import machine, messages
from store.api.errors import BadRequest
from store.api.etcd_buckets import EtcdView
from store.api.etcd_restore import restore
from store.api.grpc import frames as f
from store.api.grpc.connection import MAX_STREAMS, Connection
from store.api.grpc.header_block import MAX_BLOCK_BYTES, BadHeaders, HeaderDecoder, MalformedRequest, literal
from store.api.grpc.protobuf import Malformed, _numbers, read
from store.api.grpc.unary import UNARY
from store.api.http1_parser import BadHttp, RequestParser
from store.api.json_names import decode as decode_json
from store.api.leases import LeaseKeeper
from store.bbolt.pages import BadFile
from store.bbolt.reader import Reader
from store.bbolt.writer import Writer
from store.component.http_parser import ProtocolError as BadResponse
from store.component.http_parser import ResponseParser
from store.mvcc import messages as kv
from store.mvcc.snapshot import Damaged
from store.raft.codec import MAX_FRAME_BYTES, FrameReader, decode, encode
from store.raft.errors import ProtocolError, StorageError
from store.raft.interface import RaftStatus, Role
from store.raft.membership import Membership
from store.raft.snapshot import SnapshotMeta, SnapshotStore
from store.raft.wal import Wal
from tests.store.raft.memory_disk import MemoryDisk

DIRECTORY = Path("/data")
SEGMENT_BYTES = 1 << 20
CHUNK_END = b"\0\xff\0"
STREAMS = frozenset((b"/v3/watch",))
OUTPUT_PER_BYTE = 32  # of an HTTP/2 connection: what a client can make us answer

Target = Callable[[bytes], bool]


def peer_frames(data: bytes) -> bool:
    reader = FrameReader()
    count = 0
    try:
        for start in range(0, len(data), 7):
            for body in reader.feed(data[start : start + 7]):
                decode(body)
                count += 1
    except ProtocolError:
        return False
    assert len(reader._buffer) <= MAX_FRAME_BYTES + 16
    return count > 0


def peer_message(data: bytes) -> bool:
    """A frame's body; what decodes is encoded to the same again."""
    try:
        message = decode(data)
    except ProtocolError:
        return False
    assert decode(encode(message)[4:]) == message
    return True


def http1_request(data: bytes) -> bool:
    parser = RequestParser(STREAMS)
    events = 0
    try:
        for start in range(0, len(data), 11):
            parser.feed(data[start : start + 11])
            while parser.next_event() is not None:
                events += 1
                assert events <= len(data), "more events than bytes"
    except BadHttp:
        return False
    return events > 0


def http1_response(data: bytes) -> bool:
    parser = ResponseParser()
    events = 0
    try:
        for start in range(0, len(data), 11):
            events += len(parser.feed(data[start : start + 11]))
        events += len(parser.eof())
    except BadResponse:
        return False
    assert events <= len(data) + 2
    return events > 0


def http2(data: bytes) -> bool:
    connection = Connection()
    before = len(connection.take_output())
    written = 0
    for start in range(0, len(data), 13):
        connection.receive(data[start : start + 13])
        written += len(connection.take_output())
        assert connection.open_streams <= MAX_STREAMS
    assert written <= OUTPUT_PER_BYTE * len(data) + before + 100
    return not connection.failed


def header_block(data: bytes) -> bool:
    decoder = HeaderDecoder()
    understood = False
    for start in (len(data) // 2, 0):  # the second meets what the first left in the table
        try:
            head = decoder.decode(data[start:])
        except (BadHeaders, MalformedRequest):
            continue
        assert sum(len(name) + len(value) for name, value in head.headers.items()) <= MAX_BLOCK_BYTES
        understood = True
    return understood


def grpc_message(data: bytes) -> bool:
    return _is_one_of(read, _numbers, Malformed, data)


def json_body(data: bytes) -> bool:
    return _is_one_of(decode_json, JSON_KINDS, BadRequest, data)


def _is_one_of(
    parse: Callable[[Any, bytes], object], kinds: Iterable[type], error: type[Exception], data: bytes
) -> bool:
    """Every kind is tried, since each has its own table."""
    understood = False
    for kind in kinds:
        with contextlib.suppress(error):
            parse(kind, data)
            understood = True
    return understood


def wal(data: bytes) -> bool:
    disk = MemoryDisk()
    disk.create(DIRECTORY / "wal" / f"{0:016x}.wal").write(data)
    try:
        log, state = Wal.open(disk, DIRECTORY / "wal", SEGMENT_BYTES)
    except StorageError:
        return False
    first, last = state.entries[0][1], state.entries[-1][1]
    assert [index for _, index, _ in state.entries] == list(range(first, last + 1))
    log.close()
    return True


def snapshot(data: bytes) -> bool:
    disk = MemoryDisk()
    snapshots = SnapshotStore(disk, DIRECTORY)
    path = snapshots.path(1, 1)
    disk.create(path).write(data)
    try:
        snapshots.read_meta(path)
        machine.StoreMachine(LeaseKeeper(lambda: 0.0)).restore(snapshots.chunks(path))
    except (StorageError, Damaged):
        return False
    return True


def snapshot_chunks(data: bytes) -> bool:
    """The chunks behind the checksums, as a member of another version might send them."""
    try:
        machine.StoreMachine(LeaseKeeper(lambda: 0.0)).restore(data.split(CHUNK_END))
    except Damaged:
        return False
    return True


def etcd_file(data: bytes) -> bool:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            with Reader(Path(file.name)) as reader:
                restore(reader)
        except (BadFile, Damaged):
            return False
    return True


JSON_KINDS: list[type[kv.Request]] = list(
    dict.fromkeys([row[0] for row in UNARY.values()] + [messages.WatchRequest])
)

TARGETS: dict[str, Target] = {
    "peer-frames": peer_frames,
    "peer-message": peer_message,
    "http1-request": http1_request,
    "http1-response": http1_response,
    "http2": http2,
    "header-block": header_block,
    "grpc-message": grpc_message,
    "json-body": json_body,
    "wal": wal,
    "snapshot": snapshot,
    "snapshot-chunks": snapshot_chunks,
    "etcd-file": etcd_file,
}


def seeds(name: str) -> list[bytes]:
    return _SEEDS[name]()


def _messages() -> list[bytes]:
    return [
        encode(each)
        for each in (
            {"type": "hello", "version": 1, "cluster_id": 2**63, "member_id": 7},
            {
                "type": "append_entries",
                "term": 2,
                "round": 9,
                "commit_index": 3,
                "prevLogIdx": 3,
                "prevLogTerm": 1,
                "entries": ((b"one", 4, 1), (b"two", 5, 2)),
            },
            {"type": "propose", "term": 2, "session": 1, "numbers": (1, 2), "commands": (b"a", b"b")},
            {
                "type": "snapshot_chunk",
                "term": 1,
                "index": 5,
                "index_term": 1,
                "offset": 0,
                "data": b"x" * 30,
                "last": True,
            },
            {"type": "ping", "number": 3},
        )
    ]


def _http1() -> list[bytes]:
    return [
        b"POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n" + b'{"key":"YQ=="}'[:13],
        b"POST /v3/watch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n0\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n",
    ]


def _responses() -> list[bytes]:
    return [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n0\r\nA: b\r\n\r\n",
        b"HTTP/1.0 503 X\r\n\r\nrest",
    ]


def _block() -> bytes:
    path = literal(b":path", b"/etcdserverpb.KV/Range")
    return b"\x83\x87" + path + literal(b"content-type", b"application/grpc") + b"\x40\x01a\x01b"


def _http2() -> list[bytes]:
    start = f.PREFACE + f.settings({f.SETTING_INITIAL_WINDOW_SIZE: 1 << 20})
    call = f.frame(f.HEADERS, f.END_HEADERS, 1, _block()) + f.frame(f.DATA, f.END_STREAM, 1, b"\0\0\0\0\0")
    others = f.frame(f.PING, 0, 0, bytes(8)) + f.window_update(0, 100) + f.reset(1, f.ErrorCode.CANCEL)
    return [start + call, start + call + others]


def _grpc() -> list[bytes]:
    return [
        b"\x0a\x01k\x12\x01l\x18\x05\x28\x01\x48\x01",
        b"\x0a\x07\x10\x02\x1a\x01k\x30\x07\x12\x08\x12\x06\x0a\x01k\x12\x01v\x1a\x05\x0a\x03\x0a\x01k",
        b"\x0a\x07\x0a\x01k\x18\x02\x28\x01",
    ]


def _json() -> list[bytes]:
    return [
        b'{"key":"YQ==","range_end":"AA==","limit":"5","serializable":true,"sortOrder":"DESCEND"}',
        b'{"compare":[{"key":"YQ==","target":1,"create_revision":0}],"success":[{"requestPut":{"key":"YQ=="}}]}',
        b'{"create_request":{"key":"YQ==","filters":["NOPUT"],"watch_id":7}}',
    ]


def _wal() -> list[bytes]:
    disk = MemoryDisk()
    log = Wal.create(disk, DIRECTORY / "wal", b"metadata", (b"", 1, 0), SEGMENT_BYTES)
    for index in range(2, 6):
        log.append((b"entry", index, 1))
        log.set_hard_state(1, 5)
        log.set_commit(index - 1)
        log.sync()
    log.truncate(4, 1)
    log.append((b"other", 4, 2))
    log.sync()
    return [disk.read(DIRECTORY / "wal" / f"{0:016x}.wal")]


def _machine() -> machine.StoreMachine:
    state = machine.StoreMachine(LeaseKeeper(lambda: 0.0))
    state.leases.grant(7, 60)
    for number in range(5):
        state.store.put(kv.PutRequest(b"k%d" % number, b"v" * number, lease=7 * (number % 2)))
    state.store.delete_range(kv.DeleteRangeRequest(b"k1"))
    state.store.compact(kv.CompactionRequest(4))
    state.store.take_events()
    return state


def _snapshot() -> list[bytes]:
    disk = MemoryDisk()
    membership = Membership.initial({"a": ["https://a:1"]}, "t")
    writer = SnapshotStore(disk, DIRECTORY).write(SnapshotMeta(5, 1, membership))
    for chunk in _machine().snapshot().chunks():
        writer.write(chunk)
    writer.finish()
    return [disk.read(writer.path)]


def _etcd() -> list[bytes]:
    status = RaftStatus(1, 2, "m", Role.LEADER, 1, 2, 5, 5, 5, 0, 0, ())
    writer = Writer(EtcdView(_machine(), status).buckets())
    for _ in writer.plan():
        pass
    return [b"".join(writer.pages())]


_SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "peer-frames": lambda: [b"".join(_messages()), *_messages()],
    "peer-message": lambda: [each[4:] for each in _messages()],
    "http1-request": _http1,
    "http1-response": _responses,
    "http2": _http2,
    "header-block": lambda: [_block()],
    "grpc-message": _grpc,
    "json-body": _json,
    "wal": _wal,
    "snapshot": _snapshot,
    "snapshot-chunks": lambda: [CHUNK_END.join(_machine().snapshot().chunks())],
    "etcd-file": _etcd,
}
