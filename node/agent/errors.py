"""The agent's errors.

AgentError
├── ConfigError        the container's configuration cannot be made (reason CreateContainerConfigError)
├── VolumeError        a volume cannot be set up now; it is tried again (event FailedMount)
├── HookError          a lifecycle hook failed
├── LogError           the log asked for is not there
├── BadOptions         a request for a stream asks for what cannot be (streaming/command.py)
└── Rejected           the node does not take the pod; it fails with `reason`
"""

from __future__ import annotations


class AgentError(Exception): ...


class ConfigError(AgentError): ...


class VolumeError(AgentError): ...


class HookError(AgentError): ...


class LogError(AgentError): ...


class Rejected(AgentError):
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
