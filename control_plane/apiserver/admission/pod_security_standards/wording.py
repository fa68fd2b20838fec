"""What every check needs: the containers of a pod, and the words in which findings name them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

Object = dict[str, Any]
Finding = tuple[str, str] | None  # the reason and its detail; None: nothing is wrong
CheckFunction = Callable[[Object, Object], Finding]  # of the pod's metadata and spec


def containers(spec: Object) -> Iterator[Object]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def security_context(holder: Object) -> Object:
    return holder.get("securityContext") or {}


def names_of(spec: Object, bad: Callable[[Object], bool]) -> list[str]:
    return [container.get("name", "") for container in containers(spec) if bad(container)]


def quoted(items: Iterable[str]) -> str:
    return ", ".join(f'"{item}"' for item in items)


def plural(word: str, items: Sequence[str]) -> str:
    return word if len(items) == 1 else word + "s"


def name_containers(names: Sequence[str]) -> str:
    return f"{plural('container', names)} {quoted(names)}"


def name_setters(pod: bool, names: Sequence[str]) -> str:
    return " and ".join([*(["pod"] if pod else []), *([name_containers(names)] if names else [])])


def seccomp_type(holder: Object) -> str | None:
    profile = security_context(holder).get("seccompProfile")
    return None if profile is None else str(profile.get("type") or "")
