"""The extension points of the scheduling framework, in the order in which a pod passes them.

    PreEnqueue   may the pod enter the active queue at all?
    QueueSort    which pod is next?
    PreFilter    precompute; narrow the nodes down; or Skip this plugin's Filter
    Filter       can the pod run on this node?
    PostFilter   no node was found: can one be made free (preemption)?
    PreScore     precompute; or Skip this plugin's Score
    Score        how good is this node, then normalize to 0…100
    Reserve      keep what the pod will use (undone by unreserve)
    Permit       allow, reject or wait
    PreBind      what must be done before (volumes)
    Bind         tell the API
    PostBind     afterwards

A plugin is a class in a file of `plugins/`, deriving from the points that it implements. Up to Permit
everything is synchronous and pure: functions of the pod, the nodes and the cycle's state. None means
success.

`sign` makes a filter or score *local*: its answer depends on the node and on what `sign` returns for the
pod, on nothing else. Pods of one signature are judged once per node until that node changes (see
`feasibility`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from control_plane.api.selectors import LabelSelector
from control_plane.client.backoff import Random
from control_plane.client.client import Client
from control_plane.client.clock import Clock
from control_plane.client.types import Obj
from control_plane.scheduler.framework.events import Interest
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import Status

if TYPE_CHECKING:
    from control_plane.scheduler.dynamic_resources.state import Devices
    from control_plane.scheduler.framework.profile import Profile
    from control_plane.scheduler.nominator import Nominator
    from control_plane.scheduler.volumes.storage import Storage

MAX_NODE_SCORE = 100
NOT_LOCAL: Final = "not local"  # a signature of its own: compared by identity

CycleState = dict[str, Any]  # what one plugin leaves for its later calls in the cycle, under its name


class PodCounts(Protocol):
    """How many pods of one kind are where."""

    @property
    def by_node(self) -> Mapping[str, int]: ...

    def by_value(self, topology_key: str) -> Mapping[str, int]: ...


class Nodes(Protocol):
    """All nodes as a cycle sees them."""

    def all(self) -> Sequence[NodeInfo]: ...

    def get(self, name: str) -> NodeInfo | None: ...

    def with_affinity(self) -> Sequence[NodeInfo]:
        """Those with a pod that has any (anti-)affinity."""

    def with_required_anti_affinity(self) -> Sequence[NodeInfo]: ...

    def image_spread(self, image: str) -> int:
        """On how many nodes it is."""

    def topology(self, key: str) -> Mapping[str, int]:
        """The values that nodes have for this label, and how many nodes have each."""

    def matching(self, namespace: str, selector: LabelSelector, terminating: bool = False) -> PodCounts:
        """Pods of the namespace that match, on request with those being deleted; kept up to date, so that
        asking again is cheap."""


class Workloads(Protocol):
    """What owns and selects pods: for the default spreading constraints."""

    def default_selector(self, pod: PodInfo) -> LabelSelector | None: ...


class Handle(Protocol):
    """What plugins get of the scheduler."""

    client: Client
    clock: Clock
    nodes: Nodes
    workloads: Workloads
    storage: Storage
    devices: Devices
    nominator: Nominator
    random: Random

    def namespace_labels(self, namespace: str) -> Mapping[str, str]: ...

    def disruption_budgets(self, namespace: str) -> Sequence[Obj]: ...

    def profile_of(self, pod: PodInfo) -> Profile: ...

    def preempt(self, pod: PodInfo, node_name: str, victims: Sequence[PodInfo]) -> None:
        """Have them deleted; returns at once."""

    def group(self, namespace: str, name: str) -> Sequence[Obj]:
        """The unfinished pods that say they are of this group."""

    def activate(self, uids: Sequence[str]) -> None:
        """Pending pods that are to be tried at once, whatever they wait for."""

    def allow(self, uid: str, plugin: str) -> None:
        """Of a pod that this Permit plugin has made wait."""

    def reject(self, uid: str, plugin: str, reason: str) -> None: ...


class Plugin:
    name: ClassVar[str]

    def __init__(self, handle: Handle, args: Mapping[str, Any]) -> None:
        self.handle = handle

    def interests(self) -> Sequence[Interest]:
        """Which events may make a pod schedulable that this plugin rejected. None given: any event."""
        return ()


class PreEnqueuePlugin(Plugin, ABC):
    @abstractmethod
    def pre_enqueue(self, pod: PodInfo) -> Status | None: ...


class QueueSortPlugin(Plugin, ABC):
    @abstractmethod
    def sort_key(self, pod: PodInfo, queued_at_s: float) -> tuple[Any, ...]:
        """The smallest is next."""


class PreFilterPlugin(Plugin, ABC):
    @abstractmethod
    def pre_filter(self, state: CycleState, pod: PodInfo) -> Status | frozenset[str] | None:
        """A set of names: only these nodes need to be looked at."""

    def add_pod(self, state: CycleState, pod: PodInfo, added: PodInfo, node: NodeInfo) -> None:
        """Keep the state true when `added` is tried on the node (preemption, nominated pods)."""

    def remove_pod(self, state: CycleState, pod: PodInfo, removed: PodInfo, node: NodeInfo) -> None: ...

    def copy_state(self, data: Any) -> Any:
        """A copy of this plugin's part of the state that add_pod and remove_pod may change."""
        return data


