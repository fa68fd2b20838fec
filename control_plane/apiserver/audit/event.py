"""One request's record: what is known of it when it comes, and what is added on its way.

An Event is written down once for each stage that the policy does not omit. Bodies are taken as they passed through
the server (JSON as it is, YAML and protobuf as JSON); what cannot be read is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson

from control_plane.api import meta, protobuf
from control_plane.api.body import BodyError, parse_yaml
from control_plane.apiserver.audit.policy import Level, Verdict
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.messages import JSON, PROTOBUF, YAML, Request, Response
from control_plane.apiserver.routes import RequestInfo

MAX_USER_AGENT_CHARS = 1024

Object = dict[str, Any]


class Event:
    """`body` is the request's, once it has been read; `annotations` are shared with whoever adds to them."""

    def __init__(
        self, verdict: Verdict, request: Request, info: RequestInfo, user: UserInfo, received_s: float
    ) -> None:
        self.verdict = verdict
        self.body = b""
        self.annotations = request.audit_annotations
        self._info = info
        self._content_type = request.content_type()
        self._response: Response | None = None
        self._fixed: Object = {
            "auditID": request.audit_id,
            "requestURI": request.raw_path + (f"?{request.raw_query}" if request.raw_query else ""),
            "verb": info.verb,
            "user": user.as_object(),
            "sourceIPs": source_addresses(request),
            "userAgent": user_agent(request),
            "requestReceivedTimestamp": meta.rfc3339_micro(received_s),
        }
        if info.is_resource:
            self._fixed["objectRef"] = _reference(info)
        self._status: Object | None = None

    def impersonated(self, user: UserInfo) -> None:
        self._fixed["impersonatedUser"] = user.as_object()

    def answered(self, response: Response, message: str = "") -> None:
        """`message` is for an answer that says nothing itself."""
        self._response = response
        self._status = {"metadata": {}, "code": response.status}
        if message:
            self._status["message"] = message
        if response.status >= 400 and response.content_type in (JSON, PROTOBUF) and response.stream is None:
            said = _parsed(response.body, response.content_type)
            if isinstance(said, dict) and said.get("kind") == "Status":
                kept = ("metadata", "status", "message", "reason", "details", "code")
                self._status = {key: said[key] for key in kept if key in said}

    def closed_early(self) -> None:
        if self._status is None:
            self._status = {
                "metadata": {},
                "status": "Success",
                "message": "Connection closed early",
                "code": 200,
            }

    def encode(self, stage: str, now_s: float, *, whole: bool = True) -> bytes:
        """JSON, in the order of kube-apiserver's fields. Not `whole`: without the bodies."""
        fixed, level = self._fixed, self.verdict.level
        event: Object = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": level.text,
            "auditID": fixed["auditID"],
            "stage": stage,
        }
        for key in ("requestURI", "verb", "user", "impersonatedUser", "sourceIPs", "userAgent", "objectRef"):
            if fixed.get(key):
                event[key] = self._object_ref() if key == "objectRef" else fixed[key]
        if self._status is not None:
            event["responseStatus"] = self._status
        if whole:
            event |= self._bodies(level)
        event["requestReceivedTimestamp"] = fixed["requestReceivedTimestamp"]
        event["stageTimestamp"] = meta.rfc3339_micro(now_s)
        annotations = self.annotations if whole else {**self.annotations, "audit.k8s.io/truncated": "true"}
        if annotations:
            event["annotations"] = annotations
        try:
            return orjson.dumps(event)
        except TypeError:  # a header that is no UTF-8: what it holds is shown escaped
            return json.dumps(event, separators=(",", ":")).encode()

    def _bodies(self, level: Level) -> Object:
        found: Object = {}
        if not self._info.is_resource or level < Level.Request:
            return found
        sent = self._parsed(self.body, self._content_type or JSON)
        if sent is not None:
            found["requestObject"] = sent
        response = self._response
        if level is Level.RequestResponse and response is not None and response.stream is None:
            answered = self._parsed(response.body, response.content_type)
            if answered is not None:
                found["responseObject"] = answered
        return found

    def _parsed(self, raw: bytes, content_type: str) -> Any:
        """As it is, where nothing has to be taken out of it."""
        parsed = _parsed(raw, content_type)
        if self.verdict.omit_managed_fields and isinstance(parsed, dict):
            without_managed_fields(parsed)
        return parsed

    def _object_ref(self) -> Object:
        """A name that the body gives counts where the URL has none."""
        reference: Object = self._fixed["objectRef"]
        if self._info.verb in ("create", "update") and self.body:
            sent = _parsed(self.body, self._content_type or JSON)
            metadata = sent.get("metadata") if isinstance(sent, dict) else None
            if isinstance(metadata, dict):
                for key in ("namespace", "name", "uid", "resourceVersion"):
                    if metadata.get(key) and key not in reference:
                        reference[key] = metadata[key]
        return reference


def source_addresses(request: Request) -> list[str]:
    """What proxies claim, and last the address that the connection is from."""
    claimed = ",".join(request.headers_all("X-Forwarded-For")).split(",")
    found = [each.strip() for each in claimed if each.strip()]
    for each in (request.headers.get("X-Real-Ip", "").strip(), request.connection.remote):
        if each and (not found or found[-1] != each):
            found.append(each)
    return found


def user_agent(request: Request) -> str:
    given = request.headers.get("User-Agent", "")
    return given if len(given) <= MAX_USER_AGENT_CHARS else given[:MAX_USER_AGENT_CHARS] + "...TRUNCATED"


def without_managed_fields(parsed: Object) -> None:
    rows = [row.get("object") for row in parsed.get("rows") or () if isinstance(row, dict)]
    for each in [parsed, *(parsed.get("items") or ()), *rows]:
        metadata = each.get("metadata") if isinstance(each, dict) else None
        if isinstance(metadata, dict):
            metadata.pop("managedFields", None)


def _reference(info: RequestInfo) -> Object:
    about: Mapping[str, str] = {
        "resource": info.resource,
        "namespace": info.namespace,
        "name": info.name,
        "apiGroup": info.group,
        "apiVersion": info.version,
        "subresource": info.subresource,
    }
    return {key: value for key, value in about.items() if value}


def _parsed(raw: bytes, content_type: str) -> Any:
    if not raw:
        return None
    try:
        if content_type.startswith(PROTOBUF):
            return protobuf.decode(raw)[2]
        if content_type.startswith((YAML, "application/apply-patch+yaml", "text/yaml")):
            return parse_yaml(raw)[0]
        return orjson.loads(raw)
    except (orjson.JSONDecodeError, BodyError, protobuf.ProtobufError):
        return None
