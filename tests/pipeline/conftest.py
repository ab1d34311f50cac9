"""Runs of `prepare` on a pool of worker processes, however little the data, and the processes that took part."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The helpers that lie beside this file (importlib mode adds no folder to the path).
sys.path.insert(0, str(Path(__file__).resolve().parent))

from counted_pool import CountedPool

from sftdata.engines import local
from sftdata.pipeline import read


@pytest.fixture
def worker_pids(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[int]]:
    """With this, a run with several workers uses a pool even for little data. The workers that have done something."""
    monkeypatch.setattr(read, "SMALL_BYTES", 0)
    monkeypatch.setattr(local, "ProcessPool", CountedPool)
    CountedPool.pids.clear()
    yield CountedPool.pids
    CountedPool.pids.clear()
