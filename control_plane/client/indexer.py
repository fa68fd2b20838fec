"""The informer's store: objects by namespace and name, and by whatever else was asked to be looked up fast.
Pure.

Objects are shared by all readers and never changed: who wants to change one copies it first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from control_plane.client.types import Obj

IndexFn = Callable[[Obj], Iterable[str]]
Objects = list[Obj]
Key = tuple[str, str]  # namespace ("" for cluster-scoped) and name


def key_of(obj: Obj) -> Key:
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"]


class Indexer:
    def __init__(self) -> None:
        self._by_namespace: dict[str, dict[str, Obj]] = {}
        self._functions: dict[str, IndexFn] = {}
        self._indexes: dict[str, dict[str, dict[Key, Obj]]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Obj]:
        for objects in self._by_namespace.values():
            yield from objects.values()

    def get(self, namespace: str, name: str) -> Obj | None:
        return self._by_namespace.get(namespace, {}).get(name)

    def list(self, namespace: str = "") -> Objects:
        """A new list: of one namespace, or of all."""
        if namespace:
            return list(self._by_namespace.get(namespace, {}).values())
        return list(self)

    def add_index(self, name: str, function: IndexFn) -> None:
        """May come late: what is stored already is indexed now. The same name twice must mean the same
        function."""
        if name in self._functions:
            return
        self._functions[name] = function
        self._indexes[name] = {}
        for obj in self:
            self._enter(name, key_of(obj), obj)

    def by_index(self, name: str, value: str) -> Objects:
        return list(self._indexes[name].get(value, {}).values())

    def put(self, obj: Obj) -> Obj | None:
        """Store it; the one it replaces, if any."""
        key = key_of(obj)
        objects = self._by_namespace.setdefault(key[0], {})
        old = objects.get(key[1])
        objects[key[1]] = obj
        if old is None:
            self._count += 1
        for name in self._functions:
            if old is not None:
                self._leave(name, key, old)
            self._enter(name, key, obj)
        return old

    def remove(self, key: Key) -> Obj | None:
        objects = self._by_namespace.get(key[0], {})
        old = objects.pop(key[1], None)
        if old is None:
            return None
        self._count -= 1
        if not objects:
            del self._by_namespace[key[0]]
        for name in self._functions:
            self._leave(name, key, old)
        return old

    def keys(self) -> set[Key]:
        return {(namespace, name) for namespace, objects in self._by_namespace.items() for name in objects}

    def _enter(self, index: str, key: Key, obj: Obj) -> None:
        for value in self._functions[index](obj):
            self._indexes[index].setdefault(value, {})[key] = obj

    def _leave(self, index: str, key: Key, obj: Obj) -> None:
        entries = self._indexes[index]
        for value in self._functions[index](obj):
            members = entries.get(value, {})
            members.pop(key, None)
            if not members:
                entries.pop(value, None)
