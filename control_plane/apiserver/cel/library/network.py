"""Kubernetes' IP addresses and CIDRs."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from control_plane.apiserver.cel.errors import EvaluationError
from control_plane.apiserver.cel.functions import Library, opaque

LIBRARY = Library()
declare = LIBRARY.declare

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class IP:
    address: Address

    def __str__(self) -> str:
        return str(self.address)


@dataclass(frozen=True, slots=True)
class CIDR:
    address: Address
    network: Network

    def __str__(self) -> str:
        return f"{self.address}/{self.network.prefixlen}"


opaque("net.IP", IP)
opaque("net.CIDR", CIDR)


def parse_ip(text: str) -> IP:
    """Raises EvaluationError."""
    wrong = f"IP Address '{text}' parse error during conversion from string"
    try:
        found = ipaddress.ip_address(text)
    except ValueError as error:
        raise EvaluationError(f"{wrong}: {error}") from None
    if "%" in text:
        raise EvaluationError(f"IP address '{text}' with zone value is not allowed")
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        raise EvaluationError(f"IPv4-mapped IPv6 address '{text}' is not allowed")
    return IP(found)


def parse_cidr(text: str) -> CIDR:
    """Raises EvaluationError."""
    address, slash, length = text.partition("/")
    wrong = f"network address parse error during conversion from string: netip.ParsePrefix({text!r})"
    if not slash or not length.isdigit() or "%" in text:
        raise EvaluationError(wrong)
    try:
        found = ipaddress.ip_network(text, strict=False)
        return CIDR(parse_ip(address).address, found)
    except ValueError as error:
        raise EvaluationError(f"{wrong}: {error}") from None


def _is(parse: Any, text: str) -> bool:
    try:
        parse(text)
    except EvaluationError:
        return False
    return True


@declare("function isIP(string) -> bool")
def is_ip(text: str) -> bool:
    return _is(parse_ip, text)


@declare("function ip(string) -> net.IP")
def ip(text: str) -> IP:
    return parse_ip(text)


@declare("function ip.isCanonical(string) -> bool")
def is_canonical(text: str) -> bool:
    return str(parse_ip(text)) == text


@declare("function string(net.IP) -> string", "function string(net.CIDR) -> string")
def string(value: Any) -> str:
    return str(value)


@declare("method family(net.IP) -> int")
def family(value: IP) -> int:
    return value.address.version


@declare("method isUnspecified(net.IP) -> bool")
def is_unspecified(value: IP) -> bool:
    return value.address.is_unspecified


@declare("method isLoopback(net.IP) -> bool")
def is_loopback(value: IP) -> bool:
    return value.address.is_loopback


@declare("method isLinkLocalMulticast(net.IP) -> bool")
def is_link_local_multicast(value: IP) -> bool:
    packed = value.address.packed
    return packed[:3] == b"\xe0\x00\x00" if len(packed) == 4 else packed[0] == 0xFF and packed[1] & 0x0F == 2


@declare("method isLinkLocalUnicast(net.IP) -> bool")
def is_link_local_unicast(value: IP) -> bool:
    return value.address.is_link_local


@declare("method isGlobalUnicast(net.IP) -> bool")
def is_global_unicast(value: IP) -> bool:
    address = value.address
    limited = address.packed == b"\xff\xff\xff\xff"
    special = address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    return not (special or limited)


@declare("function isCIDR(string) -> bool")
def is_cidr(text: str) -> bool:
    return _is(parse_cidr, text)


@declare("function cidr(string) -> net.CIDR")
def cidr(text: str) -> CIDR:
    return parse_cidr(text)


@declare("method ip(net.CIDR) -> net.IP")
def cidr_ip(value: CIDR) -> IP:
    return IP(value.address)


@declare("method prefixLength(net.CIDR) -> int")
def prefix_length(value: CIDR) -> int:
    return value.network.prefixlen


@declare("method masked(net.CIDR) -> net.CIDR")
def masked(value: CIDR) -> CIDR:
    return CIDR(value.network.network_address, value.network)


@declare("method containsIP(net.CIDR, net.IP) -> bool")
def contains_ip(value: CIDR, address: IP) -> bool:
    return address.address in value.network


@declare("method containsIP(net.CIDR, string) -> bool")
def contains_ip_text(value: CIDR, text: str) -> bool:
    return parse_ip(text).address in value.network


@declare("method containsCIDR(net.CIDR, net.CIDR) -> bool")
def contains_cidr(value: CIDR, other: CIDR) -> bool:
    return _holds(value, other)


def _holds(value: CIDR, other: CIDR) -> bool:
    same = value.network.version == other.network.version
    return same and value.network.prefixlen <= other.network.prefixlen and other.address in value.network


@declare("method containsCIDR(net.CIDR, string) -> bool")
def contains_cidr_text(value: CIDR, text: str) -> bool:
    return _holds(value, parse_cidr(text))
