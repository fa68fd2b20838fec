"""storagemigration.k8s.io."""

from __future__ import annotations

from control_plane.api import errors
from control_plane.api.validation.registry import Errors, Object, dig, immutable, on_create, on_update


@on_create("storageversionmigrations.storagemigration.k8s.io")
def migration(obj: Object) -> Errors:
    if not dig(obj, "spec", "resource", "resource"):
        yield errors.required("spec.resource.resource")


@on_update("storageversionmigrations.storagemigration.k8s.io")
def migration_update(new: Object, old: Object) -> Errors:
    yield from immutable("spec", new.get("spec"), old.get("spec"))
