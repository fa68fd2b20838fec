"""ServiceAccount: every pod runs as one, and has its token unless it says otherwise.

The token comes as a projected volume `kube-api-access-<random>` with the token, the cluster's CA and the
namespace, mounted where client libraries look for it.
"""

from __future__ import annotations

from typing import Any

from control_plane.api import meta
from control_plane.apiserver.admission.interface import AdmissionRequest, Object, Operation
from control_plane.apiserver.admission.plugin import PODS, Dependencies, Plugin, forbidden, is_resource
from control_plane.apiserver.authz import pod_references

DEFAULT_ACCOUNT = "default"
TOKEN_MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path
TOKEN_VOLUME_PREFIX = "kube-api-access-"  # noqa: S105 - a name
TOKEN_EXPIRATION_S = 60 * 60 + 7
ENFORCE_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"

# A namespace's default account is made by a controller just after the namespace: its first pod waits for it.
DEFAULT_ACCOUNT_ATTEMPTS = 10
ATTEMPT_INTERVAL_S = 0.15

_NAME_CHARACTERS = "bcdfghjklmnpqrstvwxz2456789"


class ServiceAccount(Plugin):
    name = "ServiceAccount"
    concerns = frozenset({PODS})

    def __init__(self, dependencies: Dependencies) -> None:
        self._reader = dependencies.reader
        self._sleep = dependencies.sleep
        self._random = dependencies.random

    async def mutate(self, request: AdmissionRequest) -> None:
        pod = request.object
        if pod is None or not _creates_pod(request) or _is_mirror(pod):
            return
        spec = pod.setdefault("spec", {})
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or DEFAULT_ACCOUNT
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = await self._account(request, name)
        if should_automount(account, spec):
            mount_token(spec, lambda: TOKEN_VOLUME_PREFIX + self._suffix())
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [{"name": s.get("name", "")} for s in account["imagePullSecrets"]]

    async def validate(self, request: AdmissionRequest) -> None:
        pod = request.object
        if pod is None or not _creates_pod(request):
            return
        spec = pod.get("spec") or {}
        if _is_mirror(pod):
            _check_mirror(request, spec)
            return
        account = await self._account(request, spec.get("serviceAccountName") or DEFAULT_ACCOUNT)
        if meta.annotations(account).get(ENFORCE_MOUNTABLE, "").lower() in ("1", "t", "true"):
            _check_secrets(request, account, spec)

    async def _account(self, request: AdmissionRequest, name: str) -> Object:
        attempts = DEFAULT_ACCOUNT_ATTEMPTS if name == DEFAULT_ACCOUNT else 1
        for attempt in range(attempts):
            if attempt:
                await self._sleep(ATTEMPT_INTERVAL_S)
            found = self._reader.get("", "serviceaccounts", request.namespace, name)
            if found is None:
                found = await self._reader.get_live("", "serviceaccounts", request.namespace, name)
            if found is not None:
                return found
        raise forbidden(
            request,
            f'error looking up service account {request.namespace}/{name}: serviceaccount "{name}" not found',
        )

    def _suffix(self) -> str:
        return "".join(self._random.choices(_NAME_CHARACTERS, k=5))


def should_automount(account: Object, spec: Object) -> bool:
    """The pod decides, else the account, else yes."""
    for wanted in (spec.get("automountServiceAccountToken"), account.get("automountServiceAccountToken")):
        if wanted is not None:
            return bool(wanted)
    return True


def mount_token(spec: Object, new_name: Any) -> None:
    """Mount the token in every container that has nothing there yet; add its volume if any needs it."""
    volumes = spec.get("volumes") or []
    existing = next((v["name"] for v in volumes if v.get("name", "").startswith(TOKEN_VOLUME_PREFIX)), "")
    name = existing or new_name()
    mount = {"name": name, "readOnly": True, "mountPath": TOKEN_MOUNT_PATH}
    needed = False
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        mounts = container.get("volumeMounts") or []
        if not any(m.get("mountPath") == TOKEN_MOUNT_PATH for m in mounts):
            container["volumeMounts"] = [*mounts, dict(mount)]
            needed = True
    if needed and not existing:
        spec["volumes"] = [*volumes, token_volume(name)]


def token_volume(name: str) -> Object:
    namespace_field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_EXPIRATION_S, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": namespace_field}]}},
    ]
    return {"name": name, "projected": {"defaultMode": 0o644, "sources": sources}}


def _creates_pod(request: AdmissionRequest) -> bool:
    return request.operation is Operation.CREATE and is_resource(request, "", "pods")


def _is_mirror(pod: Object) -> bool:
    return pod_references.MIRROR_ANNOTATION in meta.annotations(pod)


def _check_mirror(request: AdmissionRequest, spec: Object) -> None:
    if spec.get("serviceAccountName"):
        raise forbidden(request, "a mirror pod may not reference service accounts")
    if any(pod_references.secrets(spec)):
        raise forbidden(request, "a mirror pod may not reference secrets")
    for volume in spec.get("volumes") or ():
        sources = (volume.get("projected") or {}).get("sources") or ()
        if any("serviceAccountToken" in source for source in sources):
            raise forbidden(request, "a mirror pod may not use ServiceAccountToken volume projections")


def _check_secrets(request: AdmissionRequest, account: Object, spec: Object) -> None:
    """An account that is limited to its secrets: the pod may use no others."""
    mountable = {s.get("name") for s in account.get("secrets") or ()}
    pulling = {s.get("name") for s in account.get("imagePullSecrets") or ()}
    who = f"service account {meta.name_of(account)} does not reference that"
    for index, reference in enumerate(spec.get("imagePullSecrets") or ()):
        if reference.get("name") not in pulling:
            what = f'imagePullSecrets[{index}].name="{reference.get("name")}"'
            raise forbidden(request, f"{what} is not allowed because {who} imagePullSecret")
    for secret in pod_references.secrets({**spec, "imagePullSecrets": []}):
        if secret not in mountable:
            what = f'volume with secret.secretName="{secret}"'
            raise forbidden(request, f"{what} is not allowed because {who} secret")
