"""Several keys for one resource: the first writes, all read; what another than the first has written is stale.

Which resource a value is of follows from its key. The first entry of the configuration that names the resource
counts, and all entries that name it in the same words count together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from control_plane.apiserver.storage import keys
from control_plane.apiserver.storage.encryption.errors import CannotDecrypt
from control_plane.apiserver.storage.encryption.kms import KmsProvider
from control_plane.apiserver.storage.encryption.providers import Provider


class Transformer:
    def __init__(self, providers: Sequence[Provider]) -> None:
        assert providers
        self._providers = tuple(providers)

    def encrypt(self, value: bytes, path: bytes) -> bytes:
        writer = self._providers[0]
        return writer.prefix + writer.encrypt(value, path)

    async def prepare(self, value: bytes) -> None:
        """Fetch what decrypting it takes. Raises StoreError."""
        for provider in self._providers:
            if provider.prefix and value.startswith(provider.prefix):
                await provider.prepare(value[len(provider.prefix) :])

    def decrypt(self, value: bytes, path: bytes) -> tuple[bytes, bool]:
        """The value, and whether it should be written anew. Raises CannotDecrypt."""
        why = "no matching prefix found"
        for index, provider in enumerate(self._providers):
            if not value.startswith(provider.prefix):
                continue
            try:
                inner = value[len(provider.prefix) :]
                return provider.decrypt(inner, path), index > 0 or provider.is_stale(inner)
            except CannotDecrypt as error:
                why = why if not provider.prefix else str(error)
        raise CannotDecrypt(why)


@dataclass(frozen=True, slots=True)
class Scope:
    """`secrets`, `deployments.apps`, `*.apps`, `*.` (the core group), `*.*`."""

    group: str
    resource: str

    @classmethod
    def parse(cls, text: str) -> Scope:
        resource, _, group = text.partition(".")
        return cls(group, resource)

    def covers(self, group: str, resource: str) -> bool:
        if self.resource != "*":
            return (self.group, self.resource) == (group, resource)
        return self.group in ("*", group)


class Transformers:
    """`configured` is in the order of the file."""

    def __init__(
        self, configured: Sequence[tuple[Scope, Transformer]], services: Sequence[KmsProvider] = ()
    ) -> None:
        self._configured = tuple(configured)
        self.services = tuple(services)  # key management services, whose keys are to be fetched
        self._known: dict[bytes, Transformer | None] = {}

    def of(self, path: bytes) -> Transformer | None:
        """None for what is kept as it is: other resources, and what is no object."""
        group_end = path.find(b"/", len(keys.ROOT))
        end = path.find(b"/", group_end + 1)
        if group_end < 0 or end < 0 or path.startswith(keys.RANGES):
            return None
        collection = path[:end]
        if collection not in self._known:
            group = path[len(keys.ROOT) : group_end].decode("utf-8", "replace")
            resource = path[group_end + 1 : end].decode("utf-8", "replace")
            self._known[collection] = self._find("" if group == "core" else group, resource)
        return self._known[collection]

    def _find(self, group: str, resource: str) -> Transformer | None:
        covering = (each for scope, each in self._configured if scope.covers(group, resource))
        return next(covering, None)
