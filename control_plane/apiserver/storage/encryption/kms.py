"""Envelope encryption with a key management service (KMS v2): it encrypts a seed, and the seed encrypts values.

    value     EncryptedObject{data, keyID, seed as the service encrypted it, annotations}
    data      info (32 random bytes), nonce (12), ciphertext, tag; AES-GCM under HKDF-Expand(seed, info)

The service is asked for its status every STATUS_S; when it names another key, there is a new seed, and what older
ones have written is stale. Without an answer for SEED_TTL_S nothing is written any more. Seeds that have been
decrypted are kept, so that reading asks the service once for each.
"""

from __future__ import annotations

import os
import uuid
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from control_plane.apiserver.storage.encryption.errors import CannotDecrypt
from control_plane.apiserver.storage.encryption.kms_wire import (
    HKDF_SEED,
    Broken,
    KmsFailed,
    Sealed,
    decode_object,
    encode_object,
)
from control_plane.apiserver.storage.encryption.providers import ENCRYPTED, NONCE_BYTES, Provider
from store.client.errors import Unavailable
from store.component import logs

STATUS_S, RETRY_S = 60.0, 10.0
SEED_TTL_S = 180.0
SEED_BYTES = INFO_BYTES = 32
MAX_SEEDS = 4096

log = logs.get("apiserver.encryption")


class Service(Protocol):
    """The plugin. Every method raises KmsFailed."""

    async def status(self) -> tuple[str, str, str]:
        """Version, health, key."""

    async def encrypt(self, uid: str, plaintext: bytes) -> Sealed: ...

    async def decrypt(self, uid: str, sealed: Sealed) -> bytes: ...


class KmsProvider(Provider):
    """`await refresh()` now and then; it says when to come again."""

    def __init__(
        self,
        name: str,
        endpoint: str,
        timeout_s: float,
        service: Service | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.prefix = ENCRYPTED + f"kms:v2:{name}:".encode()
        self.name = name
        self._about = (name, endpoint, timeout_s)
        self._service = service
        self._clock = clock
        self._sealed: Sealed | None = None
        self._seed = b""
        self._good_until_s = float("-inf")
        self._seeds: OrderedDict[object, tuple[bytes, int]] = OrderedDict()
        self._failure = "it has not been asked yet"

    def same_as(self, other: KmsProvider) -> bool:
        return self._about == other._about

    def check(self) -> str | None:
        """A health check."""
        return f"kmsv2 provider {self.name}: {self._failure}" if self._failure else None

    def encrypt(self, value: bytes, path: bytes) -> bytes:
        sealed = self._sealed
        if sealed is None or self._clock() > self._good_until_s:
            raise Unavailable(f"the key management service {self.name} does not answer: {self._failure}")
        info, nonce = os.urandom(INFO_BYTES), os.urandom(NONCE_BYTES)
        data = info + nonce + AESGCM(_derived(self._seed, info)).encrypt(nonce, value, path)
        return encode_object(data, sealed)

    def decrypt(self, value: bytes, path: bytes) -> bytes:
        data, sealed, kind = self._decoded(value)
        seed = self._seeds.get((kind, sealed.identity))
        if seed is None:
            raise CannotDecrypt("the seed of the stored value could not be had")
        info = data[:INFO_BYTES] if kind == HKDF_SEED else b""
        key = _derived(seed[0], info) if kind == HKDF_SEED else seed[0]
        nonce, text = data[len(info) :][:NONCE_BYTES], data[len(info) + NONCE_BYTES :]
        try:
            return AESGCM(key).decrypt(nonce, text, path)
        except (InvalidTag, ValueError) as error:
            raise CannotDecrypt("the stored value is not of this key") from error

    def is_stale(self, value: bytes) -> bool:
        _, sealed, kind = self._decoded(value)
        return self._sealed is not None and (sealed.key_id != self._sealed.key_id or kind != HKDF_SEED)

    async def prepare(self, value: bytes) -> None:
        try:
            _, sealed, kind = self._decoded(value)
            if (kind, sealed.identity) not in self._seeds:
                seed = await self._plugin().decrypt(str(uuid.uuid4()), sealed)
                self._remember(sealed, seed, kind)
        except CannotDecrypt:
            return  # `decrypt` will say so
        except KmsFailed as error:
            raise Unavailable(f"the key management service {self.name} does not answer: {error}") from error

    async def refresh(self) -> float:
        """Ask for the status, and make a new seed where the key is another. Seconds until the next time."""
        try:
            version, health, key_id = await self._plugin().status()
            if health != "ok":
                raise KmsFailed(f"got unexpected healthz status: {health}")
            if version not in ("v2", "v2beta1"):
                raise KmsFailed(f"expected KMSv2 API version v2, got {version}")
            if self._sealed is None or self._sealed.key_id != key_id:
                await self._renew(key_id)
        except KmsFailed as error:
            if not self._failure:
                log.error("a key management service is not healthy", provider=self.name, reason=error)
            self._failure = str(error)
            return RETRY_S
        self._failure, self._good_until_s = "", self._clock() + SEED_TTL_S
        return STATUS_S

    async def _renew(self, key_id: str) -> None:
        seed = os.urandom(SEED_BYTES)
        sealed = await self._plugin().encrypt(str(uuid.uuid4()), seed)
        sealed.check()
        if sealed.key_id != key_id:
            raise KmsFailed("the service encrypts with another key than its status names")
        self._seed, self._sealed = seed, sealed
        self._remember(sealed, seed, HKDF_SEED)
        log.info("a key management service has another key", provider=self.name)

    def _remember(self, sealed: Sealed, seed: bytes, kind: int) -> None:
        self._seeds[kind, sealed.identity] = (seed, kind)
        if len(self._seeds) > MAX_SEEDS:
            self._seeds.popitem(last=False)

    def _plugin(self) -> Service:
        if self._service is None:
            from control_plane.apiserver.storage.encryption.kms_service import GrpcService

            _, endpoint, timeout_s = self._about
            self._service = GrpcService(endpoint, timeout_s)
        return self._service

    def _decoded(self, value: bytes) -> tuple[bytes, Sealed, int]:
        try:
            return decode_object(value)
        except Broken as error:
            raise CannotDecrypt(str(error)) from error


def _derived(seed: bytes, info: bytes) -> bytes:
    return HKDFExpand(SHA256(), SEED_BYTES, info).derive(seed)
