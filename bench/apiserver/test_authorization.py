"""What one authorization costs with the default policy and many bindings beside it.

Run: `pytest bench/apiserver/test_authorization.py`
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.authz.bootstrap import policy
from control_plane.apiserver.authz.interface import Attributes, Decision
from control_plane.apiserver.authz.rbac import GROUP, Policy, build_policy

Object = dict[str, Any]
AUTHENTICATED = ("system:authenticated",)


def extra_bindings(count: int) -> list[Object]:
    """A namespace per team, each with its admins."""
    reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": "admin"}
    return [
        {
            "metadata": {"name": "admins", "namespace": f"team-{index}"},
            "roleRef": reference,
            "subjects": [{"kind": "Group", "name": f"team-{index}"}],
        }
        for index in range(count)
    ]


def make_policy(bindings: int) -> Policy:
    roles, role_bindings = policy.namespaced()
    everything: Sequence[Object] = [*role_bindings, *extra_bindings(bindings)]
    return build_policy(policy.cluster_roles(), policy.cluster_role_bindings(), roles, everything)


QUESTIONS = {
    "scheduler binds": Attributes(
        UserInfo("system:kube-scheduler", groups=AUTHENTICATED),
        "create",
        resource="pods",
        subresource="binding",
        namespace="team-7",
        name="web",
    ),
    "team admin updates": Attributes(
        UserInfo("ann", groups=("team-7", *AUTHENTICATED)),
        "update",
        "apps",
        resource="deployments",
        namespace="team-7",
        name="web",
    ),
    "refused": Attributes(
        UserInfo("ann", groups=("team-7", *AUTHENTICATED)), "delete", resource="nodes", name="n1"
    ),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_authorize(benchmark: BenchmarkFixture, question: str) -> None:
    made = make_policy(bindings=1000)
    decision, _ = benchmark(made.decide, QUESTIONS[question])
    assert (decision is Decision.ALLOW) is (question != "refused")


@pytest.mark.parametrize("bindings", [0, 1000])
def test_index(benchmark: BenchmarkFixture, bindings: int) -> None:
    """What a change of any role or binding costs at the next request."""
    benchmark(make_policy, bindings)