class FilterPlugin(Plugin, ABC):
    @abstractmethod
    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None: ...

    def sign(self, pod: PodInfo) -> Hashable:
        """NOT_LOCAL: the answer depends on more than pod and node."""
        return NOT_LOCAL


@dataclass(frozen=True, slots=True)
class PostFilterResult:
    nominated_node: str


class PostFilterPlugin(Plugin, ABC):
    @abstractmethod
    def post_filter(
        self, state: CycleState, pod: PodInfo, statuses: Mapping[str, Status]
    ) -> tuple[PostFilterResult | None, Status]: ...


class ScorePlugin(Plugin, ABC):
    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo]) -> Status | None:
        """For a local plugin it may depend on the pod alone."""
        return None

    @abstractmethod
    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int: ...

    def score_all(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo]) -> list[int]:
        """The same for many nodes; to be overridden where that can be done faster."""
        return [self.score(state, pod, node) for node in nodes]

    normalizes: ClassVar[bool] = False  # whether `normalize` does anything

    def normalize(
        self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], scores: list[int]
    ) -> list[int]:
        return scores

    def sign_score(self, pod: PodInfo) -> Hashable:
        return NOT_LOCAL

    def stamp(self, pod: PodInfo) -> Hashable:
        """Of a local score: what of the whole cluster it depends on all the same. Asked in every cycle, so it
        must be quick; when it changes, the scores of the pod's class are computed again."""
        return None


class ReservePlugin(Plugin, ABC):
    @abstractmethod
    def reserve(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None: ...

    @abstractmethod
    def unreserve(self, state: CycleState, pod: PodInfo, node_name: str) -> None:
        """Idempotent; also called when `reserve` was not."""


class PermitPlugin(Plugin, ABC):
    @abstractmethod
    def permit(self, state: CycleState, pod: PodInfo, node_name: str) -> tuple[Status | None, float]:
        """With Wait, the seconds it may take."""


class PreBindPlugin(Plugin, ABC):
    def has_work(self, state: CycleState, pod: PodInfo, node_name: str) -> bool:
        """Whether `pre_bind` will do anything; then it may take long, and the pod's node is announced before."""
        return self.name in state

    @abstractmethod
    async def pre_bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None: ...


class BindPlugin(Plugin, ABC):
    @abstractmethod
    async def bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        """Skip: another binder's pod."""


class PostBindPlugin(Plugin, ABC):
    @abstractmethod
    def post_bind(self, state: CycleState, pod: PodInfo, node_name: str) -> None: ...


def default_normalize(scores: list[int], reverse: bool = False) -> list[int]:
    """The largest becomes 100, in proportion; reversed, the smallest is best
    (helper.DefaultNormalizeScore)."""
    largest = max(scores, default=0)
    if largest == 0:
        return [MAX_NODE_SCORE] * len(scores) if reverse else scores
    scaled = [MAX_NODE_SCORE * score // largest for score in scores]
    return [MAX_NODE_SCORE - score for score in scaled] if reverse else scaled
