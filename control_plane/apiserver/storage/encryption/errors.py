"""Errors of encryption at rest.

EncryptionError
  BadConfiguration   the file cannot be used: all that is wrong with it
  CannotDecrypt      no key reads the value
"""

from __future__ import annotations


class EncryptionError(Exception):
    """The root."""


class BadConfiguration(EncryptionError):
    pass


class CannotDecrypt(EncryptionError):
    pass
