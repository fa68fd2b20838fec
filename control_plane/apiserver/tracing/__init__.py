"""Traces: where the time of a request goes, across servers (W3C Trace Context, exported by OTLP).

context.py         the present span, and what goes out with requests to others
configuration.py   apiserver.config.k8s.io/v1beta1 TracingConfiguration
export.py          spans as OpenTelemetry's SDK makes and sends them; an optional dependency
"""
