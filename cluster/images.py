"""`balsa image`: what the name of an image stands for on this machine, where none is pulled.

    .balsa/images/<name, percent-encoded>/config.json

A name without a tag stands for all its tags. The node agents look at the directory whenever a container is made, so
that a pod that waits for its image goes on by itself.
"""

from __future__ import annotations

import json
import shutil
from argparse import REMAINDER, ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from certs.files import write_atomic
from cluster.errors import ClusterError, NotRunning
from cluster.home import Home
from node.runtime.interface import ImageError
from node.runtime.process.images import normalise, repository


def arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    setting = actions.add_parser("set", help="run COMMAND on this machine's files in the place of an image")
    setting.add_argument("name", metavar="NAME", help="nginx (all tags) or nginx:1.27")
    setting.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    setting.add_argument("--workdir", default="", metavar="DIR")
    setting.add_argument(
        "command", nargs=REMAINDER, metavar="-- COMMAND", help="its arguments can be replaced"
    )
    setting.set_defaults(act=_set)
    actions.add_parser("list", help="what has been set").set_defaults(act=_list)
    removing = actions.add_parser("rm", help="forget it; running containers stay")
    removing.add_argument("name", metavar="NAME")
    removing.set_defaults(act=_remove)


def run(args: Namespace) -> int:
    home = Home.resolve()
    if not home.root.is_dir():
        raise NotRunning(f"there is no cluster in {home.root}; `balsa up` starts one")
    try:
        result: int = args.act(home, args)
    except ImageError as error:
        raise ClusterError(f"{args.name!r} is no name of an image") from error
    return result


def stand_in(command: list[str], env: list[str], workdir: str) -> dict[str, Any]:
    """The OCI image configuration: the program is the entry point, so that a container's `args` replace the rest.
    Raises ClusterError."""
    words = command[1:] if command[:1] == ["--"] else command
    if not words:
        raise ClusterError("say what it runs, as in: balsa image set nginx -- python3 -m http.server 80")
    wrong = next((each for each in env if "=" not in each), None)
    if wrong is not None:
        raise ClusterError(f"--env takes NAME=VALUE, not {wrong!r}")
    config = {"Entrypoint": words[:1], "Cmd": words[1:], "Env": env, "WorkingDir": workdir}
    return {"config": {key: value for key, value in config.items() if value}}


def _set(home: Home, args: Namespace) -> int:
    document = stand_in(args.command, args.env, args.workdir)
    directory = _directory(home, args.name)
    directory.mkdir(parents=True, exist_ok=True)
    write_atomic(directory / "config.json", json.dumps(document).encode())
    print(f"{args.name} is: {_shown(document['config'])}")
    return 0


def _list(home: Home, _: Namespace) -> int:
    for name, directory in sorted(_known(home)):
        document = json.loads((directory / "config.json").read_bytes())
        files = "its own files" if (directory / "rootfs").is_dir() else "this machine's files"
        print(f"{name}: {_shown(document.get('config') or {})} on {files}")
    return 0


def _remove(home: Home, args: Namespace) -> int:
    directory = _directory(home, args.name)
    if not directory.is_dir():
        raise ClusterError(f"nothing has been set for {args.name!r}")
    shutil.rmtree(directory)
    return 0


def _directory(home: Home, name: str) -> Path:
    """Raises ImageError."""
    reference = normalise(name)
    has_tag = ":" in name.rpartition("/")[2] or "@" in name
    return home.images / quote(reference if has_tag else repository(reference), safe="")


def _known(home: Home) -> Iterator[tuple[str, Path]]:
    if home.images.is_dir():
        yield from (
            (unquote(each.name), each) for each in home.images.iterdir() if (each / "config.json").exists()
        )


def _shown(config: dict[str, Any]) -> str:
    return " ".join([*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])])
