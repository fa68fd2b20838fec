"""Kubernetes' URLs."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from control_plane.apiserver.cel.errors import EvaluationError
from control_plane.apiserver.cel.functions import Library, opaque

LIBRARY = Library()
declare = LIBRARY.declare


@dataclass(frozen=True, slots=True)
class URL:
    text: str
    parts: SplitResult

    def __eq__(self, other: object) -> bool:
        return isinstance(other, URL) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


opaque("kubernetes.URL", URL)


def parse(text: str) -> URL:
    """Go's url.ParseRequestURI. Raises EvaluationError."""
    why = ""
    if not text:
        why = "empty url"
    elif any(ord(each) < 0x20 or ord(each) == 0x7F for each in text):
        why = "net/url: invalid control character in URL"
    elif " " in text.partition("?")[0].partition("/")[0]:
        why = 'invalid character " " in host name'
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise EvaluationError(
            f"URL parse error during conversion from string: parse {text!r}: {error}"
        ) from None
    if not why and not parts.scheme and not text.startswith("/"):
        why = "invalid URI for request"
    if why:
        raise EvaluationError(f"URL parse error during conversion from string: parse {text!r}: {why}")
    return URL(text, parts)


@declare("function isURL(string) -> bool")
def is_url(text: str) -> bool:
    try:
        parse(text)
    except EvaluationError:
        return False
    return True


@declare("function url(string) -> kubernetes.URL")
def url(text: str) -> URL:
    return parse(text)


@declare("method getScheme(kubernetes.URL) -> string")
def scheme(value: URL) -> str:
    return value.parts.scheme


@declare("method getHost(kubernetes.URL) -> string")
def host(value: URL) -> str:
    return value.parts.netloc.rpartition("@")[2]


@declare("method getHostname(kubernetes.URL) -> string")
def hostname(value: URL) -> str:
    held = value.parts.netloc.rpartition("@")[2]
    if held.startswith("["):
        return held[1:].partition("]")[0]
    return held.partition(":")[0]


@declare("method getPort(kubernetes.URL) -> string")
def port(value: URL) -> str:
    return str(value.parts.port) if value.parts.port is not None else ""


@declare("method getEscapedPath(kubernetes.URL) -> string")
def path(value: URL) -> str:
    return value.parts.path


@declare("method getQuery(kubernetes.URL) -> map(string, list(string))")
def query(value: URL) -> dict[str, list[str]]:
    return {unquote(key): found for key, found in parse_qs(value.parts.query, keep_blank_values=True).items()}
