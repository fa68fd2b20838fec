"""Content negotiation: which form of an answer a client accepts, and which of them we choose.

An Accept header lists clauses (`application/json;as=Table;v=v1;g=meta.k8s.io`); the first that can be served
wins, quality values first. Parameters that name a transformation (`as`, `g`, `v`) must be known, or the clause
is skipped. Nothing acceptable is a 406 that lists what is.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache

from control_plane.api.errors import not_acceptable
from control_plane.apiserver.messages import JSON, PROTOBUF, YAML

META_GROUP = "meta.k8s.io"
GZIP_THRESHOLD_BYTES = 128 * 1024
GZIP_LEVEL = 1
GZIP_WBITS = 31
GZIP_CHUNK_BYTES = 256 * 1024

_TRANSFORMS = {
    "Table": ("v1", "v1beta1"),
    "PartialObjectMetadata": ("v1", "v1beta1"),
    "PartialObjectMetadataList": ("v1", "v1beta1"),
}
_MEDIA_TYPES = {
    JSON: JSON,
    "application/*": JSON,
    "*/*": JSON,
    YAML: YAML,
    "text/yaml": YAML,
    PROTOBUF: PROTOBUF,
}


@dataclass(frozen=True, slots=True)
class Target:
    """The chosen form. `transform` is "" for the object as it is."""

    media_type: str = JSON
    transform: str = ""
    version: str = ""
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Clause:
    media_type: str
    parameters: tuple[tuple[str, str], ...]
    quality: float

    def get(self, name: str) -> str:
        return next((value for key, value in self.parameters if key == name), "")


@lru_cache(maxsize=256)
def parse_accept(header: str) -> tuple[Clause, ...]:
    """The clauses of an Accept header, best first."""
    clauses = [_clause(text) for text in header.split(",") if text.strip()]
    return tuple(sorted(clauses, key=lambda clause: -clause.quality))


def _clause(text: str) -> Clause:
    media_type, *rest = (piece.strip() for piece in text.split(";"))
    pairs = [piece.partition("=")[::2] for piece in rest]
    parameters = tuple((key.strip(), value.strip().strip('"')) for key, value in pairs)
    return Clause(media_type.lower(), parameters, _quality(dict(parameters).get("q", "1")))


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


@lru_cache(maxsize=256)
def negotiate(header: str, offer_transforms: bool = True) -> Target:
    """The target for an Accept header ("" accepts all). Raises StatusError NotAcceptable."""
    if not header:
        return Target()
    for clause in parse_accept(header):
        target = _target(clause, offer_transforms)
        if target is not None:
            return target
    raise not_acceptable((JSON, YAML, PROTOBUF))


def _target(clause: Clause, offer_transforms: bool) -> Target | None:
    media_type = _MEDIA_TYPES.get(clause.media_type)
    if media_type is None:
        return None
    transform, version = clause.get("as"), clause.get("v")
    if transform:
        known = offer_transforms and version in _TRANSFORMS.get(transform, ())
        if not known or clause.get("g") != META_GROUP or (transform == "Table" and media_type == PROTOBUF):
            return None
    return Target(media_type, transform, version if transform else "", clause.get("stream") == "watch")


def prefers_protobuf(header: str) -> bool:
    """Whether it is protobuf that the client would rather have of all forms; of a Table it is JSON that it gets."""
    known = (clause for clause in parse_accept(header) if clause.media_type in _MEDIA_TYPES)
    best = next(known, None)
    return best is not None and best.media_type == PROTOBUF


def accepts_gzip(header: str) -> bool:
    return any(clause.media_type == "gzip" and clause.quality > 0 for clause in parse_accept(header))


def gzip(body: bytes) -> bytes:
    """Release the interpreter in pieces, so that a large list does not hold other requests for long."""
    compressor = zlib.compressobj(GZIP_LEVEL, wbits=GZIP_WBITS)
    view = memoryview(body)
    pieces = [
        compressor.compress(view[start : start + GZIP_CHUNK_BYTES])
        for start in range(0, len(body), GZIP_CHUNK_BYTES)
    ]
    pieces.append(compressor.flush())
    return b"".join(pieces)
