"""How Secrets with tokens of service accounts say when those were used, and that they are no longer to be. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

LAST_USED = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
TRACKING = "kube-apiserver-legacy-service-account-token-tracking"  # a ConfigMap of kube-system: `since`


def day(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d")


def day_s(text: str | None) -> float | None:
    """Its first second; None when it is no day."""
    try:
        return datetime.strptime(text or "", "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
