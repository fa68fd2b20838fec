"""Every query of etcd's public dashboard and of its alerts finds a series at each member of a cluster."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from store.client import StoreClient

from ..conftest import TlsFiles, balsa_cluster, eventually

UNARY = {"grpc_type": "unary"}
BIDI = {"grpc_type": "bidi_stream"}
FAILED = "Unknown|FailedPrecondition|ResourceExhausted|Internal|Unavailable|DataLoss|DeadlineExceeded"

# what contrib/mixin of etcd asks for: series, and what its labels must be (regular expressions)
QUERIES: list[tuple[str, dict[str, str]]] = [
    ("etcd_server_has_leader", {}),
    ("grpc_server_started_total", UNARY),
    ("grpc_server_handled_total", {**UNARY, "grpc_code": FAILED}),
    ("grpc_server_started_total", {**BIDI, "grpc_service": "etcdserverpb.Watch"}),
    ("grpc_server_handled_total", {**BIDI, "grpc_service": "etcdserverpb.Watch"}),
    ("grpc_server_started_total", {**BIDI, "grpc_service": "etcdserverpb.Lease"}),
    ("grpc_server_handled_total", {**BIDI, "grpc_service": "etcdserverpb.Lease"}),
    ("grpc_server_handling_seconds_bucket", {**UNARY, "grpc_method": "Range", "le": "0.1"}),
    ("etcd_mvcc_db_total_size_in_bytes", {}),
    ("etcd_mvcc_db_total_size_in_use_in_bytes", {}),
    ("etcd_server_quota_backend_bytes", {}),
    ("etcd_disk_wal_fsync_duration_seconds_bucket", {"le": "0.008"}),
    ("etcd_disk_backend_commit_duration_seconds_bucket", {"le": "0.008"}),
    ("process_resident_memory_bytes", {}),
    ("etcd_network_client_grpc_received_bytes_total", {}),
    ("etcd_network_client_grpc_sent_bytes_total", {}),
    ("etcd_network_peer_received_bytes_total", {"From": "[0-9a-f]+"}),
    ("etcd_network_peer_sent_bytes_total", {"To": "[0-9a-f]+"}),
    ("etcd_network_peer_sent_failures_total", {"To": "[0-9a-f]+"}),
    ("etcd_network_peer_round_trip_time_seconds_bucket", {"To": "[0-9a-f]+", "le": "0.0001"}),
    ("etcd_server_proposals_failed_total", {}),
    ("etcd_server_proposals_pending", {}),
    ("etcd_server_proposals_committed_total", {}),
    ("etcd_server_proposals_applied_total", {}),
    ("etcd_server_leader_changes_seen_total", {}),
]
COUNTED = [  # more than nothing after some traffic
    ("etcd_disk_wal_fsync_duration_seconds_count", {}),
    ("etcd_disk_backend_commit_duration_seconds_count", {}),
    ("etcd_network_peer_round_trip_time_seconds_count", {}),
    ("etcd_network_peer_sent_bytes_total", {}),
    ("etcd_network_peer_received_bytes_total", {}),
    ("etcd_network_client_grpc_received_bytes_total", {}),
    ("etcd_network_client_grpc_sent_bytes_total", {}),
    ("etcd_disk_wal_write_bytes_total", {}),
    ("etcd_server_leader_changes_seen_total", {}),
    ("etcd_mvcc_put_total", {}),
    ("grpc_server_started_total", {"grpc_service": "etcdserverpb.KV", "grpc_method": "Put"}),
    ("grpc_server_handled_total", {"grpc_method": "Put", "grpc_code": "OK"}),
    ("grpc_server_handled_total", {"grpc_method": "Compact", "grpc_code": "OutOfRange"}),
    ("grpc_server_started_total", {"grpc_method": "Watch"}),
    ("grpc_server_handling_seconds_count", {"grpc_method": "Put"}),
]

Series = list[tuple[str, dict[str, str], float]]

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def scrape(url: str, tls: TlsFiles) -> Series:
    host, port = url.removeprefix("https://").split(":")
    reader, writer = await asyncio.open_connection(host, port, ssl=tls.client_context())
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 200")
    return [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    ]


def select(series: Series, name: str, labels: dict[str, str]) -> list[float]:
    return [
        value
        for found, has, value in series
        if found == name and all(re.fullmatch(wanted, has.get(label, "")) for label, wanted in labels.items())
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scraped(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[Series]]:
    flags = ["--snapshot-count=10", "--metrics=extensive"]
    async with balsa_cluster(tmp_path_factory.mktemp("metrics"), tls, 3, flags) as cluster:
        for url in cluster.urls:
            async with cluster.client(url) as client:
                await _use(client)
        found: list[Series] = []

        async def complete() -> bool:
            """The round trip is measured now and then."""
            found[:] = await asyncio.gather(*(scrape(url, tls) for url in cluster.urls))
            name = "etcd_network_peer_round_trip_time_seconds_count"
            return all(len(pairs := select(each, name, {})) == 2 and all(pairs) for each in found)

        await eventually(complete)
        yield found


async def _use(client: StoreClient) -> None:
    for number in range(20):
        await client.put(b"k%d" % number, b"v")
    with pytest.raises(Exception, match="future revision"):
        await client.compact(10**9)
    watch = client.watch(b"k0")
    await anext(aiter(watch))
    await watch.close()


@pytest.mark.parametrize(("name", "labels"), QUERIES, ids=[" ".join([n, *v.values()]) for n, v in QUERIES])
async def test_a_query_of_the_dashboard_finds_series(
    scraped: list[Series], name: str, labels: dict[str, str]
) -> None:
    assert all(select(series, name, labels) for series in scraped)


@pytest.mark.parametrize(("name", "labels"), COUNTED, ids=[" ".join([n, *v.values()]) for n, v in COUNTED])
async def test_what_happened_is_counted(scraped: list[Series], name: str, labels: dict[str, str]) -> None:
    for series in scraped:
        assert max(select(series, name, labels)) > 0
