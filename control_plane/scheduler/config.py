"""KubeSchedulerConfiguration v1: profiles, their plugins and arguments, backoff, sampling.

    apiVersion: kubescheduler.config.k8s.io/v1
    kind: KubeSchedulerConfiguration
    profiles:
    - schedulerName: packer
      plugins:
        score: {disabled: [{name: ImageLocality}], enabled: [{name: NodeAffinity, weight: 5}]}
        multiPoint: {enabled: [...], disabled: [{name: "*"}]}
      pluginConfig:
      - {name: NodeResourcesFit, args: {scoringStrategy: {type: MostAllocated}}}

MultiPoint enables a plugin at every point that it implements; what a single point says wins over that, in
order and weight. The defaults are part of MultiPoint and are disabled as anything else.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from control_plane.client.types import Obj
from control_plane.scheduler.extenders import ExtenderConfig
from control_plane.scheduler.extenders import parse as parse_extender
from control_plane.scheduler.framework.interface import Handle, Plugin
from control_plane.scheduler.framework.pod_info import DEFAULT_SCHEDULER_NAME
from control_plane.scheduler.framework.profile import POINTS, Profile
from control_plane.scheduler.plugins.registry import DEFAULT_PLUGINS, PLUGINS
from store.component.flags import parse_duration

API_VERSION = "kubescheduler.config.k8s.io/v1"
KIND = "KubeSchedulerConfiguration"
ALL = "*"
FIT = "NodeResourcesFit"

_KNOWN = {
    "apiVersion",
    "kind",
    "profiles",
    "percentageOfNodesToScore",
    "podInitialBackoffSeconds",
    "podMaxBackoffSeconds",
    "leaderElection",
    "clientConnection",
    "parallelism",
    "healthzBindAddress",
    "metricsBindAddress",
    "enableProfiling",
    "enableContentionProfiling",
    "delayCacheUntilActive",
    "extenders",
}


class ConfigError(ValueError):
    """The text says what is wrong in which field."""


@dataclass(frozen=True, slots=True)
class ProfileConfig:
    scheduler_name: str = DEFAULT_SCHEDULER_NAME
    plugins: Mapping[str, Obj] = field(default_factory=dict)
    args: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    percentage_of_nodes_to_score: int = 0


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    profiles: Sequence[ProfileConfig] = (ProfileConfig(),)
    initial_backoff_s: float = 1.0
    max_backoff_s: float = 10.0
    leader_election: Obj = field(default_factory=dict)
    kubeconfig: str = ""
    extenders: Sequence[ExtenderConfig] = ()


def load(path: str) -> SchedulerConfig:
    try:
        document = yaml.safe_load(Path(path).read_bytes()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    return parse(document)


def parse(document: Obj) -> SchedulerConfig:
    if document.get("apiVersion") != API_VERSION or document.get("kind") != KIND:
        raise ConfigError(f"apiVersion and kind must be {API_VERSION} and {KIND}")
    if unknown := sorted(set(document) - _KNOWN):
        raise ConfigError(f"unknown field {unknown[0]!r}")
    try:
        extenders = [parse_extender(each, parse_duration) for each in document.get("extenders") or ()]
    except (ValueError, ArgumentTypeError) as error:
        raise ConfigError(str(error)) from error
    percentage = document.get("percentageOfNodesToScore") or 0
    listed: Sequence[Obj] = document.get("profiles") or ({},)
    unfit = sorted(name for each in extenders for name in each.ignored_by_scheduler)
    profiles = [_without(_profile(each, percentage), unfit) for each in listed]
    names = [profile.scheduler_name for profile in profiles]
    if len(set(names)) != len(names):
        raise ConfigError("profiles: schedulerName must be unique")
    return SchedulerConfig(
        profiles,
        float(document.get("podInitialBackoffSeconds") or 1),
        float(document.get("podMaxBackoffSeconds") or 10),
        document.get("leaderElection") or {},
        (document.get("clientConnection") or {}).get("kubeconfig") or "",
        extenders,
    )


def _profile(each: Obj, percentage: int) -> ProfileConfig:
    plugins = each.get("plugins") or {}
    if unknown := sorted(set(plugins) - {*POINTS, "multiPoint"}):
        raise ConfigError(f"profiles.plugins: unknown extension point {unknown[0]!r}")
    return ProfileConfig(
        each.get("schedulerName") or DEFAULT_SCHEDULER_NAME,
        plugins,
        {config["name"]: config.get("args") or {} for config in each.get("pluginConfig") or ()},
        each.get("percentageOfNodesToScore") or percentage,
    )


def _without(profile: ProfileConfig, resources: Sequence[str]) -> ProfileConfig:
    """Resources that an extender looks after alone are none of NodeResourcesFit's business."""
    if not resources:
        return profile
    fit = profile.args.get(FIT) or {}
    ignored = [*(fit.get("ignoredResources") or ()), *resources]
    return replace(profile, args={**profile.args, FIT: {**fit, "ignoredResources": ignored}})


def build(config: ProfileConfig, handle: Handle, plugins: Mapping[str, type[Plugin]] = PLUGINS) -> Profile:
    """Raises ConfigError."""
    defaults = [(plugin.name, weight) for plugin, weight in DEFAULT_PLUGINS]
    everywhere = _enabled(config.plugins.get("multiPoint") or {}, defaults)
    made: dict[str, Plugin] = {}
    weights: dict[str, int] = {}
    points: dict[str, list[Plugin]] = {}
    try:
        for name, _ in everywhere:
            made[name] = _make(name, plugins, handle, config.args)
        for point, kind in POINTS.items():
            inherited = [(name, weight) for name, weight in everywhere if isinstance(made[name], kind)]
            wanted = _enabled(config.plugins.get(point) or {}, inherited)
            for name, _ in wanted:
                if name not in made:
                    made[name] = _make(name, plugins, handle, config.args)
            points[point] = [made[name] for name, _ in wanted]
            if point == "score":
                weights = {name: weight for name, weight in wanted if weight}
        return Profile(config.scheduler_name, points, weights, config.percentage_of_nodes_to_score)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"profile {config.scheduler_name}: {error}") from error


def _enabled(plugin_set: Obj, inherited: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """What is inherited without what is disabled; an enabled one replaces its inherited self in place."""
    disabled = {each["name"] for each in plugin_set.get("disabled") or ()}
    enabled = {each["name"]: int(each.get("weight") or 0) for each in plugin_set.get("enabled") or ()}
    kept = [] if ALL in disabled else [each for each in inherited if each[0] not in disabled]
    result = [(name, enabled.pop(name) or weight if name in enabled else weight) for name, weight in kept]
    return result + list(enabled.items())


def _make(
    name: str, plugins: Mapping[str, type[Plugin]], handle: Handle, args: Mapping[str, Mapping[str, Any]]
) -> Plugin:
    if name not in plugins:
        raise ConfigError(f"no plugin {name!r}; there are {', '.join(sorted(plugins))}")
    return plugins[name](handle, args.get(name) or {})
