"""Where an object lies in the store.

    /registry/<group, or "core">/<resource>/<namespace>/<name>
    /registry/<group, or "core">/<resource>/<name>                cluster-scoped

The part after the resource is the *item*: what caches and continue tokens are keyed by. Names and namespaces hold
no slash, so a prefix that ends in one never catches a neighbour. `/registry/ranges/` holds what is no object of
the API (allocated node ports).
"""

from __future__ import annotations

from functools import lru_cache

ROOT = b"/registry/"
RANGES = b"/registry/ranges/"


@lru_cache(maxsize=1024)  # every request looks into a dozen caches
def collection(group: str, resource: str) -> bytes:
    """The prefix of all objects of a resource."""
    return f"/registry/{group or 'core'}/{resource}/".encode()


def item(namespace: str, name: str) -> str:
    return f"{namespace}/{name}" if namespace else name


def item_prefix(namespace: str) -> str:
    return f"{namespace}/" if namespace else ""


def split_item(text: str) -> tuple[str, str]:
    """Namespace and name."""
    namespace, _, name = text.rpartition("/")
    return namespace, name
