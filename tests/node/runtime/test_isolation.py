"""From inside a pod nothing under the state directory can be read, and nothing of the host can be changed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from node.runtime.interface import CreateError, Mount, Resources, SecurityContext
from node.runtime.process.runtime import ProcessRuntime
from tests.node.runtime.pods import NoNetwork, Pods, eventually, is_alive, log_text

pytestmark = pytest.mark.usefixtures("isolated")
# of the host, and not in /tmp, as this checkout may be: that is hidden anyway
LIBRARY = Path(os.__file__).resolve().parent
DEFAULT_CAPABILITIES = "00000000a00425fb"


async def test_hidden_directories_are_empty_in_a_pod(tmp_path: Path) -> None:
    """Two of the host's stand for the state directory."""
    hidden = [LIBRARY / "email", LIBRARY / "json"]
    runtime = ProcessRuntime(tmp_path / "runtime", NoNetwork(), hidden)  # type: ignore[arg-type]
    await runtime.start()
    pods = Pods(runtime, tmp_path / "logs")
    try:
        text = await pods.output(
            f"ls -A {hidden[0]} {hidden[1]}; touch {hidden[0]}/x 2>/dev/null || echo refused"
        )
        assert text.split() == [f"{hidden[0]}:", f"{hidden[1]}:", "refused"]
        assert "asyncio" in await pods.output(f"ls {LIBRARY}")
    finally:
        for sandbox in pods.sandboxes:
            await runtime.remove_pod_sandbox(sandbox)
        await runtime.close()


async def test_a_volume_does_not_show_the_state_directory(pods: Pods, tmp_path: Path) -> None:
    (tmp_path / "state/secret.key").write_text("secret")
    (tmp_path / "beside").write_text("visible")
    script = "cat /host/beside; ls -A /host/state; cat /host/state/secret.key 2>&1 | grep -c 'No such file'"
    assert await pods.output(script, mounts=[Mount("/host", str(tmp_path))]) == "visible1\n"


async def test_a_volume_does_not_lead_into_the_state_directory(pods: Pods, tmp_path: Path) -> None:
    """But for what is the pod's own there."""
    own, foreign = tmp_path / "state/pods/uid-1/volumes/own", tmp_path / "state/pods/uid-2/volumes/foreign"
    for path in (own, foreign):
        path.mkdir(parents=True)
    sandbox = await pods.sandbox()
    await pods.output("touch /data/x", sandbox, mounts=[Mount("/data", str(own))])
    for refused in (foreign, tmp_path / "state", tmp_path / "state/runtime"):
        with pytest.raises(CreateError, match="pods may not see it"):
            await pods.create("true", sandbox, mounts=[Mount("/data", str(refused))])


async def test_the_host_is_seen_but_not_changed(pods: Pods) -> None:
    """The container may write anywhere; it writes into a layer of its own."""
    marker = f"balsa-test-{os.getpid()}"
    text = await pods.output(
        f"touch /usr/{marker} /etc/{marker} /tmp/{marker} /var/{marker}; ls /usr /etc; cat {LIBRARY}/os.py"
    )
    assert marker in text
    assert not any(Path(root, marker).exists() for root in ("/usr", "/etc", "/tmp", "/var"))


async def test_layers_are_private_to_a_container(pods: Pods) -> None:
    sandbox = await pods.sandbox()
    await pods.run("touch /usr/mine /tmp/mine", sandbox)
    assert await pods.output("ls /usr /tmp | grep -c mine || true", sandbox) == "0\n"


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("mount -t tmpfs none /mnt", id="mount"),
        pytest.param("umount /proc/sys", id="unmount"),
        pytest.param("mknod /tmp/disk b 7 0 && head -c 1 /tmp/disk", id="make-a-disk"),
        pytest.param("echo 1 > /proc/sys/kernel/panic", id="sysctl"),
        pytest.param("echo h > /proc/sysrq-trigger && test -s /proc/sysrq-trigger", id="sysrq"),
        pytest.param("touch /sys/x || mkdir /sys/fs/cgroup/memory/x", id="sysfs"),
        pytest.param("chroot /proc/1/root/../../.. test -e /.host", id="old-root"),
        pytest.param("hostname another", id="host-name"),
        pytest.param("test -e /dev/vda || test -e /dev/kmsg || test -e /dev/mem", id="devices"),
        pytest.param("cat /etc/shadow | grep .", id="passwords"),
        pytest.param("date -s @0", id="clock"),
        pytest.param("nice -n -20 true 2>&1 | grep -q denied && false || renice -n -19 -p 1", id="priority"),
    ],
)
async def test_forbidden(pods: Pods, script: str) -> None:
    status = await pods.run(script)
    assert status.exit_code != 0, log_text(status)


async def test_other_processes_are_not_seen(pods: Pods) -> None:
    text = await pods.output("ls /proc | grep -E '^[0-9]+$' | wc -l; sh -c 'echo $PPID'")
    assert int(text.split()[0]) <= 5
    assert text.splitlines()[1] == "1"


