"""Names of service accounts as users: `system:serviceaccount:<namespace>:<name>`."""

from __future__ import annotations

from collections.abc import Mapping

from control_plane.apiserver.authn.user import UserInfo

USERNAME_PREFIX = "system:serviceaccount:"
ALL_SERVICE_ACCOUNTS = "system:serviceaccounts"


def username(namespace: str, name: str) -> str:
    return f"{USERNAME_PREFIX}{namespace}:{name}"


def split_username(user: str) -> tuple[str, str] | None:
    """The namespace and name of a service account's user name, or None if it is none."""
    if not user.startswith(USERNAME_PREFIX):
        return None
    namespace, colon, name = user.removeprefix(USERNAME_PREFIX).partition(":")
    if not (namespace and colon and name) or ":" in name:
        return None
    return namespace, name


def groups(namespace: str) -> tuple[str, ...]:
    return (ALL_SERVICE_ACCOUNTS, f"{ALL_SERVICE_ACCOUNTS}:{namespace}")


def user_info(
    namespace: str, name: str, uid: str, extra: Mapping[str, tuple[str, ...]] | None = None
) -> UserInfo:
    return UserInfo(username(namespace, name), uid, groups(namespace), extra or {})
