"""What a person types and reads, as text, and its comparison with what a kubectl prints here.

    $ get pods                      a command; what follows is what it must print, both streams
    $? get deployment web           the same, tried until it does
    $ apply -f - < POD              with a named document as its input
    NAME   READY   STATUS    <*>    runs of spaces are one; <age>, <ip>, <*> and more stand for text
    {a|b}                           one of these: kubectl's wording has changed over the years
    ? TEXT                          a line that some kubectls leave out
    ...                             any lines

The expected text is Kubernetes' own: its documentation's and its source's, not a recording of this server.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from tests.kubectl import Kubectl

DEADLINE_S = 30.0
POLL_S = 0.1
PLACEHOLDERS = {
    "<age>": r"\d+[smhd](?:\d+[smh])?",
    "<ip>": r"\d+\.\d+\.\d+\.\d+",
    "<hash>": r"[a-z0-9]+",
    "<date>": r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}",
    "<time>": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "<number>": r"\d+",
    "<uid>": r"[0-9a-f-]{36}",
    "<*>": r".*",
}
_TOKEN = re.compile("|".join([*map(re.escape, PLACEHOLDERS), r"\{[^{}]*\|[^{}]*\}"]))


@dataclass
class Step:
    words: list[str]
    stdin: str  # the name of a document, or nothing
    is_eventual: bool
    expected: list[str] = field(default_factory=list)


def parse(transcript: str) -> Iterator[Step]:
    step: Step | None = None
    for line in transcript.strip("\n").splitlines():
        if match := re.fullmatch(r"\$(\??) (.*?)(?: < (\w+))?", line.strip()):
            if step is not None:
                yield step
            step = Step(shlex.split(match[2]), match[3] or "", bool(match[1]))
        elif step is not None and line.strip():
            step.expected.append(line)
    if step is not None:
        yield step


def check(kubectl: Kubectl, transcript: str, documents: Mapping[str, str] | None = None) -> None:
    """Type it all; every difference is told. {namespace} stands for the namespace of this kubectl."""
    wrong = []
    for step in parse(transcript.replace("{namespace}", kubectl.namespace)):
        shown = _type(kubectl, step, (documents or {}).get(step.stdin))
        if not matches(step.expected, shown):
            told, wanted = "\n  ".join(shown), "\n  ".join(step.expected)
            wrong.append(f"kubectl {shlex.join(step.words)} printed\n  {told}\nwanted\n  {wanted}")
    if wrong:
        pytest.fail("\n\n".join(wrong), pytrace=False)


def _type(kubectl: Kubectl, step: Step, document: str | None) -> list[str]:
    deadline = time.monotonic() + (DEADLINE_S if step.is_eventual else 0)
    while True:
        done = kubectl.run(*step.words, input=document)
        shown = _lines(done.stdout + done.stderr)
        if matches(step.expected, shown) or time.monotonic() >= deadline:
            return shown
        time.sleep(POLL_S)


def _lines(text: str) -> list[str]:
    lines = (" ".join(line.split()) for line in text.splitlines())
    return [line for line in lines if line]


def matches(expected: list[str], shown: list[str]) -> bool:
    if not expected:
        return not shown
    if expected[0].strip() == "...":
        return any(matches(expected[1:], shown[start:]) for start in range(len(shown) + 1))
    if expected[0].lstrip().startswith("? "):
        rest = expected[1:]
        return matches(rest, shown) or matches([expected[0].lstrip()[2:], *rest], shown)
    if not shown or not _pattern(expected[0]).fullmatch(shown[0]):
        return False
    return matches(expected[1:], shown[1:])


def _pattern(line: str) -> re.Pattern[str]:
    text, pieces, at = " ".join(line.split()), [], 0
    for token in _TOKEN.finditer(text):
        pieces.append(re.escape(text[at : token.start()]))
        pieces.append(PLACEHOLDERS.get(token[0]) or _one_of(token[0]))
        at = token.end()
    return re.compile("".join([*pieces, re.escape(text[at:])]))


def _one_of(token: str) -> str:
    return "(?:" + "|".join(map(re.escape, token[1:-1].split("|"))) + ")"
