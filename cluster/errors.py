"""The errors of this package.

ClusterError               one line for the user, who can do something about it
├── AlreadyRunning
├── NotRunning
├── StateDamaged           a file of the state directory cannot be used
├── PortTaken
├── StartFailed
├── NoSuchProcess
└── Interrupted            by the user: exit status 130
"""

from __future__ import annotations


class ClusterError(Exception):
    """Its text is the whole message: what is wrong and what to do."""


class AlreadyRunning(ClusterError): ...


class NotRunning(ClusterError): ...


class StateDamaged(ClusterError): ...


class PortTaken(ClusterError): ...


class StartFailed(ClusterError): ...


class NoSuchProcess(ClusterError): ...


class Interrupted(ClusterError): ...
