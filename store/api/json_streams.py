"""The gateway's streams: watch, lease keep-alive and snapshot; lines of JSON in, lines `{"result": …}` out.

A watch's request messages may come at any time while responses flow.
"""

from __future__ import annotations

import asyncio
from binascii import b2a_base64
from collections import deque
from collections.abc import Iterable

from store.api import json_encode as encode
from store.api import messages as m
from store.api.auth import TokenKeeper
from store.api.errors import BadRequest, TooManyRequests
from store.api.http1 import Stream
from store.api.http1_parser import Request as HttpRequest
from store.api.json_auth import caller
from store.api.json_gateway import StreamHandler, error_line
from store.api.json_names import decode
from store.api.service import StoreService
from store.api.snapshot_file import blobs
from store.api.watch_session import FRAGMENT_BYTES, MAX_WATCH_STREAMS, WatchSession
from store.mvcc.errors import LeaseNotFound, RequestError
from store.watch.stream import WatchResponse

MAX_LINE_BYTES = 64 * 1024
MAX_LINES_WAITING = 1000  # messages of one stream that are not served yet


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
        if self._service.machine.hub.streams >= MAX_WATCH_STREAMS:
            raise TooManyRequests
        await JsonWatch(self._for_caller(request), request, stream).run()

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
        async for blob, remaining in blobs(self._service):
            await stream.write(self._blob(blob, remaining))

    def _blob(self, data: bytes, remaining: int) -> bytes:
        header = encode.encode_header(self._service.header())
        blob = b2a_base64(data, newline=False)
        return b'{"result":{"header":%b,"remaining_bytes":"%d","blob":"%b"}}\n' % (header, remaining, blob)


class JsonWatch(WatchSession):
    """Goes on when the request's body has ended: over HTTP/1.1 few clients can keep it open."""

    def __init__(self, service: StoreService, request: HttpRequest, stream: Stream) -> None:
        self._lines = Lines(stream)
        wants_leader = request.headers.get(b"grpc-metadata-hasleader") == b"true"
        super().__init__(service, self._lines.wake, wants_leader)
        self._stream = stream

    async def run(self) -> None:
        self._stream.on_lost_callback = self._lines.wake.set
        try:
            await self.serve()
        except RequestError as error:
            await self._stream.write(error_line(error))

    def ended(self) -> bool:
        return self._stream.lost.is_set()

    def take(self) -> m.WatchRequest | None:
        line = self._lines.pop()
        return None if line is None else decode(m.WatchRequest, line)

    def encode(self, response: WatchResponse) -> Iterable[bytes]:
        header = encode.encode_header(self._service.header(response.revision))
        return encode.encode_watch_lines(header, response, FRAGMENT_BYTES)

    async def write(self, data: bytes) -> None:
        await self._stream.write(data)
