"""Write a bbolt file from its first byte to its last, in bounded memory and in small steps.

The meta pages come first and say how long the file is, so the entries are gone through twice: `plan` lays
them out, `pages` writes them. Both passes must see the same entries. What is kept in between is one short
record per leaf. Leaves are longer than a page of the file, which bbolt allows: fewer of them, less padding.

    file = meta meta freelist root-bucket (branch* leaf*)*
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from store.bbolt.pages import (
    BRANCH,
    BRANCH_ELEMENT,
    BUCKET,
    BUCKET_HEAD,
    FREELIST,
    LEAF,
    LEAF_ELEMENT,
    PAGE,
    PAGE_BYTES,
    Meta,
)

NODE_BYTES = 32 * 1024  # a leaf or branch with more than one entry is not longer
FREELIST_PAGE, ROOT_PAGE = 2, 3

Entry = tuple[bytes, bytes]
Source = Callable[[], Iterable[list[Entry]]]  # called for each pass; entries in key order, a piece at a time


@dataclass(slots=True)
class _Node:
    """A leaf or branch as it is laid out: its entries are those from `first_key` to the next node's."""

    first_key: bytes
    count: int
    size_bytes: int
    page: int = 0

    @property
    def pages(self) -> int:
        return -(-self.size_bytes // PAGE_BYTES)


@dataclass(slots=True)
class _Tree:
    leaves: list[_Node] = field(default_factory=list)
    branches: list[list[_Node]] = field(default_factory=list)  # levels, the one above the leaves first

    @property
    def root(self) -> _Node:
        return self.branches[-1][0] if self.branches else self.leaves[0]


class Writer:
    def __init__(self, buckets: Mapping[bytes, Source]) -> None:
        self._sources = dict(sorted(buckets.items()))
        self._trees: dict[bytes, _Tree] = {}
        self._end = 0  # pages

    @property
    def size_bytes(self) -> int:
        """Of the whole file, once it is planned."""
        return self._end * PAGE_BYTES

    def plan(self) -> Iterator[None]:
        """The first pass; each step looks at one piece of the entries."""
        for name, source in self._sources.items():
            tree = self._trees[name] = _Tree()
            nodes = _Packer(LEAF_ELEMENT.size)
            for piece in source():
                for key, value in piece:
                    nodes.add(key, len(key) + len(value))
                yield
            tree.leaves = nodes.nodes or [_Node(b"", 0, PAGE.size)]
            level = tree.leaves
            while len(level) > 1:
                above = _Packer(BRANCH_ELEMENT.size)
                for node in level:
                    above.add(node.first_key, len(node.first_key))
                level = above.nodes
                tree.branches.append(level)
        self._number()

    def _number(self) -> None:
        root = _root_page(dict.fromkeys(self._trees, 0))
        page = ROOT_PAGE + -(-len(root) // PAGE_BYTES)
        for tree in self._trees.values():
            for level in (*reversed(tree.branches), tree.leaves):
                for node in level:
                    node.page = page
                    page += node.pages
        self._end = page

    def pages(self) -> Iterator[bytes]:
        """The second pass: the file, a node at a time."""
        assert self._end, "not planned"
        for page_id in (0, 1):
            yield Meta(PAGE_BYTES, ROOT_PAGE, FREELIST_PAGE, self._end, page_id).pack(page_id)
        yield _padded(PAGE.pack(FREELIST_PAGE, FREELIST, 0, 0))
        yield _root_page({name: tree.root.page for name, tree in self._trees.items()})
        for name, tree in self._trees.items():
            for depth in range(len(tree.branches) - 1, -1, -1):
                below = tree.branches[depth - 1] if depth else tree.leaves
                yield from _branch_pages(tree.branches[depth], below)
            yield from _leaf_pages(tree.leaves, self._sources[name]())


class _Packer:
    """Fills nodes one after another."""

    def __init__(self, element_bytes: int) -> None:
        self.nodes: list[_Node] = []
        self._element_bytes = element_bytes

    def add(self, key: bytes, size_bytes: int) -> None:
        size_bytes += self._element_bytes
        if self.nodes and self.nodes[-1].size_bytes + size_bytes <= NODE_BYTES:
            node = self.nodes[-1]
            node.count += 1
            node.size_bytes += size_bytes
        else:
            self.nodes.append(_Node(key, 1, PAGE.size + size_bytes))


def _padded(data: bytes) -> bytes:
    return data.ljust(-(-len(data) // PAGE_BYTES) * PAGE_BYTES, b"\0")


def _root_page(roots: Mapping[bytes, int]) -> bytes:
    entries = [(name, BUCKET_HEAD.pack(page, 0)) for name, page in roots.items()]
    return _leaf(ROOT_PAGE, entries, BUCKET)


def _leaf(page: int, entries: list[Entry], flags: int = 0) -> bytes:
    elements: list[bytes] = []
    data: list[bytes] = []
    offset = len(entries) * LEAF_ELEMENT.size
    for key, value in entries:
        elements.append(LEAF_ELEMENT.pack(flags, offset, len(key), len(value)))
        data += (key, value)
        offset += len(key) + len(value) - LEAF_ELEMENT.size
    return _page(page, LEAF, elements, data)


def _branch(page: int, children: list[_Node]) -> bytes:
    elements: list[bytes] = []
    offset = len(children) * BRANCH_ELEMENT.size
    for child in children:
        elements.append(BRANCH_ELEMENT.pack(offset, len(child.first_key), child.page))
        offset += len(child.first_key) - BRANCH_ELEMENT.size
    return _page(page, BRANCH, elements, [child.first_key for child in children])


def _page(page: int, flags: int, elements: list[bytes], data: list[bytes]) -> bytes:
    body = b"".join((*elements, *data))
    overflow = -(-(PAGE.size + len(body)) // PAGE_BYTES) - 1
    return _padded(PAGE.pack(page, flags, len(elements), overflow) + body)


def _branch_pages(branches: list[_Node], below: list[_Node]) -> Iterator[bytes]:
    start = 0
    for node in branches:
        yield _branch(node.page, below[start : start + node.count])
        start += node.count


def _leaf_pages(leaves: list[_Node], pieces: Iterable[list[Entry]]) -> Iterator[bytes]:
    waiting: list[Entry] = []
    planned = iter(leaves)
    leaf = next(planned)
    for piece in pieces:
        waiting += piece
        while leaf.count and len(waiting) >= leaf.count:
            data = _leaf(leaf.page, waiting[: leaf.count])
            assert len(data) == leaf.pages * PAGE_BYTES, "the passes saw different entries"
            yield data
            del waiting[: leaf.count]
            leaf = next(planned, _Node(b"", 0, 0))
        yield b""  # a step without a page
    if leaf.size_bytes and not leaf.count:
        yield _leaf(leaf.page, [])
    assert not waiting, "the passes saw different entries"
