"""PEM blocks, as Go's decoder finds them: what stands between them is passed over."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error
from collections.abc import Iterator
from dataclasses import dataclass

_BLOCK = re.compile(
    r"^-----BEGIN ([^\n]*?)-----[ \t]*\r?\n(.*?)^-----END \1-----[ \t\r]*$", re.MULTILINE | re.DOTALL
)
_HEADER = re.compile(r"[^:\n]+:[^\n]*\n")


@dataclass(frozen=True, slots=True)
class Block:
    label: str
    data: bytes
    has_headers: bool = False


def blocks(text: str) -> Iterator[Block]:
    for found in _BLOCK.finditer(text):
        body, has_headers = found[2], False
        while header := _HEADER.match(body):
            body, has_headers = body[header.end() :], True
        try:
            yield Block(found[1], b64decode("".join(body.split()), validate=True), has_headers)
        except Error:
            continue
