"""A copy of an object of the API that may be changed: by way of JSON, seven times as fast as copy.deepcopy."""

from __future__ import annotations

from typing import Any

import orjson


def copied(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value))
