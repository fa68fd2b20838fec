"""Puts one apiserver together from its configuration: every part is made here, once, and handed to who needs it."""

from __future__ import annotations

import asyncio
import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from random import SystemRandom
from typing import TYPE_CHECKING

from certs import tls
from control_plane.api import errors
from control_plane.api.discovery import Discovery
from control_plane.api.openapi.served import OpenAPI
from control_plane.api.registry import Registry
from control_plane.apiserver import bootstrap, metrics, metrics_api, profiling, zpages
from control_plane.apiserver.admission.chain import AdmissionChain, UnknownPlugin, build_admission
from control_plane.apiserver.admission.plugin import Dependencies
from control_plane.apiserver.admission.webhooks.client import WebhookClient
from control_plane.apiserver.aggregator.parts import Aggregator, aggregator
from control_plane.apiserver.audit.errors import AuditError
from control_plane.apiserver.audit.options import Audit
from control_plane.apiserver.audit.options import build as build_audit
from control_plane.apiserver.authn import oidc_discovery
from control_plane.apiserver.authn.build import Authentication, build_authenticator
from control_plane.apiserver.authz.build import Authorization, build_authorizer, build_structured
from control_plane.apiserver.authz.escalation import EscalationCheck
from control_plane.apiserver.bootstrap import PostStartHooks
from control_plane.apiserver.config import Config
from control_plane.apiserver.core import Core, Object
from control_plane.apiserver.crd.parts import CustomResources, custom_resources
from control_plane.apiserver.documents import VERSION, Documents, Page
from control_plane.apiserver.egress import Egress, ServiceResolver
from control_plane.apiserver.flowcontrol import debug as flowdebug
from control_plane.apiserver.flowcontrol.parts import FlowControl, flow_control
from control_plane.apiserver.health import Health
from control_plane.apiserver.kubelet import KubeletClient
from control_plane.apiserver.limits import InFlight, Limiter, Limits
from control_plane.apiserver.pipeline import Pipeline
from control_plane.apiserver.proxy import Proxy
from control_plane.apiserver.reader import CacheReader
from control_plane.apiserver.reloading import Reloading
from control_plane.apiserver.review_client import ReviewClient
from control_plane.apiserver.services.allocator import ServiceAllocator
from control_plane.apiserver.services.kubernetes_service import KubernetesService
from control_plane.apiserver.storage.encryption.client import EncryptingClient
from control_plane.apiserver.storage.encryption.errors import BadConfiguration
from control_plane.apiserver.storage.encryption.reload import Encryption
from control_plane.apiserver.storage.leases import EventLeases
from control_plane.apiserver.storage.objects import Objects
from control_plane.apiserver.system_storage import SystemStorage
from control_plane.apiserver.tracing.configuration import BadTracing
from control_plane.apiserver.tracing.configuration import load as load_tracing
from control_plane.apiserver.tracing.export import Tracing
from control_plane.apiserver.watch_cache.feed import Feed
from control_plane.apiserver.watch_cache.freshness import Freshness
from store.client.client import StoreClient
from store.component.health import Check
from store.component.process import FatalError

if TYPE_CHECKING:
    from control_plane.apiserver.authz.structured import StructuredAuthorizer


@dataclass(slots=True)
class Server:
    """One apiserver, made but not started."""

    core: Core
    client: StoreClient
    pipeline: Pipeline
    hooks: PostStartHooks
    kubernetes_service: KubernetesService
    webhooks: WebhookClient
    review_clients: list[ReviewClient]
    tls_context: ssl.SSLContext
    reloaders: list[tls.Reloader]
    custom: CustomResources
    aggregation: Aggregator
    flow: FlowControl | None
    audit: Audit | None
    encryption: Encryption | None
    tracing: Tracing | None
    authorizer: StructuredAuthorizer | None
    reloading: list[Reloading]


