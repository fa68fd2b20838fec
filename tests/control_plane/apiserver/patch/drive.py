"""Runs what waits for conversions and gets them at once."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


def drive(steps: Coroutine[Any, Any, Result]) -> Result:
    try:
        steps.send(None)
    except StopIteration as done:
        result: Result = done.value
        return result
    raise AssertionError("nothing here waits")
