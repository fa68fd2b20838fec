"""Webhooks for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.conformance import crds
from tests.conformance.client import Client
from tests.conformance.hooks import Hooks
from tests.control_plane.apiserver.webhook_server import WebhookServer


@pytest.fixture
def hooks(client: Client, new_namespace: Callable[..., str]) -> Iterator[Hooks]:
    label = crds.unique("webhooks")
    with WebhookServer() as server:
        made = Hooks(client, server, new_namespace(**{label: "true"}), label)
        try:
            yield made
        finally:
            made.remove()
