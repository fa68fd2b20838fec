"""test/e2e/common/network/networking.go"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.client import Client
from tests.conformance.workload import execute, is_ready, pod_spec, settled
from tests.e2e.conftest import Cluster, until

Object = dict[str, Any]
SERVE = """
import http.server, os, socket, threading
address, name = os.environ["POD_IP"], os.uname().nodename.encode()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(name)
    def log_message(self, *_): pass
def udp():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 8081))
    while True:
        sock.sendto(name, sock.recvfrom(1024)[1])
threading.Thread(target=udp, daemon=True).start()
http.server.ThreadingHTTPServer((address, 8080), Handler).serve_forever()
"""
ASK = {
    "http": "import sys, urllib.request as r; "
    "print(r.urlopen(f'http://{sys.argv[1]}:8080/', timeout=5).read().decode())",
    "udp": "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); "
    "s.sendto(b'hostname', (sys.argv[1], 8081)); print(s.recv(1024).decode())",
}


@pytest.mark.parametrize("protocol", ["http", "udp"])
def test_pods_talk(client: Client, cluster: Cluster, namespace: str, protocol: str) -> None:
    """[sig-network] Networking Granular Checks: Pods should function for intra-pod communication: http, udp"""
    of = client.of("v1", "pods", "Pod", namespace)
    nodes = [each["metadata"]["name"] for each in client.of("v1", "nodes", "Node").list()][:2]
    for node in nodes:
        spec = pod_spec(["python3", "-c", SERVE], nodeName=node)
        spec["containers"][0]["env"] = [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
        ]
        of.create({"metadata": {"name": f"netserver-{node}"}, "spec": spec})
    addresses = {node: settled(of, f"netserver-{node}", is_ready)["status"]["podIP"] for node in nodes}

    def answered(asker: str, asked: str) -> bool:
        command = ("python3", "-c", ASK[protocol], addresses[asked])
        quiet = ("sh", "-c", '"$@" 2>/dev/null || true', "sh", *command)
        return execute(cluster, namespace, f"netserver-{asker}", *quiet).strip() == f"netserver-{asked}"

    for asker in nodes:
        for asked in nodes:
            until(f"{asked} answers {asker}", lambda asker=asker, asked=asked: answered(asker, asked))
