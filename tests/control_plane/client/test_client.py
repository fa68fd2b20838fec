"""The client's verbs, errors and retries against an API in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import pytest

from control_plane.api import errors
from control_plane.api.errors import StatusError
from control_plane.client.client import Client
from control_plane.client.errors import ConnectionFailed, NotSent
from control_plane.client.gvr import CONFIGMAPS, DEPLOYMENTS, GVR, NODES, PODS
from control_plane.client.types import Obj
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.virtual_clock import VirtualClock


def configmap(name: str, **data: str) -> Obj:
    return {"metadata": {"name": name, "namespace": "default"}, "data": data}


@pytest.mark.parametrize(
    ("gvr", "arguments", "path"),
    [
        pytest.param(PODS, ("default", "a"), "/api/v1/namespaces/default/pods/a", id="core"),
        pytest.param(PODS, (), "/api/v1/pods", id="all namespaces"),
        pytest.param(NODES, ("", "n1", "status"), "/api/v1/nodes/n1/status", id="cluster-scoped"),
        pytest.param(NODES, ("ignored", "n1"), "/api/v1/nodes/n1", id="cluster-scoped has no namespace"),
        pytest.param(DEPLOYMENTS, ("x", "d"), "/apis/apps/v1/namespaces/x/deployments/d", id="group"),
        pytest.param(
            GVR("rbac.authorization.k8s.io", "v1", "clusterroles", False),
            ("", "system:node"),
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node",
            id="colon stays",
        ),
        pytest.param(PODS, ("default", "a/b"), "/api/v1/namespaces/default/pods/a%2Fb", id="slash does not"),
    ],
)
def test_paths(gvr: GVR, arguments: tuple[str, ...], path: str) -> None:
    assert gvr.path(*arguments) == path


async def test_verbs_round_trip() -> None:
    api = FakeApi()
    async with api.client() as client:
        made = await client.create(CONFIGMAPS, configmap("a", x="1"))
        assert (await client.get(CONFIGMAPS, "a", "default"))["data"] == {"x": "1"}
        made["data"] = {"x": "2"}
        updated = await client.update(CONFIGMAPS, made)
        assert updated["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
        patched = await client.patch(CONFIGMAPS, "a", {"data": {"y": "3"}}, "default")
        assert patched["data"] == {"x": "2", "y": "3"}
        await client.delete(CONFIGMAPS, "a", "default")
        with pytest.raises(StatusError) as refused:
            await client.get(CONFIGMAPS, "a", "default")
    assert errors.is_not_found(refused.value)
    assert refused.value.message == 'configmaps "a" not found'


async def test_stale_update_is_a_conflict() -> None:
    api = FakeApi()
    made = api.create(CONFIGMAPS, configmap("a"))
    api.update(CONFIGMAPS, configmap("a", x="1"))
    with pytest.raises(StatusError) as refused:
        await api.client().update(CONFIGMAPS, made)
    assert errors.is_conflict(refused.value)


async def test_delete_precondition() -> None:
    api = FakeApi()
    api.create(CONFIGMAPS, configmap("a"))
    with pytest.raises(StatusError) as refused:
        await api.client().delete(CONFIGMAPS, "a", "default", uid="another")
    assert errors.is_conflict(refused.value)
    assert api.get(CONFIGMAPS, "a", "default") is not None


async def test_list_fills_in_kinds_and_pages() -> None:
    api = FakeApi()
    for name in "abc":
        api.create(CONFIGMAPS, configmap(name))
    client = api.client()
    first = await client.list(CONFIGMAPS, limit=2)
    second = await client.list(CONFIGMAPS, limit=2, continue_token=first.continue_token)
    assert [item["metadata"]["name"] for item in first.items + second.items] == ["a", "b", "c"]
    assert first.items[0]["kind"] == "ConfigMap"
    assert first.items[0]["apiVersion"] == "v1"
    assert second.continue_token == ""


async def test_field_manager_and_user_agent_travel() -> None:
    api = FakeApi()
    client = api.client().named("deployment-controller", field_manager="deployment")
    await client.create(CONFIGMAPS, configmap("a"))
    assert api.log[-1].user_agent == "deployment-controller"
    assert api.log[-1].params["fieldManager"] == "deployment"


Call = Callable[[Client], object]


async def create(client: Client) -> object:
    return await client.create(CONFIGMAPS, configmap("new"))


async def read(client: Client) -> object:
    return await client.list(CONFIGMAPS)


def too_many() -> Exception:
    return errors.too_many_requests(retry_after_s=1)


@pytest.mark.parametrize(
    ("call", "failure", "sent_again"),
    [
        pytest.param(create, lambda: NotSent("refused"), True, id="write that was not sent"),
        pytest.param(create, lambda: ConnectionFailed("reset"), False, id="write that may have arrived"),
        pytest.param(create, too_many, True, id="write turned away with 429"),
        pytest.param(create, lambda: errors.service_unavailable("x", 1), False, id="write answered with 503"),
        pytest.param(read, lambda: ConnectionFailed("reset"), True, id="read that broke"),
        pytest.param(read, too_many, True, id="read turned away with 429"),
        pytest.param(
            read, lambda: errors.service_unavailable("x", 1), True, id="read with 503 and Retry-After"
        ),
        pytest.param(read, lambda: errors.service_unavailable("x"), False, id="read with 503 alone"),
        pytest.param(read, lambda: errors.forbidden("", "x", "", "no"), False, id="read refused"),
    ],
)
async def test_what_is_sent_again(call: Call, failure: Callable[[], Exception], sent_again: bool) -> None:
    api = FakeApi()
    clock = VirtualClock()
    api.fail_next(lambda *_: True, failure)
    task = asyncio.ensure_future(call(api.client(clock=clock)))  # type: ignore[arg-type]
    await clock.advance(10)
    assert task.done()
    assert (task.exception() is None) == sent_again
    assert len(api.log) == (2 if sent_again else 1)


async def test_retries_are_bounded() -> None:
    api = FakeApi()
    clock = VirtualClock()
    api.fail_next(lambda *_: True, lambda: NotSent("refused"), times=1000)
    task = asyncio.ensure_future(create(api.client(clock=clock)))
    await clock.advance(60)
    assert isinstance(task.exception(), NotSent)
    assert len(api.log) == 6


async def test_requests_under_way_are_counted() -> None:
    """While they are, and no longer: whatever their end."""
    api = FakeApi()
    client = api.client()
    seen: list[int] = []

    def note(method: str, where: str) -> bool:
        seen.append(client.under_way)
        return method == "GET"

    api.fail_next(note, lambda: errors.not_found("", "configmaps", "a"))
    await asyncio.gather(*(client.create(CONFIGMAPS, configmap(name)) for name in "ab"))
    with pytest.raises(StatusError):
        await client.get(CONFIGMAPS, "a", "default")
    assert seen
    assert min(seen) > 0
    assert client.under_way == 0


async def test_watch_resumes_without_gap_or_double() -> None:
    api = FakeApi()
    clock = VirtualClock()
    client = api.client(clock=clock)
    start = (await client.list(CONFIGMAPS)).resource_version
    seen: list[str] = []

    async def follow() -> None:
        async with aclosing(client.watch(CONFIGMAPS, resource_version=start)) as events:
            async for event in events:
                seen.append(event.object["metadata"]["name"])

    task = asyncio.ensure_future(follow())
    for turn, name in enumerate("abcdef"):
        api.create(CONFIGMAPS, configmap(name))
        if turn % 2:
            await clock.advance(1)
        [api.break_watches, api.end_watches][turn % 2]()
    await clock.advance(30)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert seen == list("abcdef")
    assert api.watch_count == 0


async def test_watch_raises_when_history_is_gone() -> None:
    api = FakeApi()
    client = api.client(clock=VirtualClock())
    start = (await client.list(CONFIGMAPS)).resource_version
    api.create(CONFIGMAPS, configmap("a"))
    api.compact()
    with pytest.raises(StatusError) as refused:
        async with aclosing(client.watch(CONFIGMAPS, resource_version=start)) as events:
            await anext(events)
    assert errors.is_gone(refused.value)
