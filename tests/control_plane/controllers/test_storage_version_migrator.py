"""Objects are written anew: tables of the plan, the loop over an API in memory, and a key of the store changed for
good through a real apiserver and kubectl."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from control_plane.api import errors, meta
from control_plane.client.gvr import CONFIGMAPS, GVR, STORAGE_VERSION_MIGRATIONS
from control_plane.controllers import storage_version_migrator as migrator
from control_plane.controllers.context import Options
from control_plane.controllers.discovery import Served
from control_plane.controllers.main import Manager
from control_plane.controllers.storage_version_migrator import StorageVersionMigrator
from tests.control_plane.apiserver.harness import Harness
from tests.control_plane.apiserver.storage.encryption.test_http import (
    SECRETS,
    key,
    stored,
    until,
    write_config,
)
from tests.control_plane.controllers.objects import NOW, Obj
from tests.control_plane.controllers.process import controller_manager
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.virtual_clock import VirtualClock, settle


def migration(resource: str = "configmaps", group: str = "", **status: Any) -> Obj:
    spec = {"resource": {"resource": resource, **({"group": group} if group else {})}}
    return {"metadata": {"name": f"move-{resource}"}, "spec": spec, "status": status}


SERVED = [
    Served(CONFIGMAPS, "ConfigMap", frozenset(("list", "patch"))),
    Served(GVR("apps", "v1", "deployments"), "Deployment", frozenset(("list", "patch"))),
    Served(STORAGE_VERSION_MIGRATIONS, "StorageVersionMigration", frozenset(("list", "patch"))),
]


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (migration(), "configmaps"),
        (migration("deployments", "apps"), "deployments.apps"),
        (migration("deployments"), None),
        (migration("widgets", "x.io"), None),
    ],
    ids=["core", "group", "wrong group", "unknown"],
)
def test_what_is_meant(obj: Obj, expected: str | None) -> None:
    found = migrator.named_by(obj, SERVED)
    assert (str(found.gvr) if found else None) == expected


def test_running_ends_with_the_end() -> None:
    running = migrator.with_condition(migration(), migrator.RUNNING, "R", "", NOW)
    done = migrator.with_condition(running, migrator.SUCCEEDED, "S", "", NOW + 1)
    assert {each["type"]: each["status"] for each in done["status"]["conditions"]} == {
        "Running": "False",
        "Succeeded": "True",
    }
    assert migrator.is_over(done)
    assert not migrator.is_over(running)


# ---- the loop


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[FakeApi, VirtualClock]]:
    async def served(client: object) -> list[Served]:
        return SERVED

    monkeypatch.setattr(migrator, "served_resources", served)
    clock = VirtualClock()
    api = FakeApi(now=clock.wall)
    manager = Manager(api.client(clock=clock), Options(), [StorageVersionMigrator])
    running = asyncio.ensure_future(manager.run())
    yield api, clock
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await manager.stop()


def conditions(api: FakeApi, name: str = "move-configmaps") -> dict[str, str]:
    found = api.get(STORAGE_VERSION_MIGRATIONS, name) or {}
    return {each["type"]: each["status"] for each in meta.nested(found, "status", "conditions", default=())}


async def test_each_object_is_written_once(world: tuple[FakeApi, VirtualClock]) -> None:
    api, clock = world
    for number in range(40):
        api.create(CONFIGMAPS, {"metadata": {"name": f"c{number}", "namespace": "default"}})
    api.create(STORAGE_VERSION_MIGRATIONS, migration())
    await clock.advance(1)
    await settle()
    assert conditions(api) == {"Running": "False", "Succeeded": "True"}
    patched = [each.path.rsplit("/", 1)[1] for each in api.requests("PATCH", "configmaps")]
    assert sorted(patched) == sorted(f"c{number}" for number in range(40))


async def test_what_others_have_written_is_left_alone(world: tuple[FakeApi, VirtualClock]) -> None:
    api, clock = world
    for number in range(3):
        api.create(CONFIGMAPS, {"metadata": {"name": f"c{number}", "namespace": "default"}})
    api.fail_next(
        lambda method, target: method == "PATCH" and "c1" in target,
        lambda: errors.conflict("", "configmaps", "c1"),
    )
    api.create(STORAGE_VERSION_MIGRATIONS, migration())
    await clock.advance(1)
    await settle()
    assert conditions(api)["Succeeded"] == "True"


async def test_what_cannot_be_is_said(world: tuple[FakeApi, VirtualClock]) -> None:
    api, clock = world
    api.create(CONFIGMAPS, {"metadata": {"name": "c", "namespace": "default"}})
    api.create(STORAGE_VERSION_MIGRATIONS, migration("widgets", "x.io"))
    refusal = errors.forbidden("", "configmaps", "c", "no")
    api.fail_next(lambda method, target: method == "PATCH" and "configmaps" in target, lambda: refusal)
    api.create(STORAGE_VERSION_MIGRATIONS, migration())
    await clock.advance(1)
    await settle()
    assert conditions(api, "move-widgets") == {"Failed": "True"}
    assert conditions(api) == {"Running": "False", "Failed": "True"}


async def test_what_broke_is_begun_again(world: tuple[FakeApi, VirtualClock]) -> None:
    api, clock = world
    api.create(CONFIGMAPS, {"metadata": {"name": "c", "namespace": "default"}})
    api.fail_next(
        lambda method, target: method == "PATCH" and "configmaps" in target,
        lambda: errors.internal("the store is away"),
        3,
    )
    api.create(STORAGE_VERSION_MIGRATIONS, migration())
    await clock.advance(60)
    await settle()
    assert conditions(api)["Succeeded"] == "True"


# ---- a real apiserver


MIGRATION = """
apiVersion: storagemigration.k8s.io/v1beta1
kind: StorageVersionMigration
metadata: {name: secrets}
spec: {resource: {resource: secrets}}
"""


def test_a_key_is_retired_with_kubectl(tmp_path: Path) -> None:
    path = write_config(tmp_path, {"aesgcm": {"keys": [key("one", 1)]}}, {"identity": {}})
    flags = (
        f"--encryption-provider-config={path}",
        "--encryption-provider-config-automatic-reload",
        "--runtime-config=storagemigration.k8s.io/v1beta1=true",
    )
    with Harness(tmp_path, *flags) as api, controller_manager(api, "storage-version-migrator"):
        for number in range(5):
            api.create(SECRETS, {"metadata": {"name": f"s{number}"}, "stringData": {"a": "b"}})
        write_config(tmp_path, {"aesgcm": {"keys": [key("two", 2), key("one", 1)]}}, {"identity": {}})
        reloaded = b'automatic_reloads_total{status="success"} 1.0'
        until(lambda: reloaded in api.request("GET", "/metrics").raw)
        assert "storageversionmigrations" in api.kubectl("api-resources").stdout
        assert (
            "StorageVersionMigration"
            in api.kubectl("explain", "storageversionmigration.spec.resource").stdout
        )
        api.kubectl("apply", "-f", "-", stdin=MIGRATION)
        api.kubectl("wait", "--for=condition=Succeeded", "storageversionmigration/secrets", "--timeout=20s")
        for number in range(5):
            assert stored(api, f"core/secrets/default/s{number}").startswith(b"k8s:enc:aesgcm:v1:two:")
        found = json.loads(api.kubectl("get", "storageversionmigrations", "-o", "json").stdout)["items"]
        assert [each["metadata"]["name"] for each in found] == ["secrets"]
        refused = api.kubectl(
            "patch", "storageversionmigration", "secrets", "--type=merge", "-p",
            '{"spec": {"resource": {"resource": "pods"}}}', check=False,
        )  # fmt: skip
        assert "field is immutable" in refused.stderr


def test_it_is_off_by_default(tmp_path: Path) -> None:
    from control_plane.api.registry import Registry
    from control_plane.apiserver.config import parser

    assert "storagemigration.k8s.io" not in Registry.builtin().groups()
    assert "storagemigration.k8s.io" in Registry.builtin([("storagemigration.k8s.io", "v1beta1")]).groups()
    with pytest.raises(SystemExit):
        parser().parse_args(["--runtime-config=apps/v2=true"])
