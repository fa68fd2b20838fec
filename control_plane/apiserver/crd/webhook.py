"""Conversion by a webhook: a ConversionReview with all objects of one request, and what its answer may not change.

Of the answer the objects are taken, with their labels and annotations; the rest of the metadata stays what it was.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from control_plane.api import errors, meta
from control_plane.apiserver.admission.webhooks.client import Unreachable
from control_plane.apiserver.admission.webhooks.configuration import Endpoint, Service
from control_plane.apiserver.crd.conversion import Webhook, WebhookFor

TIMEOUT_S = 30.0
DEFAULT_PORT = 443
GROUP = "apiextensions.k8s.io"
_SUPPORTED = ("v1", "v1beta1")
_TAKEN = ("labels", "annotations")  # of the metadata of the answer

Object = dict[str, Any]


class Client(Protocol):
    async def post(self, endpoint: Endpoint, review: dict[str, object], timeout_s: float) -> bytes:
        """The body of the answer. Raises Unreachable."""


class Refused(Exception):
    """The answer cannot be used."""


def webhooks(client: Client, new_uid: Callable[[], str] = lambda: str(uuid.uuid4())) -> WebhookFor:
    def webhook_for(name: str, conversion: Mapping[str, Any]) -> Webhook | None:
        declared = conversion.get("webhook") or {}
        if conversion.get("strategy") != "Webhook" or not declared.get("clientConfig"):
            return None
        endpoint = _endpoint(declared["clientConfig"])
        versions = declared.get("conversionReviewVersions") or ("v1",)
        version = next((each for each in versions if each in _SUPPORTED), "v1")
        return ConversionWebhook(client, endpoint, version, new_uid)

    return webhook_for


def _endpoint(config: Mapping[str, Any]) -> Endpoint:
    service = config.get("service")
    if service is None:
        return Endpoint(config.get("url") or "", None, config.get("caBundle") or "")
    port, path = service.get("port") or DEFAULT_PORT, service.get("path") or "/"
    found = Service(service.get("namespace", ""), service.get("name", ""), port, path)
    return Endpoint("", found, config.get("caBundle") or "")


@dataclass(frozen=True, slots=True)
class ConversionWebhook:
    client: Client
    endpoint: Endpoint
    version: str
    new_uid: Callable[[], str]

    async def convert(self, objects: Sequence[Object], api_version: str) -> list[Object]:
        """Raises StatusError."""
        group, version = meta.group_version(objects[0]["apiVersion"])
        kind = f"{group}/{version}, Kind={objects[0]['kind']}"
        uid = self.new_uid()
        try:
            raw = await self.client.post(self.endpoint, self._review(uid, objects, api_version), TIMEOUT_S)
            converted = read_answer(raw, uid, self.version)
        except (Unreachable, Refused) as error:
            raise _failed(f"conversion webhook for {kind} failed: {error}") from error
        if len(converted) != len(objects):
            told = f"returned {len(converted)} objects, expected {len(objects)}"
            raise _failed(f"conversion webhook for {kind} {told}")
        made = []
        for index, (old, new) in enumerate(zip(objects, converted, strict=True)):
            try:
                made.append(checked(old, new, api_version))
            except Refused as error:
                told = f"returned invalid converted object at index {index}: {error}"
                raise _failed(f"conversion webhook for {kind} {told}") from error
        return made

    def _review(self, uid: str, objects: Sequence[Object], api_version: str) -> Object:
        return {
            "apiVersion": f"{GROUP}/{self.version}",
            "kind": "ConversionReview",
            "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": list(objects)},
        }


def _failed(message: str) -> errors.StatusError:
    return errors.StatusError(500, "InternalError", message, {})


def read_answer(raw: bytes, uid: str, version: str) -> list[Any]:
    """The converted objects of a ConversionReview. Raises Refused."""
    try:
        review = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Refused(f"couldn't get version/kind; json parse error: {error}") from error
    if not isinstance(review, dict):
        raise Refused("couldn't get version/kind; json parse error: not an object")
    said = (review.get("apiVersion"), review.get("kind"))
    if said != (f"{GROUP}/{version}", "ConversionReview"):
        expected = f"{GROUP}/{version}, Kind=ConversionReview"
        raise Refused(f"expected webhook response of {expected}, got {said[0]}, Kind={said[1]}")
    response = review.get("response")
    if not isinstance(response, dict):
        raise Refused("no response provided")
    if version == "v1" and response.get("uid") != uid:
        got = errors.quote(str(response.get("uid") or ""))
        raise Refused(f"expected response.uid={errors.quote(uid)}, got {got}")
    result = response.get("result") or {}
    if result.get("status") != "Success":
        told = f"response.result.status was '{result.get('status', '')}', not 'Success'"
        raise Refused(result.get("message") or told)
    converted = response.get("convertedObjects") or []
    if not isinstance(converted, list):
        raise Refused("response.convertedObjects is no list")
    return converted


def checked(old: Object, new: Any, api_version: str) -> Object:
    """The converted object with the metadata that is not for the webhook to change. Raises Refused."""
    if not isinstance(new, dict):
        raise Refused("not an object")
    if new.get("apiVersion") != api_version:
        got = new.get("apiVersion", "")
        raise Refused(f"invalid groupVersion (expected {api_version}, received {got})")
    if new.get("kind") != old["kind"]:
        raise Refused(f"invalid kind (expected {old['kind']}, received {new.get('kind', '')})")
    metadata = new.get("metadata")
    if not isinstance(metadata, dict):
        raise Refused("missing metadata in converted object")
    for key, shown in (("name", "name"), ("namespace", "namespace"), ("uid", "UID")):
        if (metadata.get(key) or "") != (old["metadata"].get(key) or ""):
            raise Refused(
                f"must have the same {shown}: {old['metadata'].get(key, '')} != {metadata.get(key, '')}"
            )
    kept = {key: value for key, value in old["metadata"].items() if key not in _TAKEN}
    for key in _TAKEN:
        taken = metadata.get(key)
        if taken is None:
            continue
        if not isinstance(taken, dict) or not all(isinstance(each, str) for each in taken.values()):
            raise Refused(f"invalid metadata.{key} in converted object")
        if taken:
            kept[key] = taken
    head = {"apiVersion": api_version, "kind": old["kind"], "metadata": kept}
    return {**head, **{key: value for key, value in new.items() if key not in head}}
