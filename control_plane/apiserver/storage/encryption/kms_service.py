"""The plugin of a key management service: gRPC over a unix socket, `v2.KeyManagementService`.

Calls are rare (one for each seed, one a minute), so each takes a thread of its own for as long as it lasts.
"""

from __future__ import annotations

import asyncio
from typing import Any

from control_plane.api.protobuf_wire import delimited
from control_plane.apiserver.storage.encryption.kms_wire import (
    Broken,
    KmsFailed,
    Sealed,
    decode_map,
    encode_map,
    message,
    one,
)

SERVICE = "/v2.KeyManagementService/"


class GrpcService:
    """Raises KmsFailed where gRPC is not installed."""

    def __init__(self, endpoint: str, timeout_s: float) -> None:
        try:
            import grpc
        except ImportError as error:
            raise KmsFailed(f"a kms provider needs gRPC: pip install 'balsa[kms]' ({error})") from error
        self._timeout_s = timeout_s
        self._error: type[Exception] = grpc.RpcError
        self._channel = grpc.insecure_channel(endpoint)

    async def status(self) -> tuple[str, str, str]:
        found = await self._call("Status", b"")
        version, health, key_id = (one(found, number).decode("utf-8", "replace") for number in (1, 2, 3))
        return version, health, key_id

    async def encrypt(self, uid: str, plaintext: bytes) -> Sealed:
        found = await self._call("Encrypt", delimited(b"\x0a", plaintext) + delimited(b"\x12", uid.encode()))
        return Sealed(one(found, 1), one(found, 2).decode("utf-8", "replace"), decode_map(found, 3))

    async def decrypt(self, uid: str, sealed: Sealed) -> bytes:
        request = delimited(b"\x0a", sealed.source) + delimited(b"\x12", uid.encode())
        request += delimited(b"\x1a", sealed.key_id.encode()) + encode_map(b"\x22", sealed.annotations)
        return one(await self._call("Decrypt", request), 1)

    async def _call(self, method: str, request: bytes) -> list[tuple[int, bytes | int]]:
        call: Any = self._channel.unary_unary(SERVICE + method)
        try:
            return message(await asyncio.to_thread(call, request, timeout=self._timeout_s))
        except self._error as error:
            details = getattr(error, "details", lambda: "")()
            raise KmsFailed(f"{method}: {details or error}") from error
        except Broken as error:
            raise KmsFailed(f"{method}: {error}") from error
