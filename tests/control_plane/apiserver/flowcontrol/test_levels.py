"""Seats of levels: shares, lending and borrowing, division; and what a server keeps of its bootstrap objects."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from control_plane.api import flowcontrol as bootstrap
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.flowcontrol.allocation import Wish, allocate
from control_plane.apiserver.flowcontrol.controller import with_condition
from control_plane.apiserver.flowcontrol.demand import DemandStats, Integrator
from control_plane.apiserver.flowcontrol.estimate import Watches, Work, list_work, write_work
from control_plane.apiserver.flowcontrol.fairness import Fairness
from control_plane.apiserver.flowcontrol.levels import Levels
from control_plane.apiserver.flowcontrol.maintenance import updated
from control_plane.apiserver.flowcontrol.matching import distinguisher, matcher
from control_plane.apiserver.flowcontrol.queueset import State, Ticket
from control_plane.apiserver.flowcontrol.retry_after import MAX_RETRY_AFTER_S, RetryAfter
from control_plane.apiserver.flowcontrol.tallies import Tally
from control_plane.apiserver.limits import InFlight
from control_plane.apiserver.routes import RequestInfo, request_info
from control_plane.apiserver.storage import codec
from control_plane.apiserver.watch_cache.cache import ResourceCache
from control_plane.apiserver.watch_cache.entry import Entry

Object = dict[str, Any]

MANDATORY = {each["metadata"]["name"]: each for each in bootstrap.mandatory_levels()}
NODE = UserInfo("system:node:a", "", ("system:nodes", "system:authenticated"))
ADMIN = UserInfo("admin", "", ("system:masters", "system:authenticated"))
ACCOUNT = UserInfo(
    "system:serviceaccount:kube-system:job-controller", "", ("system:serviceaccounts", "system:authenticated")
)
POD = UserInfo(
    "system:serviceaccount:default:default", "", ("system:serviceaccounts", "system:authenticated")
)
JANE = UserInfo("jane", "", ("system:authenticated",))
MANAGER = UserInfo("system:kube-controller-manager", "", ("system:authenticated",))


def schema_of(user: UserInfo, info: RequestInfo) -> str:
    schemas = [*bootstrap.mandatory_schemas(), *bootstrap.suggested_schemas()]
    schemas.sort(key=lambda each: (each["spec"]["matchingPrecedence"], each["metadata"]["name"]))
    return next(each["metadata"]["name"] for each in schemas if matcher(each)(user, info))


@pytest.mark.parametrize(
    ("user", "method", "path", "schema"),
    [
        (ADMIN, "GET", "/api/v1/pods", "exempt"),
        (JANE, "GET", "/healthz", "probes"),
        (JANE, "GET", "/livez/ping", "probes"),
        (JANE, "GET", "/version", "global-default"),
        (JANE, "GET", "/api/v1/pods", "global-default"),
        (NODE, "PATCH", "/api/v1/nodes/a/status", "system-node-high"),
        (NODE, "PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/a", "system-node-high"),
        (NODE, "GET", "/api/v1/namespaces/x/secrets/y", "system-nodes"),
        (NODE, "GET", "/api/v1/nodes/a/proxy", "system-nodes"),
        (
            MANAGER,
            "PUT",
            "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/a",
            "system-leader-election",
        ),
        (MANAGER, "PATCH", "/apis/apps/v1/namespaces/a/deployments/b/status", "kube-controller-manager"),
        (ACCOUNT, "GET", "/api/v1/pods", "kube-system-service-accounts"),
        (POD, "GET", "/api/v1/namespaces/default/pods", "service-accounts"),
    ],
    ids=lambda each: each.name if isinstance(each, UserInfo) else str(each),
)
def test_classification(user: UserInfo, method: str, path: str, schema: str) -> None:
    assert schema_of(user, request_info(method, path, {})) == schema


def test_flows() -> None:
    info = request_info("GET", "/api/v1/namespaces/x/pods", {})
    assert distinguisher({"spec": {"distinguisherMethod": {"type": "ByUser"}}}, JANE, info) == "jane"
    assert distinguisher({"spec": {"distinguisherMethod": {"type": "ByNamespace"}}}, JANE, info) == "x"
    assert distinguisher({"spec": {}}, JANE, info) == ""


def bootstrap_levels(seats: int = 600) -> Levels:
    levels = Levels(seats)
    levels.digest(bootstrap.suggested_levels(), MANDATORY, 0.0)
    return levels


def test_nominal_seats_are_kubernetes_own() -> None:
    levels = bootstrap_levels().by_name
    assert {name: (level.nominal, level.lower) for name, level in levels.items()} == {
        "catch-all": (13, 13),
        "exempt": (0, 0),
        "global-default": (49, 25),
        "leader-election": (25, 25),
        "node-high": (98, 74),
        "system": (74, 50),
        "workload-high": (98, 49),
        "workload-low": (245, 25),
    }


def ask(levels: Levels, name: str, count: int, now_s: float) -> list[Ticket]:
    tickets = [Ticket(Tally("schema", name), 1) for _ in range(count)]
    for each in tickets:
        levels.by_name[name].queues.start(each, (0, 1, 2, 3), now_s)
    return tickets


def test_seats_go_where_they_are_asked_for() -> None:
    levels = bootstrap_levels()
    tickets = ask(levels, "global-default", 200, 1.0)
    before = sum(each.state is State.EXECUTING for each in tickets)
    served = levels.rebalance(11.0)
    level = levels.by_name["global-default"]
    assert level.queues.limit > level.nominal
    assert len(served) == min(level.queues.limit, 200) - before
    assert sum(each.queues.limit for each in levels.by_name.values()) <= 610
    assert all(each.lower <= each.queues.limit <= each.upper for each in levels.by_name.values())


def test_a_borrowing_limit_is_kept() -> None:
    config = deepcopy(bootstrap.suggested_levels()[-1])
    config["spec"]["limited"]["borrowingLimitPercent"] = 0
    levels = Levels(600)
    levels.digest([*bootstrap.suggested_levels()[:-1], config], MANDATORY, 0.0)
    ask(levels, "global-default", 200, 1.0)
    levels.rebalance(11.0)
    assert levels.by_name["global-default"].queues.limit == levels.by_name["global-default"].nominal


def test_a_level_whose_object_is_gone_serves_who_is_there() -> None:
    levels = bootstrap_levels()
    (ticket,) = ask(levels, "system", 1, 0.0)
    levels.digest([], MANDATORY, 1.0)
    level = levels.by_name["system"]
    assert level.quiescing
    level.queues.finish(ticket, 2.0)
    levels.rebalance(10.0)
    assert set(levels.by_name) == set(MANDATORY)


BROKEN: list[Object] = [
    {"type": "Limited"},
    {"type": "Exempt", "exempt": {}},
    {"type": "Limited", "limited": {"limitResponse": {"type": "Queue"}}},
    {
        "type": "Limited",
        "limited": {
            "limitResponse": {
                "type": "Queue",
                "queuing": {"queues": 4, "handSize": 5, "queueLengthLimit": 1},
            }
        },
    },
]


@pytest.mark.parametrize("spec", BROKEN, ids=["no union", "wrong name", "no queuing", "hand too large"])
def test_what_describes_no_level_is_left_out(spec: Object) -> None:
    levels = Levels(100)
    levels.digest([{"metadata": {"name": "odd"}, "spec": spec}], MANDATORY, 0.0)
    assert set(levels.by_name) == set(MANDATORY)


@pytest.mark.parametrize(
    ("total", "wishes", "shares"),
    [
        (10, [Wish(0, 100, 1), Wish(0, 100, 4)], [2, 8]),
        (10, [Wish(0, 3, 1), Wish(0, 100, 1)], [3, 7]),
        (10, [Wish(6, 100, 1), Wish(0, 100, 1)], [6, 4]),
        (10, [Wish(6, 9, 1), Wish(5, 9, 1)], [6, 5]),
        (30, [Wish(0, 9, 1), Wish(0, 9, 1)], [9, 9]),
        (6, [Wish(0, 10, 0), Wish(1, 10, 0)], [3, 3]),
    ],
    ids=["in proportion", "bounded above", "bounded below", "too little", "too much", "no wishes"],
)
def test_division(total: float, wishes: list[Wish], shares: list[float]) -> None:
    assert allocate(total, wishes)[0] == pytest.approx(shares)


def test_demand_follows_a_rise_at_once_and_forgets_slowly() -> None:
    integrator, stats = Integrator(0.0), DemandStats()
    integrator.set(10, 0.0)
    stats.update(integrator.reset(10.0))
    assert (stats.high_watermark, stats.average, stats.smoothed) == (10, 10.0, 10.0)
    integrator.set(0, 10.0)
    stats.update(integrator.reset(20.0))
    assert stats.high_watermark == 10
    assert stats.smoothed == pytest.approx(9.77)


def test_retry_after_grows_with_refusals_and_shrinks_without() -> None:
    retry = RetryAfter()
    for tick in range(2000):
        retry.note(tick / 10)
    assert retry.seconds == MAX_RETRY_AFTER_S
    for tick in range(1000, 1100):
        retry.note(tick * 40)
    assert retry.seconds == 1


@pytest.mark.parametrize(
    ("arguments", "seats"),
    [
        ((1000, 1000, 1000, False, RequestInfo("", "list"), 0), 10),
        ((1000, 500, 100, False, RequestInfo("", "list"), 0), 1),
        ((100_000, 100_000, 1000, False, RequestInfo("", "list"), 0), 10),
        ((100_000, 100_000, 1000, True, RequestInfo("", "list"), 0), 100),
        ((100_000, 10, 1000, True, RequestInfo("", "list", label_selector="a=b"), 0), 100),
        ((100_000, 100_000, 1000, True, RequestInfo("", "list"), 7), 7),
    ],
    ids=["by size", "by limit", "cached: streamed", "from the store", "selective page", "bound of the level"],
)
def test_lists_are_wide(arguments: Any, seats: int) -> None:
    assert list_work(*arguments).seats == seats


def test_writes_are_as_wide_as_they_are_watched() -> None:
    watches = Watches()
    watch = request_info("GET", "/api/v1/namespaces/x/configmaps", {"watch": ["1"]})
    ends = [watches.add(watch) for _ in range(25)]
    bound_to_node = request_info(
        "GET", "/api/v1/pods", {"watch": ["1"], "fieldSelector": ["spec.nodeName=a"]}
    )
    watches.add(bound_to_node)
    assert watches.interested(request_info("PUT", "/api/v1/namespaces/x/configmaps/a", {})) == 25
    assert watches.interested(request_info("PUT", "/api/v1/namespaces/y/configmaps/a", {})) == 0
    assert watches.interested(request_info("PUT", "/api/v1/namespaces/x/pods/a", {})) == 0
    for end in ends:
        end()
    assert watches.interested(request_info("PUT", "/api/v1/namespaces/x/configmaps/a", {})) == 0
    assert write_work(25, 0) == Work(1, 3, 0.005)
    assert write_work(1000, 0) == Work(1, 10, pytest.approx(0.05))


LEVEL = bootstrap.suggested_levels()[0]
EXEMPT = bootstrap.mandatory_levels()[0]


def current(wanted: Object, annotation: str | None, generation: int = 1, **spec: Any) -> Object:
    metadata = {"name": wanted["metadata"]["name"], "generation": generation}
    if annotation is not None:
        metadata["annotations"] = {bootstrap.AUTO_UPDATE: annotation}
    return {**wanted, "metadata": metadata, "spec": {**wanted["spec"], **spec}}


@pytest.mark.parametrize(
    ("present", "wanted", "mandatory", "outcome"),
    [
        (current(LEVEL, "true"), LEVEL, False, None),
        (current(LEVEL, "true", type="Other"), LEVEL, False, ("true", 2, LEVEL["spec"])),
        (current(LEVEL, "false", type="Other"), LEVEL, False, None),
        (current(LEVEL, None, type="Other"), LEVEL, False, ("true", 2, LEVEL["spec"])),
        (
            current(LEVEL, None, 2, type="Other"),
            LEVEL,
            False,
            ("false", 2, {**LEVEL["spec"], "type": "Other"}),
        ),
        (current(LEVEL, "false", type="Other"), LEVEL, True, ("true", 2, LEVEL["spec"])),
        (
            current(EXEMPT, "true", exempt={"nominalConcurrencyShares": 7, "lendablePercent": 1}),
            EXEMPT,
            True,
            None,
        ),
    ],
    ids=[
        "as wanted",
        "changed",
        "taken over",
        "unmarked and untouched",
        "unmarked and changed",
        "mandatory",
        "shares of the exempt",
    ],
)
def test_bootstrap_objects_are_put_back(
    present: Object, wanted: Object, mandatory: bool, outcome: tuple[str, int, Object] | None
) -> None:
    found = updated(present, wanted, mandatory=mandatory)
    if outcome is None:
        assert found is None
        return
    assert found is not None
    metadata = found["metadata"]
    assert (metadata["annotations"][bootstrap.AUTO_UPDATE], metadata["generation"], found["spec"]) == outcome


def test_a_schema_says_whether_its_level_is_there() -> None:
    schema = bootstrap.suggested_schemas()[0]
    schema["status"] = {"conditions": [{"type": "Other", "status": "True"}]}
    found = with_condition(schema, False, "now")
    assert found is not None
    assert [(each["type"], each["status"]) for each in found["status"]["conditions"]] == [
        ("Other", "True"),
        ("Dangling", "True"),
    ]
    assert with_condition(found, False, "later") is None
    assert with_condition(found, True, "later") is not None


def cache_of(*objects: Object) -> ResourceCache:
    cache = ResourceCache()
    for revision, obj in enumerate(objects, 1):
        raw = codec.encode_with_revision(obj, revision)
        cache.apply(obj["metadata"]["name"], Entry(raw, revision), revision)
    return cache


@pytest.mark.parametrize("user", [JANE, UserInfo("nobody in particular")], ids=["jane", "no groups"])
def test_somebody_always_decides(user: UserInfo) -> None:
    """Whatever the mandatory objects have been made into, and whoever asks."""
    odd = deepcopy(bootstrap.mandatory_schemas()[1])
    odd["spec"]["priorityLevelConfiguration"]["name"] = "gone"
    fairness = Fairness(
        cache_of(odd), cache_of(), lambda group, resource: (0, 0), 10, lambda: 0.0, InFlight()
    )
    info = request_info("GET", "/api/v1/pods", {})
    assert fairness._flow(info, user).level.name == "catch-all"
