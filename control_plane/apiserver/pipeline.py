r"""Every request's way: authenticate, impersonate, find a seat, authorize, handle; every error's way out.

    request -> parse -> 401? -> impersonate 403? -> limits 429? -> authorize 403? -> handler -> response
                 \________________________ any exception becomes one Status ______________________/

Nothing below this module turns an exception into an answer, and nothing above it sees one.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from time import perf_counter

import orjson

from control_plane.api import errors, protobuf
from control_plane.api.errors import StatusError
from control_plane.api.validation.warnings import for_read
from control_plane.apiserver import metrics
from control_plane.apiserver.audit.auditor import Auditor
from control_plane.apiserver.audit.event import Event
from control_plane.apiserver.authn.impersonation import impersonate
from control_plane.apiserver.authn.interface import Unauthenticated
from control_plane.apiserver.authn.union import UnionAuthenticator
from control_plane.apiserver.authn.user import ANONYMOUS, UserInfo
from control_plane.apiserver.authz.forbidden import forbidden_error
from control_plane.apiserver.authz.interface import Attributes, Authorizer, Decision
from control_plane.apiserver.core import Context, Core
from control_plane.apiserver.limits import Limiter
from control_plane.apiserver.messages import (
    JSON,
    MAX_BODY_SIZE_BYTES,
    PROTOBUF,
    BodyTooLarge,
    Request,
    Response,
)
from control_plane.apiserver.negotiation import GZIP_THRESHOLD_BYTES, accepts_gzip, gzip, prefers_protobuf
from control_plane.apiserver.router import resource_handler
from control_plane.apiserver.routes import RequestInfo, group_version_of, request_info
from control_plane.apiserver.storage.codec import Undecodable
from control_plane.apiserver.tracing.export import Tracing
from store.client.errors import (
    FutureRevision,
    NoSpace,
    OutcomeUnknown,
    StoreError,
    TooManyRequests,
    Unavailable,
)
from store.component import logs

REQUEST_TIMEOUT_S = 60.0
START_TIMEOUT_S = 10.0
# probes need no credentials where anonymous requests are let in
ALWAYS_ALLOWED = frozenset({"healthz", "livez", "readyz"})
GZIP_IN_THREAD_BYTES = 1024 * 1024
AUDIT_ID = "Audit-ID"
MAX_AUDIT_ID_CHARS = 64
DECISION, REASON = "authorization.k8s.io/decision", "authorization.k8s.io/reason"

_DECISIONS = {
    Decision.ALLOW: ("allowed",),
    Decision.DENY: ("denied",),
    Decision.NO_OPINION: ("no-opinion",),
}

PathHandler = Callable[[Request, RequestInfo, UserInfo], Awaitable[Response]]

log = logs.get("apiserver")


class Pipeline:
    """Called by the HTTP shell with each request; never raises but for cancellation."""

    def __init__(
        self,
        core: Core,
        authenticator: UnionAuthenticator,
        authorizer: Authorizer,
        paths: PathHandler,
        limits: Limiter,
        auditor: Auditor | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._core = core
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._paths = paths
        self._limits = limits
        self._auditor = auditor
        self._tracing = tracing

    async def __call__(self, request: Request) -> Response:
        began = perf_counter()
        request.audit_id = audit_id(request)
        request.answer_headers[AUDIT_ID] = request.audit_id
        info = RequestInfo(path=request.path, verb=request.method.lower())
        try:
            info = request_info(request.method, request.path, request.query)
            response = await self._serve(request, info)
        except ConnectionError:
            raise  # the client went away before its request was complete
        except Exception as error:
            response = failure(error, request)
        response.headers.update(request.answer_headers)
        size_bytes, duration_s = len(response.body), perf_counter() - began
        metrics.observe(request, info, self._is_known(info), response.status, size_bytes, duration_s)
        return await _compressed(request, response)

    def _is_known(self, info: RequestInfo) -> bool:
        resource = (
            self._core.registry.get(info.group, info.version, info.resource) if info.is_resource else None
        )
        return resource is not None and (not info.subresource or info.subresource in resource.subresources)

    async def _serve(self, request: Request, info: RequestInfo) -> Response:
        probes = request.path.partition("/")[2].partition("/")[0] in ALWAYS_ALLOWED
        if probes and self._authenticator.admits_anonymous(request):
            return await self._paths(request, info, UserInfo(ANONYMOUS))
        await self._filled()
        try:
            user = await self._authenticate(request)
        except StatusError as error:
            answer = failure(error, request)
            if self._auditor is not None:
                await self._auditor.unauthenticated(request, info, answer)
            return answer
        event = None
        if self._auditor is not None:
            event = await self._auditor.open(request, info, attributes_of(user, info))
        with self._tracing.request(request, info, user) if self._tracing else nullcontext():
            if event is None:
                return await self._admitted(request, info, user, None)
            return await self._audited(request, info, user, event)

    async def _audited(self, request: Request, info: RequestInfo, user: UserInfo, event: Event) -> Response:
        assert self._auditor is not None
        try:
            response = await self._admitted(request, info, user, event)
        except ConnectionError:
            self._auditor.closed_early(event)
            raise
        except Exception as error:
            response = failure(error, request)
        except BaseException:  # the client went away
            self._auditor.closed_early(event)
            raise
        await self._auditor.answered(event, request, response, info.is_long_running)
        return response

    async def _admitted(
        self, request: Request, info: RequestInfo, user: UserInfo, event: Event | None
    ) -> Response:
        asking = user
        user = await impersonate(request, user, self._authorizer)
        if event is not None and user is not asking:
            event.impersonated(user)
        admitted = await self._limits.admit(request, info, user)
        if admitted is not None:
            request.on_end.append(admitted.release)
            request.begun = admitted.begun
        await self._authorize(request, user, info)
        if info.is_long_running:
            return await self._handle(request, info, user)
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                return await self._handle(request, info, user)
        except TimeoutError as error:
            raise errors.timeout("request did not complete within the allotted timeout") from error

    async def _filled(self) -> None:
        """Who asks while the caches are still empty waits a little. Raises StatusError ServiceUnavailable."""
        synced = self._core.feed.synced
        if synced.is_set():
            return
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await synced.wait()
        except TimeoutError as error:
            raise errors.service_unavailable(
                "the server has not read the store yet", retry_after_s=1
            ) from error

    async def _authenticate(self, request: Request) -> UserInfo:
        began, result = perf_counter(), ("error",)
        try:
            user = await self._authenticator.authenticate(request)
            result = ("failure",) if user is None else ("success",)
        except Unauthenticated as error:
            log.info("refused a credential", reason=error, remote=request.connection.remote)
            raise errors.unauthorized() from error
        finally:
            metrics.AUTHENTICATIONS.add(result)
            metrics.AUTHENTICATION_S.observe(result, perf_counter() - began)
        if user is None:
            raise errors.unauthorized()
        metrics.observe_user(user.name)
        return user

    async def _authorize(self, request: Request, user: UserInfo, info: RequestInfo) -> None:
        attributes = attributes_of(user, info)
        began = perf_counter()
        decision, reason = await self._authorizer.authorize(attributes)
        metrics.AUTHORIZATIONS.add(_DECISIONS[decision])
        metrics.AUTHORIZATION_S.observe(_DECISIONS[decision], perf_counter() - began)
        if self._auditor is not None:
            allowed = decision is Decision.ALLOW
            request.audit_annotations[DECISION] = "allow" if allowed else "forbid"
            request.audit_annotations[REASON] = reason
        if decision is not Decision.ALLOW:
            raise forbidden_error(attributes, reason)

    async def _handle(self, request: Request, info: RequestInfo, user: UserInfo) -> Response:
        if self._core.aggregator is not None and (place := group_version_of(request.path)):
            answer = await self._core.aggregator.serve(request, *place, user)
            if answer is not None:
                request.begun()  # when the other server's watch has begun, nobody here knows
                return answer
        if not info.is_resource:
            return await self._paths(request, info, user)
        resource = self._core.registry.get(info.group, info.version, info.resource)
        if resource is None and self._core.custom is not None:
            await self._core.custom.refresh()
            resource = self._core.registry.get(info.group, info.version, info.resource)
        if resource is None:
            return await self._paths(request, info, user)
        if resource.custom_kind is not None and resource.custom_kind.deprecation:
            request.warnings.append(resource.custom_kind.deprecation)
        if request.method in ("GET", "DELETE"):  # what is written is looked at more closely
            request.warnings.extend(for_read(resource))
        ctx = Context(self._core, request, info, user, resource, request.warnings)
        return await resource_handler(ctx)(ctx)


def audit_id(request: Request) -> str:
    """The client's own name for the request, or a random UUID. It guards nothing."""
    given = request.headers.get(AUDIT_ID, "")
    if given and len(given) <= MAX_AUDIT_ID_CHARS and given.isascii() and given.isprintable():
        return given
    digits = f"{random.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def attributes_of(user: UserInfo, info: RequestInfo) -> Attributes:
    if not info.is_resource:
        return Attributes(user=user, verb=info.verb, path=info.path)
    return Attributes(
        user=user,
        verb=info.verb,
        group=info.group,
        version=info.version,
        resource=info.resource,
        subresource=info.subresource,
        namespace=info.namespace,
        name=info.name,
        label_selector=info.label_selector,
        field_selector=info.field_selector,
    )


