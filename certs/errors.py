"""The errors of this package.

CertsError
├── Unreadable       a key, certificate or kubeconfig file is missing or damaged; the text names the file
└── BadRequest       a signing request cannot be honoured
"""

from __future__ import annotations


class CertsError(Exception):
    """Root of this package's errors."""


class Unreadable(CertsError): ...


class BadRequest(CertsError): ...
