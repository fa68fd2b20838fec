"""Extenders over HTTP: what they are asked, and what comes of their answers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from certs import tls
from certs.ca import CertificateAuthority
from control_plane.client.gvr import PODS
from control_plane.client.types import Obj
from control_plane.scheduler import config
from control_plane.scheduler.config import ConfigError, ProfileConfig
from control_plane.scheduler.extenders import Extenders
from control_plane.scheduler.scheduler import Scheduler
from tests.control_plane.scheduler.build import node, pod
from tests.control_plane.scheduler.test_scheduler import Cluster
from tests.control_plane.virtual_clock import settle

DEADLINE_S = 10.0
Answer = Callable[[Obj], Any]


class Server:
    """Answers each verb with a function of what it was asked; remembers the questions."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, Obj]] = []
        self.port = 0

    async def handle(self, request: web.BaseRequest) -> web.Response:
        verb, body = request.path.rpartition("/")[2], orjson.loads(await request.read())
        self.asked.append((verb, body))
        return web.json_response(self.answers[verb](body))

    @asynccontextmanager
    async def running(self, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
        runner = web.ServerRunner(web.Server(self.handle))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()


def document(extender: Obj) -> Obj:
    return {"apiVersion": config.API_VERSION, "kind": config.KIND, "extenders": [extender]}


@asynccontextmanager
async def cluster(server: Server, scheme: str = "http", **fields: Any) -> AsyncIterator[Cluster]:
    prefix = f"{scheme}://127.0.0.1:{server.port}/scheduler"
    parsed = config.parse(document({"urlPrefix": prefix, "weight": 1, **fields}))
    made = Cluster()
    made.scheduler = Scheduler(
        made.api.client("scheduler", clock=made.clock),
        lambda handle: {"default-scheduler": config.build(parsed.profiles[0], handle)},
        extenders=Extenders(parsed.extenders),
    )
    made.add(node("n1"), node("n2"), node("n3"))
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def until(check: Callable[[], Any]) -> Any:
    """The network takes real time."""
    async with asyncio.timeout(DEADLINE_S):
        while not (found := check()):
            await asyncio.sleep(0.01)
            await settle()
    return found


def only(*names: str) -> Answer:
    return lambda _: {"NodeNames": list(names), "FailedNodes": {}, "Error": ""}


FILTER = {"filterVerb": "filter", "nodeCacheCapable": True}


async def test_only_nodes_that_it_lets_through() -> None:
    async with Server({"filter": only("n2")}).running() as server, cluster(server, **FILTER) as made:
        made.add(pod("p", cpu="1"))
        assert await until(lambda: made.node_of("p")) == "n2"
        ((_, asked),) = server.asked
        assert asked["Pod"]["metadata"]["name"] == "p"
        assert sorted(asked["NodeNames"]) == ["n1", "n2", "n3"]


async def test_whole_nodes_for_who_keeps_none() -> None:
    def first(body: Obj) -> Obj:
        items = [each for each in body["Nodes"]["items"] if each["metadata"]["name"] == "n3"]
        return {"nodes": {"items": items}, "failedNodes": {"n1": "no", "n2": "no"}}

    async with Server({"filter": first}).running() as server, cluster(server, filterVerb="filter") as made:
        made.add(pod("p"))
        assert await until(lambda: made.node_of("p")) == "n3"
        assert server.asked[0][1]["Nodes"]["items"][0]["status"]["allocatable"]


async def test_its_scores_decide() -> None:
    def scores(body: Obj) -> list[Obj]:
        return [{"Host": name, "Score": 10 if name == "n1" else 0} for name in body["NodeNames"]]

    fields = {"prioritizeVerb": "prioritize", "weight": 5, "nodeCacheCapable": True}
    async with Server({"prioritize": scores}).running() as server, cluster(server, **fields) as made:
        for number in range(4):
            made.add(pod(f"p{number}", cpu="1"))
        await until(lambda: all(made.node_of(f"p{number}") for number in range(4)))
        assert {made.node_of(f"p{number}") for number in range(4)} == {"n1"}


async def test_why_it_refused_is_told() -> None:
    refused = {"NodeNames": [], "FailedNodes": {"n1": "no GPU", "n2": "no GPU", "n3": "too hot"}}
    async with Server({"filter": lambda _: refused}).running() as server, cluster(server, **FILTER) as made:
        made.add(pod("p"))
        condition = await until(lambda: found if (found := made.condition("p"))["message"] else None)
        assert condition["message"].startswith("0/3 nodes are available: 1 too hot, 2 no GPU.")


@pytest.mark.parametrize("ignorable", [False, True])
async def test_one_that_fails(ignorable: bool) -> None:
    failing = Server({"filter": lambda _: {"Error": "out of order"}})
    async with failing.running() as server, cluster(server, ignorable=ignorable, **FILTER) as made:
        made.add(pod("p"))
        if ignorable:
            assert await until(lambda: made.node_of("p"))
        else:
            await until(lambda: "out of order" in str(made.condition("p")["message"]))
            assert made.node_of("p") == ""


def low(name: str, on: str, **fields: Any) -> Obj:
    return pod(name, on=on, cpu="4", **fields)


def named(body: Obj, *nodes: str) -> Obj:
    """Of the candidates that it was asked about, those on these nodes."""
    victims = body["NodeNameToVictims"] or body["NodeNameToMetaVictims"]
    pods = {
        name: [each.get("UID") or each["metadata"]["uid"] for each in victims[name]["Pods"]] for name in nodes
    }
    return {
        "NodeNameToMetaVictims": {name: {"Pods": [{"UID": u} for u in uids]} for name, uids in pods.items()}
    }


@pytest.mark.parametrize("node_cache_capable", [False, True])
async def test_it_has_a_say_in_preemption(node_cache_capable: bool) -> None:
    server = Server({"preempt": lambda body: named(body, "n3")})
    fields = {"preemptVerb": "preempt", "nodeCacheCapable": node_cache_capable}
    async with server.running(), cluster(server, **fields) as made:
        made.add(low("a", "n1", priority=0), low("b", "n2", priority=1), low("c", "n3", priority=2))
        made.add(pod("vip", cpu="4", priority=10))
        await until(lambda: made.pod("c")["metadata"].get("deletionTimestamp"))
        assert made.pod("vip")["status"]["nominatedNodeName"] == "n3", "n1 would be better, but is not left"
        assert not any(made.pod(name)["metadata"].get("deletionTimestamp") for name in ("a", "b"))
        ((_, asked),) = server.asked
        assert (asked["NodeNameToVictims"] is None) is node_cache_capable
        assert asked["Pod"]["metadata"]["name"] == "vip"


@pytest.mark.parametrize(
    ("answer", "ignorable", "said"),
    [
        pytest.param({}, False, "no candidate node for preemption", id="nobody may go"),
        pytest.param(
            {"n1": {"Pods": []}}, False, "victims on node 'n1' that are none", id="a node without victims"
        ),
        pytest.param(
            {"n1": {"Pods": []}}, True, "no candidate node for preemption", id="... of one that is ignorable"
        ),
        pytest.param({"n9": {"Pods": [{"UID": "x"}]}}, False, "that are none", id="another node"),
    ],
)
async def test_what_it_says_of_preemption(answer: Obj, ignorable: bool, said: str) -> None:
    server = Server({"preempt": lambda _: {"NodeNameToMetaVictims": answer}})
    fields = {"preemptVerb": "preempt", "ignorable": ignorable}
    async with server.running(), cluster(server, **fields) as made:
        made.add(*(low(f"low-{name}", name) for name in ("n1", "n2", "n3")), pod("vip", cpu="4", priority=10))
        await until(lambda: said in str(made.condition("vip")["message"]))
        assert not any(each["metadata"].get("deletionTimestamp") for each in made.api.list(PODS))


async def test_it_binds() -> None:
    server = Server({"bind": lambda _: {"Error": ""}})
    async with server.running(), cluster(server, bindVerb="bind") as made:
        made.add(pod("p"))
        await until(lambda: server.asked)
        assert (server.asked[0][1]["PodName"], server.asked[0][1]["PodNamespace"]) == ("p", "default")
        assert made.api.requests("POST", "/binding") == []


async def test_its_binding_that_was_written_counts_whatever_it_answers() -> None:
    """It bound the pod and says that it failed: what the pod was promised must not be given back."""

    def bind(body: Obj) -> Obj:
        bound = made.pod("p")
        bound["spec"]["nodeName"] = body["Node"]
        made.api.update(PODS, bound)
        return {"Error": "the answer was lost"}

    server = Server({"bind": bind})
    async with server.running(), cluster(server, bindVerb="bind") as made:
        made.add(pod("p"))
        await until(lambda: made.events("Scheduled"))
        assert made.events("FailedScheduling") == []
        assert len(server.asked) == 1


async def test_only_pods_that_ask_for_its_resources() -> None:
    managed = [{"name": "x/gpu", "ignoredByScheduler": True}]
    async with (
        Server({"filter": only("n2")}).running() as server,
        cluster(server, managedResources=managed, **FILTER) as made,
    ):
        made.add(pod("plain"), pod("gpu", requests={"x/gpu": "1"}))
        assert await until(lambda: made.node_of("gpu")) == "n2", (
            "no node has x/gpu: that is its business alone"
        )
        await until(lambda: made.node_of("plain"))
        assert len(server.asked) == 1


async def test_over_tls(tmp_path: Path) -> None:
    authority = CertificateAuthority.create("test-ca")
    authority.write(tmp_path / "ca.crt", tmp_path / "ca.key")
    authority.issue_server("extender", ["127.0.0.1"]).write(tmp_path / "s.crt", tmp_path / "s.key")
    context = tls.server_context(tmp_path / "s.crt", tmp_path / "s.key")
    fields = {**FILTER, "enableHTTPS": True, "tlsConfig": {"caFile": str(tmp_path / "ca.crt")}}
    async with (
        Server({"filter": only("n1")}).running(context) as server,
        cluster(server, "https", **fields) as made,
    ):
        made.add(pod("p"))
        assert await until(lambda: made.node_of("p")) == "n1"


@pytest.mark.parametrize(
    ("extender", "said"),
    [
        pytest.param({}, "urlPrefix is needed", id="no address"),
        pytest.param({"urlPrefix": "x", "colour": 1}, "unknown field 'colour'", id="unknown field"),
        pytest.param({"urlPrefix": "x", "prioritizeVerb": "p"}, "weight .* must be positive", id="no weight"),
        pytest.param({"urlPrefix": "x", "httpTimeout": "soon"}, "not a duration", id="timeout"),
    ],
)
def test_what_is_wrong_in_its_configuration(extender: Obj, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config.parse(document(extender))


def test_a_timeout_is_read() -> None:
    (parsed,) = config.parse(document({"urlPrefix": "http://x/", "httpTimeout": "150ms"})).extenders
    assert (parsed.timeout_s, parsed.url) == (0.15, "http://x")
    assert config.parse(document({"urlPrefix": "x"})).profiles == [ProfileConfig()]
