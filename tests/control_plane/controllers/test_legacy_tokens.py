"""Tokens that nobody uses: marked, then deleted; and how the apiserver notes their use."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from control_plane.api import meta
from control_plane.apiserver.authn.legacy_tokens import INVALID_SINCE, LAST_USED, TRACKING, day
from control_plane.client.gvr import CONFIGMAPS, SECRETS, SERVICE_ACCOUNTS
from control_plane.controllers.context import Options
from control_plane.controllers.legacy_token_cleaner import Fate, LegacyTokenCleaner, fate, mounted_secrets
from control_plane.controllers.main import Manager
from control_plane.controllers.serviceaccount_token import NAME, TOKEN_TYPE
from tests.control_plane.apiserver.harness import Harness
from tests.control_plane.controllers.objects import NOW, Obj, pod
from tests.control_plane.controllers.process import controller_manager
from tests.control_plane.controllers.test_through_kubectl import get, until
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.virtual_clock import VirtualClock, settle

DAY_S = 24 * 3600.0
YEAR_S = 365 * DAY_S
ACCOUNT = {"metadata": {"name": "robot", "namespace": "default"}, "secrets": [{"name": "old"}]}


def ago(days: float) -> str:
    return day(NOW - days * DAY_S)


def secret(created_days: float = 1000, **labels: str) -> Obj:
    metadata = {
        "name": "old",
        "namespace": "default",
        "annotations": {NAME: "robot"},
        "labels": labels,
        "creationTimestamp": meta.rfc3339(NOW - created_days * DAY_S),
    }
    return {"metadata": metadata, "type": TOKEN_TYPE}


@pytest.mark.parametrize(
    ("obj", "account", "mounted", "since", "expected"),
    [
        pytest.param(secret(), ACCOUNT, False, ago(500), Fate.MARK, id="never used"),
        pytest.param(secret(**{LAST_USED: ago(400)}), ACCOUNT, False, ago(500), Fate.MARK, id="long ago"),
        pytest.param(secret(**{LAST_USED: ago(10)}), ACCOUNT, False, ago(500), Fate.KEEP, id="used"),
        pytest.param(secret(), ACCOUNT, False, ago(10), Fate.KEEP, id="not watched for long"),
        pytest.param(secret(), ACCOUNT, False, "", Fate.KEEP, id="not watched"),
        pytest.param(secret(10), ACCOUNT, False, ago(500), Fate.KEEP, id="young"),
        pytest.param(secret(), ACCOUNT, True, ago(500), Fate.KEEP, id="a pod has it"),
        pytest.param(secret(), {"metadata": {}}, False, ago(500), Fate.KEEP, id="made by somebody"),
        pytest.param(
            secret(**{INVALID_SINCE: ago(10)}), ACCOUNT, False, ago(900), Fate.KEEP, id="marked lately"
        ),
        pytest.param(
            secret(**{INVALID_SINCE: ago(400)}), ACCOUNT, False, ago(900), Fate.DELETE, id="marked long ago"
        ),
    ],
)
def test_fate(obj: Obj, account: Obj, mounted: bool, since: str, expected: Fate) -> None:
    assert fate(obj, account, mounted, since, NOW, YEAR_S) is expected


def test_what_pods_mount() -> None:
    volumes = [{"name": "v", "secret": {"secretName": "old"}}, {"name": "e", "emptyDir": {}}]
    assert mounted_secrets([pod("p", spec={"volumes": volumes})]) == {"default/old"}


async def test_a_token_is_marked_and_deleted_a_year_later() -> None:
    clock = VirtualClock(NOW)
    api = FakeApi(now=lambda: NOW - 1000 * DAY_S)
    api.create(SERVICE_ACCOUNTS, ACCOUNT)
    api.create(SECRETS, secret())
    metadata = {"name": TRACKING, "namespace": "kube-system"}
    api.create(CONFIGMAPS, {"metadata": metadata, "data": {"since": ago(900)}})
    manager = Manager(api.client(clock=clock), Options(), [LegacyTokenCleaner])
    running = asyncio.ensure_future(manager.run())
    try:
        await clock.advance(1)
        await settle()
        found = api.get(SECRETS, "old", "default")
        assert found is not None
        assert meta.labels(found)[INVALID_SINCE] == day(NOW)
        api.update(SECRETS, {**found, "metadata": {**found["metadata"], "labels": {INVALID_SINCE: ago(400)}}})
        await clock.advance(DAY_S + 1)
        await settle()
        assert api.get(SECRETS, "old", "default") is None
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await manager.stop()


def test_a_use_is_noted_and_a_marked_token_refused(tmp_path: Path) -> None:
    with Harness(tmp_path) as api:
        key = f"--service-account-private-key-file={api.directory / 'pki' / 'sa.key'}"
        api.create("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "robot"}})
        metadata = {"name": "old", "annotations": {NAME: "robot"}}
        api.create("/api/v1/namespaces/default/secrets", {"metadata": metadata, "type": TOKEN_TYPE})
        with controller_manager(api, "serviceaccount-token", key):
            token = until("it is filled", lambda: get(api, "secret", "old").get("data", {}).get("token"))
        text = base64.b64decode(token).decode()

        def ask() -> str:
            server = (f"--server={api.server}", f"--certificate-authority={api.directory / 'pki' / 'ca.crt'}")
            words = (*server, "--token", text, "auth", "whoami", "-o", "json")
            done = api.kubectl(*words, check=False, user="nobody")  # who has no kubeconfig
            return done.stdout + done.stderr

        def labels() -> Any:
            return get(api, "secret", "old")["metadata"].get("labels") or {}

        assert "system:serviceaccount:default:robot" in ask()
        until("its use is noted", lambda: LAST_USED in labels())
        assert "since" in get(api, "configmap", "-n", "kube-system", TRACKING)["data"]
        api.kubectl("label", "secret", "old", f"{INVALID_SINCE}=2026-01-01")
        assert "Unauthorized" in ask() or "must be logged in" in ask()
