"""The audit's flags, named as kube-apiserver's, and the parts that they come to."""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from control_plane.apiserver.audit import policy
from control_plane.apiserver.audit.auditor import Auditor, Output, failed
from control_plane.apiserver.audit.buffer import BatchOptions, Buffer, Send
from control_plane.apiserver.audit.errors import BadOptions
from control_plane.apiserver.audit.log_file import FileOptions, LogFile
from control_plane.apiserver.audit.webhook import NotDelivered, Webhook
from control_plane.apiserver.review_client import ReviewClient
from store.component.flags import Parser, parse_duration

MODES = ("batch", "blocking", "blocking-strict")
FLUSH_TIMEOUT_S = 5.0
LOG_BATCH = BatchOptions(buffer_size=10_000, max_size=1)
WEBHOOK_BATCH = BatchOptions(10_000, 400, 30.0, throttle_enable=True, throttle_qps=10.0, throttle_burst=15)


@dataclass(frozen=True, slots=True)
class SinkOptions:
    mode: str
    batch: BatchOptions
    max_event_bytes: int = 0


@dataclass(frozen=True, slots=True)
class AuditOptions:
    policy_file: Path | None = None
    file: FileOptions | None = None
    file_sink: SinkOptions = field(default_factory=lambda: SinkOptions("blocking", LOG_BATCH))
    webhook_config_file: Path | None = None
    webhook_sink: SinkOptions = field(default_factory=lambda: SinkOptions("batch", WEBHOOK_BATCH))
    webhook_initial_backoff_s: float = 10.0


