"""The formats of names, in upstream's words: each function returns what is wrong, nothing when all is well.

Patterns and sentences follow apimachinery's `util/validation` and `api/validate/content`; they are shown to
users, who search for them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence

Problems = Sequence[str]
Check = Callable[[str], Problems]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_C_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"
_PERCENT = "[0-9]+%"
_SYSCTL_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = rf"({_SYSCTL_SEGMENT}[\./])*{_SYSCTL_SEGMENT}"

_UNDERSCORED_LABEL = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_UNDERSCORED = rf"{_UNDERSCORED_LABEL}(\.{_UNDERSCORED_LABEL})*"

_UNDERSCORED_RE = re.compile(_UNDERSCORED, re.ASCII)
_LABEL_RE = re.compile(_LABEL, re.ASCII)
_SUBDOMAIN_RE = re.compile(_SUBDOMAIN, re.ASCII)
_DNS1035_RE = re.compile("[a-z]([-a-z0-9]*[a-z0-9])?", re.ASCII)
_NAME_RE = re.compile(_NAME, re.ASCII)
_CONFIG_KEY_RE = re.compile(_CONFIG_KEY, re.ASCII)
_PERCENT_RE = re.compile(_PERCENT, re.ASCII)
_C_IDENTIFIER_RE = re.compile(_C_IDENTIFIER, re.ASCII)
_SYSCTL_RE = re.compile(_SYSCTL, re.ASCII)
_PORT_NAME_RE = re.compile("[-a-z0-9]+", re.ASCII)
_HEADER_RE = re.compile("[-A-Za-z0-9]+", re.ASCII)

LABEL_MAX, SUBDOMAIN_MAX, PORT_NAME_MAX = 63, 253, 15

_NAME_CHARS = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"


def _regex(message: str, pattern: str, *examples: str) -> str:
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{message} (e.g. {shown}regex used for validation is '{pattern}')"


def _characters(limit: int) -> str:
    return f"must be no more than {limit} characters"


def _bytes(limit: int) -> str:
    return f"must be no more than {limit} bytes"


def in_range(low: int, high: int) -> str:
    return f"must be between {low} and {high}, inclusive"


def dns_label(value: str) -> Problems:
    problems = [_characters(LABEL_MAX)] if len(value) > LABEL_MAX else []
    if not _LABEL_RE.fullmatch(value):
        problems.append("must not contain dots" if _SUBDOMAIN_RE.fullmatch(value) else _LABEL_MESSAGE)
    return problems


def dns1035_label(value: str) -> Problems:
    problems = [_characters(LABEL_MAX)] if len(value) > LABEL_MAX else []
    if not _DNS1035_RE.fullmatch(value):
        problems.append(_DNS1035_MESSAGE)
    return problems


def dns_subdomain(value: str) -> Problems:
    problems = [_characters(SUBDOMAIN_MAX)] if len(value) > SUBDOMAIN_MAX else []
    if not _SUBDOMAIN_RE.fullmatch(value):
        problems.append(_SUBDOMAIN_MESSAGE)
    return problems


def subdomain_with_underscores(value: str) -> Problems:
    problems = [_characters(SUBDOMAIN_MAX)] if len(value) > SUBDOMAIN_MAX else []
    if not _UNDERSCORED_RE.fullmatch(value):
        problems.append(_UNDERSCORED_MESSAGE)
    return problems


def wildcard_subdomain(value: str) -> Problems:
    if not value.startswith("*.") or not _SUBDOMAIN_RE.fullmatch(value[2:]):
        return [_WILDCARD_MESSAGE]
    return []


def path_segment(value: str) -> Problems:
    """What can be part of a URL's path: the loosest rule for names."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{char}'" for char in "/%" if char in value]


