"""Our protobuf against etcd's own messages, as the independent client `aetcd` has them compiled."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from aetcd.rpc import rpc_pb2 as pb
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from store.api import auth_messages as a
from store.api import messages as m
from store.api.grpc import auth_rows
from store.api.grpc import responses as encode
from store.api.grpc.protobuf import Malformed, read
from store.api.grpc.unary import UNARY
from store.api.grpc.watch import watch_messages
from store.api.machine import LeaseResult
from store.auth.messages import Permission
from store.mvcc import messages as kv
from store.raft.interface import Member
from store.watch.stream import WatchResponse, make_batch

REQUESTS: dict[str, tuple[Message, kv.Request]] = {
    "range": (
        pb.RangeRequest(
            key=b"a",
            range_end=b"b",
            limit=-1,
            revision=2**62,
            sort_order="DESCEND",
            sort_target="VALUE",
            serializable=True,
            keys_only=True,
            count_only=True,
            min_mod_revision=1,
            max_mod_revision=2,
            min_create_revision=3,
            max_create_revision=300,
        ),
        kv.RangeRequest(b"a", b"b", -1, 2**62, "DESCEND", "VALUE", True, True, True, 1, 2, 3, 300),
    ),
    "put": (
        pb.PutRequest(
            key=b"a", value=b"v" * 300, lease=-7, prev_kv=True, ignore_value=True, ignore_lease=True
        ),
        kv.PutRequest(b"a", b"v" * 300, -7, True, True, True),
    ),
    "txn": (
        pb.TxnRequest(
            compare=[
                pb.Compare(result="NOT_EQUAL", target="LEASE", key=b"k", lease=5, range_end=b"z"),
                pb.Compare(result="EQUAL", target="VALUE", key=b"k", value=b"v"),
            ],
            success=[
                pb.RequestOp(request_put=pb.PutRequest(key=b"a")),
                pb.RequestOp(
                    request_txn=pb.TxnRequest(failure=[pb.RequestOp(request_range=pb.RangeRequest())])
                ),
            ],
            failure=[pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=b"x", prev_kv=True))],
        ),
        kv.TxnRequest(
            [
                kv.Compare("NOT_EQUAL", "LEASE", b"k", b"z", lease=5),
                kv.Compare("EQUAL", "VALUE", b"k", value=b"v"),
            ],
            [
                kv.RequestOp(request_put=kv.PutRequest(b"a")),
                kv.RequestOp(
                    request_txn=kv.TxnRequest(failure=[kv.RequestOp(request_range=kv.RangeRequest())])
                ),
            ],
            [kv.RequestOp(request_delete_range=kv.DeleteRangeRequest(b"x", prev_kv=True))],
        ),
    ),
    "compaction": (pb.CompactionRequest(revision=9, physical=True), kv.CompactionRequest(9, True)),
    "watch": (
        pb.WatchRequest(
            create_request=pb.WatchCreateRequest(
                key=b"a",
                range_end=b"b",
                start_revision=4,
                progress_notify=True,
                filters=["NOPUT", "NODELETE"],
                prev_kv=True,
                watch_id=6,
                fragment=True,
            )
        ),
        m.WatchRequest(m.WatchCreateRequest(b"a", b"b", 4, True, ["NOPUT", "NODELETE"], True, 6, True)),
    ),
    "watch progress": (
        pb.WatchRequest(progress_request=pb.WatchProgressRequest()),
        m.WatchRequest(progress_request=m.WatchProgressRequest()),
    ),
    "lease grant": (pb.LeaseGrantRequest(TTL=60, ID=2**62), m.LeaseGrantRequest(60, 2**62)),
    "member": (pb.MemberRemoveRequest(ID=2**64 - 3), m.MemberIdRequest(2**64 - 3)),
    "member add": (
        pb.MemberAddRequest(peerURLs=["https://a", "https://ü"], isLearner=True),
        m.MemberAddRequest(["https://a", "https://ü"], True),
    ),
    "alarm": (
        pb.AlarmRequest(action="DEACTIVATE", memberID=2**63, alarm="CORRUPT"),
        m.AlarmRequest("DEACTIVATE", 2**63, "CORRUPT"),
    ),
    "permission": (
        pb.AuthRoleGrantPermissionRequest(
            name="r", perm={"permType": "READWRITE", "key": b"k", "range_end": b"\0"}
        ),
        a.GrantPermissionRequest("r", Permission("READWRITE", b"k", b"\0")),
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_requests(name: str) -> None:
    theirs, ours = REQUESTS[name]
    assert read(type(ours), theirs.SerializeToString()) == ours


HEADER = encode.header_field(m.Header(2**64 - 1, 2**63, 7, 3))
RECORD = kv.Record(b"key", b"value", 2, 300, 4, -5)
DELETED = kv.Record(b"key", b"", 0, 301, 0)
MEMBER = Member(2**64 - 9, "m1", ("https://p",), ("https://a", "https://b"), True)
HEADER_FIELDS = {"cluster_id": 2**64 - 1, "member_id": 2**63, "revision": 7, "raft_term": 3}
RECORD_FIELDS = {
    "key": b"key",
    "value": b"value",
    "create_revision": 2,
    "mod_revision": 300,
    "version": 4,
    "lease": -5,
}

RESPONSES: dict[str, tuple[bytes, Message]] = {
    "range": (
        encode.kv(HEADER, kv.RangeResponse(7, [RECORD, DELETED], True, 200)),
        pb.RangeResponse(
            header=HEADER_FIELDS,
            kvs=[RECORD_FIELDS, {"key": b"key", "mod_revision": 301}],
            more=True,
            count=200,
        ),
    ),
    "put": (
        encode.kv(HEADER, kv.PutResponse(7, RECORD)),
        pb.PutResponse(header=HEADER_FIELDS, prev_kv=RECORD_FIELDS),
    ),
    "delete": (
        encode.kv(HEADER, kv.DeleteRangeResponse(7, 1, [RECORD])),
        pb.DeleteRangeResponse(header=HEADER_FIELDS, deleted=1, prev_kvs=[RECORD_FIELDS]),
    ),
    "txn": (
        encode.kv(
            HEADER,
            kv.TxnResponse(
                7,
                True,
                [
                    kv.PutResponse(7),
                    kv.RangeResponse(7, []),
                    kv.TxnResponse(7, False, [kv.DeleteRangeResponse(7)]),
                ],
            ),
        ),
        pb.TxnResponse(
            header=HEADER_FIELDS,
            succeeded=True,
            responses=[
                {"response_put": {"header": {"revision": 7}}},
                {"response_range": {"header": {"revision": 7}}},
                {
                    "response_txn": {
                        "header": {},
                        "responses": [{"response_delete_range": {"header": {"revision": 7}}}],
                    }
                },
            ],
        ),
    ),
    "lease": (
        encode.lease(HEADER, LeaseResult(7, 2**62, 60)),
        pb.LeaseGrantResponse(header=HEADER_FIELDS, ID=2**62, TTL=60),
    ),
    "lease gone": (
        encode.time_to_live(HEADER, m.LeaseTimeToLiveResponse(5, -1, 0, [b"k"])),
        pb.LeaseTimeToLiveResponse(header=HEADER_FIELDS, ID=5, TTL=-1, keys=[b"k"]),
    ),
    "alarms": (
        encode.alarms(HEADER, m.AlarmResponse([m.AlarmMember(2**63, "NOSPACE")])),
        pb.AlarmResponse(header=HEADER_FIELDS, alarms=[{"memberID": 2**63, "alarm": "NOSPACE"}]),
    ),
    "hash": (
        encode.hash_kv(HEADER, m.HashResponse(2**32 - 1, 4, 7)),
        pb.HashKVResponse(header=HEADER_FIELDS, hash=2**32 - 1, compact_revision=4),
    ),
    "permissions": (
        auth_rows.response(HEADER, a.PermissionsResponse([Permission("WRITE", b"k", b"z")])),
        pb.AuthRoleGetResponse(
            header=HEADER_FIELDS, perm=[{"permType": "WRITE", "key": b"k", "range_end": b"z"}]
        ),
    ),
    "token": (
        auth_rows.response(HEADER, a.TokenResponse("t")),
        pb.AuthenticateResponse(header=HEADER_FIELDS, token="t"),
    ),
}


def known(message: Message) -> Message:
    """Without what the compiled messages are too old for."""
    message.DiscardUnknownFields()  # type: ignore[attr-defined]
    return message


@pytest.mark.parametrize("name", RESPONSES)
def test_responses(name: str) -> None:
    ours, theirs = RESPONSES[name]
    assert known(type(theirs).FromString(ours)) == theirs


def test_members() -> None:
    added = encode.member_added(HEADER, m.MembersResponse((MEMBER,), MEMBER))
    message = pb.MemberAddResponse.FromString(added)
    for member in (message.member, message.members[0]):
        assert (member.ID, member.name, list(member.peerURLs)) == (2**64 - 9, "m1", ["https://p"])
        assert (list(member.clientURLs), member.isLearner) == (["https://a", "https://b"], True)


def test_watch_responses() -> None:
    events = [kv.Event(RECORD, None), kv.Event(DELETED, RECORD)]
    (message,) = watch_messages(HEADER, WatchResponse(3, 7, make_batch(events, prev_kv=True)))
    assert pb.WatchResponse.FromString(message) == pb.WatchResponse(
        header=HEADER_FIELDS,
        watch_id=3,
        events=[
            {"kv": RECORD_FIELDS},
            {"type": "DELETE", "kv": {"key": b"key", "mod_revision": 301}, "prev_kv": RECORD_FIELDS},
        ],
    )


def test_a_long_watch_response_in_fragments() -> None:
    events = [kv.Event(kv.Record(b"%d" % n, bytes(700_000), 2, 2, 1), None) for n in range(4)]
    response = WatchResponse(-1, 7, make_batch(events, prev_kv=False), may_fragment=True)
    parts = [pb.WatchResponse.FromString(each) for each in watch_messages(HEADER, response)]
    assert [each.fragment for each in parts] == [True, False]
    assert [event.kv.key for part in parts for event in part.events] == [b"0", b"1", b"2", b"3"]
    assert {each.watch_id for each in parts} == {-1}


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([kind for kind, _, _ in UNARY.values()]), st.binary(max_size=200))
def test_no_bytes_break_the_reader(kind: Any, data: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert isinstance(read(kind, data), kind)


@settings(max_examples=200, deadline=None)
@given(st.binary(), st.binary(), st.integers(-(2**63), 2**63 - 1), st.booleans())
def test_whatever_is_written_is_read(key: bytes, value: bytes, lease: int, flag: bool) -> None:
    message = pb.PutRequest(key=key, value=value, lease=lease, prev_kv=flag)
    assert read(kv.PutRequest, message.SerializeToString()) == kv.PutRequest(key, value, lease, flag)


def test_nesting_is_bounded() -> None:
    data = b""
    for _ in range(500):
        op = encode.message_field(4, data)
        data = encode.message_field(2, op)
    with pytest.raises(Malformed, match="deep"):
        read(kv.TxnRequest, data)
