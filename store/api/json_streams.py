"""The gateway's streams: watch, lease keep-alive and snapshot; lines of JSON in, lines `{"result": …}` out.

A watch's request messages may come at any time while responses flow. A response is encoded when the
connection can take it: while it cannot, the hub keeps the outbox, and then the watchers fall behind and
catch up from history.
"""

from __future__ import annotations

import asyncio
from binascii import b2a_base64
from collections import deque

from store.api import json_encode as encode
from store.api import messages as m
from store.api.auth import TokenKeeper
from store.api.errors import BadRequest, NoLeader, TooManyRequests
from store.api.http1 import Stream
from store.api.http1_parser import Request as HttpRequest
from store.api.json_auth import caller
from store.api.json_gateway import StreamHandler, error_line
from store.api.json_names import decode
from store.api.service import StoreService
from store.api.snapshot_file import blobs
from store.mvcc.errors import LeaseNotFound, RequestError
from store.watch.stream import Spec, WatchStream

MAX_LINE_BYTES = 64 * 1024
MAX_LINES_WAITING = 1000  # messages of one stream that are not served yet
MAX_STREAMS = 10_000
LEADERLESS_S = 3.0  # a stream that asked for it ends when its member has known no leader for this long
FRAGMENT_BYTES = (
    3 * 512 * 1024
)  # a watcher that takes fragments gets longer responses in several lines, as in etcd
WRITE_BYTES = 256 * 1024  # responses are joined to writes of about this size
SNAPSHOT_BLOB_BYTES = 64 * 1024


class Lines:
    """The lines of a request's body as they come."""

    def __init__(self, stream: Stream) -> None:
        self._partial = b""
        self._lines: deque[bytes] = deque()
        self._ended = False
        self._failure: RequestError | None = None
        self.wake = asyncio.Event()
        stream.attach(self._feed, self._end)

    @property
    def ended(self) -> bool:
        return self._ended and not self._lines

    def pop(self) -> bytes | None:
        """The next line, or None when there is none yet. Raises BadRequest for a flood."""
        if self._failure is not None:
            raise self._failure
        return self._lines.popleft() if self._lines else None

    async def next(self) -> bytes | None:
        """The next line; None at the end."""
        while (line := self.pop()) is None:
            if self._ended:
                return None
            self.wake.clear()
            await self.wake.wait()
        return line

    def _feed(self, data: bytes) -> None:
        if self._failure is not None:
            return
        *lines, self._partial = (self._partial + data).split(b"\n")
        self._lines.extend(line for line in lines if line.strip())
        if not lines and _is_whole(self._partial):
            # many clients end a message with nothing at all
            self._lines.append(self._partial)
            self._partial = b""
        if len(self._partial) > MAX_LINE_BYTES or len(self._lines) > MAX_LINES_WAITING:
            self._failure = BadRequest("too many or too long messages on one stream")
        self.wake.set()

    def _end(self) -> None:
        if self._partial.strip():
            self._lines.append(self._partial)
            self._partial = b""
        self._ended = True
        self.wake.set()


def _is_whole(data: bytes) -> bool:
    """Is it a JSON object of its own? Cheap and right for the messages that occur: braces in strings are
    base64-safe."""
    text = data.strip()
    return text.startswith(b"{") and text.endswith(b"}") and text.count(b"{") == text.count(b"}")