def label_key(value: str) -> Problems:
    """A qualified name: an optional DNS subdomain and a slash, then a name."""
    prefix, slash, name = value.rpartition("/")
    if "/" in prefix:
        return [
            f"a valid label key {_LABEL_KEY_MESSAGE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    problems = []
    if slash and not prefix:
        problems.append("prefix part must be non-empty")
    elif slash:
        problems += [f"prefix part {problem}" for problem in dns_subdomain(prefix)]
    if not name:
        problems.append("name part must be non-empty")
    elif len(name) > LABEL_MAX:
        problems.append(f"name part {_bytes(LABEL_MAX)}")
    if not _NAME_RE.fullmatch(name):
        problems.append(f"name part {_LABEL_KEY_MESSAGE}")
    return problems


def label_value(value: str) -> Problems:
    problems = [_bytes(LABEL_MAX)] if len(value) > LABEL_MAX else []
    if value and not _NAME_RE.fullmatch(value):
        problems.append(_LABEL_VALUE_MESSAGE)
    return problems


def env_name(value: str) -> Problems:
    """Any printable ASCII but the equals sign."""
    if not value:
        return ["environment variable name must be non-empty"]
    if not all(" " <= char <= "~" and char != "=" for char in value):
        return [
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
        ]
    return []


def config_key(value: str) -> Problems:
    problems = [_characters(SUBDOMAIN_MAX)] if len(value) > SUBDOMAIN_MAX else []
    if not _CONFIG_KEY_RE.fullmatch(value):
        problems.append(_CONFIG_KEY_MESSAGE)
    if value in (".", ".."):
        problems.append(f"must not be '{value}'")
    elif value.startswith(".."):
        problems.append("must not start with '..'")
    return problems


def c_identifier(value: str) -> Problems:
    if _C_IDENTIFIER_RE.fullmatch(value):
        return []
    return [
        _regex(
            "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
            _C_IDENTIFIER,
            "my_name",
            "MY_NAME",
            "MyName",
        )
    ]


def port_name(value: str) -> Problems:
    problems = [_characters(PORT_NAME_MAX)] if len(value) > PORT_NAME_MAX else []
    if not _PORT_NAME_RE.fullmatch(value):
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        problems.append("must contain at least one letter (a-z)")
    if "--" in value:
        problems.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        problems.append("must not begin or end with a hyphen")
    return problems


def port_number(value: int) -> Problems:
    return [] if 1 <= value <= 65535 else [in_range(1, 65535)]


def percent(value: str) -> Problems:
    if _PERCENT_RE.fullmatch(value):
        return []
    message = "a valid percent string must be a numeric string followed by an ending '%'"
    return [_regex(message, _PERCENT, "1%", "93%")]


def http_header(value: str) -> Problems:
    if _HEADER_RE.fullmatch(value):
        return []
    message = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [_regex(message, "[-A-Za-z0-9]+", "X-Header-Name")]


def sysctl(value: str) -> Problems:
    if len(value) <= SUBDOMAIN_MAX and _SYSCTL_RE.fullmatch(value):
        return []
    return [f"must have at most {SUBDOMAIN_MAX} characters and match regex ^{_SYSCTL}$"]


def ip(value: str) -> Problems:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return []


def cidr(value: str) -> Problems:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]
    return [] if "/" in value else ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]


def as_prefix(value: str) -> str:
    """A generateName to check: what follows it may be what a trailing dash needs."""
    return value[:-1] + "a" if len(value) > 1 and value.endswith("-") else value


_LABEL_MESSAGE = _regex(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
    _LABEL,
    "my-name",
    "123-abc",
)
_DNS1035_MESSAGE = _regex(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
    "[a-z]([-a-z0-9]*[a-z0-9])?",
    "my-name",
    "abc-123",
)
_SUBDOMAIN_MESSAGE = _regex(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
    _SUBDOMAIN,
    "example.com",
)
_UNDERSCORED_MESSAGE = _regex(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character",
    _UNDERSCORED,
    "example.com",
)
_WILDCARD_MESSAGE = _regex(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    rf"\*\.{_SUBDOMAIN}",
    "*.example.com",
)
_LABEL_KEY_MESSAGE = _regex(_NAME_CHARS, _NAME, "MyName", "my.name", "123-abc")
_LABEL_VALUE_MESSAGE = _regex(
    f"a valid label must be an empty string or consist{_NAME_CHARS.removeprefix('must consist')}",
    f"({_NAME})?",
    "MyValue",
    "my_value",
    "12345",
)
_CONFIG_KEY_MESSAGE = _regex(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    _CONFIG_KEY,
    "key.name",
    "KEY_NAME",
    "key-name",
)
