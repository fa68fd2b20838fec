"""test/e2e/architecture/conformance.go"""

from __future__ import annotations

from tests.conformance.client import Client
from tests.conformance.workload import is_ready


def test_at_least_two_untainted_nodes(client: Client) -> None:
    """[sig-architecture] Conformance Tests should have at least two untainted nodes"""
    nodes = client.of("v1", "nodes", "Node").list()
    assert len([node for node in nodes if is_ready(node) and not node["spec"].get("taints")]) >= 2
