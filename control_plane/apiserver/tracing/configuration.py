"""The TracingConfiguration file: where spans go, and how many requests are traced that nobody asked to trace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

API_VERSIONS = (
    "apiserver.config.k8s.io/v1",
    "apiserver.config.k8s.io/v1beta1",
    "apiserver.config.k8s.io/v1alpha1",
)
DEFAULT_ENDPOINT = "localhost:4317"
MILLION = 1_000_000


class BadTracing(ValueError):
    """Tracing cannot be set up; the text says why."""


@dataclass(frozen=True, slots=True)
class TracingConfiguration:
    endpoint: str = DEFAULT_ENDPOINT
    sampling_rate_per_million: int = 0  # of requests that come without a sampled trace


def load(path: Path) -> TracingConfiguration:
    """Raises BadTracing."""
    try:
        return parse(yaml.safe_load(path.read_bytes()))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadTracing(f"cannot read the tracing configuration {path}: {error}") from error


def parse(document: Any) -> TracingConfiguration:
    """Raises BadTracing."""
    if not isinstance(document, dict) or document.get("kind") != "TracingConfiguration":
        raise BadTracing("the tracing configuration is no TracingConfiguration")
    if document.get("apiVersion") not in API_VERSIONS:
        raise BadTracing(f"the tracing configuration's apiVersion must be one of {', '.join(API_VERSIONS)}")
    rate = document.get("samplingRatePerMillion", 0)
    if not isinstance(rate, int) or not 0 <= rate <= MILLION:
        raise BadTracing("samplingRatePerMillion: Invalid value: must be between zero and one million")
    endpoint = document.get("endpoint", DEFAULT_ENDPOINT)
    if not isinstance(endpoint, str) or not endpoint:
        raise BadTracing("endpoint: Invalid value: must be an address")
    return TracingConfiguration(endpoint.removeprefix("dns:///"), rate)
