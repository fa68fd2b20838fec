"""The process: its flags, and the one line that it says when it cannot start."""

from __future__ import annotations

from pathlib import Path

import pytest

from certs.ca import CertificateAuthority
from certs.kubeconfig import KubeConfig
from control_plane.scheduler.main import parser, run
from store.component.process import FatalError, Lifecycle

LAUNCHED = [
    "--leader-elect=true",
    "--leader-elect-lease-duration=3s",
    "--leader-elect-renew-deadline=2s",
    "--leader-elect-retry-period=500ms",
    "--leader-elect-identity=scheduler-1",
    "--secure-port=0",
]


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    path = tmp_path / "kubeconfig"
    KubeConfig("https://127.0.0.1:1", CertificateAuthority.create("test").cert_pem).write(path)
    return str(path)


def test_defaults_are_kubernetes() -> None:
    args = parser().parse([])
    durations = (
        args.leader_elect_lease_duration,
        args.leader_elect_renew_deadline,
        args.leader_elect_retry_period,
    )
    assert durations == (15.0, 10.0, 2.0)
    assert (args.leader_elect_resource_namespace, args.leader_elect_resource_name) == (
        "kube-system",
        "kube-scheduler",
    )
    assert args.secure_port == 10259


def test_the_launchers_flags() -> None:
    args = parser().parse(LAUNCHED)
    assert (args.leader_elect, args.leader_elect_identity) == (True, "scheduler-1")
    assert args.leader_elect_retry_period == 0.5


def test_flags_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "flags.yaml"
    path.write_text("leader-elect: false\nsecure-port: 7\n")
    args = parser().parse([f"--flags-file={path}", "--secure-port=8"])
    assert (args.leader_elect, args.secure_port) == (False, 8)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        pytest.param([], "--kubeconfig is needed", id="no kubeconfig"),
        pytest.param(["--kubeconfig=/none"], "/none", id="kubeconfig missing"),
        pytest.param(["--config=/none.yaml"], "cannot read /none.yaml", id="configuration missing"),
    ],
)
async def test_what_it_says_when_it_cannot_start(flags: list[str], said: str) -> None:
    with pytest.raises(FatalError, match=said):
        await run(parser().parse([*LAUNCHED, *flags]), Lifecycle())


async def test_durations_that_do_not_fit(kubeconfig: str) -> None:
    flags = [*LAUNCHED, f"--kubeconfig={kubeconfig}", "--leader-elect-renew-deadline=5s"]
    with pytest.raises(FatalError, match="lease duration"):
        await run(parser().parse(flags), Lifecycle())


async def test_it_stops_cleanly_without_a_server(kubeconfig: str) -> None:
    """Nobody answers: it keeps trying, and ends at once when asked to."""
    lifecycle = Lifecycle()
    lifecycle.stopping.set()
    await run(parser().parse([*LAUNCHED, f"--kubeconfig={kubeconfig}"]), lifecycle)
