"""What can go wrong between a client and its server.

StatusError (control_plane.api.errors)   the server answered, and said no
ClientError
├── ConnectionFailed                     no answer: the request may or may not have been carried out
│   └── NotSent                          no server ever saw the request: safe to send again, whatever it was
├── ShutDown                             the queue was shut down; the worker ends
└── LeadershipLost                       the lease could not be renewed in time: stop working now
"""

from __future__ import annotations


class ClientError(Exception): ...


class ConnectionFailed(ClientError): ...


class NotSent(ConnectionFailed): ...


class ShutDown(ClientError): ...


class LeadershipLost(ClientError): ...