@dataclass(slots=True)
class Audit:
    """What runs, and what is closed at the end."""

    auditor: Auditor
    buffers: list[Buffer]
    file: LogFile | None
    webhook: Webhook | None

    async def run(self) -> None:
        await asyncio.gather(*(buffer.run() for buffer in self.buffers))

    async def close(self) -> None:
        """After `run` has been cancelled."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_TIMEOUT_S):
                await self.auditor.settle()
        await asyncio.gather(*(buffer.drain(FLUSH_TIMEOUT_S) for buffer in self.buffers))
        if self.file is not None:
            self.file.close()
        if self.webhook is not None:
            await self.webhook.close()


def add_flags(flags: Parser) -> None:
    add = flags.add_argument
    add("--audit-policy-file", type=Path, help="what is recorded of which requests; without it nothing is")
    add("--audit-log-path", default="", help="file of audit events; - for standard output")
    add("--audit-log-maxage", type=int, default=366, help="days that old audit files are kept; 0: for ever")
    add("--audit-log-maxbackup", type=int, default=100, help="how many old audit files are kept; 0: all")
    add(
        "--audit-log-maxsize",
        type=int,
        default=100,
        help="MiB at which the audit file is put aside; 0: never",
    )
    add("--audit-log-format", default="json", choices=("json",), help="form of an audit event")
    flags.add_bool("--audit-log-compress", False, "compress old audit files")
    add("--audit-webhook-config-file", type=Path, help="kubeconfig of the server that takes audit events")
    add("--audit-webhook-initial-backoff", type=parse_duration, default=10.0, help="pause before a retry")
    _add_sink(flags, "log", "blocking", LOG_BATCH)
    _add_sink(flags, "webhook", "batch", WEBHOOK_BATCH)


def _add_sink(flags: Parser, name: str, mode: str, batch: BatchOptions) -> None:
    add, prefix = flags.add_argument, f"--audit-{name}"
    add(f"{prefix}-version", default="audit.k8s.io/v1", choices=("audit.k8s.io/v1",))
    add(f"{prefix}-mode", default=mode, choices=MODES, help="whether events are written before the answer")
    add(f"{prefix}-batch-buffer-size", type=int, default=batch.buffer_size, help="events that may wait")
    add(f"{prefix}-batch-max-size", type=int, default=batch.max_size, help="events of one batch")
    add(f"{prefix}-batch-max-wait", type=parse_duration, default=batch.max_wait_s, help="until it is sent")
    flags.add_bool(f"{prefix}-batch-throttle-enable", batch.throttle_enable, "bound the rate of batches")
    add(f"{prefix}-batch-throttle-qps", type=float, default=batch.throttle_qps, help="batches a second")
    add(f"{prefix}-batch-throttle-burst", type=int, default=batch.throttle_burst, help="and at once")
    flags.add_bool(f"{prefix}-truncate-enabled", False, "leave the bodies out of events that are too large")
    add(f"{prefix}-truncate-max-event-size", type=int, default=102_400, help="bytes of an event")


def options(args: argparse.Namespace) -> AuditOptions:
    """Raises BadOptions."""
    file = None
    if args.audit_log_path:
        file = FileOptions(
            args.audit_log_path,
            args.audit_log_maxage,
            args.audit_log_maxbackup,
            args.audit_log_maxsize,
            args.audit_log_compress,
        )
    for name in ("maxage", "maxbackup", "maxsize"):
        if getattr(args, f"audit_log_{name}") < 0:
            raise BadOptions(f"--audit-log-{name} can't be a negative number")
    return AuditOptions(
        args.audit_policy_file,
        file,
        _sink(args, "log"),
        args.audit_webhook_config_file,
        _sink(args, "webhook"),
        args.audit_webhook_initial_backoff,
    )


def _sink(args: argparse.Namespace, name: str) -> SinkOptions:
    prefix = f"audit_{name}_"

    def of(flag: str) -> float:
        return float(getattr(args, f"{prefix}batch_{flag}"))

    batch = BatchOptions(
        int(of("buffer_size")),
        int(of("max_size")),
        of("max_wait"),
        getattr(args, f"{prefix}batch_throttle_enable"),
        of("throttle_qps"),
        int(of("throttle_burst")),
    )
    if batch.buffer_size <= 0 or batch.max_size <= 0:
        raise BadOptions(f"audit batch {name}: buffer and batch sizes must be positive")
    if batch.throttle_enable and (batch.throttle_qps <= 0 or batch.throttle_burst <= 0):
        raise BadOptions(f"audit batch {name}: throttle QPS and burst must be positive")
    truncated = getattr(args, f"{prefix}truncate_enabled")
    most = getattr(args, f"{prefix}truncate_max_event_size") if truncated else 0
    mode = getattr(args, f"{prefix}mode")
    return SinkOptions(mode, batch, most)


def build(chosen: AuditOptions) -> Audit | None:
    """None where nothing is to be recorded, or nowhere. Raises AuditError, OSError, certs.errors.Unreadable."""
    if chosen.policy_file is None or (chosen.file is None and chosen.webhook_config_file is None):
        return None
    rules = policy.load(chosen.policy_file)
    outputs: list[Output] = []
    audit = Audit(Auditor(rules, (), time.time), [], None, None)
    if chosen.file is not None:
        audit.file = LogFile(chosen.file, time.time)
        outputs.append(_output(audit, "log", audit.file.write_all, chosen.file_sink))
    if chosen.webhook_config_file is not None:
        client = ReviewClient.load(chosen.webhook_config_file)
        audit.webhook = Webhook(client, chosen.webhook_initial_backoff_s)
        outputs.append(_output(audit, "webhook", audit.webhook.send, chosen.webhook_sink))
    audit.auditor = Auditor(rules, outputs, time.time)
    return audit


def _output(audit: Audit, name: str, send: Send, chosen: SinkOptions) -> Output:
    if chosen.mode != "batch":
        return Output(name, _Written(name, send), chosen.mode == "blocking-strict", chosen.max_event_bytes)
    buffer = Buffer(send, chosen.batch, partial(failed, name))
    audit.buffers.append(buffer)
    return Output(name, _Buffered(buffer), False, chosen.max_event_bytes)


class _Written:
    def __init__(self, name: str, send: Send) -> None:
        self._name = name
        self._send = send

    async def take(self, event: bytes) -> bool:
        try:
            await self._send([event])
        except (OSError, ValueError, NotDelivered) as error:
            failed(self._name, 1, str(error))
            return False
        return True


class _Buffered:
    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer

    async def take(self, event: bytes) -> bool:
        self._buffer.add(event)
        return True
