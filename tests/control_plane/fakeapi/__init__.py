"""An apiserver in memory, behind the client's transport: for tests of whatever speaks to the API.

    api = FakeApi()
    client = api.client("test")                    # a real control_plane.client.Client
    api.create(PODS, {...})                         # the test's own hand, without a client
    api.fail_next(lambda method, target: ..., StatusError or ConnectionFailed)

It keeps the promises that clients rely on: one revision counter for everything, resourceVersion conflicts,
uid and generation, generateName, status and other subresources written apart from the rest, merge and JSON
patches (a strategic patch is applied as a merge patch in which lists with a merge key are merged), label
and field selectors, limit and continue, watches from a revision with bookmarks, 410 after `compact`,
finalizers, graceful deletion of bound pods, the binding and eviction subresources, and delete
preconditions. It validates and defaults nothing.

`log` has every request in order; `break_watches` cuts all streams; `now` stamps creation times.
"""

from tests.control_plane.fakeapi.server import FakeApi
from tests.control_plane.fakeapi.transport import FakeTransport

__all__ = ["FakeApi", "FakeTransport"]
