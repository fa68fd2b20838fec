"""One apiserver as a process of its own on a store of its own, for black-box tests: real TLS, real certificates.

    with Harness(tmp_path) as api:
        api.kubectl("get", "namespaces")
        api.request("GET", "/api/v1/pods")

The store is one member of Balsa's own; with `store="etcd"`, or `BALSA_TEST_STORE=etcd` for all tests, it is the
etcd of this machine.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any

from certs import serviceaccount, tls
from certs.ca import CertificateAuthority
from certs.kubeconfig import KubeConfig

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
LOOPBACK = ("localhost", "127.0.0.1")
KUBECTL_DIR = Path("/usr/lib/google-cloud-sdk/bin")

Object = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    raw: bytes
    warnings: list[str] = field(default_factory=list)

    @property
    def body(self) -> Object:
        return json.loads(self.raw)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def kubectls() -> list[Path]:
    """The oldest and the newest kubectl of this machine that can be expected to work."""
    found = sorted(KUBECTL_DIR.glob("kubectl.1.*")) or [
        Path(path) for path in [shutil.which("kubectl")] if path
    ]
    return [found[0], found[-1]] if len(found) > 1 else found


class Harness:
    def __init__(
        self,
        directory: Path,
        *flags: str,
        endpoints: str = "",
        certificates: bool = True,
        store: str = "",
    ) -> None:
        self.store = store or os.environ.get("BALSA_TEST_STORE", "balsa")
        self.directory = directory
        self.port = free_port()
        self.server = f"https://127.0.0.1:{self.port}"
        self._flags = flags
        self.endpoints = endpoints
        self._certificates = certificates
        self.store_process: subprocess.Popen[bytes] | None = None
        self._processes: list[subprocess.Popen[bytes]] = []
        self.api_process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Harness:
        if self._certificates:
            self._make_certificates()
        try:
            self.start_store()
            self.start_api()
            self.wait_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            stop(process)

    def start_store(self) -> None:
        if self.endpoints:
            return
        client, peer = free_port(), free_port()
        self.endpoints = f"https://127.0.0.1:{client}"
        pki = self.directory / "pki"
        program = [
            sys.executable,
            "-c",
            "import sys; from store.api.main import main; sys.exit(main(sys.argv[1:]))",
        ]
        if self.store == "etcd":
            program = ["etcd", "--client-cert-auth=true"]
        argv = [
            *program,
            "--name=store-1",
            f"--data-dir={self.directory}/store",
            f"--listen-client-urls={self.endpoints}",
            f"--advertise-client-urls={self.endpoints}",
            f"--listen-peer-urls=https://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=https://127.0.0.1:{peer}",
            f"--initial-cluster=store-1=https://127.0.0.1:{peer}",
            f"--cert-file={pki}/store.crt",
            f"--key-file={pki}/store.key",
            f"--trusted-ca-file={pki}/store-ca.crt",
            f"--peer-cert-file={pki}/store.crt",
            f"--peer-key-file={pki}/store.key",
            f"--peer-trusted-ca-file={pki}/store-ca.crt",
        ]
        self.store_process = self._spawn("store", argv)

    def start_api(self) -> None:
        pki = self.directory / "pki"
        argv = [
            sys.executable,
            "-c",
            "import sys; from control_plane.apiserver.main import main; sys.exit(main(sys.argv[1:]))",
            f"--etcd-servers={self.endpoints}",
            f"--etcd-cafile={pki}/store-ca.crt",
            f"--etcd-certfile={pki}/store-client.crt",
            f"--etcd-keyfile={pki}/store-client.key",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--client-ca-file={pki}/ca.crt",
            f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt",
            f"--service-account-key-file={pki}/sa.pub",
            f"--service-account-signing-key-file={pki}/sa.key",
            f"--kubelet-client-certificate={pki}/kubelet-client.crt",
            f"--kubelet-client-key={pki}/kubelet-client.key",
            f"--kubelet-certificate-authority={pki}/ca.crt",
            f"--proxy-client-cert-file={pki}/front-proxy-client.crt",
            f"--proxy-client-key-file={pki}/front-proxy-client.key",
            "--enable-bootstrap-token-auth",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.port}",
            *self._flags,
        ]
        self.api_process = self._spawn("apiserver", argv)

    def _spawn(self, name: str, argv: list[str]) -> subprocess.Popen[bytes]:
        log = (self.directory / f"{name}.log").open("ab")
        process = subprocess.Popen(argv, stdout=log, stderr=log)
        log.close()
        self._processes.append(process)
        return process

    def wait_ready(self) -> float:
        """Seconds until /readyz says ok."""
        began = time.monotonic()
        while time.monotonic() - began < START_TIMEOUT_S:
            dead = [process for process in self._processes if process.poll() not in (None, 0)]
            if dead and self.api_process in dead:
                break
            try:
                if self.request("GET", "/readyz").status == 200:
                    return time.monotonic() - began
            except OSError:
                pass
            time.sleep(0.02)
        raise RuntimeError("not ready:\n" + (self.directory / "apiserver.log").read_text()[-4000:])

    def pause_store(self) -> None:
        assert self.store_process is not None
        self.store_process.send_signal(signal.SIGSTOP)

    def resume_store(self) -> None:
        assert self.store_process is not None
        self.store_process.send_signal(signal.SIGCONT)

    def compact(self, revision: int) -> None:
        pki = self.directory / "pki"
        context = tls.client_context(pki / "store-ca.crt", pki / "store-client.crt", pki / "store-client.key")
        host = self.endpoints.removeprefix("https://")
        connection = HTTPSConnection(host, timeout=10, context=context)
        connection.request("POST", "/v3/kv/compaction", json.dumps({"revision": str(revision)}))
        assert connection.getresponse().status == 200
        connection.close()

    # --- asking

    def context(self, user: str = "admin") -> ssl.SSLContext:
        pki = self.directory / "pki"
        if not user:
            return tls.client_context(pki / "ca.crt")
        return tls.client_context(pki / "ca.crt", pki / f"{user}.crt", pki / f"{user}.key")

    def connection(self, user: str = "admin", timeout_s: float = 30.0) -> HTTPSConnection:
        return HTTPSConnection("127.0.0.1", self.port, timeout=timeout_s, context=self.context(user))

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        user: str = "admin",
    ) -> Answer:
        connection = self.connection(user)
        try:
            sent = dict(headers or {})
            raw = body
            if isinstance(body, dict | list):
                raw = json.dumps(body).encode()
                sent.setdefault("Content-Type", "application/json")
            connection.request(method, path, body=raw, headers=sent)
            return read(connection.getresponse())
        finally:
            connection.close()

    def create(self, path: str, obj: Object, **more: Any) -> Object:
        answer = self.request("POST", path, obj, **more)
        assert answer.status == 201, answer.raw
        return answer.body

    def get(self, path: str, **more: Any) -> Object:
        answer = self.request("GET", path, **more)
        assert answer.status == 200, answer.raw
        return answer.body

    def kubectl(
        self,
        *arguments: str,
        binary: Path | None = None,
        stdin: str = "",
        check: bool = True,
        user: str = "admin",
    ) -> subprocess.CompletedProcess[str]:
        program = str(binary or kubectls()[-1])
        home = self.directory / f"home-{Path(program).name}"
        home.mkdir(exist_ok=True)
        done = subprocess.run(
            [program, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            env={
                **os.environ,
                "KUBECONFIG": str(self.directory / "pki" / f"{user}.kubeconfig"),
                "HOME": str(home),
            },
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"kubectl {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    # --- certificates

    def _make_certificates(self) -> None:
        pki = self.directory / "pki"
        pki.mkdir(parents=True, exist_ok=True)
        store, cluster, proxy = (CertificateAuthority.create(name) for name in ("store", "cluster", "proxy"))
        for name, authority in (("store-ca", store), ("ca", cluster), ("front-proxy-ca", proxy)):
            authority.write(pki / f"{name}.crt", pki / f"{name}.key")
        store.issue_peer("store-1", LOOPBACK).write(pki / "store.crt", pki / "store.key")
        store.issue_client("root").write(pki / "store-client.crt", pki / "store-client.key")
        proxy.issue_client("front-proxy-client").write(
            pki / "front-proxy-client.crt", pki / "front-proxy-client.key"
        )
        names = (*LOOPBACK, "kubernetes.default.svc", "10.96.0.1")
        cluster.issue_server("kube-apiserver", names).write(pki / "apiserver.crt", pki / "apiserver.key")
        cluster.issue_client("kube-apiserver-kubelet-client", ["system:masters"]).write(
            pki / "kubelet-client.crt", pki / "kubelet-client.key"
        )
        cluster.issue_peer("system:node:node-1", LOOPBACK, ["system:nodes"]).write(
            pki / "node-1.crt", pki / "node-1.key"
        )
        serviceaccount.create_key(pki / "sa.key", pki / "sa.pub")
        for user, groups in (("admin", ["system:masters"]), ("jane", ["developers"])):
            pair = cluster.issue_client(user, groups)
            pair.write(pki / f"{user}.crt", pki / f"{user}.key")
            config = KubeConfig(self.server, cluster.cert_pem, pair.cert_pem, pair.key_pem)
            config.write(pki / f"{user}.kubeconfig")


def read(response: HTTPResponse) -> Answer:
    raw = response.read()
    headers = {name.lower(): value for name, value in response.getheaders()}
    warnings = response.headers.get_all("Warning") or []
    return Answer(response.status, headers, raw, warnings)


def stop(process: subprocess.Popen[bytes]) -> int:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()
