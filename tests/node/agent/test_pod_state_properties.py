"""Random histories of one pod: whatever happens in whatever order, the machine keeps its promises and converges."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from node.agent.view import Probes
from tests.node.agent.conftest import make_pod, sidecar
from tests.node.agent.world import PodWorld

Obj = dict[str, Any]

POLICIES = st.sampled_from(["Always", "OnFailure", "Never"])
CODES = st.sampled_from([0, 0, 1, 137])


class PodLife(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = PodWorld(make_pod())
        self.ended = ""
        self.counts: dict[str, int] = {}

    @initialize(policy=POLICIES, inits=st.integers(0, 2), sidecars=st.integers(0, 2), mains=st.integers(1, 2))
    def pod(self, policy: str, inits: int, sidecars: int, mains: int) -> None:
        first = [sidecar(f"side-{index}") for index in range(sidecars)]
        init = [{"name": f"init-{index}"} for index in range(inits)]
        both = [each for pair in zip(first, init, strict=False) for each in pair]
        rest = first[len(init) :] + init[len(first) :]
        names = [f"main-{index}" for index in range(mains)]
        self.world = PodWorld(make_pod(containers=names, init=both + rest, restartPolicy=policy))

    # ---- the agent

    @rule()
    def step(self) -> None:
        self.world.step()

    @rule(steps=st.integers(1, 8))
    def go_on(self, steps: int) -> None:
        """Everything goes well for a while."""
        self.world.settle(steps)

    @rule()
    def restart_the_agent(self) -> None:
        """What it only remembers is gone; the runtime keeps its own."""
        self.world.starting.clear()
        self.world.stopping.clear()
        self.world.sandbox_work.clear()
        self.world.problems.clear()
        self.world.volumes_ready = self.world.volumes_busy = False
        if self.world.status:
            self.world.pod = {**self.world.pod, "status": self.world.status}
        self.world.outcome = None
        self.world.kill_at_s = None

    # ---- the world

    @precondition(lambda self: self.world.volumes_busy)
    @rule(well=st.booleans())
    def volumes(self, well: bool) -> None:
        self.world.volumes_busy, self.world.volumes_ready = False, well

    @precondition(lambda self: self.world.sandbox_work)
    @rule()
    def sandbox(self) -> None:
        self.world.finish_sandbox_work(self.world.sandbox_work[0])

    @precondition(lambda self: self.world.starting and self.world.sandboxes)
    @rule()
    def start(self) -> None:
        self.world.finish_start(self.world.starting[0])

    @precondition(lambda self: self.world.stopping)
    @rule(code=CODES)
    def stop(self, code: int) -> None:
        self.world.finish_stop(next(iter(self.world.stopping)), code)

    @precondition(lambda self: self.world.running())
    @rule(code=CODES, which=st.integers(0, 5))
    def exit(self, code: int, which: int) -> None:
        running = self.world.running()
        self.world.exit(running[which % len(running)].id, code)

    @precondition(lambda self: self.world.running())
    @rule(which=st.integers(0, 5))
    def liveness_fails(self, which: int) -> None:
        running = self.world.running()
        self.world.probes[running[which % len(running)].id] = Probes(liveness=False)

    @precondition(lambda self: self.world.sandboxes)
    @rule()
    def sandbox_dies(self) -> None:
        self.world.kill_sandbox(self.world.sandboxes[-1].id)

    @rule(seconds=st.sampled_from([1, 15, 400, 900]))
    def time_passes(self, seconds: int) -> None:
        self.world.now_s += seconds

    @precondition(lambda self: not self.world.gone)
    @rule(grace_s=st.sampled_from([0, 2, 30]))
    def delete(self, grace_s: int) -> None:
        self.world.delete(grace_s)

    @rule()
    def vanish(self) -> None:
        self.world.gone = True

    # ---- the promises

    @invariant()
    def a_phase_that_ended_stays(self) -> None:
        phase = str(self.world.status.get("phase", ""))
        if self.ended:
            assert phase == self.ended
        if phase in ("Succeeded", "Failed"):
            self.ended = phase
            assert not self.world.running(), "ended with something running"

    @invariant()
    def nothing_starts_after_the_end(self) -> None:
        if self.ended:
            assert not self.world.starting

    @invariant()
    def restart_counts_never_fall(self) -> None:
        for key in ("containerStatuses", "initContainerStatuses"):
            for each in self.world.status.get(key) or []:
                assert each["restartCount"] >= self.counts.get(each["name"], 0)
                self.counts[each["name"]] = each["restartCount"]

    @invariant()
    def no_attempt_runs_twice(self) -> None:
        assert len(set(self.world.starts)) == len(self.world.starts)

    @invariant()
    def one_container_of_a_name_runs(self) -> None:
        names = [each.config.name for each in self.world.running()]
        assert len(set(names)) == len(names)

    def teardown(self) -> None:
        """Left alone it comes to rest: deleted means finished, else running or ended."""
        world = self.world
        deleted = world.gone or "deletionTimestamp" in world.pod["metadata"]
        for _ in range(40):
            world.settle()
            world.probes.clear()
            world.now_s += 301
        if deleted:
            assert world.finished
        elif self.ended or world.outcome:
            assert world.status["phase"] in ("Succeeded", "Failed")
        else:
            self._check_progress()

    def _check_progress(self) -> None:
        """All its containers run, but for an init container that nobody lets end, or those that may not."""
        world = self.world
        up = {each.config.name for each in world.running()}
        if any(each.startswith("init-") for each in up):
            return
        mains = [each["name"] for each in world.pod["spec"]["containers"]]
        sides = [
            each["name"] for each in world.pod["spec"].get("initContainers", []) if "side" in each["name"]
        ]
        assert up >= set(sides)
        assert any(each in up for each in mains), "nothing runs, and the pod has not ended"
        assert world.status["phase"] == "Running"


TestPodLife = PodLife.TestCase
TestPodLife.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
