"""What a definition goes through when it is deleted: its instances go first. Pure.

deletion asked   finalizer set, Terminating: InstanceDeletionPending      (nothing new can be created)
deleting         Terminating: InstanceDeletionInProgress
all gone         Terminating false: InstanceDeletionCompleted, finalizer taken away
"""

from __future__ import annotations

from typing import Any

from control_plane.api import meta
from control_plane.apiserver.crd.naming import set_condition
from control_plane.apiserver.crd.served import TERMINATING

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"

Object = dict[str, Any]


def begin(definition: Object, now_s: float) -> None:
    """The first DELETE of a definition. Changes it."""
    if meta.is_deleting(definition):
        return
    metadata = meta.ensure_metadata(definition)
    if FINALIZER not in meta.finalizers(definition):
        metadata["finalizers"] = [*meta.finalizers(definition), FINALIZER]
    why = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    terminating(definition, "True", "InstanceDeletionPending", why, meta.rfc3339(now_s))


def is_due(definition: Object) -> bool:
    return meta.is_deleting(definition) and FINALIZER in meta.finalizers(definition)


def in_progress(definition: Object, now: str) -> None:
    why = "CustomResource deletion is in progress"
    terminating(definition, "True", "InstanceDeletionInProgress", why, now)


def failed(definition: Object, why: str, now: str) -> None:
    told = f"could not delete instances from all namespaces: {why}"
    terminating(definition, "True", "InstanceDeletionFailed", told, now)


def finish(definition: Object, established: bool, now: str) -> None:
    if established:
        terminating(definition, "False", "InstanceDeletionCompleted", "removed all instances", now)
    else:
        terminating(definition, "False", "NeverEstablished", "resource was never established", now)
    kept = [each for each in meta.finalizers(definition) if each != FINALIZER]
    if kept:
        definition["metadata"]["finalizers"] = kept
    else:
        definition["metadata"].pop("finalizers", None)


def terminating(definition: Object, status: str, reason: str, message: str, now: str) -> None:
    held = definition.setdefault("status", {})
    held["conditions"] = list(held.get("conditions") or ())
    set_condition(held["conditions"], TERMINATING, status, reason, message, now)
