"""Find out, by trying it in a child, whether the kernel lets us give pods namespaces of their own."""

from __future__ import annotations

import os
from typing import Any

from node import linux

INITIAL_USER_NAMESPACE = "user:[4026531837]"  # PROC_USER_INIT_INO


def probe(directory: str) -> dict[str, Any]:
    """Runs in a child of the spawner; the answer has the fields of Isolation."""
    own_user_namespace = not linux.is_capable(linux.CAP_SYS_ADMIN)
    try:
        if own_user_namespace:
            linux.enter_user_namespace()
        inside = os.readlink("/proc/self/ns/user") != INITIAL_USER_NAMESPACE
        linux.unshare(linux.CLONE_NEWUTS | linux.CLONE_NEWIPC | linux.CLONE_NEWNS)
        _try_mounts(directory)
    except OSError as error:
        return {"isolated": False, "reason": str(error)}
    return {"isolated": True, "own_user_namespace": own_user_namespace, "user_namespace": inside}


def _try_mounts(directory: str) -> None:
    reader, writer = os.pipe()
    pid = linux.fork_into(linux.CLONE_NEWPID | linux.CLONE_NEWNS)
    if pid == 0:
        try:
            linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
            linux.mount("tmpfs", directory, "tmpfs", linux.MS_NODEV)
            os.mkdir(directory + "/proc")
            linux.mount("proc", directory + "/proc", "proc")
        except OSError as error:
            os.write(writer, f"{error.errno} {error.strerror}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    answer = os.read(reader, 1024).decode()
    os.close(reader)
    os.waitpid(pid, 0)
    if answer:
        number, _, text = answer.partition(" ")
        raise OSError(int(number), text)
