"""One object in the cache, and one change of it.

An object is held as the bytes that a client reads (JSON with its resourceVersion): a Pod takes 3.7 KiB so and
19 KiB as a dict. What selectors look at is parsed out once, when a selector first asks. The frame of a watch
event is encoded once for all watchers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from control_plane.apiserver.storage import codec

Object = dict[str, Any]
FieldsOf = Callable[[Object], Mapping[str, str]]

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"


class Entry:
    __slots__ = ("_selectable", "raw", "revision")

    def __init__(self, raw: bytes, revision: int) -> None:
        self.raw = raw
        self.revision = revision
        self._selectable: tuple[FieldsOf, Mapping[str, str], Mapping[str, str]] | None = None

    def object(self) -> Object:
        """A fresh copy that the caller may change."""
        return codec.decode(self.raw)

    def selectable(self, fields_of: FieldsOf) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Labels and selectable fields. `fields_of` is the resource's: the same until its definition changes."""
        if self._selectable is None or self._selectable[0] is not fields_of:
            obj = self.object()
            self._selectable = (fields_of, obj["metadata"].get("labels") or {}, fields_of(obj))
        return self._selectable[1:]


class Normal:
    """How objects of one custom resource are shown today, whatever they were when they were written."""

    __slots__ = ("normalize",)

    def __init__(self, normalize: Callable[[bytes], bytes]) -> None:
        self.normalize = normalize


class NormalizedEntry(Entry):
    """An entry of a custom resource, normalized when it is first read, and again when its definition changes."""

    __slots__ = ("_by", "_normal", "_shown", "_stored")

    def __init__(self, stored: bytes, revision: int, normal: Normal) -> None:
        self._stored = stored
        self._shown = stored
        self._normal = normal
        self._by: Callable[[bytes], bytes] | None = None
        self.revision = revision
        self._selectable = None

    @classmethod
    def of(cls, entry: Entry, normal: Normal) -> NormalizedEntry:
        if not isinstance(entry, NormalizedEntry):
            return cls(entry.raw, entry.revision, normal)
        return entry if entry._normal is normal else cls(entry._stored, entry.revision, normal)

    @property
    def raw(self) -> bytes:  # type: ignore[override]
        normalize = self._normal.normalize
        if self._by is not normalize:
            self._shown = normalize(self._stored)
            self._by = normalize
            self._selectable = None
        return self._shown


class Change:
    """An event of the history: `entry` is the new state (None once deleted), `previous` the old one."""

    __slots__ = ("_frames", "entry", "item", "previous", "revision")

    def __init__(self, item: str, revision: int, entry: Entry | None, previous: Entry | None) -> None:
        assert entry is not None or previous is not None
        self.item = item
        self.revision = revision
        self.entry = entry
        self.previous = previous
        self._frames: dict[str, bytes] | None = None

    @property
    def type(self) -> str:
        if self.entry is None:
            return DELETED
        return ADDED if self.previous is None else MODIFIED

    def raw(self, as_type: str) -> bytes:
        """The object of an event of this type: for DELETED the last state, at this revision."""
        if as_type != DELETED and self.entry is not None:
            return self.entry.raw
        state = self.previous or self.entry
        assert state is not None
        return codec.replace_revision(state.raw, self.revision)

    def frame(self, as_type: str) -> bytes:
        if self._frames is None:
            self._frames = {}
        found = self._frames.get(as_type)
        if found is None:
            found = self._frames[as_type] = encode_frame(as_type, self.raw(as_type))
        return found

    def size_bytes(self) -> int:
        """What keeping this change costs, roughly."""
        return len((self.entry or self.previous).raw)  # type: ignore[union-attr]


def encode_frame(event_type: str, raw: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (event_type.encode(), raw)
