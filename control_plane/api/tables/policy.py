"""Budgets, access control, certificates, admission, priorities, extension of the API, devices."""

from __future__ import annotations

from typing import Any

from control_plane.api import meta
from control_plane.api.tables.layout import Cells, Object, table
from control_plane.api.tables.text import NONE, UNSET, age_of, human_duration, name_of

_ADMISSION = "admissionregistration.k8s.io/v1"
_RBAC = "rbac.authorization.k8s.io/v1"


def _spec(obj: Object) -> dict[str, Any]:
    return obj.get("spec") or {}


@table(
    "policy/v1",
    "poddisruptionbudgets",
    "Name, Min Available, Max Unavailable, Allowed Disruptions:integer, Age",
)
def pod_disruption_budget(obj: Object, now_s: float) -> Cells:
    spec = _spec(obj)
    return [
        name_of(obj),
        str(spec.get("minAvailable", "N/A")),
        str(spec.get("maxUnavailable", "N/A")),
        (obj.get("status") or {}).get("disruptionsAllowed", 0),
        age_of(obj, now_s),
    ]


@table(_RBAC, "roles", "Name, Created At")
def role(obj: Object, now_s: float) -> Cells:
    return [name_of(obj), meta.metadata(obj).get("creationTimestamp") or ""]


@table(_RBAC, "clusterroles", "Name, Created At")
def cluster_role(obj: Object, now_s: float) -> Cells:
    return role(obj, now_s)


@table(_RBAC, "rolebindings", "Name, Role, Age | Users, Groups, ServiceAccounts")
def role_binding(obj: Object, now_s: float) -> Cells:
    reference = obj.get("roleRef") or {}
    subjects: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.get("subjects") or ():
        name = subject.get("name", "")
        if subject.get("kind") == "ServiceAccount":
            name = f"{subject.get('namespace', '')}/{name}"
        subjects.get(subject.get("kind", ""), []).append(name)
    shown = [", ".join(names) for names in subjects.values()]
    return [
        name_of(obj),
        f"{reference.get('kind', '')}/{reference.get('name', '')}",
        age_of(obj, now_s),
        *shown,
    ]


@table(_RBAC, "clusterrolebindings", "Name, Role, Age | Users, Groups, ServiceAccounts")
def cluster_role_binding(obj: Object, now_s: float) -> Cells:
    return role_binding(obj, now_s)


@table(
    "certificates.k8s.io/v1",
    "certificatesigningrequests",
    "Name, Age, SignerName, Requestor, RequestedDuration, Condition",
)
def certificate_signing_request(obj: Object, now_s: float) -> Cells:
    spec = _spec(obj)
    expiration_s = spec.get("expirationSeconds")
    return [
        name_of(obj),
        age_of(obj, now_s),
        spec.get("signerName") or NONE,
        spec.get("username", ""),
        human_duration(expiration_s) if expiration_s is not None else NONE,
        _request_state(obj),
    ]


def _request_state(obj: Object) -> str:
    status = obj.get("status") or {}
    types = {condition.get("type") for condition in status.get("conditions") or ()}
    state = "Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"
    if "Failed" in types:
        state += ",Failed"
    return state + (",Issued" if status.get("certificate") else "")


@table("certificates.k8s.io/v1beta1", "clustertrustbundles", "Name, SignerName")
def cluster_trust_bundle(obj: Object, now_s: float) -> Cells:
    return [name_of(obj), _spec(obj).get("signerName") or NONE]


@table(
    "scheduling.k8s.io/v1",
    "priorityclasses",
    "Name, Value:integer, Global-Default:boolean, Age, PreemptionPolicy",
)
def priority_class(obj: Object, now_s: float) -> Cells:
    policy = obj.get("preemptionPolicy", "")
    return [name_of(obj), obj.get("value", 0), bool(obj.get("globalDefault")), age_of(obj, now_s), policy]


@table("node.k8s.io/v1", "runtimeclasses", "Name, Handler, Age")
def runtime_class(obj: Object, now_s: float) -> Cells:
    return [name_of(obj), obj.get("handler", ""), age_of(obj, now_s)]


@table(_ADMISSION, "mutatingwebhookconfigurations", "Name, Webhooks:integer, Age")
def mutating_webhooks(obj: Object, now_s: float) -> Cells:
    return [name_of(obj), len(obj.get("webhooks") or ()), age_of(obj, now_s)]


@table(_ADMISSION, "validatingwebhookconfigurations", "Name, Webhooks:integer, Age")
def validating_webhooks(obj: Object, now_s: float) -> Cells:
    return [name_of(obj), len(obj.get("webhooks") or ()), age_of(obj, now_s)]


def _param_kind(obj: Object) -> str:
    kind = _spec(obj).get("paramKind")
    if not kind:
        return UNSET
    group = meta.group_version(kind.get("apiVersion", ""))
    return f"{meta.api_version(*group)}/{kind.get('kind', '')}"


