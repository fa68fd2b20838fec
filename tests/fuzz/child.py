"""One target under atheris: `python -m tests.fuzz.child TARGET [libFuzzer's options] CORPUS`. What it imports is
instrumented, so nothing of ours is imported before."""

from __future__ import annotations

import sys


def main() -> int:
    try:
        import atheris
    except ImportError:
        print("atheris is not installed: .venv/bin/pip install atheris", file=sys.stderr)
        return 2
    with atheris.instrument_imports(include=["store"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[sys.argv.pop(1)]

    def run(data: bytes) -> None:
        target(data)

    atheris.Setup(sys.argv, run)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
