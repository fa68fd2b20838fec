"""The volume types, in one place: field of the volume source -> plugin."""

from __future__ import annotations

from node.agent.volumes import (
    config_map,
    downward_api,
    empty_dir,
    host_path,
    persistent_volume_claim,
    projected,
    secret,
)
from node.agent.volumes.interface import Plugin

_ALL: tuple[Plugin, ...] = (
    config_map.PLUGIN,
    downward_api.PLUGIN,
    empty_dir.PLUGIN,
    host_path.PLUGIN,
    persistent_volume_claim.PLUGIN,
    persistent_volume_claim.EPHEMERAL,
    projected.PLUGIN,
    secret.PLUGIN,
)

PLUGINS: dict[str, Plugin] = {each.field: each for each in _ALL}
BY_DIRECTORY: dict[str, Plugin] = {each.directory: each for each in _ALL}
