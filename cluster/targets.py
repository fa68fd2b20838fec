"""Which process a person means: a name ("store-2"), a component ("scheduler", when it has one process, or with
--leader), or everything ("all"). Who leads is asked of the processes themselves."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from certs.kubeconfig import KubeConfig
from cluster import readiness
from cluster.errors import NoSuchProcess
from cluster.home import Home
from cluster.spec import ClusterSpec

LEASES = {"scheduler": "kube-scheduler", "controller-manager": "kube-controller-manager"}
Row = Mapping[str, Any]


def resolve(rows: Sequence[Row], target: str, leaders: Mapping[str, str], leader: bool) -> list[str]:
    """The names of the processes meant. `leaders`: component → process. Raises NoSuchProcess."""
    if leader:
        if target not in leaders:
            raise NoSuchProcess(
                f"no leader of {target!r} is known now; components that have one: {_list(leaders)}"
            )
        return [leaders[target]]
    if target == "all":
        return [str(row["name"]) for row in rows]
    named = [str(row["name"]) for row in rows if target in (row["name"], row["component"])]
    if not named:
        raise NoSuchProcess(
            f"there is no process {target!r}; there are: {_list(row['name'] for row in rows)}"
        )
    return named


def leaders(home: Home, spec: ClusterSpec) -> dict[str, str]:
    """Component → the process that leads it; those without a leader, or that cannot be asked, are left out."""
    found = {"store": _store_leader(home, spec)}
    context = KubeConfig.load(home.kubeconfig).ssl_context()
    for component, lease in LEASES.items():
        found[component] = _lease_holder(spec, context, lease)
    return {component: name for component, name in found.items() if name}


def _store_leader(home: Home, spec: ClusterSpec) -> str:
    context = readiness.store_context(home)
    names = dict(zip(spec.store_endpoints(), spec.store_names(), strict=True))
    for endpoint, name in names.items():
        status = _post(f"{endpoint}/v3/maintenance/status", context)
        if status and status.get("leader") == status.get("header", {}).get("member_id"):
            return name
    return ""


def _lease_holder(spec: ClusterSpec, context: ssl.SSLContext, lease: str) -> str:
    url = f"{spec.server()}/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{lease}"
    try:
        status, body = readiness.get(url, context)
    except (OSError, http.client.HTTPException):
        return ""
    holder: str = orjson.loads(body).get("spec", {}).get("holderIdentity", "") if status == 200 else ""
    return holder


def _post(url: str, context: ssl.SSLContext) -> dict[str, Any] | None:
    try:
        status, body = readiness.request("POST", url, context, b"{}")
        answer: dict[str, Any] = orjson.loads(body)
    except (OSError, http.client.HTTPException, orjson.JSONDecodeError):
        return None
    return answer if status == 200 else None


def _list(names: Any) -> str:
    return ", ".join(sorted(str(name) for name in names)) or "none"
