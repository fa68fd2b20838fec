"""test/e2e/network/ingress.go, ingressclass.go"""

from __future__ import annotations

from tests.conformance import operations
from tests.conformance.client import Client, Resource


def test_ingress_api_operations(client: Client, dynamic: Client, namespace: str) -> None:
    """[sig-network] Ingress API should support creating Ingress API operations"""
    operations.discoverable(client, "networking.k8s.io", "v1", "ingresses", "ingresses/status")
    ingresses = client.of("networking.k8s.io/v1", "ingresses", "Ingress", namespace)
    backend = {"service": {"name": "default-backend", "port": {"number": 80}}}

    def status(resource: Resource, obj: operations.Object) -> None:
        name = obj["metadata"]["name"]
        points = {"loadBalancer": {"ingress": [{"ip": "169.1.1.1"}]}}
        patch = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": points}
        patched = resource.patch(name, patch, subresource="status")
        assert patched["status"] == points
        assert patched["metadata"]["annotations"]["patchedstatus"] == "true"

        def edit(obj: operations.Object) -> None:
            obj["status"]["loadBalancer"] = {"ingress": [{"ip": "169.1.1.2"}]}

        assert resource.change(name, edit, "status")["status"]["loadBalancer"]["ingress"] == [
            {"ip": "169.1.1.2"}
        ]
        seen = dynamic.of("networking.k8s.io/v1", "ingresses", "Ingress", namespace).get(name, "status")
        assert seen["kind"] == "Ingress"
        assert seen["metadata"]["uid"] == obj["metadata"]["uid"]

    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    spec = {
        "defaultBackend": backend,
        "rules": [{"host": "foo.bar.com", "http": {"paths": [path]}}],
    }
    operations.walk(ingresses, {"spec": spec}, before_deleting=status)


def test_ingress_class_api_operations(client: Client) -> None:
    """[sig-network] IngressClass API should support creating IngressClass API operations"""
    operations.discoverable(client, "networking.k8s.io", "v1", "ingressclasses")
    classes = client.of("networking.k8s.io/v1", "ingressclasses", "IngressClass")
    operations.walk(classes, {"spec": {"controller": "example.com/controller"}})