async def test_no_descriptor_and_no_capability_leaks_in(pods: Pods) -> None:
    text = await pods.output("ls /proc/self/fd; grep -E 'Cap|NoNewPrivs' /proc/self/status")
    fds = text.split("Cap")[0].split()
    assert set(fds) <= {"0", "1", "2", "3"}  # 3 is the listing's own
    masks = dict(re.findall(r"(\w+):\s+(\w+)", text))
    assert masks["CapBnd"] == masks["CapEff"] == masks["CapPrm"] == DEFAULT_CAPABILITIES
    assert masks["CapInh"] == masks["CapAmb"] == "0" * 16
    assert masks["NoNewPrivs"] == "1"


@pytest.mark.parametrize(
    ("security", "expected"),
    [
        pytest.param(SecurityContext(drop_capabilities=["ALL"]), "0" * 16, id="drop-all"),
        pytest.param(
            SecurityContext(drop_capabilities=["ALL"], add_capabilities=["NET_BIND_SERVICE"]),
            "0000000000000400",
            id="drop-all-add-one",
        ),
        pytest.param(SecurityContext(run_as_user=1000), "0" * 16, id="not-root"),
    ],
)
async def test_capabilities(pods: Pods, security: SecurityContext, expected: str) -> None:
    text = await pods.output("grep CapEff /proc/self/status", security=security)
    assert text.split()[1] == expected


async def test_users_and_groups(pods: Pods) -> None:
    security = SecurityContext(run_as_user=1234, run_as_group=2345)
    assert await pods.output("id -u; id -g; echo $HOME", security=security) == "1234\n2345\n/\n"


async def test_exec_has_the_containers_identity(pods: Pods, runtime: ProcessRuntime) -> None:
    container = await pods.start("sleep 60", security=SecurityContext(run_as_user=1234))
    result = await runtime.exec_sync(
        container, ["sh", "-c", "id -u; grep CapEff /proc/self/status; ls /proc/1/fd"], 10
    )
    assert result.stdout.decode().split()[:3] == ["1234", "CapEff:", "0" * 16]
    assert result.exit_code == 0, result.stderr


async def test_a_read_only_root(pods: Pods, tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    script = "for p in /x /usr/x /etc/x /tmp/x; do touch $p 2>/dev/null && echo wrote $p; done; "
    script += "touch /data/x /dev/shm/x"
    text = await pods.output(
        script,
        security=SecurityContext(read_only_root=True),
        mounts=[Mount("/data", str(tmp_path / "volume"))],
    )
    assert text == ""
    assert (tmp_path / "volume/x").exists()


async def test_containers_see_each_other_only_when_asked_to(pods: Pods) -> None:
    script = "grep -l 77773 /proc/*/cmdline 2>/dev/null | grep -v self | wc -l"
    for share, expected in ((False, "0\n"), (True, "1\n")):
        sandbox = await pods.sandbox(share_process_namespace=share)
        await pods.start("", sandbox, command=["sleep", "77773"])
        assert (
            await pods.output(script, sandbox, command=["sh", "-c", script.replace("77773", "7777[3]")])
            == expected
        )


async def test_mounts_of_pods_are_invisible_to_the_host(pods: Pods, tmp_path: Path) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    await pods.start("sleep 60")
    assert Path("/proc/self/mountinfo").read_text() == before


async def test_the_writable_layer_is_bounded(pods: Pods) -> None:
    status = await pods.run("dd if=/dev/zero of=/usr/big bs=1M count=1100 2>&1")
    assert "No space left" in log_text(status)


async def test_the_end_of_a_shim_is_the_end_of_its_pod(pods: Pods, runtime: ProcessRuntime) -> None:
    sandbox = await pods.sandbox()
    container = await pods.start("sleep 60 & sleep 60", sandbox)
    pid = (await runtime.container_status(container)).pid
    runtime._sandboxes[sandbox].kill_shim()

    async def lost() -> bool:
        return (await runtime.pod_sandbox_status(sandbox)).state == "notready" and not is_alive(pid)

    await eventually(lost)
    status = await runtime.container_status(container)
    assert (status.exit_code, status.reason) == (137, "ContainerStatusUnknown")


async def test_memory_limit(pods: Pods, runtime: ProcessRuntime) -> None:
    limited = Resources(memory_limit_bytes=32 * 1024 * 1024)
    command = ["/usr/bin/python3", "-c", "x = bytearray(200 * 1024 * 1024); print('allocated')"]
    if not Path(command[0]).exists():
        pytest.skip("there is no /usr/bin/python3 here")
    status = await pods.run("", command=command, resources=limited)
    assert status.exit_code != 0
    assert "allocated" not in log_text(status)
    if "cgroup" in runtime.isolation().split("limits by ")[1][:6]:
        assert (status.exit_code, status.reason) == (137, "OOMKilled")
