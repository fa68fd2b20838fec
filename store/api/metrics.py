"""Metrics under etcd's names, gathered when they are asked for; the hot path counts in plain integers."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from store.api.service import VERSION, StoreService
from store.raft.interface import Role


class Metrics(Collector):
    def __init__(self, service: StoreService) -> None:
        self._service = service
        self._last_leader = 0
        self._leader_changes = 0
        self._registry = CollectorRegistry()
        self._registry.register(self)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)

    def render(self) -> bytes:
        text: bytes = generate_latest(self._registry)
        return text

    def on_leader(self, leader_id: int) -> None:
        """Told now and then who leads; counts the changes."""
        if leader_id and leader_id != self._last_leader:
            self._last_leader = leader_id
            self._leader_changes += 1

    def collect(self) -> Iterator[Metric]:
        yield from self._server()
        yield from self._store()
        yield from self._watches()

    def _server(self) -> Iterator[Metric]:
        status, counters = self._service.engine.status(), self._service.counters
        self.on_leader(status.leader_id)
        for name, text, value in (
            ("etcd_server_has_leader", "Whether a leader is known.", int(status.leader_id != 0)),
            ("etcd_server_is_leader", "Whether this member leads.", int(status.role is Role.LEADER)),
            ("etcd_server_is_learner", "Whether this member is a learner.", int(status.role is Role.LEARNER)),
            ("etcd_server_proposals_pending", "Proposals without a result.", counters.proposals_pending),
            ("etcd_server_quota_backend_bytes", "The quota.", self._service.limits.quota_bytes),
            ("etcd_server_proposals_committed_total", "Index of the last commit.", status.commit_index),
            ("etcd_server_proposals_applied_total", "Index of the last entry applied.", status.applied_index),
            ("etcd_disk_wal_size_bytes", "Size of the write-ahead log.", status.wal_size_bytes),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        yield CounterMetricFamily(
            "etcd_server_leader_changes_seen", "Changes of the leader seen.", value=self._leader_changes
        )
        yield CounterMetricFamily(
            "etcd_server_proposals_failed", "Proposals that failed.", value=counters.proposals_failed
        )
        version = GaugeMetricFamily(
            "etcd_server_version", "The version presented.", labels=["server_version"]
        )
        version.add_metric([VERSION], 1)
        yield version

    def _store(self) -> Iterator[Metric]:
        store, counters = self._service.machine.store, self._service.counters
        for name, value in (
            ("etcd_mvcc_db_total_size_in_bytes", store.size_bytes),
            ("etcd_mvcc_db_total_size_in_use_in_bytes", store.size_bytes),
            ("etcd_debugging_mvcc_keys_total", len(store.index)),
            ("etcd_debugging_mvcc_current_revision", store.revision),
            ("etcd_debugging_mvcc_compact_revision", store.compact_revision),
            ("etcd_debugging_lease_total", len(self._service.machine.leases)),
        ):
            yield GaugeMetricFamily(name, name.replace("_", " "), value=value)
        for name, value in (
            ("etcd_mvcc_put", counters.put),
            ("etcd_mvcc_range", counters.range),
            ("etcd_mvcc_delete", counters.delete),
            ("etcd_mvcc_txn", counters.txn),
        ):
            yield CounterMetricFamily(name, "Requests of this kind at this member.", value=value)

    def _watches(self) -> Iterator[Metric]:
        hub = self._service.machine.hub
        for name, value in (
            ("etcd_debugging_mvcc_watch_stream_total", hub.streams),
            ("etcd_debugging_mvcc_watcher_total", len(hub)),
            ("etcd_debugging_mvcc_slow_watcher_total", hub.unsynced),
        ):
            yield GaugeMetricFamily(name, name.replace("_", " "), value=value)
