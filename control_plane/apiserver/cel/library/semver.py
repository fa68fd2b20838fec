"""Kubernetes' semantic versions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from control_plane.apiserver.cel.errors import EvaluationError
from control_plane.apiserver.cel.functions import Library, opaque

LIBRARY = Library()
declare = LIBRARY.declare

_NUMBER = r"(0|[1-9]\d*)"
_STRICT = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Semver:
    major: int
    minor: int
    patch: int
    pre_release: tuple[str, ...] = ()

    def precedence(self) -> tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]:
        """Sorts as semver.org says: without a pre-release is newer, numbers are older than words."""
        parts = tuple(
            (not each.isdigit(), int(each) if each.isdigit() else 0, each) for each in self.pre_release
        )
        return self.major, self.minor, self.patch, not self.pre_release, parts


opaque("kubernetes.Semver", Semver)


def parse(text: str, normalize: bool = False) -> Semver:
    """Raises EvaluationError."""
    found = _STRICT.fullmatch(_normalized(text) if normalize else text)
    if found is None:
        raise EvaluationError(f"semver parse error during conversion from string: invalid version {text!r}")
    pre_release = tuple(found[4].split(".")) if found[4] else ()
    if any(each.isdigit() and len(each) > 1 and each.startswith("0") for each in pre_release):
        raise EvaluationError(f"semver parse error during conversion from string: invalid version {text!r}")
    return Semver(int(found[1]), int(found[2]), int(found[3]), pre_release)


def _normalized(text: str) -> str:
    """Without a leading v, with all three numbers, and no zeros before them."""
    core, mark, rest = re.match(r"v?([^-+]*)([-+]?)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    numbers = [each.lstrip("0") or "0" if each.isdigit() else each for each in core.split(".")]
    if len(numbers) < 3 and mark:
        return text
    return ".".join([*numbers, "0", "0"][: max(3, len(numbers))]) + mark + rest


@declare("function isSemver(string) -> bool", "function isSemver(string, bool) -> bool")
def is_semver(text: str, normalize: bool = False) -> bool:
    try:
        parse(text, normalize)
    except EvaluationError:
        return False
    return True


@declare("function semver(string) -> kubernetes.Semver", "function semver(string, bool) -> kubernetes.Semver")
def semver(text: str, normalize: bool = False) -> Semver:
    return parse(text, normalize)


@declare("method major(kubernetes.Semver) -> int")
def major(value: Semver) -> int:
    return value.major


@declare("method minor(kubernetes.Semver) -> int")
def minor(value: Semver) -> int:
    return value.minor


@declare("method patch(kubernetes.Semver) -> int")
def patch(value: Semver) -> int:
    return value.patch


@declare("method isLessThan(kubernetes.Semver, kubernetes.Semver) -> bool")
def is_less(one: Semver, other: Semver) -> bool:
    return one.precedence() < other.precedence()


@declare("method isGreaterThan(kubernetes.Semver, kubernetes.Semver) -> bool")
def is_greater(one: Semver, other: Semver) -> bool:
    return one.precedence() > other.precedence()


@declare("method compareTo(kubernetes.Semver, kubernetes.Semver) -> int")
def compare(one: Semver, other: Semver) -> int:
    return (one.precedence() > other.precedence()) - (one.precedence() < other.precedence())
