"""Several apiservers on one store: what one learns, all serve."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.control_plane.apiserver.crd.conftest import DEFINITIONS, Custom
from tests.control_plane.apiserver.crd.samples import cron_tab, definition
from tests.control_plane.apiserver.harness import Harness

VISIBLE_WITHIN_S = 1.0


@pytest.fixture
def other(api: Harness) -> Iterator[Harness]:
    with Harness(api.directory, endpoints=api.endpoints, certificates=False) as second:
        yield second


def test_a_definition_is_served_by_all_at_once(
    api: Harness, other: Harness, custom: Custom, namespace: str
) -> None:
    crd = definition()
    base = custom.establish(crd)
    url = f"{base}/namespaces/{namespace}/crontabs"
    other.create(url, cron_tab(crd))  # without waiting: established means established everywhere
    assert api.get(f"{url}/a")["spec"]["image"] == "busybox"
    group, began = crd["spec"]["group"], time.monotonic()
    while group not in [each["name"] for each in other.get("/apis")["groups"]]:
        assert time.monotonic() - began < VISIBLE_WITHIN_S
    assert f"apis/{group}/v1" in other.get("/openapi/v3")["paths"]


def test_a_definition_is_deleted_by_all_at_once(
    api: Harness, other: Harness, custom: Custom, namespace: str
) -> None:
    crd = definition()
    url = f"{custom.establish(crd)}/namespaces/{namespace}/crontabs"
    for number in range(20):
        api.create(url, cron_tab(crd, f"c{number}"))
    other.request("DELETE", f"{DEFINITIONS}/{crd['metadata']['name']}")
    custom.until("gone", lambda: api.request("GET", f"{DEFINITIONS}/{crd['metadata']['name']}").status == 404)
    for server in (api, other):
        custom.until("not served", lambda server=server: server.request("GET", url).status == 404)


def test_what_a_restarted_server_serves(api: Harness, custom: Custom, namespace: str) -> None:
    crd = definition()
    url = f"{custom.establish(crd)}/namespaces/{namespace}/crontabs"
    api.create(url, cron_tab(crd))
    with Harness(api.directory, endpoints=api.endpoints, certificates=False) as fresh:
        assert fresh.get(f"{url}/a")["spec"]["cronSpec"] == "* *"
        assert fresh.get(f"{url}?fieldSelector=spec.image=busybox")["items"] != []
