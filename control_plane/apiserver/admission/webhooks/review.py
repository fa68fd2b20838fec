"""The AdmissionReview: what a webhook is sent, and what its answer must be."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from control_plane.api.errors import quote
from control_plane.apiserver.admission.interface import AdmissionRequest
from control_plane.apiserver.admission.versions import GVK, GVR, Versions, View

GROUP = "admission.k8s.io"
KNOWN_VERSIONS = ("v1", "v1beta1")
JSON_PATCH = "JSONPatch"

Object = dict[str, Any]


class BadAnswer(ValueError):
    """The webhook's answer is none."""


@dataclass(frozen=True, slots=True)
class Answer:
    allowed: bool
    result: Object | None = None
    patch: Sequence[Any] = ()
    warnings: Sequence[str] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)


def review_version(accepted: Sequence[str]) -> str | None:
    """The first version that the webhook takes and we know."""
    return next((version for version in accepted if version in KNOWN_VERSIONS), None)


async def review(version: str, uid: str, request: AdmissionRequest, versions: Versions, view: View) -> Object:
    own = versions.request_view(request)
    body: Object = {
        "uid": uid,
        "kind": _gvk(view.gvk),
        "resource": _gvr(view.gvr),
        "requestKind": _gvk(own.gvk),
        "requestResource": _gvr(own.gvr),
    }
    if request.subresource:
        body |= {"subResource": request.subresource, "requestSubResource": request.subresource}
    if request.name:
        body["name"] = request.name
    if request.namespace:
        body["namespace"] = request.namespace
    body |= {
        "operation": request.operation.value,
        "userInfo": request.user.as_object(),
        "object": await versions.shown(request.object, request, view),
        "oldObject": await versions.shown(request.old_object, request, view),
        "dryRun": request.dry_run,
        "options": _options(request),
    }
    return {"kind": "AdmissionReview", "apiVersion": f"{GROUP}/{version}", "request": body}


def _gvk(gvk: GVK) -> Object:
    return {"group": gvk[0], "version": gvk[1], "kind": gvk[2]}


def _gvr(gvr: GVR) -> Object:
    return {"group": gvr[0], "version": gvr[1], "resource": gvr[2]}


def _options(request: AdmissionRequest) -> Object | None:
    if not request.options:
        return None
    options = dict(request.options)
    if request.dry_run:
        options["dryRun"] = ["All"]
    return options


def read_answer(body: bytes, version: str, uid: str, mutating: bool) -> Answer:
    """Raises BadAnswer."""
    review = _object(_json(body))
    response = review.get("response")
    if not isinstance(response, dict):
        raise BadAnswer("webhook response was absent")
    if version == "v1":
        _check(review, response, uid, mutating)
    annotations = response.get("auditAnnotations") or {}
    return Answer(
        allowed=response.get("allowed") is True,
        result=response.get("status") if isinstance(response.get("status"), dict) else None,
        patch=_patch(response) if mutating and response.get("patch") else (),
        warnings=[str(each) for each in response.get("warnings") or ()],
        annotations={str(key): str(value) for key, value in annotations.items()},
    )


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadAnswer(f"couldn't get version/kind; json parse error: {error}") from error


def _object(value: Any) -> Object:
    if not isinstance(value, dict):
        raise BadAnswer("couldn't get version/kind; json parse error: not an object")
    return value


def _check(review: Object, response: Object, uid: str, mutating: bool) -> None:
    if response.get("uid") != uid:
        raise BadAnswer(f"expected response.uid={quote(uid)}, got {quote(str(response.get('uid') or ''))}")
    if (review.get("apiVersion"), review.get("kind")) != (f"{GROUP}/v1", "AdmissionReview"):
        given = f"{review.get('apiVersion')}, Kind={review.get('kind')}"
        raise BadAnswer(f"expected webhook response of {GROUP}/v1, Kind=AdmissionReview, got {given}")
    patch, patch_type = response.get("patch"), response.get("patchType")
    if not mutating:
        if patch:
            raise BadAnswer("validating webhook may not return response.patch")
        if patch_type is not None:
            raise BadAnswer("validating webhook may not return response.patchType")
        return
    if patch and patch_type is None:
        raise BadAnswer("webhook returned response.patch but not response.patchType")
    if patch_type is not None and not patch:
        raise BadAnswer("webhook returned response.patchType but not response.patch")
    if patch_type not in (None, JSON_PATCH):
        raise BadAnswer(f"unsupported patch type {quote(str(patch_type))}")


def _patch(response: Object) -> Sequence[Any]:
    try:
        patch = orjson.loads(base64.b64decode(response["patch"], validate=True))
    except (binascii.Error, TypeError, ValueError) as error:
        raise BadAnswer(f"received undecodable patch in webhook response: {error}") from error
    if not isinstance(patch, list):
        raise BadAnswer("received undecodable patch in webhook response: not a list")
    return patch