class JsonStreams:
    def __init__(self, service: StoreService, tokens: TokenKeeper) -> None:
        self._service = service
        self._tokens = tokens

    def _for_caller(self, request: HttpRequest) -> StoreService:
        return caller(self._service, self._tokens, request.headers)

    def handlers(self) -> dict[bytes, StreamHandler]:
        return {
            b"/v3/watch": self.watch,
            b"/v3/lease/keepalive": self.keep_alive,
            b"/v3/kv/lease/keepalive": self.keep_alive,
            b"/v3/maintenance/snapshot": self.snapshot,
        }

    async def watch(self, request: HttpRequest, stream: Stream) -> None:
        if self._service.machine.hub.streams >= MAX_STREAMS:
            raise TooManyRequests
        await WatchSession(self._for_caller(request), request, stream).run()

    async def keep_alive(self, request: HttpRequest, stream: Stream) -> None:
        lines = Lines(stream)
        while (line := await lines.next()) is not None:
            message = decode(m.LeaseIdRequest, line)
            try:
                result = await self._service.lease_keep_alive(message.id)
                header = encode.encode_header(self._service.header())
                answer = encode.encode_keep_alive(header, result)
            except LeaseNotFound:  # etcd answers without a TTL
                header = encode.encode_header(self._service.header())
                answer = b'{"result":{"header":%b,"ID":"%d"}}\n' % (header, message.id)
            except RequestError as error:
                await stream.write(error_line(error))
                return
            await stream.write(answer)

    async def snapshot(self, request: HttpRequest, stream: Stream) -> None:
        self._for_caller(request).auth.require_admin()
        async for blob, remaining in blobs(self._service.machine):
            await stream.write(self._blob(blob, remaining))

    def _blob(self, data: bytes, remaining: int) -> bytes:
        header = encode.encode_header(self._service.header())
        blob = b2a_base64(data, newline=False)
        return b'{"result":{"header":%b,"remaining_bytes":"%d","blob":"%b"}}\n' % (header, remaining, blob)


class WatchSession:
    """One watch stream. A single task turns between its two sources: request lines, and the hub's outbox."""

    def __init__(self, service: StoreService, request: HttpRequest, stream: Stream) -> None:
        self._service = service
        self._hub = service.machine.hub
        self._stream = stream
        self._lines = Lines(stream)
        self._wake = self._lines.wake
        self._watch: WatchStream = self._hub.open_stream(self._wake.set)
        self._wants_leader = request.headers.get(b"grpc-metadata-hasleader") == b"true"
        self._leaderless_since: float | None = None

    async def run(self) -> None:
        stream = self._stream
        stream.on_lost_callback = self._wake.set
        try:
            if self._wants_leader:
                self._service.require_leader()
            await self._serve()
        except RequestError as error:
            await stream.write(error_line(error))
        finally:
            self._hub.close_stream(self._watch)

    async def _serve(self) -> None:
        while not self._stream.lost.is_set():
            self._wake.clear()
            while (line := self._lines.pop()) is not None:
                self._on_message(decode(m.WatchRequest, line))
            await self._drain()
            if not self._wake.is_set():
                await self._sleep()

    async def _drain(self) -> None:
        """Write the outbox out; whoever fell behind then gets a turn."""
        more = True
        while more and not self._stream.lost.is_set():
            pieces: list[bytes] = []
            size = 0
            for response in self._watch.take():
                header = encode.encode_header(self._service.header(response.revision))
                for line in encode.encode_watch_lines(header, response, FRAGMENT_BYTES):
                    pieces.append(line)
                    size += len(line)
                if size >= WRITE_BYTES:
                    await self._stream.write(b"".join(pieces))
                    pieces, size = [], 0
            if pieces:
                await self._stream.write(b"".join(pieces))
            more = self._hub.sync(self._watch) or not self._watch.is_idle
            if more:
                await asyncio.sleep(0)

    async def _sleep(self) -> None:
        if not self._wants_leader:
            await self._wake.wait()
            return
        try:
            async with asyncio.timeout(LEADERLESS_S / 3):
                await self._wake.wait()
        except TimeoutError:
            self._check_leader()

    def _check_leader(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._service.has_leader:
            self._leaderless_since = None
        elif self._leaderless_since is None:
            self._leaderless_since = now
        elif now - self._leaderless_since >= LEADERLESS_S:
            raise NoLeader

    def _on_message(self, message: m.WatchRequest) -> None:
        if message.create_request is not None:
            self._create(message.create_request)
        elif message.cancel_request is not None:
            self._hub.cancel(self._watch, message.cancel_request.watch_id)
        elif message.progress_request is not None:
            self._hub.request_progress(self._watch)

    def _create(self, request: m.WatchCreateRequest) -> None:
        spec = Spec(
            request.key or b"\x00",  # no key is the smallest key, as in etcd
            request.range_end,
            request.prev_kv,
            "NOPUT" in request.filters,
            "NODELETE" in request.filters,
        )
        if reason := self._service.watch_refusal(spec.key, spec.range_end):
            self._hub.refuse(self._watch, reason, request.watch_id or -1)
            return
        self._hub.create(
            self._watch,
            spec,
            request.start_revision,
            request.progress_notify,
            request.watch_id,
            request.fragment,
        )
