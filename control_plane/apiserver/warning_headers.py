"""The Warning headers of an answer (RFC 9110 dropped them, Kubernetes' clients print them), within bounds.

As kube-apiserver does it, long warnings are cut once all of them together are too long, and what is still too much
is left out. Their number is bounded as well, since common clients refuse an answer of more than a hundred headers.
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_TOTAL_CHARS = 4096
MAX_CHARS_WHEN_CUT = 256
MAX_WARNINGS = 64


def headers(warnings: Sequence[str]) -> list[str]:
    texts = [_printable(text) for text in warnings[:MAX_WARNINGS]]
    if sum(map(len, texts)) > MAX_TOTAL_CHARS:
        texts = [text[:MAX_CHARS_WHEN_CUT] for text in texts]
    found, left = list[str](), MAX_TOTAL_CHARS
    for text in texts:
        left -= len(text)
        if left < 0:
            break
        found.append('299 - "' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')
    return found


def _printable(text: str) -> str:
    return "".join(each for each in text if each.isprintable())
