"""Who a pod of a stateful set is: its ordinal, its stable name and host name, its claims."""

from __future__ import annotations

import copy
import re

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers import pods, revisions

POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
POD_INDEX_LABEL = "apps.kubernetes.io/pod-index"
_ORDINAL = re.compile(r"(.*)-(\d+)$")


def start(stateful_set: Object) -> int:
    return int(meta.nested(stateful_set, "spec", "ordinals", "start", default=0))


def ordinals(stateful_set: Object) -> range:
    first = start(stateful_set)
    return range(first, first + int(meta.nested(stateful_set, "spec", "replicas", default=1)))


def ordinal(stateful_set: Object, pod: Object) -> int | None:
    """None for a pod whose name is not one of the set's."""
    match = _ORDINAL.match(meta.name_of(pod))
    if match is None or match[1] != meta.name_of(stateful_set):
        return None
    return int(match[2])


def pod_name(stateful_set: Object, number: int) -> str:
    return f"{meta.name_of(stateful_set)}-{number}"


def claim_name(stateful_set: Object, template: Object, number: int) -> str:
    return f"{meta.name_of(template)}-{pod_name(stateful_set, number)}"


def claim_templates(stateful_set: Object) -> list[Object]:
    return list(stateful_set["spec"].get("volumeClaimTemplates") or ())


def make_pod(stateful_set: Object, template: Object, number: int, revision: str) -> Object:
    """The pod of an ordinal, of the revision of this name whose template is given."""
    name = pod_name(stateful_set, number)
    pod = pods.from_template(template, stateful_set, "")
    del pod["metadata"]["generateName"]
    pod["metadata"]["name"] = name
    for key, value in (
        (POD_NAME_LABEL, name),
        (POD_INDEX_LABEL, str(number)),
        (revisions.HASH_LABEL, revision),
    ):
        meta.set_label(pod, key, value)
    spec = pod["spec"]
    spec["hostname"] = name
    if service := stateful_set["spec"].get("serviceName"):
        spec["subdomain"] = service
    claimed = {
        meta.name_of(each): {"persistentVolumeClaim": {"claimName": claim_name(stateful_set, each, number)}}
        for each in claim_templates(stateful_set)
    }
    others = [each for each in spec.get("volumes") or () if each["name"] not in claimed]
    volumes = [*({"name": key, **source} for key, source in claimed.items()), *others]
    if volumes:
        spec["volumes"] = volumes
    return pod


def make_claims(stateful_set: Object, number: int) -> list[Object]:
    """The claims of an ordinal's pod."""
    labels = meta.nested(stateful_set, "spec", "selector", "matchLabels", default={})
    return [_claim(stateful_set, each, number, labels) for each in claim_templates(stateful_set)]


def _claim(stateful_set: Object, template: Object, number: int, labels: dict[str, str]) -> Object:
    metadata: Object = {
        "name": claim_name(stateful_set, template, number),
        "namespace": meta.namespace_of(stateful_set),
        "labels": {**meta.labels(template), **labels},
    }
    if annotations := meta.annotations(template):
        metadata["annotations"] = dict(annotations)
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": copy.deepcopy(template.get("spec") or {}),
    }
