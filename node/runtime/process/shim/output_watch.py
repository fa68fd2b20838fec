"""A container's output on its way to those attached: read while they take it, held back while they do not.

A pipe is watched for reading unless somebody attached is behind; an attached client's pipe is watched for
writing while something waits for it. A client that takes nothing at all is let go, so that it cannot hold the
container for ever.
"""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable

from node.runtime.process.shim.attachment import Attachment
from node.runtime.process.shim.container import Container


class OutputWatch:
    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector

    def start(self, container: Container) -> None:
        """The container runs: follow its pipes."""
        for reader in container.readers:
            self._selector.register(reader, selectors.EVENT_READ, self._reader(container, reader))

    def stop(self, container: Container) -> None:
        """It has ended; what is left in its pipes is read without waiting."""
        for fd in () if container.is_held else container.readers:
            self._selector.unregister(fd)
        container.is_held = False

    def _reader(self, container: Container, fd: int) -> Callable[[], None]:
        def ready() -> None:
            if fd not in container.readers:  # closed by an event of the same turn, its exit
                return
            container.read(fd)
            if fd not in container.readers:
                self._selector.unregister(fd)
            self.update(container)

        return ready

    def update(self, container: Container) -> None:
        """Write on when pipes have room, and read on when nobody is behind."""
        for attachment in container.attachments:
            self._watch(container, attachment)
        container.attachments = [each for each in container.attachments if each.pending or each.has_stdin]
        behind = container.running and any(each.behind for each in container.attachments)
        if behind is container.is_held:
            return
        container.is_held = behind
        if not behind:
            self.start(container)
            return
        for reader in container.readers:
            self._selector.unregister(reader)

    def _watch(self, container: Container, attachment: Attachment) -> None:
        watched = self._selector.get_map()
        waiting = attachment.waiting()
        for fd in (*attachment.take_finished(), *attachment.pending):
            if fd in watched and fd not in waiting:
                self._selector.unregister(fd)
            elif fd not in watched and fd in waiting:
                ready = self._writer(container, attachment, fd)
                self._selector.register(fd, selectors.EVENT_WRITE, ready)
            if fd not in attachment.pending:
                os.close(fd)

    def _writer(self, container: Container, attachment: Attachment, fd: int) -> Callable[[], None]:
        def ready() -> None:
            if fd in attachment.pending:
                attachment.flush(fd)
                self.update(container)

        return ready

    def detach(self, container: Container, attachment: Attachment) -> None:
        attachment.close()
        self.update(container)
        container.attachments = [each for each in container.attachments if each is not attachment]
        if attachment.has_stdin and container.spec.get("stdin_once"):
            container.close_stdin()

    def drop_stalled(self, container: Container) -> None:
        if container.is_held:
            for attachment in [each for each in container.attachments if each.is_stalled]:
                self.detach(container, attachment)
