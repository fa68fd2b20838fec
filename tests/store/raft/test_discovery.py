"""Whom a joining member believes: a lagging member does not know of its addition yet, and is not the last
word."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from store.raft import discovery
from store.raft.config import Join, RaftConfig
from store.raft.errors import CannotJoin
from store.raft.interface import Member

OWN, A, B = "https://127.0.0.1:3", "https://127.0.0.1:1", "https://127.0.0.1:2"
BEFORE = Join(7, [Member(1, "a", (A,), ()), Member(2, "b", (B,), ())])
AFTER = Join(7, [*BEFORE.members, Member(3, "", (OWN,), ())])

Answer = Join | Exception


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([AFTER], AFTER),
        ([BEFORE, AFTER], AFTER),
        ([BEFORE, OSError("refused"), BEFORE, AFTER], AFTER),
        ([BEFORE], BEFORE),
        ([OSError("refused")], None),
    ],
    ids=["at once", "the next one knows", "the next round", "nobody knows", "nobody answers"],
)
async def test_asking_until_the_addition_is_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answers: list[Answer], expected: Join | None
) -> None:
    asked: list[str] = []

    async def ask(url: str, tls: ssl.SSLContext) -> Join:
        answer = answers[min(len(asked), len(answers) - 1)]
        asked.append(url)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(discovery, "_ask", ask)
    monkeypatch.setattr(discovery, "PAUSE_S", 0.0)
    config = RaftConfig(
        "c", tmp_path, {"a": [A], "b": [B], "c": [OWN]}, client_tls=ssl.create_default_context()
    )
    if expected is None:
        with pytest.raises(CannotJoin):
            await discovery.discover(config)
        return
    assert await discovery.discover(config) == expected
    assert asked[:4] == [A, B, A, B][: len(asked)]
