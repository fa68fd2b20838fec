"""Node selectors, tolerations and pod affinity terms, parsed once per pod. Pure matching."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control_plane.api.selectors import LabelSelector, Requirement, SelectorError, from_label_selector
from control_plane.client.types import Obj

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
REGION = "topology.kubernetes.io/region"
FORMER_ZONE = "failure-domain.beta.kubernetes.io/zone"
FORMER_REGION = "failure-domain.beta.kubernetes.io/region"

_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt"}

NO_SCHEDULE, NO_EXECUTE, PREFER_NO_SCHEDULE = "NoSchedule", "NoExecute", "PreferNoSchedule"


@dataclass(frozen=True, slots=True)
class NodeTerm:
    """A NodeSelectorTerm: all its expressions must hold; one without any matches nothing."""

    labels: tuple[Requirement, ...]
    names: tuple[tuple[str, frozenset[str]], ...]  # matchFields on metadata.name: (operator, values)

    def matches(self, labels: Mapping[str, str], name: str) -> bool:
        if not self.labels and not self.names:
            return False
        return all(each.matches(labels) for each in self.labels) and all(
            (name in values) == (operator == "In") for operator, values in self.names
        )


@dataclass(frozen=True, slots=True)
class NodeAffinity:
    """nodeSelector and nodeAffinity together."""

    selector: tuple[tuple[str, str], ...] = ()
    required: tuple[NodeTerm, ...] | None = None  # any of them; None: no such rule
    preferred: tuple[tuple[int, NodeTerm], ...] = ()

    def matches(self, labels: Mapping[str, str], name: str) -> bool:
        for key, value in self.selector:
            if labels.get(key) != value:
                return False
        return self.required is None or any(term.matches(labels, name) for term in self.required)

    @property
    def anywhere(self) -> bool:
        return not self.selector and self.required is None

    def score(self, labels: Mapping[str, str], name: str) -> int:
        return sum(weight for weight, term in self.preferred if term.matches(labels, name))

    def names(self) -> frozenset[str] | None:
        """The only nodes it can match, when every term names them; None when labels decide."""
        if not self.required:
            return None
        found: set[str] = set()
        for term in self.required:
            named = [values for operator, values in term.names if operator == "In"]
            if not named:
                return None
            found |= frozenset.intersection(*named)
        return frozenset(found)


ANYWHERE = NodeAffinity()


def node_affinity(spec: Obj) -> NodeAffinity:
    selector = tuple(sorted((spec.get("nodeSelector") or {}).items()))
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    if not selector and not affinity:
        return ANYWHERE
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    terms = None if required is None else node_terms(required)
    preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    weighted = tuple((each["weight"], _node_term(each.get("preference") or {})) for each in preferred)
    return NodeAffinity(selector, terms, tuple((w, term) for w, term in weighted if w))


def node_terms(selector: Obj) -> tuple[NodeTerm, ...]:
    """Of a NodeSelector, which any of them satisfies."""
    return tuple(map(_node_term, selector.get("nodeSelectorTerms") or ()))


def _node_term(term: Obj) -> NodeTerm:
    labels = tuple(
        Requirement(each["key"], _OPERATORS[each["operator"]], frozenset(each.get("values") or ()))
        for each in term.get("matchExpressions") or ()
    )
    names = tuple((each["operator"], frozenset(each["values"])) for each in term.get("matchFields") or ())
    return NodeTerm(labels, names)


@dataclass(frozen=True, slots=True)
class Taint:
    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class Toleration:
    key: str
    operator: str
    value: str
    effect: str

    def tolerates(self, taint: Taint) -> bool:
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        match self.operator:
            case "" | "Equal":
                return self.value == taint.value
            case "Exists":
                return True
            case "Lt" | "Gt":
                return _compare(self.operator, taint.value, self.value)
        return False


def _compare(operator: str, taint_value: str, value: str) -> bool:
    try:
        left, right = int(taint_value), int(value)
    except ValueError:
        return False
    return left < right if operator == "Lt" else left > right


def taints(items: Sequence[Obj] | None) -> tuple[Taint, ...]:
    return tuple(Taint(each["key"], each.get("value") or "", each["effect"]) for each in items or ())


def tolerations(items: Sequence[Obj] | None) -> tuple[Toleration, ...]:
    return tuple(
        Toleration(
            each.get("key") or "",
            each.get("operator") or "",
            each.get("value") or "",
            each.get("effect") or "",
        )
        for each in items or ()
    )


def untolerated(
    node_taints: Sequence[Taint], pod_tolerations: Sequence[Toleration], effects: Sequence[str]
) -> Taint | None:
    """The first taint of one of these effects that nothing tolerates."""
    for taint in node_taints:
        if taint.effect in effects and not any(each.tolerates(taint) for each in pod_tolerations):
            return taint
    return None


NamespaceLabels = Callable[[str], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class PodTerm:
    """A PodAffinityTerm of a pod in a namespace: which pods it means, within which topology."""

    topology_key: str
    selector: LabelSelector
    namespaces: frozenset[str]
    namespace_selector: LabelSelector | None  # None: only the named namespaces

    def matches(self, namespace: str, labels: Mapping[str, str], namespace_labels: NamespaceLabels) -> bool:
        if namespace not in self.namespaces:
            other = self.namespace_selector
            if other is None or not (other.empty or other.matches(namespace_labels(namespace))):
                return False
        return self.selector.matches(labels)


WeightedPodTerms = tuple[tuple[int, PodTerm], ...]


def pod_terms(items: Sequence[Obj] | None, namespace: str, labels: Mapping[str, str]) -> tuple[PodTerm, ...]:
    return tuple(_pod_term(each, namespace, labels) for each in items or ())


def weighted_pod_terms(
    items: Sequence[Obj] | None, namespace: str, labels: Mapping[str, str]
) -> WeightedPodTerms:
    return tuple(
        (each["weight"], _pod_term(each["podAffinityTerm"], namespace, labels)) for each in items or ()
    )


def _pod_term(term: Obj, namespace: str, labels: Mapping[str, str]) -> PodTerm:
    """No namespaces and no selector of them means the pod's own."""
    other = term.get("namespaceSelector")
    names = frozenset(term.get("namespaces") or ())
    if not names and other is None:
        names = frozenset((namespace,))
    selector = selector_of(term.get("labelSelector"))
    if not selector.nothing:
        extra = _keyed(term.get("matchLabelKeys"), labels, "in")
        extra += _keyed(term.get("mismatchLabelKeys"), labels, "notin")
        selector = LabelSelector((*selector.requirements, *extra))
    return PodTerm(term["topologyKey"], selector, names, None if other is None else selector_of(other))


def _keyed(keys: Sequence[str] | None, labels: Mapping[str, str], operator: str) -> tuple[Requirement, ...]:
    """The pod's own values of these keys. The apiserver adds them too; once more changes nothing."""
    return tuple(Requirement(key, operator, frozenset((labels[key],))) for key in keys or () if key in labels)


def selector_of(selector: Mapping[str, Any] | None) -> LabelSelector:
    """One that cannot be parsed matches nothing, as in kube-scheduler."""
    try:
        return from_label_selector(selector)
    except SelectorError:
        return LabelSelector(nothing=True)
