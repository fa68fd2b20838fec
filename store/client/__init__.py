"""Asynchronous client of an etcd v3 store. The public surface is what is named here."""

from store.client.client import StoreClient
from store.client.errors import (
    Compacted,
    FutureRevision,
    InvalidArgument,
    LeaseNotFound,
    NoSpace,
    OutcomeUnknown,
    PermissionDenied,
    StoreError,
    TooManyRequests,
    Unavailable,
)
from store.client.lease import LeaseKeeper
from store.client.types import (
    Compare,
    DeleteRangeResponse,
    Event,
    KeyValue,
    LeaseGrantResponse,
    LeaseTimeToLiveResponse,
    MemberInfo,
    Op,
    PutResponse,
    RangeResponse,
    StatusResponse,
    TxnResponse,
    WatchResponse,
    prefix_end,
)
from store.client.watch import Watch

__all__ = [
    "Compacted",
    "Compare",
    "DeleteRangeResponse",
    "Event",
    "FutureRevision",
    "InvalidArgument",
    "KeyValue",
    "LeaseGrantResponse",
    "LeaseKeeper",
    "LeaseNotFound",
    "LeaseTimeToLiveResponse",
    "MemberInfo",
    "NoSpace",
    "Op",
    "OutcomeUnknown",
    "PermissionDenied",
    "PutResponse",
    "RangeResponse",
    "StatusResponse",
    "StoreClient",
    "StoreError",
    "TooManyRequests",
    "TxnResponse",
    "Unavailable",
    "Watch",
    "WatchResponse",
    "prefix_end",
]