def _param_ref(obj: Object) -> str:
    reference = _spec(obj).get("paramRef")
    if not reference:
        return UNSET
    name = reference.get("name", "*")
    return f"{reference['namespace']}/{name}" if reference.get("namespace") else f"*/{name}"


@table(_ADMISSION, "validatingadmissionpolicies", "Name, Validations:integer, ParamKind, Age")
def validating_policy(obj: Object, now_s: float) -> Cells:
    return [name_of(obj), len(_spec(obj).get("validations") or ()), _param_kind(obj), age_of(obj, now_s)]


@table(_ADMISSION, "mutatingadmissionpolicies", "Name, Mutations:integer, ParamKind, Age")
def mutating_policy(obj: Object, now_s: float) -> Cells:
    return [name_of(obj), len(_spec(obj).get("mutations") or ()), _param_kind(obj), age_of(obj, now_s)]


@table(_ADMISSION, "validatingadmissionpolicybindings", "Name, PolicyName, ParamRef, Age")
def validating_policy_binding(obj: Object, now_s: float) -> Cells:
    return [name_of(obj), _spec(obj).get("policyName", ""), _param_ref(obj), age_of(obj, now_s)]


@table(_ADMISSION, "mutatingadmissionpolicybindings", "Name, PolicyName, ParamRef, Age")
def mutating_policy_binding(obj: Object, now_s: float) -> Cells:
    return validating_policy_binding(obj, now_s)


@table(
    "flowcontrol.apiserver.k8s.io/v1",
    "flowschemas",
    "Name, PriorityLevel, MatchingPrecedence, DistinguisherMethod, Age, MissingPL",
)
def flow_schema(obj: Object, now_s: float) -> Cells:
    spec = _spec(obj)
    dangling = meta.condition(obj, "Dangling")
    return [
        name_of(obj),
        (spec.get("priorityLevelConfiguration") or {}).get("name", ""),
        str(spec.get("matchingPrecedence", 0)),
        (spec.get("distinguisherMethod") or {}).get("type") or NONE,
        age_of(obj, now_s),
        dangling.get("status", "?") if dangling else "?",
    ]


@table(
    "flowcontrol.apiserver.k8s.io/v1",
    "prioritylevelconfigurations",
    "Name, Type, NominalConcurrencyShares, Queues, HandSize, QueueLengthLimit, Age",
)
def priority_level(obj: Object, now_s: float) -> Cells:
    spec = _spec(obj)
    limited = spec.get("limited") or spec.get("exempt") or {}
    queuing = (limited.get("limitResponse") or {}).get("queuing") or {}
    shares = limited.get("nominalConcurrencyShares")
    return [
        name_of(obj),
        spec.get("type", ""),
        NONE if shares is None else str(shares),
        *(
            str(queuing[key]) if key in queuing else NONE
            for key in ("queues", "handSize", "queueLengthLimit")
        ),
        age_of(obj, now_s),
    ]


@table("apiregistration.k8s.io/v1", "apiservices", "Name, Service, Available, Age")
def api_service(obj: Object, now_s: float) -> Cells:
    service = _spec(obj).get("service")
    available = meta.condition(obj, "Available")
    state = "Unknown"
    if available:
        state = available.get("status", "Unknown")
        if state != "True" and available.get("reason"):
            state = f"{state} ({available['reason']})"
    shown = f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local"
    return [name_of(obj), shown, state, age_of(obj, now_s)]


@table("resource.k8s.io/v1", "deviceclasses", "Name, Age")
def device_class(obj: Object, now_s: float) -> Cells:
    return [name_of(obj), age_of(obj, now_s)]


@table("resource.k8s.io/v1beta2", "devicetaintrules", "Name, Age")
def device_taint_rule(obj: Object, now_s: float) -> Cells:
    return [name_of(obj), age_of(obj, now_s)]


@table("resource.k8s.io/v1", "resourceclaimtemplates", "Name, Age")
def resource_claim_template(obj: Object, now_s: float) -> Cells:
    return [name_of(obj), age_of(obj, now_s)]


@table("resource.k8s.io/v1", "resourceclaims", "Name, State, Age")
def resource_claim(obj: Object, now_s: float) -> Cells:
    status = obj.get("status") or {}
    states = []
    if meta.is_deleting(obj):
        states.append("deleted")
    if not status.get("allocation"):
        if not meta.is_deleting(obj):
            states.append("pending")
    else:
        states.append("allocated")
        if status.get("reservedFor"):
            states.append("reserved")
    return [name_of(obj), ",".join(states), age_of(obj, now_s)]


@table("resource.k8s.io/v1", "resourceslices", "Name, Node, Driver, Pool, Age")
def resource_slice(obj: Object, now_s: float) -> Cells:
    spec = _spec(obj)
    pool = (spec.get("pool") or {}).get("name", "")
    return [name_of(obj), spec.get("nodeName") or UNSET, spec.get("driver", ""), pool, age_of(obj, now_s)]
