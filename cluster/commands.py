"""The commands about a whole cluster, one entry each in `COMMANDS`."""

from __future__ import annotations

import os
import shutil
import sys
import time
from argparse import REMAINDER, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from cluster import control, images, network, plan, process_table, targets, up
from cluster import spec as specs
from cluster.components import COMPONENTS
from cluster.errors import ClusterError, NotRunning
from cluster.home import Home
from cluster.spec import ClusterSpec, NetworkMode

FOLLOW_INTERVAL_S = 0.2
COUNTS = ("stores", "apiservers", "schedulers", "controller_managers", "nodes")
MAX_HOLLOW_NODES = 10_000


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    help: str
    arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]


def _none(_: ArgumentParser) -> None:
    """No arguments."""


# up and down


def _up_arguments(parser: ArgumentParser) -> None:
    for count in COUNTS:
        flag = f"--{count.replace('_', '-')}"
        parser.add_argument(
            flag, dest=count, type=_count, metavar="N", help=f"how many {count.replace('_', ' ')}"
        )
    parser.add_argument(
        "--hollow-nodes", type=_hollow_count, metavar="N", help="play so many more nodes, which run nothing"
    )
    parser.add_argument(
        "--port", type=int, metavar="PORT", help="the apiserver's port (a free one if not given)"
    )
    parser.add_argument(
        "--network", choices=[str(mode) for mode in NetworkMode], help="how pods get addresses"
    )
    parser.add_argument(
        "--flag",
        dest="flags",
        action="append",
        type=_component_flag,
        metavar="COMPONENT=--FLAG[=VALUE]",
        help="add a flag to a component's own, as in apiserver=--audit-log-path=/tmp/audit.log; can be repeated",
    )
    parser.add_argument("--exec", action="store_true", help="start every process as a program of its own")
    parser.add_argument("--dry-run", action="store_true", help="print what would be started")


def _component_flag(text: str) -> tuple[str, str]:
    component, _, flag = text.partition("=")
    if component not in COMPONENTS or not flag.startswith("--"):
        raise ArgumentTypeError(f"{text!r} is not COMPONENT=--FLAG; components: {', '.join(COMPONENTS)}")
    return component, flag


def _count(text: str) -> int:
    return _bounded(text, 100)


def _hollow_count(text: str) -> int:
    return _bounded(text, MAX_HOLLOW_NODES)


def _bounded(text: str, limit: int) -> int:
    number = int(text)
    if not 0 <= number <= limit:
        raise ValueError
    return number


def _up(args: Namespace) -> int:
    home = Home.resolve()
    chosen = {
        name: value
        for name in (*COUNTS, "hollow_nodes", "port", "network")
        if (value := getattr(args, name)) is not None
    }
    for component, flag in args.flags or ():
        chosen.setdefault("flags", {}).setdefault(component, []).append(flag)
    if args.dry_run:
        return _dry_run(home, chosen)
    began = time.monotonic()
    up.up(home, chosen, exec_=args.exec)
    print(f"the cluster is ready after {time.monotonic() - began:.1f} s. Now type:")
    for line in up.advice(home):
        print(f"  {line}")
    return 0


def _dry_run(home: Home, chosen: dict[str, Any]) -> int:
    spec = specs.load(home) or specs.create(**chosen)
    for process in plan.processes(spec, home, lambda _: (), (plan.service_address(spec.service_cidr), 443)):
        print(" ".join(["balsa", process.component, *process.argv]))
    return 0


def _down_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--delete", action="store_true", help="remove the state directory as well")


def _down(args: Namespace) -> int:
    home = Home.resolve()
    was_running = up.down(home)
    network.clean_leftovers(home)
    print("stopped" if was_running else f"no cluster is running in {home.root}")
    if args.delete and home.root.exists():
        shutil.rmtree(home.root)
        print(f"removed {home.root}")
    return 0


# status


def _status_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")


def _status(args: Namespace) -> int:
    home, spec = _existing()
    answer = control.call(home, {"op": "status"})
    leading = set(targets.leaders(home, spec).items())
    for row in answer["processes"]:
        row["leader"] = (row["component"], row["name"]) in leading
        row["memory_bytes"] = process_table.pss_bytes(row["pid"]) if row["pid"] else 0
        row.pop("argv")
    answer["supervisor_memory_bytes"] = process_table.pss_bytes(answer["supervisor_pid"])
    if args.output == "json":
        print(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode())
    else:
        _print_status(answer)
    return 0