def failure(error: Exception, request: Request) -> Response:
    """The one place where an exception becomes an answer."""
    status = status_error(error)
    if status.code >= 500 and not isinstance(error, StatusError | StoreError):
        log.exception("request failed", method=request.method, path=request.path)
    headers = {"Retry-After": str(status.retry_after_s)} if status.retry_after_s else {}
    if status.code == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="kubernetes"'
    body, content_type = encoded_status(status, request.headers.get("Accept", ""))
    return Response(status.code, body, content_type, headers, warnings=request.warnings)


def encoded_status(status: StatusError, accept: str) -> tuple[bytes, str]:
    """In protobuf for those who ask for it, else in JSON, whatever else they would rather have."""
    if PROTOBUF in accept and prefers_protobuf(accept):
        return protobuf.encode(status.status()), PROTOBUF
    return orjson.dumps(status.status()) + b"\n", JSON


def status_error(error: Exception) -> StatusError:
    match error:
        case StatusError():
            return error
        case BodyTooLarge():
            return errors.too_large(MAX_BODY_SIZE_BYTES)
        case TooManyRequests():
            return errors.too_many_requests("the store is busy, please try again later")
        case Unavailable():
            # Certainly not applied: clients may send it again, and client-go does when told when.
            return errors.service_unavailable(f"the store is not available: {error}", retry_after_s=1)
        case OutcomeUnknown():
            # No Retry-After: a client that blindly repeats a create would read AlreadyExists.
            return errors.timeout("the store did not answer in time; the write may have been applied")
        case NoSpace():
            return errors.internal("the store's space is used up: etcdserver: mvcc: database space exceeded")
        case FutureRevision():
            return errors.timeout("Too large resource version", retry_after_s=1)
        case Undecodable():
            return errors.internal(f"the stored object cannot be read: {error}")
        case StoreError():
            return errors.internal(str(error))
        case ValueError() if "fields exceeded" in str(error):
            return errors.bad_request(str(error))
    return errors.internal(f"{type(error).__name__}")


async def _compressed(request: Request, response: Response) -> Response:
    if len(response.body) < GZIP_THRESHOLD_BYTES or "Content-Encoding" in response.headers:
        return response
    if not accepts_gzip(request.headers.get("Accept-Encoding", "")):
        return response
    if len(response.body) > GZIP_IN_THREAD_BYTES:
        response.body = await asyncio.to_thread(gzip, response.body)
    else:
        response.body = gzip(response.body)
    response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    return response
