"""What can be wrong with the configuration of the audit."""

from __future__ import annotations


class AuditError(ValueError):
    """The root of this package's errors."""


class BadPolicy(AuditError):
    """The policy file cannot be used; the text says where and why."""


class BadOptions(AuditError):
    """The flags contradict each other."""
