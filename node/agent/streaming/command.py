"""What exec and attach have in common, whatever they travel on: options, outcome, terminal sizes. The words and
the Status documents are the kubelet's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node.agent.errors import AgentError
from node.runtime.interface import RuntimeError_, Source, Streams, TerminalSize

MAX_COMMAND_WORDS = 1024
MAX_SIZE_DOCUMENT_BYTES = 1024

Obj = dict[str, Any]
Run = Callable[[Streams], Awaitable[int]]


class BadOptions(AgentError):
    """The request asks for what cannot be; answered with 400."""


@dataclass(frozen=True, slots=True)
class Options:
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool
    command: tuple[str, ...] = ()

    @classmethod
    def parse(cls, query: Mapping[str, str], command: Sequence[str]) -> Options:
        """Raises BadOptions."""
        tty = query.get("tty") == "1"
        options = cls(
            stdin=query.get("input") == "1",
            stdout=query.get("output") == "1",
            stderr=query.get("error") == "1" and not tty,  # a terminal has one output
            tty=tty,
            command=tuple(command),
        )
        if not (options.stdin or options.stdout or options.stderr):
            raise BadOptions("you must specify at least 1 of stdin, stdout, stderr")
        if len(command) > MAX_COMMAND_WORDS:
            raise BadOptions(f"a command has at most {MAX_COMMAND_WORDS} words")
        return options


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended: `code` of the command, or the `problem` that kept it from running."""

    code: int = 0
    problem: str = ""

    def status(self) -> Obj:
        if self.problem:
            message = f"Internal error occurred: {self.problem}"
            return {
                "metadata": {},
                "status": "Failure",
                "message": message,
                "reason": "InternalError",
                "details": {"causes": [{"message": self.problem}]},
                "code": 500,
            }
        if self.code == 0:
            return {"metadata": {}, "status": "Success"}
        return {
            "metadata": {},
            "status": "Failure",
            "message": f"command terminated with non-zero exit code: exit status {self.code}",
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": str(self.code)}]},
        }

    def encode(self, version: int) -> bytes:
        """For the error stream: a Status since version 4 of the protocols, words when it failed before."""
        status = self.status()
        if version >= 4:
            return json.dumps(status).encode()
        return str(status["message"]).encode() if status["status"] == "Failure" else b""


async def outcome_of(run: Run, streams: Streams, what: str) -> Outcome:
    """`what` begins the message when it could not be run."""
    try:
        return Outcome(code=await run(streams))
    except RuntimeError_ as error:
        return Outcome(problem=f"{what}: {error}")


async def terminal_sizes(source: Source) -> AsyncIterator[TerminalSize]:
    """The sizes in a stream of JSON documents, one after another; what is none of them ends it."""
    decoder, text = json.JSONDecoder(), ""
    while data := await source.read():
        text += data.decode("ascii", "replace")
        while text := text.lstrip():
            try:
                document, end = decoder.raw_decode(text)
            except ValueError:
                break
            text = text[end:]
            size = _size(document)
            if size is None:
                return
            yield size
        if len(text) > MAX_SIZE_DOCUMENT_BYTES:
            return


def _size(document: Any) -> TerminalSize | None:
    if not isinstance(document, dict):
        return None
    width, height = document.get("Width"), document.get("Height")
    if isinstance(width, int) and isinstance(height, int) and width >= 0 and height >= 0:
        return TerminalSize(width, height)
    return None
