"""Making and taking away an owner's pods, alike for every kind that has some.

Each write is remembered until the informer shows it (`Expectations`) and leaves an event on the owner. A pod that
is gone already is no failure to delete; that a namespace is going is none to create, nor worth an event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_already_exists, is_not_found
from control_plane.api.meta import Object
from control_plane.client.gvr import PODS
from control_plane.client.informer import Informer
from control_plane.controllers import batch
from control_plane.controllers.context import NORMAL, WARNING
from control_plane.controllers.controller import Controller
from control_plane.controllers.expectations import Expectations

_TERMINATING = "NamespaceTerminating"


@dataclass(frozen=True, slots=True)
class Words:
    """The events' messages; what they may name: {pod}, {owner}, {error}."""

    created: str = "Created pod: {pod}"
    not_created: str = "Error creating: {error}"
    deleted: str = "Deleted pod: {pod}"
    not_deleted: str = "Error deleting: {error}"


class PodControl:
    """One per controller. `key` is the owner's, as in its queue."""

    def __init__(self, controller: Controller, pods: Informer, words: Words | None = None) -> None:
        self._controller = controller
        self._words = words or Words()
        self.expectations = Expectations(pods)

    async def create(self, key: str, owner: Object, pod: Object) -> None:
        """Raises StatusError."""
        try:
            made = await self._controller.client.create(PODS, pod)
        except StatusError as error:
            if not is_already_exists(error) and not namespace_is_going(error):
                self._tell(WARNING, "FailedCreate", self._words.not_created, owner, pod, error)
            raise
        self.expectations.wrote(key, made)
        self._tell(NORMAL, "SuccessfulCreate", self._words.created, owner, made)

    async def create_all(
        self, key: str, owner: Object, make: Callable[[int], Object], count: int
    ) -> BaseException | None:
        """`make(0)` … at most a burst of them, gently; the first failure, if there is one."""

        def create(number: int) -> Awaitable[None]:
            return self.create(key, owner, make(number))

        _, error = await batch.slow_start(min(count, batch.BURST), create)
        return None if error is None or namespace_is_going(error) else error

    async def delete(self, key: str, owner: Object, pod: Object) -> None:
        """Raises StatusError."""
        name, namespace, uid = meta.name_of(pod), meta.namespace_of(pod), meta.uid_of(pod)
        try:
            await self._controller.client.delete(PODS, name, namespace, uid=uid)
        except StatusError as error:
            if is_not_found(error):
                return
            self._tell(WARNING, "FailedDelete", self._words.not_deleted, owner, pod, error)
            raise
        self.expectations.deleted(key, uid)
        self._tell(NORMAL, "SuccessfulDelete", self._words.deleted, owner, pod)

    async def delete_all(self, key: str, owner: Object, pods: Sequence[Object]) -> BaseException | None:
        """The first failure, if there is one, once all have been tried."""
        results = await asyncio.gather(
            *(self.delete(key, owner, pod) for pod in pods), return_exceptions=True
        )
        return first_failure(results)

    def _tell(
        self,
        kind: Literal["Normal", "Warning"],
        reason: str,
        words: str,
        owner: Object,
        pod: Object,
        error: StatusError | None = None,
    ) -> None:
        text = words.format(pod=meta.name_of(pod), owner=meta.name_of(owner), error=error)
        self._controller.record(owner, kind, reason, text)


def first_failure(results: Iterable[object]) -> BaseException | None:
    return next((each for each in results if isinstance(each, BaseException)), None)


def namespace_is_going(error: BaseException) -> bool:
    """The namespace takes nothing new: nothing is missing any more."""
    causes = (error.details or {}).get("causes", ()) if isinstance(error, StatusError) else ()
    return any(each.get("reason") == _TERMINATING for each in causes)
