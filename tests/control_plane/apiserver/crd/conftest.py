from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.control_plane.apiserver.crd.converter import HOST_AND_PORT, HOST_PORT, Converter, plain
from tests.control_plane.apiserver.crd.samples import definition
from tests.control_plane.apiserver.harness import Harness

TIMEOUT_S = 10.0
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

Object = dict[str, Any]


class Custom:
    """Definitions on one apiserver; those that a test made are deleted after it."""

    def __init__(self, api: Harness) -> None:
        self.api = api
        self._made: list[str] = []

    def establish(self, crd: Object) -> str:
        """Create a definition and wait until it is served; the path of its group version and resource."""
        self.api.create(DEFINITIONS, crd)
        name = crd["metadata"]["name"]
        self._made.append(name)
        self.until("established", lambda: self.condition(name, "Established") == "True")
        return f"/apis/{crd['spec']['group']}/{crd['spec']['versions'][0]['name']}"

    def condition(self, name: str, type_: str) -> str:
        found = self.api.get(f"{DEFINITIONS}/{name}").get("status", {}).get("conditions", [])
        return next((each["status"] for each in found if each["type"] == type_), "")

    def update(self, name: str, change: Callable[[Object], None]) -> Object:
        """Change a definition, and wait until that is served."""
        crd = self.api.get(f"{DEFINITIONS}/{name}")
        change(crd)
        answer = self.api.request("PUT", f"{DEFINITIONS}/{name}", crd)
        assert answer.status == 200, answer.raw
        return answer.body

    def until(self, what: str, check: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + TIMEOUT_S
        while not (found := check()):
            assert time.monotonic() < deadline, f"not in time: {what}"
            time.sleep(0.02)
        return found

    def clean(self) -> None:
        for name in self._made:
            self.api.request("DELETE", f"{DEFINITIONS}/{name}")


@pytest.fixture
def custom(api: Harness) -> Iterator[Custom]:
    made = Custom(api)
    yield made
    made.clean()


@pytest.fixture
def hook(tmp_path: Path) -> Iterator[Converter]:
    made = Converter(tmp_path)
    yield made
    made.close()


@pytest.fixture
def converted(custom: Custom, hook: Converter) -> Object:
    webhook = {
        "clientConfig": {"url": hook.url, "caBundle": hook.ca_bundle.decode()},
        "conversionReviewVersions": ["v1"],
    }
    versions = (plain("v1", True, HOST_PORT), plain("v2", False, HOST_AND_PORT))
    crd = definition(*versions, conversion={"strategy": "Webhook", "webhook": webhook})
    custom.establish(crd)
    return crd
