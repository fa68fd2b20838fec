"""test/e2e/common/node: what a container sees and how it ends (configmap.go, secrets.go, downwardapi.go,
expansion.go, runtime.go, init_container.go, kubelet.go, kubelet_etc_hosts.go, security_context.go, sysctl.go)
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.client import Client
from tests.conformance.workload import condition, finished, logs, pod_spec, settled
from tests.e2e.conftest import until

Object = dict[str, Any]


def run(client: Client, namespace: str, script: str, spec: Object | None = None, **container: Any) -> str:
    """What the script prints in a pod that ends well."""
    made = pod_spec(["sh", "-c", script], restartPolicy="Never", **(spec or {}))
    made["containers"][0] |= container
    of = client.of("v1", "pods", "Pod", namespace)
    name = of.create({"metadata": {"generateName": "run-", "labels": {"a": "b"}}, "spec": made})["metadata"][
        "name"
    ]
    finished(client, namespace, name)
    return logs(client, namespace, name)


def field(path: str) -> Object:
    return {"valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def resource(name: str) -> Object:
    return {"valueFrom": {"resourceFieldRef": {"resource": name}}}


def test_config_map_and_secret_in_the_environment(client: Client, namespace: str) -> None:
    """[sig-node] ConfigMap should be consumable via environment variable, via the environment · Secrets should be
    consumable from pods in env vars, via the environment
    """
    client.of("v1", "configmaps", "ConfigMap", namespace).create(
        {"metadata": {"name": "map"}, "data": {"data_1": "value-1", "data_2": "value-2"}}
    )
    client.of("v1", "secrets", "Secret", namespace).create(
        {"metadata": {"name": "secret"}, "data": {"data_3": "dmFsdWUtMw==", "data_4": "dmFsdWUtNA=="}}
    )
    printed = run(
        client,
        namespace,
        "",
        command=["env"],
        env=[
            {
                "name": "FROM_MAP",
                "valueFrom": {"configMapKeyRef": {"name": "map", "key": "data_1"}},
            },
            {
                "name": "FROM_SECRET",
                "valueFrom": {"secretKeyRef": {"name": "secret", "key": "data_3"}},
            },
        ],
        envFrom=[
            {"configMapRef": {"name": "map"}},
            {"prefix": "p-", "configMapRef": {"name": "map"}},
            {"secretRef": {"name": "secret"}},
            {"prefix": "s_", "secretRef": {"name": "secret"}},
        ],
    ).splitlines()
    wanted = (
        "FROM_MAP=value-1 FROM_SECRET=value-3 data_1=value-1 data_2=value-2 p-data_1=value-1 data_4=value-4"
    )
    for line in (*wanted.split(), "s_data_3=value-3"):
        assert line in printed


def test_downward_api(client: Client, namespace: str) -> None:
    """[sig-node] Downward API should provide pod name, namespace and IP address; host IP; pod UID; container's
    limits.cpu/memory and requests.cpu/memory as env vars
    """
    env = {
        "POD_NAME": field("metadata.name"),
        "POD_NAMESPACE": field("metadata.namespace"),
        "POD_IP": field("status.podIP"),
        "HOST_IP": field("status.hostIP"),
        "POD_UID": field("metadata.uid"),
        "CPU_LIMIT": resource("limits.cpu"),
        "MEMORY_LIMIT": resource("limits.memory"),
        "CPU_REQUEST": resource("requests.cpu"),
        "MEMORY_REQUEST": resource("requests.memory"),
    }
    amounts = {
        "requests": {"cpu": "250m", "memory": "32Mi"},
        "limits": {"cpu": "1250m", "memory": "64Mi"},
    }
    variables = [{"name": name, **source} for name, source in env.items()]
    printed = run(client, namespace, "env", env=variables, resources=amounts)
    shown = dict(line.partition("=")[::2] for line in printed.splitlines())
    (pod,) = client.of("v1", "pods", "Pod", namespace).list()
    assert shown["POD_NAME"] == pod["metadata"]["name"]
    assert shown["POD_NAMESPACE"] == namespace
    assert shown["POD_UID"] == pod["metadata"]["uid"]
    assert shown["HOST_IP"] == pod["status"]["hostIP"]
    assert shown["POD_IP"] == pod["status"]["podIP"]
    assert (shown["CPU_LIMIT"], shown["MEMORY_LIMIT"]) == ("2", "67108864")
    assert (shown["CPU_REQUEST"], shown["MEMORY_REQUEST"]) == ("1", "33554432")


def test_default_limits(client: Client, namespace: str) -> None:
    """[sig-node] Downward API should provide default limits.cpu/memory from node allocatable"""
    variables = [
        {"name": "CPU_LIMIT", **resource("limits.cpu")},
        {"name": "MEMORY_LIMIT", **resource("limits.memory")},
    ]
    printed = run(client, namespace, "env", env=variables)
    shown = dict(line.partition("=")[::2] for line in printed.splitlines())
    assert int(shown["CPU_LIMIT"]) > 0
    assert int(shown["MEMORY_LIMIT"]) > 0


def test_expansion(client: Client, namespace: str) -> None:
    """[sig-node] Variable Expansion should allow composing env vars into new env vars; substituting values in a
    container's command, args, a volume subpath
    """
    env = [
        {"name": "FOO", "value": "foo-value"},
        {"name": "BAR", "value": "bar-value"},
        {"name": "FOOBAR", "value": "$(FOO);;$(BAR)"},
        {"name": "POD_NAME", **field("metadata.name")},
    ]
    mounts = [
        {"name": "work", "mountPath": "/logscontainer", "subPathExpr": "$(POD_NAME)"},
        {"name": "work", "mountPath": "/testcontainer"},
    ]
    script = 'echo "$0 $FOOBAR"; test -d /testcontainer/$POD_NAME && echo there'
    printed = run(
        client,
        namespace,
        "",
        {"volumes": [{"name": "work", "emptyDir": {}}]},
        command=["sh", "-c"],
        args=[script, "test-$(BAR)"],
        env=env,
        volumeMounts=mounts,
    )
    assert printed.splitlines() == ["test-bar-value foo-value;;bar-value", "there"]


@pytest.mark.parametrize(
    "expression", ["$(ANNOTATION)", "..", "/etc/$(POD_NAME)"], ids=["absolute", "up", "root"]
)
def test_bad_subpath(client: Client, namespace: str, expression: str) -> None:
    """[sig-node] Variable Expansion should fail substituting values in a volume subpath with absolute path, with
    backticks
    """
    of = client.of("v1", "pods", "Pod", namespace)
    made = pod_spec(["sleep", "100"])
    made["containers"][0] |= {
        "env": [{"name": "POD_NAME", "value": "x"}, {"name": "ANNOTATION", "value": "/tmp"}],
        "volumeMounts": [{"name": "work", "mountPath": "/w", "subPathExpr": expression}],
    }
    made["volumes"] = [{"name": "work", "emptyDir": {}}]
    if expression != "$(ANNOTATION)":
        with pytest.raises(Exception, match=r"must be a relative path|must not contain '\.\.'"):
            of.create({"metadata": {"name": "bad"}, "spec": made})
        return
    of.create({"metadata": {"name": "bad"}, "spec": made})
    settled(
        of,
        "bad",
        lambda obj: any(
            each["state"].get("waiting", {}).get("reason") == "CreateContainerConfigError"
            for each in obj["status"].get("containerStatuses", ())
        ),
    )


@pytest.mark.parametrize(
    ("script", "container", "phase", "message"),
    [
        ("echo -n DONE; exit 1", {"terminationMessagePolicy": "FallbackToLogsOnError"}, "Failed", "DONE"),
        ("echo -n DONE", {"terminationMessagePolicy": "FallbackToLogsOnError"}, "Succeeded", ""),
        (
            "echo -n OK > /dev/termination-log",
            {"terminationMessagePolicy": "FallbackToLogsOnError"},
            "Succeeded",
            "OK",
        ),
        (
            "echo -n DONE > /dev/termination-custom-log",
            {"terminationMessagePath": "/dev/termination-custom-log", "securityContext": {"runAsUser": 1000}},
            "Succeeded",
            "DONE",
        ),
    ],
    ids=[
        "from log output of a failure",
        "empty of a success",
        "from file",
        "as non-root at a path of its own",
    ],
)
def test_termination_message(
    client: Client, namespace: str, script: str, container: Object, phase: str, message: str
) -> None:
    """[sig-node] Container Runtime blackbox test on terminated container should report termination message …"""
    of = client.of("v1", "pods", "Pod", namespace)
    made = pod_spec(["sh", "-c", script], restartPolicy="Never")
    made["containers"][0] |= container
    of.create({"metadata": {"name": "ends"}, "spec": made})
    found = finished(client, namespace, "ends", phase)
    state = found["status"]["containerStatuses"][0]["state"]["terminated"]
    assert state.get("message", "") == message


@pytest.mark.parametrize(
    ("policy", "phase", "restarts"),
    [("Always", "Running", 2), ("OnFailure", "Succeeded", 1), ("Never", "Failed", 0)],
)
def test_restart_policies(client: Client, namespace: str, policy: str, phase: str, restarts: int) -> None:
    """[sig-node] Container Runtime blackbox test when starting a container that exits should run with the expected
    status
    """
    script = """
