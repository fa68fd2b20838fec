"""Policies, batches and files of the audit, each by itself."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from control_plane.apiserver.audit.buffer import BatchOptions, Buffer, Throttle
from control_plane.apiserver.audit.errors import BadPolicy
from control_plane.apiserver.audit.log_file import MIB, FileOptions, LogFile
from control_plane.apiserver.audit.policy import Level, parse
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.authz.interface import Attributes

Object = dict[str, Any]

JANE = UserInfo("jane", "", ("developers", "system:authenticated"))


def policy(*rules: Object, **more: Any) -> Object:
    return {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **more}


def on(resource: str, verb: str = "get", **more: str) -> Attributes:
    resource, _, subresource = resource.partition("/")
    return Attributes(JANE, verb, resource=resource, subresource=subresource, **more)


PODS = {"group": "", "resources": ["pods"]}
MATCHES: list[tuple[str, Object, Attributes, bool]] = [
    ("no condition", {}, on("pods"), True),
    ("user", {"users": ["jane"]}, on("pods"), True),
    ("other user", {"users": ["joe"]}, on("pods"), False),
    ("group", {"userGroups": ["x", "developers"]}, on("pods"), True),
    ("other group", {"userGroups": ["x"]}, on("pods"), False),
    ("verb", {"verbs": ["get"]}, on("pods"), True),
    ("other verb", {"verbs": ["list"]}, on("pods"), False),
    ("resource", {"resources": [PODS]}, on("pods"), True),
    ("not its subresource", {"resources": [PODS]}, on("pods/log"), False),
    ("subresource", {"resources": [{"resources": ["pods/log"]}]}, on("pods/log"), True),
    ("not its resource", {"resources": [{"resources": ["pods/log"]}]}, on("pods"), False),
    ("every subresource", {"resources": [{"resources": ["pods/*"]}]}, on("pods/log"), True),
    ("subresource of all", {"resources": [{"resources": ["*/scale"]}]}, on("deployments/scale"), True),
    ("everything", {"resources": [{"resources": ["*"]}]}, on("pods/log"), True),
    ("whole group", {"resources": [{"group": "apps"}]}, on("deployments", group="apps"), True),
    ("other API group", {"resources": [{"group": "apps"}]}, on("pods"), False),
    ("any API group", {"resources": [{"group": "*", "resources": ["pods"]}]}, on("pods", group="x"), True),
    ("name", {"resources": [{**PODS, "resourceNames": ["a"]}]}, on("pods", name="a"), True),
    ("other name", {"resources": [{**PODS, "resourceNames": ["a"]}]}, on("pods", name="b"), False),
    ("namespace", {"namespaces": ["x"]}, on("pods", namespace="x"), True),
    ("no namespace", {"namespaces": [""]}, on("nodes"), True),
    ("other namespace", {"namespaces": ["x"]}, on("pods", namespace="y"), False),
    ("path", {"nonResourceURLs": ["/healthz*"]}, Attributes(JANE, "get", path="/healthz/ping"), True),
    ("other path", {"nonResourceURLs": ["/healthz"]}, Attributes(JANE, "get", path="/healthz/ping"), False),
    ("no path", {"nonResourceURLs": ["*"]}, on("pods"), False),
    ("no resource", {"resources": [PODS]}, Attributes(JANE, "get", path="/pods"), False),
]


@pytest.mark.parametrize(
    ("rule", "asked", "matches"), [row[1:] for row in MATCHES], ids=[row[0] for row in MATCHES]
)
def test_rules(rule: Object, asked: Attributes, matches: bool) -> None:
    verdict = parse(policy({"level": "Metadata", **rule})).evaluate(asked)
    assert verdict.level is (Level.Metadata if matches else Level.None_)


def test_the_first_rule_decides_and_stages_add_up() -> None:
    rules = parse(
        policy(
            {"level": "None", "verbs": ["watch"]},
            {"level": "Request", "omitStages": ["ResponseStarted"], "omitManagedFields": False},
            omitStages=["RequestReceived"],
            omitManagedFields=True,
        )
    )
    assert rules.evaluate(on("pods", "watch")).level is Level.None_
    verdict = rules.evaluate(on("pods"))
    assert verdict.omit_stages == {"RequestReceived", "ResponseStarted"}
    assert not verdict.omit_managed_fields


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({}, "no Policy"),
        (policy(), "0 rules"),
        ({**policy({"level": "None"}), "apiVersion": "audit.k8s.io/v2"}, "group version"),
        (policy({}), "rules[0].level: Required value"),
        (policy({"level": "All"}), 'rules[0].level: Unsupported value: "All"'),
        (policy({"level": "None", "nonResourceURLs": ["x"]}), "must begin with a '/'"),
        (policy({"level": "None", "nonResourceURLs": ["/a*b"]}), "must be the final character"),
        (policy({"level": "None", "nonResourceURLs": ["/a"], "namespaces": ["x"]}), "cannot apply to both"),
        (policy({"level": "None", "resources": [{"group": "apps/v1"}]}), "resources.group: Invalid value"),
        (
            policy({"level": "None", "resources": [{"resourceNames": ["a"]}]}),
            "requires at least one resource",
        ),
        (policy({"level": "None", "omitStages": ["Never"]}), "omitStages[0]: Invalid value"),
        (policy({"level": "None", "users": "jane"}), "must be a list"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_bad_policies(document: Object, why: str) -> None:
    with pytest.raises(BadPolicy, match=None) as caught:
        parse(document)
    assert why in str(caught.value)


def test_files_are_put_aside_and_removed(tmp_path: Path) -> None:
    now_s = [1_000_000.5]
    options = FileOptions(str(tmp_path / "audit.log"), max_age_days=1, max_backups=2, max_size_mib=1)
    file = LogFile(options, lambda: now_s[0])
    line = b"x" * (MIB // 2)
    for _ in range(9):
        file.write(line)
    assert len(list(tmp_path.glob("audit-1970-01-12T13-46-40.*.log"))) == 2
    assert (tmp_path / "audit.log").read_bytes() == line + b"\n"
    assert (tmp_path / "audit.log").stat().st_mode & 0o777 == 0o600
    now_s[0] += 2 * 24 * 3600
    file.rotate()
    assert [path.name for path in tmp_path.glob("audit-*")] == ["audit-1970-01-14T13-46-40.500.log"]
    file.close()


def test_old_files_are_compressed_and_a_new_start_goes_on(tmp_path: Path) -> None:
    options = FileOptions(str(tmp_path / "a" / "audit.log"), compress=True)
    first = LogFile(options, lambda: 0.0)
    first.write(b"one")
    first.close()
    second = LogFile(options, lambda: 0.0)
    second.write(b"two")
    second.rotate()
    second.close()
    (packed,) = (tmp_path / "a").glob("*.gz")
    assert gzip.decompress(packed.read_bytes()) == b"one\ntwo\n"


def test_a_throttle_lets_a_burst_through() -> None:
    throttle = Throttle(2.0, 3, 0.0)
    assert [throttle.take(0.0) for _ in range(5)] == [0.0, 0.0, 0.0, 0.5, 1.0]
    assert throttle.take(100.0) == 0.0


async def test_batches_are_full_or_in_time() -> None:
    sent: list[Sequence[bytes]] = []
    arrived = asyncio.Event()

    async def send(batch: Sequence[bytes]) -> None:
        sent.append(list(batch))
        arrived.set()

    buffer = Buffer(send, BatchOptions(buffer_size=10, max_size=2, max_wait_s=0.01), lambda events, why: None)
    running = asyncio.create_task(buffer.run())
    for event in (b"a", b"b", b"c"):
        buffer.add(event)
    while sum(map(len, sent)) < 3:
        arrived.clear()
        await asyncio.wait_for(arrived.wait(), 5)
    assert sent == [[b"a", b"b"], [b"c"]]
    running.cancel()


async def test_a_full_buffer_drops_and_a_stop_sends_what_is_left() -> None:
    lost: list[tuple[int, str]] = []
    sent: list[bytes] = []

    async def send(batch: Sequence[bytes]) -> None:
        sent.extend(batch)

    buffer = Buffer(send, BatchOptions(buffer_size=2, max_size=1), lambda *what: lost.append(what))
    for event in (b"a", b"b", b"c"):
        buffer.add(event)
    assert lost == [(1, "audit buffer queue blocked")]
    await buffer.drain(5.0)
    assert sent == [b"a", b"b"]