def build(config: Config) -> Server:
    """Raises certs.errors.Unreadable for a file that cannot be used."""
    store_tls = tls.client_context(config.store_ca_file, config.store_cert_file, config.store_key_file)
    kubelet_tls = _kubelet_context(config)
    encryption, client = _store(config, store_tls)
    registry = Registry.builtin(config.runtime_config)
    registry.add(*metrics_api.RESOURCES)
    feed = Feed(client)
    stale = client.is_stale if isinstance(client, EncryptingClient) else None
    objects = Objects(client, EventLeases(client, int(config.event_ttl_s)), stale=stale)
    freshness = Freshness(client, feed)
    reader = CacheReader(feed, objects, registry, freshness)
    try:
        authentication = build_authenticator(config.authentication, reader, writer=reader)
        authorization = _authorization(config, reader)
    except ValueError as error:  # UnknownMode, BadAuthorization
        raise FatalError(str(error)) from error
    authorizer = authorization.authorizer
    stopping = asyncio.Event()
    services = ServiceAllocator(
        feed, config.service_networks, config.node_ports, time.time, new_uid, SystemRandom()
    )
    core = Core(
        registry=registry,
        feed=feed,
        freshness=freshness,
        objects=objects,
        admission=AdmissionChain(()),
        authorizer=authorizer,
        services=services,
        kubelet=KubeletClient(kubelet_tls, config.kubelet_address_types),
        tokens=authentication.token_requests or _NoTokens(),
        token_authenticator=authentication.tokens,
        rules_of=authorization.rules,
        clock=time.time,
        monotonic=time.monotonic,
        new_uid=new_uid,
        stopping=stopping,
        watch_grace_s=config.watch_grace_s,
    )
    egress = Egress(ServiceResolver(reader), config.egress_network_namespace)
    core.proxy = Proxy(egress)
    webhooks = WebhookClient(egress)
    core.admission = _admission(config, core, reader, authorization.escalation, webhooks)
    kubernetes_service = KubernetesService(client, config.advertise_address, config.secure_port, new_uid())
    custom = custom_resources(core, webhooks)
    discovery = Discovery(registry)
    proxy_cert, proxy_key = config.proxy_client_cert_file, config.proxy_client_key_file
    aggregation = aggregator(core, discovery, custom.documents, egress, proxy_cert, proxy_key)
    in_flight = InFlight()
    limits: Limiter = Limits(in_flight, config.max_reads, config.max_writes)
    flow: FlowControl | None = None
    if config.priority_and_fairness:
        flow = flow_control(core, config.max_reads + config.max_writes, in_flight)
        limits = flow.fairness
    hooks = PostStartHooks(
        {**_hooks(config, kubernetes_service, aggregation), **(flow.hooks if flow else {})}
    )
    live, ready = _checks(core, hooks)
    if encryption is not None:
        ready["encryption-provider-config"] = encryption.values.check
        ready["kms-providers"] = encryption.healthy
    openapi = lru_cache(maxsize=1)(lambda: OpenAPI(aggregation.openapi, config.runtime_config))
    debug = _debug(config, flow)
    metrics.StorageCollector(feed.sizes)
    documents = Documents(discovery, openapi, Health(live, ready), _issuer(authentication), debug)
    audit = _audit(config)
    auditor = audit.auditor if audit is not None else None
    tracing = _tracing(config)
    pipeline = Pipeline(core, authentication.authenticator, authorizer, documents, limits, auditor, tracing)
    tls_context = _tls_context(config)
    reloaders = [
        tls.Reloader(store_tls, config.store_cert_file, config.store_key_file),
        tls.Reloader(tls_context, config.tls_cert_file, config.tls_key_file),
    ]
    if kubelet_tls is not None and config.kubelet_cert_file is not None:
        key_file = config.kubelet_key_file or config.kubelet_cert_file
        reloaders.append(tls.Reloader(kubelet_tls, config.kubelet_cert_file, key_file))
    return Server(
        core,
        client,
        pipeline,
        hooks,
        kubernetes_service,
        webhooks,
        [each for each in (authentication.token_webhook, authorization.webhook) if each is not None],
        tls_context,
        reloaders,
        custom,
        aggregation,
        flow,
        audit,
        encryption,
        tracing,
        authorization.structured,
        [each.reloading for each in (authentication.structured, authorization.structured) if each],
    )


def _authorization(config: Config, reader: CacheReader) -> Authorization:
    """Raises ValueError, certs.errors.Unreadable."""
    if config.authorization_config_file is not None:
        return build_structured(config.authorization_config_file, reader)
    return build_authorizer(config.authorization_modes, reader, config.authorization_webhook)


def _store(config: Config, context: ssl.SSLContext) -> tuple[Encryption | None, StoreClient]:
    if config.encryption_config_file is None:
        return None, StoreClient(config.store_endpoints, context)
    try:
        encryption = Encryption(config.encryption_config_file, reloads=config.encryption_reload)
    except BadConfiguration as error:
        raise FatalError(str(error)) from error
    return encryption, EncryptingClient(config.store_endpoints, context, encryption.values)


def _tracing(config: Config) -> Tracing | None:
    if config.tracing_config_file is None:
        return None
    try:
        return Tracing(load_tracing(config.tracing_config_file), new_uid())
    except BadTracing as error:
        raise FatalError(str(error)) from error


