"""The simulation silences the store's logs; they are as before when a test ends."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    logger = logging.getLogger("store")
    level = logger.level
    yield
    logger.setLevel(level)