def _print_status(answer: dict[str, Any]) -> None:
    header = ("NAME", "ROLE", "STATE", "PID", "PORT", "UPTIME", "RESTARTS", "LAST EXIT", "MEMORY")
    rows = [header]
    for row in answer["processes"]:
        rows.append(
            (
                row["name"], _role(row), row["state"], str(row["pid"] or "-"), str(row["port"]),
                f"{row['uptime_s']:.0f}s", str(row["restarts"]), row["last_exit"] or "-", _mib(row["memory_bytes"]),
            )
        )  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    for row in rows:
        print("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    total = answer["supervisor_memory_bytes"] + sum(row["memory_bytes"] for row in answer["processes"])
    print(f"\nnetwork: {answer['network']}{_because(answer['network_reason'])}")
    print(
        f"supervisor: pid {answer['supervisor_pid']}, {_mib(answer['supervisor_memory_bytes'])}; all: {_mib(total)}"
    )


def _role(row: dict[str, Any]) -> str:
    if row["component"] in ("store", *targets.LEASES):
        return "leader" if row["leader"] else ("follower" if row["component"] == "store" else "standby")
    return "active" if row["state"] == "running" else "-"


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:.1f} MiB"


def _because(reason: str) -> str:
    return f" ({reason})" if reason else ""


# kill, pause, resume


def _target_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("target", help="a process (store-1), a component (store), or all")
    parser.add_argument("--leader", action="store_true", help="of the component, the one that leads")


def _signaller(signal_name: str, past: str) -> Callable[[Namespace], int]:
    def run(args: Namespace) -> int:
        home, spec = _existing()
        rows = control.call(home, {"op": "status"})["processes"]
        leading = targets.leaders(home, spec) if args.leader else {}
        for name in targets.resolve(rows, args.target, leading, args.leader):
            answer = control.call(home, {"op": "signal", "process": name, "signal": signal_name})
            print(f"{past} {name} (pid {answer['pid']})")
        return 0

    return run


# logs, env, net, doctor


def _logs_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("process", help="a process (store-1) or supervisor")
    parser.add_argument("-f", "--follow", action="store_true")
    parser.add_argument("-n", "--tail", type=int, default=100, metavar="LINES")


def _logs(args: Namespace) -> int:
    path = Home.resolve().log_of(args.process)
    if not path.exists():
        raise ClusterError(f"there is no log {path}; `balsa status` lists the processes")
    with path.open(errors="replace") as file:
        for line in file.readlines()[-args.tail :]:
            sys.stdout.write(line)
        while args.follow:
            sys.stdout.write(file.read())
            sys.stdout.flush()
            time.sleep(FOLLOW_INTERVAL_S)
    return 0


def _why_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "target", nargs="+", metavar="KIND/NAME", help="pod/web-1, deployment/web, namespace/x"
    )
    parser.add_argument("-n", "--namespace", default="default")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")


def _why(args: Namespace) -> int:
    from cluster.why import command  # with the API's client, which the other commands do without

    return command.run(args)


def _env(_: Namespace) -> int:
    home, spec = _existing()
    variables = {
        "KUBECONFIG": str(home.kubeconfig),
        "ETCDCTL_API": "3",
        "ETCDCTL_ENDPOINTS": ",".join(spec.store_endpoints()),
        "ETCDCTL_CACERT": str(home.pki / "store-ca.crt"),
        "ETCDCTL_CERT": str(home.pki / "store-client.crt"),
        "ETCDCTL_KEY": str(home.pki / "store-client.key"),
    }
    for name, value in variables.items():
        print(f"export {name}='{value}'")
    return 0


def _net_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "command", nargs=REMAINDER, metavar="COMMAND", help="what to run in the cluster's network"
    )


def _net(args: Namespace) -> int:
    if not args.command:
        raise ClusterError("say what to run, as in: balsa net curl http://10.96.0.1")
    home, _ = _existing()
    if control.call(home, {"op": "status"})["network"] != NetworkMode.NETNS:
        os.execvp(args.command[0], args.command)  # the host's loopback is the cluster's network
    network.run_inside(home, args.command)


def _doctor(_: Namespace) -> int:
    from cluster import doctor

    for finding in doctor.examine(Home.resolve()):
        print(*finding.lines(), sep="\n")
    return 0


def _existing() -> tuple[Home, ClusterSpec]:
    home = Home.resolve()
    spec = specs.load(home)
    if spec is None:
        raise NotRunning(f"there is no cluster in {home.root}; `balsa up` starts one")
    return home, spec


COMMANDS = (
    Command("up", "start the cluster, or start it again with all its data", _up_arguments, _up),
    Command("down", "stop everything; the data stays", _down_arguments, _down),
    Command("status", "show every process", _status_arguments, _status),
    Command(
        "kill", "kill -9 a process; it is started again", _target_arguments, _signaller("SIGKILL", "killed")
    ),
    Command(
        "pause", "stop a process where it is (SIGSTOP)", _target_arguments, _signaller("SIGSTOP", "paused")
    ),
    Command("resume", "let it go on (SIGCONT)", _target_arguments, _signaller("SIGCONT", "resumed")),
    Command("why", "explain why something is not as it should be", _why_arguments, _why),
    Command("logs", "print a process's log", _logs_arguments, _logs),
    Command("env", "print exports for kubectl and etcdctl", _none, _env),
    Command("image", "say what the name of an image runs here", images.arguments, images.run),
    Command("net", "run a command inside the cluster's network", _net_arguments, _net),
    Command("doctor", "say what this machine allows", _none, _doctor),
)
