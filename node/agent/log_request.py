"""Which log a request for a container's log means, and why there is none. Pure; the words are kubelet's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from node.agent import times
from node.agent.errors import LogError
from node.agent.pod_spec import Obj

STATUS_LISTS = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")


@dataclass(frozen=True, slots=True)
class LogOptions:
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since_s: float | None = None  # seconds since the epoch
    limit_bytes: int | None = None
    stream: str = ""  # stdout or stderr; empty: both

    @classmethod
    def parse(cls, query: Mapping[str, str], now_s: float) -> LogOptions:
        """Raises LogError for what is no number or time."""
        try:
            since_s = now_s - int(query["sinceSeconds"]) if query.get("sinceSeconds") else None
            if query.get("sinceTime"):
                since_s = times.parse(query["sinceTime"])
            stream = query.get("stream", "")
            return cls(
                follow=query.get("follow") == "true",
                previous=query.get("previous") == "true",
                timestamps=query.get("timestamps") == "true",
                tail_lines=int(query["tailLines"]) if query.get("tailLines") else None,
                since_s=since_s,
                limit_bytes=int(query["limitBytes"]) if query.get("limitBytes") else None,
                stream="" if stream in ("", "All") else stream.lower(),
            )
        except ValueError as error:
            raise LogError(f"invalid log options: {error}") from error


def container_id(status: Obj, pod_name: str, container: str, previous: bool) -> str:
    """The runtime's id of the container whose log is meant. Raises LogError."""
    listed = [each for key in STATUS_LISTS for each in status.get(key) or []]
    found = next((each for each in listed if each.get("name") == container), None)
    if found is None:
        raise LogError(f'container "{container}" in pod "{pod_name}" is not available')
    state, last = found.get("state") or {}, (found.get("lastState") or {}).get("terminated") or {}
    if previous:
        if not last.get("containerID"):
            raise LogError(f'previous terminated container "{container}" in pod "{pod_name}" not found')
        return _bare(last["containerID"])
    if "running" in state:
        return _bare(found["containerID"])
    ended = state.get("terminated") or {}
    for each in (ended, last):
        if each.get("containerID"):
            return _bare(each["containerID"])
    if ended:
        raise LogError(f'container "{container}" in pod "{pod_name}" is terminated')
    raise LogError(f'container "{container}" in pod "{pod_name}" is waiting to start{_why(state)}')


def _why(state: Obj) -> str:
    reason = (state.get("waiting") or {}).get("reason", "")
    known = {
        "ErrImagePull": "image can't be pulled",
        "ImagePullBackOff": "trying and failing to pull image",
    }
    return f": {known.get(reason, reason)}" if reason else " - no logs yet"


def _bare(full: str) -> str:
    return full.partition("://")[2] or full
