"""The shell: pods' keys begin with `pods/`, claims' with `claims/`."""

from __future__ import annotations

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_already_exists, is_not_found
from control_plane.api.meta import Object
from control_plane.client.gvr import PODS, RESOURCE_CLAIM_TEMPLATES, RESOURCE_CLAIMS
from control_plane.controllers.context import WARNING, Context
from control_plane.controllers.controller import Controller
from control_plane.controllers.resourceclaim import plan

BY_CLAIM = "resource claim"
BY_POD = "pod"  # by uid: its owner, and those it is reserved for
POD, CLAIM = "pods/", "claims/"


class ResourceClaimController(Controller):
    name = "resourceclaim"
    source = "resource_claim"
    account = "resource-claim-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.pods = self.informer(PODS)
        self.claims = self.informer(RESOURCE_CLAIMS)
        self.templates = self.informer(RESOURCE_CLAIM_TEMPLATES)
        self.pods.add_index(BY_CLAIM, lambda pod: list(plan.used(pod)))
        self.claims.add_index(BY_POD, lambda claim: [each["uid"] for each in _users(claim)])
        self.pods.add_handler(
            on_add=self._pod_seen, on_update=lambda _, new: self._pod_seen(new), on_delete=self._pod_gone
        )
        self.claims.add_handler(
            on_add=self._claim_seen,
            on_update=lambda _, new: self._claim_seen(new),
            on_delete=self._claim_gone,
        )
        self.templates.add_handler(on_add=self._template_seen)

    async def reconcile(self, key: str) -> float | None:
        if key.startswith(POD):
            await self._pod(key.removeprefix(POD))
        else:
            await self._claim(key.removeprefix(CLAIM))
        return None

    # ---- pods

    async def _pod(self, key: str) -> None:
        pod = self.pods.get(*meta.split_key(key))
        if pod is None or meta.is_deleting(pod) or plan.is_done(pod):
            return
        known = plan.names(pod)
        made = dict(known)
        for entry in plan.entries(pod):
            if "resourceClaimTemplateName" in entry and known.get(entry["name"]) != "":
                name = await self._ensure(pod, entry, known.get(entry["name"]))
                if name is not None:
                    made[entry["name"]] = name
        if made != known:
            await self._write_names(pod, made)
        if meta.nested(pod, "spec", "nodeName"):
            for name in made.values():
                await self._reserve(pod, name)

    async def _ensure(self, pod: Object, entry: Object, known: str | None) -> str | None:
        """The name of the entry's claim; None when somebody else has a claim of that name."""
        found = self.claims.get(meta.namespace_of(pod), known or plan.claim_name(pod, entry))
        if found is None:
            found = await self._create(pod, entry)
        if not meta.is_controlled_by(found, pod):
            of = f"was not created for pod {meta.key_of(pod)} (pod is not owner)"
            self.record(
                pod, WARNING, "FailedResourceClaimCreation", f"ResourceClaim {meta.key_of(found)} {of}"
            )
            return None
        return meta.name_of(found)

    async def _create(self, pod: Object, entry: Object) -> Object:
        namespace, template_name = meta.namespace_of(pod), entry["resourceClaimTemplateName"]
        try:
            template = self.templates.get(namespace, template_name)
            if template is None:
                template = await self.client.get(RESOURCE_CLAIM_TEMPLATES, template_name, namespace)
            wanted = plan.claim_for(pod, entry, template)
            try:
                return await self.client.create(RESOURCE_CLAIMS, wanted)
            except StatusError as error:
                if not is_already_exists(error):
                    raise
                return await self.client.get(RESOURCE_CLAIMS, meta.name_of(wanted), namespace)
        except StatusError as error:
            text = f"PodResourceClaim {entry['name']}: {error}"
            self.record(pod, WARNING, "FailedResourceClaimCreation", text)
            raise

    async def _write_names(self, pod: Object, made: dict[str, str]) -> None:
        generated = [each["name"] for each in plan.entries(pod) if "resourceClaimTemplateName" in each]
        statuses = [
            {"name": name, **({"resourceClaimName": made[name]} if made[name] else {})}
            for name in generated
            if name in made
        ]
        patch = {"metadata": {"uid": meta.uid_of(pod)}, "status": {"resourceClaimStatuses": statuses}}
        namespace = meta.namespace_of(pod)
        await self.client.patch(PODS, meta.name_of(pod), patch, namespace, "strategic", "status")

    async def _reserve(self, pod: Object, name: str) -> None:
        claim = self.claims.get(meta.namespace_of(pod), name) if name else None
        changed = plan.reserved(claim, pod) if claim is not None else None
        if changed is not None:
            await self.client.update(RESOURCE_CLAIMS, changed, "status")

    # ---- claims

    async def _claim(self, key: str) -> None:
        claim = self.claims.get(*meta.split_key(key))
        if claim is None:
            return
        found = {each["name"]: await self._pod_of(claim, each) for each in _users(claim)}
        wanted = plan.plan(claim, lambda _, name: found.get(name))
        if wanted.status is not None:
            claim = await self.client.update(RESOURCE_CLAIMS, wanted.status, "status")
        if wanted.release:
            others = [each for each in meta.finalizers(claim) if each != plan.FINALIZER]
            metadata = {**claim["metadata"], "finalizers": others}
            await self.client.update(RESOURCE_CLAIMS, {**claim, "metadata": metadata})
        if wanted.delete:
            await self._delete(claim)

    async def _pod_of(self, claim: Object, user: Object) -> Object | None:
        """The informer may lag: before devices are taken from a user, the API is asked."""
        namespace, name = meta.namespace_of(claim), user["name"]
        pod = self.pods.get(namespace, name)
        if pod is not None and meta.uid_of(pod) == user["uid"]:
            return pod
        try:
            return await self.client.get(PODS, name, namespace)
        except StatusError as error:
            if not is_not_found(error):
                raise
            return None

    async def _delete(self, claim: Object) -> None:
        try:
            await self.client.delete(
                RESOURCE_CLAIMS, meta.name_of(claim), meta.namespace_of(claim), uid=meta.uid_of(claim)
            )
        except StatusError as error:
            if not is_not_found(error):
                raise

    # ---- events

    def _pod_seen(self, pod: Object) -> None:
        if plan.is_done(pod):
            self._pod_gone(pod)
        elif plan.entries(pod) or any(plan.used(pod)):
            self.queue.add(POD + meta.key_of(pod))

    def _pod_gone(self, pod: Object) -> None:
        """The pod as it was last seen need not know its claims yet; they know it."""
        for claim in self.claims.by_index(BY_POD, meta.uid_of(pod)):
            self.queue.add(CLAIM + meta.key_of(claim))

    def _claim_seen(self, claim: Object) -> None:
        self.queue.add(CLAIM + meta.key_of(claim))
        for pod in self.pods.by_index(BY_CLAIM, meta.key_of(claim)):
            if meta.nested(pod, "spec", "nodeName"):
                self.queue.add(POD + meta.key_of(pod))

    def _claim_gone(self, claim: Object) -> None:
        """Its pod may need a new one."""
        for pod in self.pods.by_index(BY_CLAIM, meta.key_of(claim)):
            self.queue.add(POD + meta.key_of(pod))

    def _template_seen(self, template: Object) -> None:
        """Pods that waited for it."""
        for pod in self.pods.list(meta.namespace_of(template)):
            asks = (each.get("resourceClaimTemplateName") for each in plan.entries(pod))
            if meta.name_of(template) in asks:
                self.queue.add(POD + meta.key_of(pod))


def _users(claim: Object) -> list[Object]:
    """Pods: the one that it was made for, and those that it is reserved for."""
    owner = meta.controller_of(claim)
    users = [user for user in plan.reserved_for(claim) if plan.is_pod(user)]
    return [*([owner] if owner is not None and owner["kind"] == "Pod" else []), *users]