f=/restart-count/restartCount
count=$(echo 'hello' >> $f ; wc -l < $f)
if [ $count -eq 1 ]; then exit 1; fi
if [ $count -eq 2 ]; then exit 0; fi
while true; do sleep 1; done
"""
    of = client.of("v1", "pods", "Pod", namespace)
    made = pod_spec(["sh", "-c", script], restartPolicy=policy)
    made["containers"][0]["volumeMounts"] = [{"name": "count", "mountPath": "/restart-count"}]
    made["volumes"] = [{"name": "count", "emptyDir": {}}]
    of.create({"metadata": {"name": "terminate-cmd"}, "spec": made})

    def check(obj: Object) -> bool:
        (status,) = obj["status"].get("containerStatuses") or ({},)
        return status.get("restartCount", -1) == restarts and obj["status"]["phase"] == phase

    found = settled(of, "terminate-cmd", check, timeout_s=90)
    ready = condition(found, "Ready")["status"] == "True"
    assert ready == (phase == "Running")


INIT = {"name": "init1", "image": "busybox", "command": ["true"]}


@pytest.mark.parametrize(
    ("policy", "commands", "phase"),
    [
        ("Never", (["true"], ["true"], ["true"]), "Succeeded"),
        ("Never", (["true"], ["false"], ["true"]), "Failed"),
        ("Always", (["true"], ["true"], ["sleep", "1000"]), "Running"),
        ("Always", (["false"], ["true"], ["sleep", "1000"]), "Pending"),
    ],
    ids=["never", "never, fails", "always", "always, fails"],
)
def test_init_containers(
    client: Client, namespace: str, policy: str, commands: tuple[list[str], ...], phase: str
) -> None:
    """[sig-node] InitContainer should invoke init containers on a RestartNever, RestartAlways pod · should not
    start app containers if init containers fail
    """
    of = client.of("v1", "pods", "Pod", namespace)
    made = pod_spec(commands[2], name="run1", restartPolicy=policy)
    made["initContainers"] = [
        {"name": f"init{number}", "image": "busybox", "command": commands[number - 1]} for number in (1, 2)
    ]
    of.create({"metadata": {"name": "pod-init"}, "spec": made})

    def check(obj: Object) -> bool:
        if obj["status"]["phase"] != phase:
            return False
        restarts = [each["restartCount"] for each in obj["status"].get("initContainerStatuses", ())]
        return phase != "Pending" or max(restarts, default=0) >= 1

    found = settled(of, "pod-init", check)
    initialised = condition(found, "Initialized")["status"]
    started = ["terminated" in each["state"] for each in found["status"]["initContainerStatuses"]]
    if phase in ("Succeeded", "Running"):
        assert initialised == "True"
        assert started == [True, True]
    else:
        assert initialised == "False"
        assert condition(found, "Initialized")["reason"] == "ContainersNotInitialized"
        waiting = found["status"]["containerStatuses"][0]["state"]["waiting"]
        assert waiting["reason"] == "PodInitializing"


def test_failing_command(client: Client, namespace: str) -> None:
    """[sig-node] Kubelet when scheduling a busybox command that always fails in a pod should have an terminated
    reason, should be possible to delete
    """
    of = client.of("v1", "pods", "Pod", namespace)
    of.create({"metadata": {"name": "bin-false"}, "spec": pod_spec(["false"])})

    def terminated(obj: Object) -> bool:
        (status,) = obj["status"].get("containerStatuses") or ({},)
        states = (status.get("state", {}), status.get("lastState", {}))
        return any(
            each.get("terminated", {}).get("exitCode") == 1 and each["terminated"]["reason"] == "Error"
            for each in states
        )

    settled(of, "bin-false", terminated)
    of.delete("bin-false")
    until("it is gone", lambda: not of.exists("bin-false"))


def test_host_aliases(client: Client, namespace: str) -> None:
    """[sig-node] Kubelet when scheduling an agnhost Pod with hostAliases should write entries to /etc/hosts ·
    KubeletManagedEtcHosts should test kubelet managed /etc/hosts file
    """
    aliases = [{"ip": "123.45.67.89", "hostnames": ["foo", "bar"]}]
    printed = run(client, namespace, "cat /etc/hosts", {"hostAliases": aliases})
    assert "123.45.67.89\tfoo\tbar" in printed
    assert "Kubernetes-managed hosts file" in printed


@pytest.mark.parametrize(
    ("context", "script", "printed"),
    [
        ({"runAsUser": 65534}, "id -u", "65534"),
        ({"runAsUser": 1001, "runAsGroup": 2002}, "echo $(id -u) $(id -g)", "1001 2002"),
        ({"readOnlyRootFilesystem": True}, "echo x > /file 2>/dev/null || echo refused", "refused"),
        ({"readOnlyRootFilesystem": False}, "echo x > /file && echo written", "written"),
        (
            {"allowPrivilegeEscalation": False, "runAsUser": 1000},
            "grep NoNewPrivs /proc/self/status | cut -f2",
            "1",
        ),
    ],
    ids=["user", "group", "read only", "writable", "no escalation"],
)
def test_security_context(client: Client, namespace: str, context: Object, script: str, printed: str) -> None:
    """[sig-node] Security Context … · Kubelet … should not write to root filesystem"""
    assert printed in run(client, namespace, script, securityContext=context).splitlines()


def test_pod_security_context(client: Client, namespace: str) -> None:
    """[sig-node] Security Context should support pod.Spec.SecurityContext.RunAsUser And
    pod.Spec.SecurityContext.RunAsGroup
    """
    spec = {"securityContext": {"runAsUser": 1001, "runAsGroup": 2002}}
    assert run(client, namespace, "echo $(id -u) $(id -g)", spec).strip() == "1001 2002"


def test_invalid_sysctls(client: Client, namespace: str) -> None:
    """[sig-node] Sysctls should reject invalid sysctls"""
    names = ("foo-", "kernel.shmmax", "safe-and-unsafe", "bar..")
    context = {"sysctls": [{"name": name, "value": "100000000"} for name in names]}
    made = pod_spec(securityContext=context)
    of = client.of("v1", "pods", "Pod", namespace)
    with pytest.raises(Exception, match="Invalid value: ") as refused:
        of.create({"metadata": {"name": "sysctl"}, "spec": made})
    said = str(refused.value)
    assert 'Invalid value: "foo-"' in said
    assert 'Invalid value: "bar.."' in said
    assert "safe-and-unsafe" not in said
    assert "kernel.shmmax" not in said


def test_sysctls(client: Client, namespace: str) -> None:
    """[sig-node] Sysctls should support sysctls"""
    context = {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]}
    printed = run(client, namespace, "cat /proc/sys/kernel/shm_rmid_forced", {"securityContext": context})
    assert printed.strip() == "1"
