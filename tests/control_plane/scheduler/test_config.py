"""The configuration file: which plugins a profile has, in which order, with which weights and arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from control_plane.client.types import Obj
from control_plane.scheduler import config
from control_plane.scheduler.config import API_VERSION, KIND, ConfigError
from control_plane.scheduler.framework.profile import Profile
from control_plane.scheduler.plugins.registry import PLUGINS
from tests.control_plane.scheduler.build import World, names, node, pod


def profile(plugins: Obj | None = None, args: list[Obj] | None = None) -> Profile:
    document = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "profiles": [{"schedulerName": "s", "plugins": plugins or {}, "pluginConfig": args or []}],
    }
    return config.build(config.parse(document).profiles[0], World())


def weights(made: Profile) -> dict[str, int]:
    return {plugin.name: weight for plugin, weight in made.scores}


def test_defaults_are_kube_schedulers() -> None:
    made = profile()
    assert weights(made) == {
        "TaintToleration": 3,
        "NodeAffinity": 2,
        "PodTopologySpread": 2,
        "InterPodAffinity": 2,
        "NodeResourcesFit": 1,
        "NodeResourcesBalancedAllocation": 1,
        "ImageLocality": 1,
        "DataLocality": 2,
        "Interference": 2,
    }
    assert names(made.filters) == [
        "NodeUnschedulable",
        "NodeName",
        "TaintToleration",
        "NodeAffinity",
        "NodePorts",
        "NodeResourcesFit",
        "VolumeRestrictions",
        "NodeVolumeLimits",
        "VolumeBinding",
        "VolumeZone",
        "Interference",
        "PodTopologySpread",
        "InterPodAffinity",
        "DynamicResources",
        "NodeDeclaredFeatures",
    ]
    assert names(made.local_filters) == names(made.filters)[:6]


@pytest.mark.parametrize(
    ("plugins", "expected"),
    [
        pytest.param(
            {"score": {"disabled": [{"name": "*"}], "enabled": [{"name": "NodeAffinity", "weight": 7}]}},
            {"NodeAffinity": 7},
            id="only one",
        ),
        pytest.param(
            {"score": {"enabled": [{"name": "NodeAffinity", "weight": 9}]}},
            {"NodeAffinity": 9},
            id="another weight",
        ),
        pytest.param(
            {"multiPoint": {"disabled": [{"name": "ImageLocality"}]}}, {"ImageLocality": None}, id="off"
        ),
        pytest.param(
            {"multiPoint": {"enabled": [{"name": "ImageLocality", "weight": 4}]}},
            {"ImageLocality": 4},
            id="multi",
        ),
    ],
)
def test_enabling_and_disabling(plugins: Obj, expected: dict[str, int | None]) -> None:
    found = weights(profile(plugins))
    assert {name: found.get(name) for name in expected} == expected


def test_disabled_at_one_point_only() -> None:
    made = profile({"filter": {"disabled": [{"name": "TaintToleration"}]}})
    assert "TaintToleration" not in names(made.filters)
    assert "TaintToleration" in weights(made)


def test_arguments_reach_the_plugin() -> None:
    args = [{"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "MostAllocated"}}}]
    made = config.parse({"apiVersion": API_VERSION, "kind": KIND, "profiles": [{"pluginConfig": args}]})
    world = World([node("empty"), node("used")], [pod(on="used", cpu="1", memory="8Gi")], made.profiles[0])
    assert world.place(pod(cpu="1", memory="8Gi")).node_name == "used"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        pytest.param({}, "apiVersion and kind", id="empty"),
        pytest.param(
            {"apiVersion": API_VERSION, "kind": KIND, "nope": 1}, "unknown field 'nope'", id="field"
        ),
        pytest.param(
            {"apiVersion": API_VERSION, "kind": KIND, "profiles": [{}, {}]},
            "must be unique",
            id="same name twice",
        ),
        pytest.param(
            {"apiVersion": API_VERSION, "kind": KIND, "profiles": [{"plugins": {"nope": {}}}]},
            "unknown extension point",
            id="point",
        ),
        pytest.param(
            {"apiVersion": API_VERSION, "kind": KIND, "extenders": [{}]}, "extenders", id="not supported yet"
        ),
    ],
)
def test_mistakes_in_the_file(document: Obj, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config.parse(document)


@pytest.mark.parametrize(
    ("plugins", "args", "said"),
    [
        pytest.param(
            {"filter": {"enabled": [{"name": "Nope"}]}}, [], "no plugin 'Nope'", id="unknown plugin"
        ),
        pytest.param(
            {"filter": {"enabled": [{"name": "ImageLocality"}]}},
            [],
            "does not implement filter",
            id="wrong point",
        ),
        pytest.param({"bind": {"disabled": [{"name": "*"}]}}, [], "bind plugin", id="no binder"),
        pytest.param({"queueSort": {"disabled": [{"name": "*"}]}}, [], "queue sort", id="no order"),
        pytest.param(
            {},
            [{"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "Nope"}}}],
            "not one of",
            id="strategy",
        ),
    ],
)
def test_mistakes_in_a_profile(plugins: Obj, args: list[Obj], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        profile(plugins, args)


def test_load_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        config.load(str(tmp_path / "none.yaml"))


def test_every_plugin_is_registered_under_its_own_name() -> None:
    assert all(plugin.name == name for name, plugin in PLUGINS.items())
