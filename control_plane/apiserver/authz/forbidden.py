"""The words of a refusal, as kube-apiserver says them and as people search for them."""

from __future__ import annotations

from control_plane.api import errors
from control_plane.apiserver.authz.interface import Attributes


def forbidden_error(attributes: Attributes, reason: str = "") -> errors.StatusError:
    """403 for a request that no authorizer allowed."""
    message = _sanitize(_message(attributes))
    why = f"{message}: {reason}" if reason else message
    return errors.forbidden(attributes.group, attributes.resource, attributes.name, why)


def _message(attributes: Attributes) -> str:
    user = errors.quote(attributes.user.name)
    if not attributes.resource:
        return f"User {user} cannot {attributes.verb} path {errors.quote(attributes.path)}"
    resource = attributes.resource
    if attributes.subresource:
        resource += "/" + attributes.subresource
    what = f"User {user} cannot {attributes.verb} resource {errors.quote(resource)}"
    where = f"in API group {errors.quote(attributes.group)}"
    if attributes.namespace:
        return f"{what} {where} in the namespace {errors.quote(attributes.namespace)}"
    return f"{what} {where} at the cluster scope"


def _sanitize(text: str) -> str:
    """Nothing that a browser would take for HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
