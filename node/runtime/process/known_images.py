"""Base images that everybody uses, by what their published configuration says: no entry point, and a shell or an
interpreter as the command. On the host's files they start what they start elsewhere, as long as the host has it.

A name is a repository, whatever the tag. `pause` is the one that runs a program of its own, which only waits.
"""

from __future__ import annotations

from typing import Any

_SHELL = {"Cmd": ["sh"]}
_BASH = {"Cmd": ["bash"]}
_WAIT = {"Entrypoint": ["sleep", "infinity"]}

KNOWN: dict[str, dict[str, Any]] = {
    "docker.io/library/alpine": {"Cmd": ["/bin/sh"]},
    "docker.io/library/bash": _BASH,
    "docker.io/library/busybox": _SHELL,
    "docker.io/library/debian": _BASH,
    "docker.io/library/fedora": {"Cmd": ["/bin/bash"]},
    "docker.io/library/perl": {"Cmd": ["perl", "-de0"]},
    "docker.io/library/python": {"Cmd": ["python3"]},
    "docker.io/library/ubuntu": {"Cmd": ["/bin/bash"]},
    "gcr.io/google-containers/pause": _WAIT,
    "gcr.io/google_containers/pause": _WAIT,
    "gcr.io/k8s-staging-e2e-test-images/busybox": _SHELL,
    "k8s.gcr.io/busybox": _SHELL,
    "k8s.gcr.io/pause": _WAIT,
    "registry.k8s.io/busybox": _SHELL,
    "registry.k8s.io/e2e-test-images/busybox": _SHELL,
    "registry.k8s.io/pause": _WAIT,
}
