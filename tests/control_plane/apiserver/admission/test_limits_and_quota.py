"""LimitRanger and ResourceQuota: defaults, bounds, sums, scopes, and charges that race."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from control_plane.api import meta, quantity
from control_plane.api.errors import StatusError
from control_plane.apiserver.admission import pod_resources
from control_plane.apiserver.admission.plugins.limit_ranger import LimitRanger
from control_plane.apiserver.admission.plugins.resource_quota import ResourceQuota
from control_plane.apiserver.admission.quota import ledger, scopes
from control_plane.apiserver.admission.quota.usage import usage
from tests.control_plane.apiserver.admission.helpers import UPDATE, FakeWriter, dependencies, request
from tests.control_plane.apiserver.authn.fakes import NOW_S, FakeReader, Object, obj


def container(name: str = "c", requests: Any = None, limits: Any = None, **fields: Any) -> Object:
    resources = {"requests": requests or {}, "limits": limits or {}}
    return {"name": name, "resources": resources, **fields}


def pod(*containers: Object, name: str = "web", **spec: Any) -> Object:
    return obj(name, "ns", spec={"containers": list(containers), **spec})


def text(resources: dict[str, quantity.Quantity]) -> dict[str, str]:
    return {name: str(value) for name, value in resources.items() if not value.is_zero}


class TestPodResources:
    def test_containers_add_up(self) -> None:
        spec = pod(container(requests={"cpu": "1"}), container(requests={"cpu": "500m", "memory": "1Gi"}))[
            "spec"
        ]
        assert text(pod_resources.of_pod(spec, "requests")) == {"cpu": "1500m", "memory": "1Gi"}

    def test_the_greatest_init_container_counts(self) -> None:
        init = [container("i", {"cpu": "3"}), container("j", {"cpu": "2", "memory": "1Mi"})]
        spec = pod(container(requests={"cpu": "1"}), initContainers=init)["spec"]
        assert text(pod_resources.of_pod(spec, "requests")) == {"cpu": "3", "memory": "1Mi"}

    def test_sidecars_run_beside(self) -> None:
        init = [container("s", {"cpu": "1"}, restartPolicy="Always"), container("i", {"cpu": "2"})]
        spec = pod(container(requests={"cpu": "1"}), initContainers=init)["spec"]
        assert text(pod_resources.of_pod(spec, "requests")) == {"cpu": "3"}

    def test_overhead_and_pod_level(self) -> None:
        made = pod(
            container(requests={"cpu": "1"}), overhead={"cpu": "250m"}, resources={"requests": {"cpu": "2"}}
        )
        assert text(pod_resources.of_pod(made["spec"], "requests")) == {"cpu": "2250m"}


def limit_range(*limits: Object) -> Object:
    return obj("lr", "ns", spec={"limits": list(limits)})


def ranger(*limits: Object) -> LimitRanger:
    return LimitRanger(dependencies(FakeReader(limitranges=[limit_range(*limits)])))


class TestLimitRanger:
    async def test_defaults(self) -> None:
        item = {
            "type": "Container",
            "default": {"cpu": "1", "memory": "1Gi"},
            "defaultRequest": {"cpu": "100m"},
        }
        made = pod(container(limits={"cpu": "2"}), initContainers=[container("i")])
        await ranger(item).mutate(request("pods", made))
        assert made["spec"]["containers"][0]["resources"] == {
            "requests": {"cpu": "100m"},
            "limits": {"cpu": "2", "memory": "1Gi"},
        }
        assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
            "LimitRanger plugin set: cpu request for container c; memory limit for container c; "
            "cpu request for init container i; cpu, memory limit for init container i"
        )

    @pytest.mark.parametrize(
        ("item", "made", "message"),
        [
            ({"min": {"cpu": "100m"}}, container(requests={"cpu": "100m"}), None),
            (
                {"min": {"cpu": "100m"}},
                container(requests={"cpu": "50m"}),
                "minimum cpu usage per Container is 100m, but request is 50m",
            ),
            (
                {"min": {"cpu": "1"}},
                container(),
                "minimum cpu usage per Container is 1.  No request is specified",
            ),
            (
                {"max": {"memory": "1Gi"}},
                container(limits={"memory": "2Gi"}),
                "maximum memory usage per Container is 1Gi, but limit is 2Gi",
            ),
            (
                {"max": {"cpu": "1"}},
                container(),
                "maximum cpu usage per Container is 1.  No limit is specified",
            ),
            ({"maxLimitRequestRatio": {"cpu": "2"}}, container("c", {"cpu": "1"}, {"cpu": "2"}), None),
            (
                {"maxLimitRequestRatio": {"cpu": "2"}},
                container("c", {"cpu": "1"}, {"cpu": "3"}),
                "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
            ),
        ],
    )
    async def test_container_bounds(self, item: Any, made: Object, message: str | None) -> None:
        asked = request("pods", pod(made))
        if message is None:
            await ranger({"type": "Container", **item}).validate(asked)
            return
        with pytest.raises(StatusError) as caught:
            await ranger({"type": "Container", **item}).validate(asked)
        assert caught.value.message == f'pods "web" is forbidden: {message}'

    async def test_pod_bounds_are_about_the_sum(self) -> None:
        item = {"type": "Pod", "max": {"cpu": "3"}}
        two = [container("a", limits={"cpu": "2"}), container("b", limits={"cpu": "2"})]
        with pytest.raises(StatusError, match="maximum cpu usage per Pod is 3, but limit is 4"):
            await ranger(item).validate(request("pods", pod(*two)))

    async def test_claims(self) -> None:
        item = {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}
        claim = obj("c", "ns", spec={"resources": {"requests": {"storage": "3Gi"}}})
        with pytest.raises(StatusError, match="maximum storage usage per PersistentVolumeClaim is 2Gi"):
            await ranger(item).validate(request("persistentvolumeclaims", claim))

    async def test_several_findings(self) -> None:
        item = {"type": "Container", "min": {"cpu": "1", "memory": "1Gi"}}
        with pytest.raises(StatusError, match=r"forbidden: \[minimum cpu .*, minimum memory "):
            await ranger(item).validate(request("pods", pod(container())))

    async def test_updates_of_pods_are_not_looked_at(self) -> None:
        item = {"type": "Container", "min": {"cpu": "1"}}
        await ranger(item).validate(request("pods", pod(container()), UPDATE))


@pytest.mark.parametrize(
    ("resource", "made", "expected"),
    [
        ("configmaps", obj("x"), {"count/configmaps": "1", "configmaps": "1"}),
        ("deployments.apps", obj("x"), {"count/deployments.apps": "1"}),
        (
            "pods",
            pod(container("c", {"cpu": "1", "nvidia.com/gpu": "2"}, {"memory": "1Gi"})),
            {
                "count/pods": "1",
                "pods": "1",
                "cpu": "1",
                "requests.cpu": "1",
                "requests.nvidia.com/gpu": "2",
                "limits.memory": "1Gi",
            },
        ),
        (
            "pods",
            {**pod(container("c", {"cpu": "1"})), "status": {"phase": "Succeeded"}},
            {"count/pods": "1"},
        ),
        (
            "services",
            obj("s", spec={"type": "LoadBalancer", "ports": [{}, {}]}),
            {
                "count/services": "1",
                "services": "1",
                "services.loadbalancers": "1",
                "services.nodeports": "2",
            },
        ),
        ("services", obj("s", spec={"ports": [{}]}), {"count/services": "1", "services": "1"}),
        (
            "persistentvolumeclaims",
            obj("c", spec={"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}),
            {
                "count/persistentvolumeclaims": "1",
                "persistentvolumeclaims": "1",
                "requests.storage": "1Gi",
                "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
                "gold.storageclass.storage.k8s.io/requests.storage": "1Gi",
            },
        ),
    ],
)
def test_usage(resource: str, made: Object, expected: Any) -> None:
    name, _, group = resource.partition(".")
    assert text(usage(group, name, made, NOW_S)) == expected


def test_a_pod_whose_time_to_end_is_over_uses_nothing() -> None:
    made = pod(container("c", {"cpu": "1"}))
    made["metadata"] |= {"deletionTimestamp": meta.rfc3339(NOW_S - 1), "deletionGracePeriodSeconds": 30}
    assert text(usage("", "pods", made, NOW_S)) == {"count/pods": "1"}


def in_class(operator: str, *values: str) -> Object:
    return {"scopeName": "PriorityClass", "operator": operator, "values": list(values)}


@pytest.mark.parametrize(
    ("spec", "made", "expected"),
    [
        ({"scopes": ["BestEffort"]}, pod(container()), True),
        ({"scopes": ["BestEffort"]}, pod(container("c", {"cpu": "1"})), False),
        ({"scopes": ["NotBestEffort"]}, pod(container("c", None, {"memory": "1"})), True),
        ({"scopes": ["Terminating"]}, pod(activeDeadlineSeconds=5), True),
        ({"scopes": ["NotTerminating"]}, pod(activeDeadlineSeconds=5), False),
        (
            {"scopeSelector": {"matchExpressions": [in_class("In", "high")]}},
            pod(priorityClassName="high"),
            True,
        ),
        (
            {"scopeSelector": {"matchExpressions": [in_class("NotIn", "high")]}},
            pod(priorityClassName="high"),
            False,
        ),
        ({"scopeSelector": {"matchExpressions": [in_class("Exists")]}}, pod(), False),
        ({"scopeSelector": {"matchExpressions": [in_class("DoesNotExist")]}}, pod(), True),
        ({"scopes": ["Terminating", "BestEffort"]}, pod(container(), activeDeadlineSeconds=5), True),
        (
            {"scopes": ["CrossNamespacePodAffinity"]},
            pod(
                affinity={
                    "podAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["other"]}]
                    }
                }
            ),
            True,
        ),
        ({"scopes": ["CrossNamespacePodAffinity"]}, pod(), False),
    ],
)
def test_scopes(spec: Any, made: Object, expected: bool) -> None:
    assert scopes.matches({"spec": spec}, "", "pods", made) is expected


def test_a_scope_for_pods_excludes_all_else() -> None:
    assert not scopes.matches({"spec": {"scopes": ["BestEffort"]}}, "", "configmaps", obj("x"))


def quota(hard: Any, used: Any = None, name: str = "q", **spec: Any) -> Object:
    status = {"hard": hard, "used": used or dict.fromkeys(hard, "0")}
    return obj(name, "ns", metadata={"resourceVersion": "1"}, spec={"hard": hard, **spec}, status=status)


class World:
    def __init__(self, *quotas: Object, **resources: Any) -> None:
        self.reader = FakeReader(resourcequotas=quotas, **resources)
        self.writer = FakeWriter(self.reader)
        self.plugin = ResourceQuota(dependencies(self.reader, writer=self.writer))

    async def create(self, resource: str, made: Object, **more: Any) -> None:
        await self.plugin.validate(request(resource, made, **more))

    def used(self, name: str = "q") -> Any:
        stored = self.reader.get("", "resourcequotas", "ns", name)
        assert stored is not None
        return stored["status"]["used"]


class TestResourceQuota:
    async def test_charges(self) -> None:
        world = World(quota({"pods": "2", "requests.cpu": "2"}))
        await world.create("pods", pod(container("c", {"cpu": "500m"})))
        assert world.used() == {"pods": "1", "requests.cpu": "500m"}
        await world.create("configmaps", obj("x"))
        assert world.writer.writes == 1, "no quota counts config maps"

    async def test_refuses(self) -> None:
        world = World(quota({"pods": "2", "requests.cpu": "2"}, {"pods": "1", "requests.cpu": "1900m"}))
        with pytest.raises(StatusError) as caught:
            await world.create("pods", pod(container("c", {"cpu": "200m"})))
        assert caught.value.code == 403
        assert caught.value.message == (
            'pods "web" is forbidden: exceeded quota: q, requested: requests.cpu=200m, used: requests.cpu=1900m, '
            "limited: requests.cpu=2"
        )
        assert world.writer.writes == 0

    async def test_what_is_counted_must_be_said(self) -> None:
        world = World(quota({"limits.cpu": "2", "requests.memory": "1Gi"}))
        with pytest.raises(StatusError) as caught:
            await world.create("pods", pod(container("a"), container("b", None, {"cpu": "1"})))
        assert caught.value.message.endswith(
            "failed quota: q: must specify limits.cpu for: a; requests.memory for: a,b"
        )

    async def test_every_quota_counts(self) -> None:
        scoped = quota({"pods": "1"}, name="scoped", scopes=["BestEffort"])
        world = World(quota({"pods": "5"}), scoped)
        await world.create("pods", pod(container()))
        await world.create("pods", pod(container("c", {"cpu": "1"})))
        assert (world.used(), world.used("scoped")) == ({"pods": "2"}, {"pods": "1"})

    async def test_dry_run_checks_and_does_not_charge(self) -> None:
        world = World(quota({"pods": "1"}))
        await world.create("pods", pod(container()), dry_run=True)
        assert world.writer.writes == 0

    async def test_an_update_is_charged_what_it_adds(self) -> None:
        world = World(quota({"services.nodeports": "2"}, {"services.nodeports": "1"}))
        old = obj("s", "ns", spec={"type": "NodePort", "ports": [{}]})
        new = obj("s", "ns", spec={"type": "NodePort", "ports": [{}, {}]})
        await world.create("services", new, operation=UPDATE, old=old)
        assert world.used() == {"services.nodeports": "2"}
        await world.create("services", old, operation=UPDATE, old=new)
        assert world.used() == {"services.nodeports": "2"}, "what is given back is for the recount"

    async def test_a_lost_swap_is_tried_again(self) -> None:
        world = World(quota({"pods": "5"}))
        world.writer.lose = 3
        await world.create("pods", pod(container()))
        assert world.used() == {"pods": "1"}

    async def test_but_not_for_ever(self) -> None:
        world = World(quota({"pods": "5"}))
        world.writer.lose = 1000
        with pytest.raises(StatusError) as caught:
            await world.create("pods", pod(container()))
        assert caught.value.code == 409

    async def test_many_at_once_get_just_what_there_is(self) -> None:
        world = World(quota({"pods": "7"}))
        others = ResourceQuota(dependencies(world.reader, writer=world.writer))  # another replica
        asked = [request("pods", pod(container(), name=f"p{i}")) for i in range(20)]
        tries = [(world.plugin if i % 2 else others).validate(each) for i, each in enumerate(asked)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(result is None for result in results) == 7
        assert world.used() == {"pods": "7"}

    async def test_a_new_quota_counts_what_is_there(self) -> None:
        fresh = obj("q", "ns", metadata={"resourceVersion": "1"}, spec={"hard": {"pods": "2", "cpu": "4"}})
        there = pod(container("c", {"cpu": "1"}), name="there")
        world = World(fresh, pods=[there])
        await world.create("pods", pod(container("c", {"cpu": "1"})))
        assert world.used() == {"pods": "2", "cpu": "2"}
        with pytest.raises(StatusError, match="exceeded quota"):
            await world.create("pods", pod(container("c", {"cpu": "1"}), name="more"))

    async def test_status_updates_cost_nothing(self) -> None:
        world = World(quota({"pods": "1"}, {"pods": "1"}))
        await world.create("pods/status", pod(container()), operation=UPDATE)
        await world.create("pods", pod(container()), operation=UPDATE)


def test_recount() -> None:
    made = quota({"pods": "5", "count/jobs.batch": "2", "requests.cpu": "4"}, {"pods": "5"})
    objects = {
        ("", "pods"): [pod(container("c", {"cpu": "1"})), pod(container("c", {"cpu": "2"}))],
        ("batch", "jobs"): [obj("j")],
    }
    counted = ledger.recount(
        made, lambda group, resource: objects.get((group, resource), []), list(objects), NOW_S
    )
    assert counted["status"]["used"] == {"pods": "2", "count/jobs.batch": "1", "requests.cpu": "3"}
    assert made["status"]["used"] == {"pods": "5"}
