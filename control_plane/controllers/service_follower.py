"""What the loops that keep a service's endpoints have in common: which changes of services and pods wake them."""

from __future__ import annotations

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.client.gvr import PODS, SERVICES
from control_plane.controllers import service_backends
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller


class ServiceFollower(Controller):
    """Keys are those of services. A pod wakes the services that select it, before and after a change."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.services = self.informer(SERVICES)
        self.pods = self.informer(PODS)
        self.reconcile_each(self.services)
        self.pods.add_handler(self._pod_seen, self._pod_changed, self._pod_seen)

    def _pod_seen(self, pod: Object) -> None:
        self._wake(pod)

    def _pod_changed(self, old: Object, new: Object) -> None:
        if service_backends.matters(old, new):
            self._wake(old, new)

    def _wake(self, *states: Object) -> None:
        services = self.services.list(meta.namespace_of(states[0]))
        for service in service_backends.affected_services(services, *states):
            self.enqueue(service)
