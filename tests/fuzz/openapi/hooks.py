"""What Schemathesis is told before it sends: no request is to last longer than an answer."""

from __future__ import annotations

from typing import Any

import schemathesis  # type: ignore[import-not-found]

ENDLESS = ("watch", "follow", "sendInitialEvents", "timeoutSeconds")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    for name in ENDLESS:
        if case.query:
            case.query.pop(name, None)
