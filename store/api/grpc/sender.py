"""What a server sends on an HTTP/2 connection, as far as windows and the socket take it.

Headers go at once; data that does not fit waits per stream, in order, and goes on in turns of one frame per
stream, at most `TURN_BYTES` at a time, so that a slow socket is filled no faster than it drains. Trailers
follow the last byte of their stream.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from store.api.grpc import frames as f

TURN_BYTES = 256 * 1024


class WindowOverflow(Exception):
    """The peer made a window larger than the protocol allows, or by nothing."""


@dataclass(slots=True)
class Outgoing:
    id: int
    window: int
    queue: deque[memoryview] = field(default_factory=deque)
    queued_bytes: int = 0
    trailers: bytes | None = None


class Sender:
    def __init__(self) -> None:
        self.output: list[bytes] = []
        self.writable = True  # the socket takes more
        self.queued_bytes = 0
        self.more = False  # a turn ended before its work did
        self.spoke = False  # a frame of a stream is in the output; the connection takes the note
        self.drained: list[int] = []  # streams whose queue became empty; the connection takes them
        self.ended: list[int] = []  # streams whose trailers are out; likewise
        self._streams: dict[int, Outgoing] = {}
        self._waiting: dict[int, Outgoing] = {}  # in the order of their turns
        self._window = f.DEFAULT_WINDOW_BYTES
        self._initial_window = f.DEFAULT_WINDOW_BYTES

    def open(self, stream_id: int) -> None:
        self._streams[stream_id] = Outgoing(stream_id, self._initial_window)

    def close(self, stream_id: int) -> None:
        self._streams.pop(stream_id, None)
        waiting = self._waiting.pop(stream_id, None)
        if waiting is not None:
            self.queued_bytes -= waiting.queued_bytes

    # -- sending --

    def headers(self, stream_id: int, block: bytes) -> None:
        if stream_id in self._streams:
            self.spoke = True
            self.output.append(f.frame(f.HEADERS, f.END_HEADERS, stream_id, block))

    def data(self, stream_id: int, data: bytes) -> int:
        """Send or queue; returns how much of the stream is queued."""
        stream = self._streams.get(stream_id)
        if stream is None or not data:
            return 0
        size = len(data)
        fits = size <= f.MAX_FRAME_BYTES and size <= stream.window and size <= self._window
        if fits and self.writable and not stream.queue:
            stream.window -= size
            self._window -= size
            self.spoke = True
            self.output.append(f.frame(f.DATA, 0, stream_id, data))
            return 0
        stream.queue.append(memoryview(data))
        stream.queued_bytes += size
        self.queued_bytes += size
        self._waiting[stream_id] = stream
        self.flush()
        return stream.queued_bytes

    def end(self, stream_id: int, trailers: bytes) -> None:
        """The last of a stream, after what is queued."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        stream.trailers = trailers
        if not stream.queue:
            self._end(stream, trailers)

    def _end(self, stream: Outgoing, trailers: bytes) -> None:
        self.spoke = True
        self.output.append(f.frame(f.HEADERS, f.END_HEADERS | f.END_STREAM, stream.id, trailers))
        self.ended.append(stream.id)

    # -- windows --

    def grow(self, stream_id: int, size_bytes: int) -> None:
        """A window update; stream 0 is the connection. Raises WindowOverflow."""
        if stream_id == 0:
            self._window = _grown(self._window, size_bytes)
        elif (stream := self._streams.get(stream_id)) is not None:
            stream.window = _grown(stream.window, size_bytes)

    def resize(self, initial_window: int) -> None:
        """The peer changed the window that streams begin with. Raises WindowOverflow."""
        change = initial_window - self._initial_window
        for stream in self._streams.values():
            stream.window += change
            if stream.window > f.MAX_WINDOW_BYTES:
                raise WindowOverflow
        self._initial_window = initial_window

    # -- what waits --

    def flush(self) -> None:
        """One turn: send what windows and socket take."""
        budget, self.more = TURN_BYTES, False
        progress = True
        while progress and self._waiting and self.writable:
            progress = False
            for stream in list(self._waiting.values()):
                if budget <= 0:
                    self.more = True
                    return
                sent = self._send_piece(stream)
                budget -= sent
                progress = progress or sent > 0

    def _send_piece(self, stream: Outgoing) -> int:
        room = min(stream.window, self._window, f.MAX_FRAME_BYTES)
        if room <= 0:
            return 0
        first = stream.queue.popleft()
        piece = first[:room]
        if len(first) > room:
            stream.queue.appendleft(first[room:])
        size = len(piece)
        stream.window -= size
        self._window -= size
        stream.queued_bytes -= size
        self.queued_bytes -= size
        self.spoke = True
        self.output.append(f.frame(f.DATA, 0, stream.id, bytes(piece)))
        if not stream.queue:
            del self._waiting[stream.id]
            self.drained.append(stream.id)
            if stream.trailers is not None:
                self._end(stream, stream.trailers)
        return size


def _grown(window: int, size_bytes: int) -> int:
    if not 0 < size_bytes <= f.MAX_WINDOW_BYTES - window:
        raise WindowOverflow
    return window + size_bytes
