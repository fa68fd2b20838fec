"""Images that are on the machine, one directory each:

    <images>/<name, percent-encoded>/config.json     the OCI image configuration
    <images>/<name, percent-encoded>/rootfs/         the unpacked layers

The name is a whole reference, or a repository, which stands for all of its tags; it is normalised as docker does
it: `python:3` is `docker.io/library/python:3`. Without `rootfs` it is a stand-in: what the configuration says is
run on the host's files (see rootfs.py). So are the base images of known_images.py, and any container that brings a
command.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from node.runtime.interface import ImageError
from node.runtime.process.known_images import KNOWN

_NAME = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"\w[\w.-]{0,127}")
_DIGEST = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-fA-F]{32,}")
_DOMAIN = re.compile(r"[a-zA-Z0-9.-]+(?::[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Image:
    reference: str
    rootfs: str  # empty: the host's files
    config: dict[str, Any]  # the `config` of the OCI image configuration: Entrypoint, Cmd, Env, User, …


def normalise(image: str) -> str:
    """`registry/path:tag` or `registry/path@digest` in full; raises ImageError(InvalidImageName)."""
    rest, _, digest = image.partition("@")
    first, slash, remainder = rest.partition("/")
    is_domain = slash and ("." in first or ":" in first or first == "localhost")
    domain, path = (first, remainder) if is_domain else ("docker.io", rest)
    name, colon, tag = path.partition(":")
    if domain == "docker.io" and "/" not in name:
        name = "library/" + name
    parts = [_NAME.fullmatch(name), _DOMAIN.fullmatch(domain), not colon or _TAG.fullmatch(tag)]
    if not all((*parts, "@" not in image or _DIGEST.fullmatch(digest))):
        raise ImageError(
            "InvalidImageName",
            f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": '
            "invalid reference format",
        )
    if digest:
        return f"{domain}/{name}@{digest}"
    return f"{domain}/{name}:{tag or 'latest'}"


def repository(reference: str) -> str:
    """Of a normalised reference: without its tag or digest."""
    name, at, _ = reference.partition("@")
    return name if at else name.rpartition(":")[0]


class ImageStore:
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def find(self, image: str) -> Image | None:
        """Raises ImageError."""
        reference = normalise(image)
        for name in (reference, repository(reference)):
            root = self._directory / quote(name, safe="")
            if root.is_dir():
                return _read(reference, root)
        config = KNOWN.get(repository(reference))
        return None if config is None else Image(reference, "", config)

    def resolve(self, image: str, has_command: bool) -> Image:
        """Raises ImageError."""
        found = self.find(image)
        if found is not None:
            return found
        if has_command:
            return Image(normalise(image), "", {})
        raise ImageError(
            "ErrImagePull",
            f'failed to pull and unpack image "{normalise(image)}": no registry is reachable from the process '
            "runtime, and the container brings no command to run on the host's files; "
            "`balsa image set` says what it stands for",
        )


def _read(reference: str, root: Path) -> Image:
    files = root / "rootfs"
    try:
        config = json.loads((root / "config.json").read_bytes()).get("config") or {}
    except FileNotFoundError:
        config = {}
    except (OSError, ValueError, AttributeError) as error:
        raise ImageError(
            "ErrImagePull", f'the configuration of image "{reference}" is damaged: {error}'
        ) from error
    return Image(reference, str(files.resolve()) if files.is_dir() else "", config)
