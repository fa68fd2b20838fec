"""The `balsa` command.

    balsa up | down | status | why | kill | pause | resume | logs | env | image | net | doctor
    balsa store | apiserver | scheduler | controller-manager | node | hollow-node    (one process, own flags)

Exit status: 0 done, 1 a ClusterError (one line on stderr), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from cluster import commands
from cluster.components import COMPONENTS, load
from cluster.errors import ClusterError, Interrupted
from cluster.progress import error_line

EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in COMPONENTS:
        return load(words[0])(words[1:])
    args = _parser().parse_args(words)
    try:
        status: int = args.run(args)
    except ClusterError as error:
        print(error_line(sys.stderr, str(error)), file=sys.stderr)
        return EXIT_INTERRUPTED if isinstance(error, Interrupted) else 1
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        return 0
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="balsa",
        description="A Kubernetes-compatible cluster of local processes.",
        epilog=f"One process by itself: balsa {{{','.join(COMPONENTS)}}} --help",
        allow_abbrev=False,
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in commands.COMMANDS:
        sub = subparsers.add_parser(command.name, help=command.help, description=command.help)
        command.arguments(sub)
        sub.set_defaults(run=command.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
