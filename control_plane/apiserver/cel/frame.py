"""What runs: code is a function of a frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from control_plane.apiserver.cel.budget import Budget


@dataclass(slots=True)
class Frame:
    values: dict[str, Any]
    budget: Budget


Code = Callable[[Frame], Any]
