"""Metrics under etcd's names, gathered when they are asked for; the hot path counts in plain integers.

Where etcd measures a thing that Balsa has not, the nearest takes its place: the backend's commits are the
syncs of snapshots, the only other files beside the log.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from store.api.calls import Calls
from store.api.http1 import Server
from store.api.service import CLUSTER_VERSION, VERSION, StoreService
from store.component.histogram import Histogram
from store.raft.interface import Role
from store.raft.measured import MeasuredDisk, PeerStats

Rows = tuple[tuple[str, str, float], ...]  # name, help, value


class Metrics(Collector):
    def __init__(
        self,
        service: StoreService,
        calls: Calls,
        disk: MeasuredDisk,
        peers: Callable[[], Mapping[int, PeerStats]],
    ) -> None:
        self._service = service
        self._calls = calls
        self._disk = disk
        self._peers = peers
        self.server: Server | None = None  # whose connections are counted, once there is one
        self._last_reign = (0, 0)  # term, leader
        self._leader_changes = 0
        self._registry = CollectorRegistry()
        self._registry.register(self)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)

    def render(self) -> bytes:
        text: bytes = generate_latest(self._registry)
        return text

    def look_at_leader(self) -> None:
        """Called often; counts the reigns."""
        status = self._service.raft()
        reign = (status.term, status.leader_id)
        if status.leader_id and reign != self._last_reign:
            self._last_reign = reign
            self._leader_changes += 1

    def collect(self) -> Iterator[Metric]:
        yield from self._calls.collect()
        for part in (self._server_gauges(), self._store_gauges()):
            for name, text, value in part:
                yield GaugeMetricFamily(name, text, value=value)
        for part in (self._server_counters(), self._store_counters()):
            for name, text, value in part:
                yield CounterMetricFamily(name, text, value=value)
        yield from self._versions()
        yield from self._disk_times()
        yield from self._network()

    # -- the member --

    def _server_gauges(self) -> Rows:
        service = self._service
        status, counters = service.engine.status(), service.counters
        self.look_at_leader()
        return (
            ("etcd_server_has_leader", "Whether a leader is known.", int(status.leader_id != 0)),
            ("etcd_server_is_leader", "Whether this member leads.", int(status.role is Role.LEADER)),
            ("etcd_server_is_learner", "Whether this member is a learner.", int(status.role is Role.LEARNER)),
            ("etcd_server_proposals_pending", "Proposals without a result.", counters.proposals_pending),
            ("etcd_server_quota_backend_bytes", "The quota.", service.limits.quota_bytes),
            ("etcd_server_proposals_committed_total", "Index of the last commit.", status.commit_index),
            ("etcd_server_proposals_applied_total", "Index of the last entry applied.", status.applied_index),
            ("etcd_disk_wal_size_bytes", "Size of the write-ahead log.", status.wal_size_bytes),
            ("etcd_network_known_peers", "Other members.", len(self._peers())),
            ("os_fd_used", "Open file descriptors.", len(list(Path("/proc/self/fd").iterdir()))),
            ("os_fd_limit", "Their limit.", resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        )

    def _server_counters(self) -> Rows:
        counters, server = self._service.counters, self.server
        received, sent = (server.received_bytes, server.sent_bytes) if server is not None else (0, 0)
        return (
            ("etcd_server_leader_changes_seen", "Changes of the leader seen.", self._leader_changes),
            ("etcd_server_proposals_failed", "Proposals that failed.", counters.proposals_failed),
            ("etcd_server_read_indexes_failed", "Read indexes that failed.", counters.read_indexes_failed),
            ("etcd_network_client_grpc_received_bytes", "Bytes from clients, by either door.", received),
            ("etcd_network_client_grpc_sent_bytes", "Bytes to clients, by either door.", sent),
            ("etcd_disk_wal_write_bytes", "Bytes written to the log.", self._disk.log_written_bytes),
        )

    def _versions(self) -> Iterator[Metric]:
        member_id = f"{self._service.engine.status().member_id:x}"
        for name, label, value in (
            ("etcd_server_version", "server_version", VERSION),
            ("etcd_cluster_version", "cluster_version", CLUSTER_VERSION),
            ("etcd_server_id", "server_id", member_id),
        ):
            family = GaugeMetricFamily(name, "1 for what it is.", labels=[label])
            family.add_metric([value], 1)
            yield family

    # -- keys, leases, watches --

    def _store_gauges(self) -> Rows:
        machine = self._service.machine
        store, hub = machine.store, machine.hub
        return (
            ("etcd_mvcc_db_total_size_in_bytes", "What counts against the quota.", store.size_bytes),
            ("etcd_mvcc_db_total_size_in_use_in_bytes", "The same: nothing is unused.", store.size_bytes),
            ("etcd_mvcc_db_open_read_transactions", "Snapshots being written.", store.pins),
            ("etcd_debugging_mvcc_db_total_size_in_bytes", "The same under its old name.", store.size_bytes),
            ("etcd_debugging_mvcc_keys_total", "Live keys.", len(store.index)),
            ("etcd_debugging_mvcc_current_revision", "The revision.", store.revision),
            ("etcd_debugging_mvcc_compact_revision", "Compacted up to it.", store.compact_revision),
            ("etcd_debugging_lease_total", "Leases.", len(machine.leases)),
            ("etcd_debugging_mvcc_watch_stream_total", "Watch streams.", hub.streams),
            ("etcd_debugging_mvcc_watcher_total", "Watchers.", len(hub)),
            ("etcd_debugging_mvcc_slow_watcher_total", "Watchers that catch up.", hub.unsynced),
        )

    def _store_counters(self) -> Rows:
        counters = self._service.counters
        kinds = (
            ("put", counters.put),
            ("range", counters.range),
            ("delete", counters.delete),
            ("txn", counters.txn),
        )
        text = "Requests of this kind at this member."
        return (
            *((f"etcd_mvcc_{name}", text, value) for name, value in kinds),
            *((f"etcd_debugging_mvcc_{name}", text, value) for name, value in kinds),
            ("etcd_debugging_lease_granted", "Leases granted here.", counters.leases_granted),
            ("etcd_debugging_lease_revoked", "Leases revoked here.", counters.leases_revoked),
            ("etcd_debugging_lease_renewed", "Leases renewed here.", counters.leases_renewed),
        )

    # -- disk and network --

    def _disk_times(self) -> Iterator[Metric]:
        disk = self._disk
        rows: tuple[tuple[str, str, Histogram], ...] = (
            ("etcd_disk_wal_fsync_duration_seconds", "Time to sync the log.", disk.log_syncs),
            ("etcd_disk_backend_commit_duration_seconds", "Time to sync a snapshot.", disk.snapshot_syncs),
            ("etcd_snap_fsync_duration_seconds", "Time to sync a snapshot.", disk.snapshot_syncs),
        )
        for name, text, histogram in rows:
            family = HistogramMetricFamily(name, text)
            histogram.add_to(family)
            yield family

    def _network(self) -> Iterator[Metric]:
        peers = {f"{id:x}": stats for id, stats in self._peers().items()}
        counters: tuple[tuple[str, str, str, Callable[[PeerStats], int]], ...] = (
            ("etcd_network_peer_sent_bytes", "Bytes to a peer.", "To", lambda each: each.sent_bytes),
            (
                "etcd_network_peer_received_bytes",
                "Bytes from a peer.",
                "From",
                lambda each: each.received_bytes,
            ),
            (
                "etcd_network_peer_sent_failures",
                "Messages that did not leave.",
                "To",
                lambda each: each.failures,
            ),
        )
        for name, text, label, value in counters:
            family = CounterMetricFamily(name, text, labels=[label])
            for peer, stats in peers.items():
                family.add_metric([peer], value(stats))
            yield family
        times = HistogramMetricFamily(
            "etcd_network_peer_round_trip_time_seconds", "Round trip to a peer.", labels=["To"]
        )
        for peer, stats in peers.items():
            stats.round_trips.add_to(times, [peer])
        yield times
