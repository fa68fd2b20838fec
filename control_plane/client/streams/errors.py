"""The errors of this package.

StreamError
├── ProtocolError    the peer sent what the protocol forbids; the connection is of no use any more
├── StreamReset      the peer gave up one stream
└── NotAnUpgrade     the request asks for no upgrade, or for none of the protocols spoken here
"""

from __future__ import annotations


class StreamError(Exception): ...


class ProtocolError(StreamError): ...


class StreamReset(StreamError): ...


class NotAnUpgrade(StreamError): ...
