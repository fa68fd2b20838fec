"""The string formats that kube-apiserver validates; any other name says nothing.

Dashes in a name do not count (`date-time` is `datetime`).
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from urllib.parse import urlsplit

_HOSTNAME = re.compile(
    r"(?=.{1,255}\Z)[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?(?:\.[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?)*\.?"
)
_DATETIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:?\d\d)", re.ASCII)
_DURATION = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_WORD_DURATION = re.compile(
    r"(\d+)\s*(ns|nano\w*|us|µs|micro\w*|ms|milli\w*|s|sec\w*|m|min\w*|h|hr|hrs|hour\w*|d|day\w*|w|week\w*)"
)
_HEX = "[0-9a-fA-F]"
_UUID = f"{_HEX}{{8}}-?{_HEX}{{4}}-?%s{_HEX}{{3}}-?%s{_HEX}{{3}}-?{_HEX}{{12}}"
_EMAIL = re.compile(r"[^@\s<>\"(),:;\[\]\\]+@[^@\s<>\"(),:;\\]+")
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"


def is_valid(name: str, text: str) -> bool:
    check = _FORMATS.get(name.replace("-", ""))
    return check is None or check(text)


def known(name: str) -> bool:
    return name.replace("-", "") in _FORMATS


def _full(pattern: str, flags: int = 0) -> Callable[[str], bool]:
    compiled = re.compile(pattern, flags)
    return lambda text: compiled.fullmatch(text) is not None


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return check


def _base64(text: str) -> None:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(text) from error


def _date(text: str) -> None:
    if len(text) != len("2006-01-02"):
        raise ValueError(text)
    date.fromisoformat(text)


def _datetime(text: str) -> bool:
    if _DATETIME.fullmatch(text) is None:
        return False
    try:
        datetime.fromisoformat(text[:10] + "T" + text[11:19])
    except ValueError:
        return False
    return True


def _duration(text: str) -> bool:
    """Go's durations (`1h30m`), and counted words (`3 days`)."""
    rest = text.removeprefix("-").removeprefix("+")
    if rest == "0":
        return True
    while found := _DURATION.match(rest):
        rest = rest[found.end() :]
        if not rest:
            return True
    return _WORD_DURATION.fullmatch(text.strip()) is not None


def _uri(text: str) -> bool:
    """What Go's url.ParseRequestURI takes: absolute, or a path from the root."""
    if not text or any(ord(each) < 0x20 or each == " " for each in text):
        return False
    try:
        parsed = urlsplit(text)
    except ValueError:
        return False
    return bool(parsed.scheme) or text.startswith("/")


def _strict_ip(family: type) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            return isinstance(ipaddress.ip_address(text), family) and "%" not in text
        except ValueError:
            return False

    return check


def _cidr(text: str) -> None:
    if "/" not in text or "%" in text or not text.rpartition("/")[2].isdigit():
        raise ValueError(text)
    ipaddress.ip_network(text, strict=False)


def _card(text: str) -> bool:
    digits = [int(each) for each in re.sub(r"[- ]", "", text) if each.isdigit()]
    if not 13 <= len(digits) <= 19:
        return False
    doubled = [sum(divmod(each * 2, 10)) for each in digits[-2::-2]]
    return (sum(digits[::-2]) + sum(doubled)) % 10 == 0


def _isbn(text: str) -> bool:
    return _isbn10(text) or _isbn13(text)


def _isbn10(text: str) -> bool:
    plain = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"\d{9}[\dX]", plain):
        return False
    values = [10 if each == "X" else int(each) for each in plain]
    return sum((10 - at) * value for at, value in enumerate(values)) % 11 == 0


def _isbn13(text: str) -> bool:
    plain = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"\d{13}", plain):
        return False
    return sum(int(each) * (3 if at % 2 else 1) for at, each in enumerate(plain)) % 10 == 0


def _short_name(text: str) -> bool:
    return len(text) <= 63 and re.fullmatch(_LABEL, text) is not None


def _long_name(text: str) -> bool:
    return len(text) <= 253 and re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", text) is not None


_FORMATS: Mapping[str, Callable[[str], bool]] = {
    "bsonobjectid": _full(f"{_HEX}{{24}}"),
    "uri": _uri,
    "email": lambda text: _EMAIL.fullmatch(text) is not None,
    "hostname": lambda text: _HOSTNAME.fullmatch(text) is not None,
    "ipv4": _strict_ip(ipaddress.IPv4Address),
    "ipv6": _strict_ip(ipaddress.IPv6Address),
    "cidr": _parses(_cidr),
    "mac": _full(f"{_HEX}{{2}}([:-]{_HEX}{{2}}){{5}}|({_HEX}{{4}}\\.){{2}}{_HEX}{{4}}"),
    "uuid": _full(_UUID % (_HEX, _HEX)),
    "uuid3": _full(_UUID % ("3", _HEX)),
    "uuid4": _full(_UUID % ("4", "[89abAB]")),
    "uuid5": _full(_UUID % ("5", "[89abAB]")),
    "isbn": _isbn,
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _card,
    "ssn": _full(r"\d{3}[- ]?\d{2}[- ]?\d{4}", re.ASCII),
    "hexcolor": _full(f"#?({_HEX}{{3}}|{_HEX}{{6}})"),
    "rgbcolor": _full(r"rgb\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)", re.ASCII),
    "byte": _parses(_base64),
    "password": lambda text: True,
    "date": _parses(_date),
    "duration": _duration,
    "datetime": _datetime,
    "k8sshortname": _short_name,
    "k8slongname": _long_name,
}
