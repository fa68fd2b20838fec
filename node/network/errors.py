"""The errors of this package.

NetworkError
├── NotPermitted     the kernel does not let this user make namespaces; the message says what forbids it
├── HolderGone       the process that keeps the namespaces has ended, and the network with it (an OSError too:
│                    what was asked for was a socket)
└── NoAddress        the node's pod CIDR is used up
"""

from __future__ import annotations


class NetworkError(Exception): ...


class NotPermitted(NetworkError): ...


class HolderGone(NetworkError, OSError): ...


class NoAddress(NetworkError): ...
