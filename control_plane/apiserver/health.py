"""`/livez`, `/readyz`, `/healthz` and each check by its name; `/metrics/slis` says how they went.

    /readyz?verbose              every check on a line
    /readyz?exclude=etcd         without it; repeatable
    /livez/ping                  one of them

Why a check fails is for the log: these pages are public.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest

from control_plane.api import errors
from control_plane.apiserver.messages import TEXT, Request, Response
from control_plane.apiserver.series import Counts, Levels
from store.component import logs
from store.component.health import Check

SLIS = CollectorRegistry()
_HEALTH = Levels("kubernetes_healthcheck", "Whether the last check was passed.", ("name", "type"), SLIS)
_CHECKS = Counts("kubernetes_healthchecks", "Checks by outcome.", ("name", "type", "status"), SLIS)

log = logs.get("apiserver.health")


class Health:
    def __init__(self, live: Mapping[str, Check], ready: Mapping[str, Check]) -> None:
        self._checks = {"healthz": live, "livez": live, "readyz": ready}
        self._failing: dict[str, tuple[str, ...]] = {}

    def serve(self, request: Request, parts: Sequence[str]) -> Response:
        """`parts` of the path: the endpoint, and the name of a check. Raises StatusError NotFound."""
        endpoint, name = parts[0], "/".join(parts[1:])
        checks = self._checks[endpoint]
        if name:
            if name not in checks:
                raise errors.path_not_found()
            why = checks[name]()
            body = "ok" if why is None else f"internal server error: {why}\n"
            return _text(200 if why is None else 500, body)
        status, body = self._report(
            endpoint, checks, request.query.get("exclude", []), "verbose" in request.query
        )
        return _text(status, body)

    def _report(
        self, endpoint: str, checks: Mapping[str, Check], excluded: Sequence[str], verbose: bool
    ) -> tuple[int, str]:
        lines: list[str] = []
        failed: dict[str, str] = {}
        for name, check in checks.items():
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
                continue
            why = check()
            _HEALTH.set((name, endpoint), float(why is None))
            _CHECKS.add((name, endpoint, "success" if why is None else "error"))
            if why is None:
                lines.append(f"[+]{name} ok")
            else:
                failed[name] = why
                lines.append(f"[-]{name} failed: reason withheld")
        unknown = sorted(set(excluded) - set(checks))
        if unknown:
            quoted = ", ".join(f'"{name}"' for name in unknown)
            lines.append(f"warn: some health checks cannot be excluded: no matches for {quoted}")
        self._note(endpoint, failed)
        if failed:
            return 500, "\n".join([*lines, f"{endpoint} check failed"]) + "\n"
        if not verbose:
            return 200, "ok"
        return 200, "\n".join([*lines, f"{endpoint} check passed"]) + "\n"

    def _note(self, endpoint: str, failed: Mapping[str, str]) -> None:
        """Log when it changes, not each time that a probe asks."""
        now = tuple(failed)
        if now and now != self._failing.get(endpoint):
            log.warning("a health check fails", endpoint=endpoint, **_named(failed))
        self._failing[endpoint] = now


def slis() -> bytes:
    return generate_latest(SLIS)


def _named(failed: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("/", "_").replace("-", "_"): why for name, why in failed.items()}


def _text(status: int, body: str) -> Response:
    return Response(status, body.encode(), TEXT, {"X-Content-Type-Options": "nosniff"})