def _audit(config: Config) -> Audit | None:
    try:
        return build_audit(config.audit)
    except (AuditError, OSError) as error:
        raise FatalError(str(error)) from error


def new_uid() -> str:
    return str(uuid.uuid4())


def _tls_context(config: Config) -> ssl.SSLContext:
    """Client certificates are optional; which authority signed one is checked again in authentication."""
    authentication = config.authentication
    authorities = [authentication.client_ca_file, authentication.requestheader_client_ca_file]
    known = [path for path in authorities if path is not None]
    context = tls.server_context(
        config.tls_cert_file,
        config.tls_key_file,
        known[0] if known else None,
        require_client_cert=False,
        min_tls13=False,
    )
    for path in known[1:]:
        context.load_verify_locations(path)
    return context


def _kubelet_context(config: Config) -> ssl.SSLContext | None:
    if config.kubelet_cert_file is None or config.kubelet_ca_file is None:
        return None
    return tls.client_context(config.kubelet_ca_file, config.kubelet_cert_file, config.kubelet_key_file)


def _hooks(
    config: Config, kubernetes_service: KubernetesService, aggregation: Aggregator
) -> Mapping[str, bootstrap.Hook]:
    """Every post-start hook of the server."""
    client_ca = config.authentication.client_ca_file
    client_ca_pem = client_ca.read_text() if client_ca is not None else ""
    return {
        "start-system-namespaces-controller": bootstrap.system_namespaces,
        "bootstrap-controller": kubernetes_service.hook,
        "scheduling/bootstrap-system-priority-classes": bootstrap.priority_classes,
        "rbac/bootstrap-roles": bootstrap.default_roles,
        "apiservice-registration-controller": aggregation.controller.register,
        "storage/default-storage-class": bootstrap.default_storage_class,
        "start-legacy-token-tracking-controller": bootstrap.token_tracking,
        "start-cluster-authentication-info-controller": bootstrap.authentication_config(
            client_ca_pem, config.requestheader
        ),
    }


def _checks(core: Core, hooks: PostStartHooks) -> tuple[dict[str, Check], dict[str, Check]]:
    live: dict[str, Check] = {"ping": lambda: None, "log": lambda: None}
    store: dict[str, Check] = {"etcd": lambda: core.freshness.failure}
    ready: dict[str, Check] = {
        **live,
        **store,
        "etcd-readiness": store["etcd"],
        "informer-sync": lambda: None if core.feed.synced.is_set() else "the caches are not filled yet",
        **hooks.checks(),
        "shutdown": lambda: "the server is stopping" if core.draining.is_set() else None,
    }
    return {**live, **store, **hooks.checks()}, ready


def _debug(config: Config, flow: FlowControl | None) -> Mapping[str, Page]:
    """Pages for people."""
    version = str(VERSION["gitVersion"]).lstrip("v")
    pages: dict[str, Page] = {
        "/statusz": zpages.statusz(version, time.time(), time.time),
        "/flagz": zpages.flagz(config.flags),
    }
    if flow is not None:
        pages[flowdebug.PREFIX] = flow.dumps.serve
    if config.profiling:
        pages[profiling.PREFIX] = profiling.Profiling().serve
    return pages


def _issuer(authentication: Authentication) -> Mapping[str, Callable[[], bytes]]:
    """The documents by which others check our tokens; made when first asked for."""
    keys, issuer = authentication.public_keys, authentication.issuer
    if not keys:
        return {}
    jwks_uri = issuer.rstrip("/") + oidc_discovery.JWKS_PATH
    return {
        oidc_discovery.DISCOVERY_PATH: lambda: oidc_discovery.discovery_document(issuer, jwks_uri, keys),
        oidc_discovery.JWKS_PATH: lambda: oidc_discovery.key_set(keys),
    }


class _NoTokens:
    async def create(self, account: Object, request: Object) -> Object:
        raise errors.internal("this server has no key to sign service-account tokens with")


def _admission(
    config: Config,
    core: Core,
    reader: CacheReader,
    escalation: EscalationCheck | None,
    webhooks: WebhookClient,
) -> AdmissionChain:
    def resource_of_kind(group: str, kind: str) -> str | None:
        return next((each.resource for each in core.registry.of_group(group) if each.kind == kind), None)

    dependencies = Dependencies(
        reader=reader,
        writer=reader,
        authorizer=core.authorizer,
        escalation=escalation,
        creator=SystemStorage(core),
        resource_of_kind=resource_of_kind,
        registry=core.registry,
        webhooks=webhooks,
    )
    try:
        return build_admission(dependencies, config.enable_admission, config.disable_admission)
    except UnknownPlugin as error:
        raise FatalError(str(error)) from error
