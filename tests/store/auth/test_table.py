"""Users, roles and key ranges: what is allowed, what is refused, and with which words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.auth import authorize
from store.auth import errors as e
from store.auth import messages as m
from store.auth.errors import AuthError
from store.auth.messages import Permission
from store.auth.passwords import hash_password, matches
from store.auth.ranges import covers, key_range, merge
from store.auth.table import AuthTable
from store.auth.tokens import TOKEN_TTL_S, TokenTable, digest
from store.mvcc.messages import Compare, DeleteRangeRequest, PutRequest, RequestOp, TxnRequest


def table(*commands: m.AuthCommand, enabled: bool = True) -> AuthTable:
    """With the administrator, and alice, who may read [a, c) and write [b, d)."""
    made = AuthTable()
    for command in (
        m.UserAdd("root", b"hash"),
        m.UserGrantRole("root", "root"),
        m.UserAdd("alice", b"hash"),
        m.RoleAdd("r"),
        m.RoleGrantPermission("r", Permission("READ", b"a", b"b")),
        m.RoleGrantPermission("r", Permission("READWRITE", b"b", b"c")),
        m.RoleGrantPermission("r", Permission("WRITE", b"c", b"d")),
        m.UserGrantRole("alice", "r"),
        *commands,
    ):
        made.apply(command)
    if enabled:
        made.apply(m.Enable())
    return made


READS = {
    "a key": (b"a", b"", True),
    "across two permissions": (b"a", b"c", True),
    "the edge": (b"bzz", b"", True),
    "beyond the edge": (b"c", b"", False),
    "partly": (b"b", b"ca", False),
    "everything": (b"\0", b"\0", False),
    "to the end": (b"b", b"\0", False),
}


@pytest.mark.parametrize(("key", "end", "allowed"), READS.values(), ids=READS)
def test_reading(key: bytes, end: bytes, allowed: bool) -> None:
    if allowed:
        table().check_range("alice", key, end, write=False)
    else:
        with pytest.raises(e.PermissionDenied):
            table().check_range("alice", key, end, write=False)


def put(key: bytes, prev_kv: bool = False) -> RequestOp:
    return RequestOp(request_put=PutRequest(key, b"v", prev_kv=prev_kv))


REQUESTS = {
    "put": (PutRequest(b"c"), True),
    "put where one may only read": (PutRequest(b"a"), False),
    "put that reads": (PutRequest(b"c", prev_kv=True), False),
    "put on a lease of others": (PutRequest(b"c", lease=1), False),
    "put on a lease of one's own": (PutRequest(b"c", lease=2), True),
    "delete": (DeleteRangeRequest(b"b", b"d"), True),
    "delete that reads": (DeleteRangeRequest(b"b", b"d", prev_kv=True), False),
    "a transaction": (TxnRequest([Compare("EQUAL", "MOD", b"a")], [put(b"c")], [put(b"b")]), True),
    "a compare of what one may not read": (TxnRequest([Compare("EQUAL", "MOD", b"c")]), False),
    "the branch that would not be taken": (TxnRequest([], [put(b"c")], [put(b"a")]), False),
    "a nested one": (TxnRequest([], [RequestOp(request_txn=TxnRequest([], [put(b"x")]))]), False),
}


@pytest.mark.parametrize(("request_", "allowed"), REQUESTS.values(), ids=REQUESTS)
def test_requests(request_: authorize.Operation, allowed: bool) -> None:
    leases = {1: [b"x"], 2: [b"b"]}
    try:
        authorize.check(table(), "alice", request_, lambda id: leases[id])
    except e.PermissionDenied:
        assert not allowed
    else:
        assert allowed
    authorize.check(table(), "root", request_, lambda id: leases[id])
    authorize.check(table(enabled=False), "", request_, lambda id: leases[id])


REFUSALS: dict[str, tuple[m.AuthCommand, type[AuthError]]] = {
    "a user again": (m.UserAdd("alice", b""), e.UserExists),
    "a user without a name": (m.UserAdd("", b""), e.UserEmpty),
    "an unknown user": (m.UserDelete("bob"), e.UserNotFound),
    "an unknown role": (m.UserGrantRole("alice", "none"), e.RoleNotFound),
    "a role not granted": (m.UserRevokeRole("alice", "none"), e.RoleNotGranted),
    "a role again": (m.RoleAdd("r"), e.RoleExists),
    "a permission not granted": (m.RoleRevokePermission("r", b"a", b"c"), e.PermissionNotGranted),
    "an empty range": (m.RoleGrantPermission("r", Permission("READ", b"b", b"a")), e.InvalidManagement),
    "the administrator": (m.UserDelete("root"), e.InvalidManagement),
    "the administrator's role": (m.UserRevokeRole("root", "root"), e.InvalidManagement),
    "a token of before": (m.AssignToken("alice", b"", 1), e.OldRevision),
}


@pytest.mark.parametrize(("command", "error"), REFUSALS.values(), ids=REFUSALS)
def test_refusals_change_nothing(command: m.AuthCommand, error: type[AuthError]) -> None:
    auth = table()
    before = auth.dump()
    with pytest.raises(error):
        auth.apply(command)
    assert auth.dump() == before


def test_it_cannot_be_enabled_without_an_administrator() -> None:
    auth = AuthTable()
    with pytest.raises(e.RootUserMissing):
        auth.apply(m.Enable())
    auth.apply(m.UserAdd("root", b""))
    with pytest.raises(e.RootRoleMissing):
        auth.apply(m.Enable())


def test_what_is_revoked_is_denied_at_once() -> None:
    auth = table()
    auth.check_range("alice", b"a", b"", write=False)
    auth.apply(m.RoleRevokePermission("r", b"a", b"b"))
    with pytest.raises(e.PermissionDenied):
        auth.check_range("alice", b"a", b"", write=False)
    auth.apply(m.RoleDelete("r"))
    with pytest.raises(e.PermissionDenied):
        auth.check_range("alice", b"b", b"", write=False)


def test_a_copy_is_the_same_and_separate() -> None:
    auth = table()
    copy = AuthTable(auth.dump())
    assert copy.dump() == auth.dump()
    auth.apply(m.UserDelete("alice"))
    copy.check_range("alice", b"a", b"", write=False)


def test_nobody_is_no_user() -> None:
    for check in (lambda: table().check_admin(""), lambda: table().check_range("", b"a", b"", write=False)):
        with pytest.raises(e.UserEmpty):
            check()


keys = st.binary(max_size=2)
spans = st.tuples(keys, st.one_of(st.just(b""), st.just(b"\0"), keys))


@given(st.lists(spans, max_size=6), spans)
def test_covering_is_covering_each_key(
    granted: list[tuple[bytes, bytes]], wanted: tuple[bytes, bytes]
) -> None:
    ranges = [key_range(*each) for each in granted]
    start, end = key_range(*wanted)
    probes = [bytes((a, b)) for a in (0, 1, 97, 254, 255) for b in (0, 1, 255)] + [start]
    inside = [each for each in probes if each >= start and (end is None or each < end)]
    if covers(merge(ranges), (start, end)):
        assert all(any(s <= key and (t is None or key < t) for s, t in ranges) for key in inside)


def test_tokens_live_while_they_are_used() -> None:
    tokens = TokenTable()
    tokens.assign("alice", digest("t"), 0.0)
    assert tokens.user("t", TOKEN_TTL_S - 1) == "alice"
    assert tokens.user("t", 2 * TOKEN_TTL_S - 2) == "alice"
    assert tokens.user("t", 4 * TOKEN_TTL_S) is None
    assert tokens.user("other", 0.0) is None
    tokens.assign("alice", digest("u"), 0.0)
    tokens.drop_user("alice")
    assert len(tokens) == 0


def test_passwords() -> None:
    password_hash = hash_password("secret")
    assert matches("secret", password_hash)
    assert not matches("Secret", password_hash)
    assert not matches("secret", b"")
    assert hash_password("secret") != password_hash
