from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control_plane.apiserver.authn.issuer import Issuer
from tests.control_plane.apiserver.webhook_server import WebhookServer


@pytest.fixture
def server() -> Iterator[WebhookServer]:
    with WebhookServer() as made:
        yield made


@pytest.fixture
def issuer(server: WebhookServer) -> Issuer:
    return Issuer(server)


@pytest.fixture
def ca_file(server: WebhookServer, tmp_path: Path) -> Path:
    path = tmp_path / "ca.crt"
    path.write_bytes(server.ca_pem)
    return path
