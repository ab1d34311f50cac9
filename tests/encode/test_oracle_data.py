"""The oracle agrees with the encoder on real data, for every shared tokenizer.

Tests a sample of the rows by default, and all rows with SFTDATA_SLOW=1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from families import SHARED, Pair, shared_pair

from sftdata.config import SourceConfig
from sftdata.read import plan_units, rows_of
from sftdata.records.record import Drop, Record

SLOW = os.environ.get("SFTDATA_SLOW") == "1"
BATCH = 64


@pytest.fixture(scope="module", params=sorted(SHARED))
def pair(request: pytest.FixtureRequest, shared: Path) -> Pair:
    return shared_pair(shared, request.param)


def records(shared: Path, name: str, every: int) -> list[Record]:
    """Every n-th record of a file, or all of them if SFTDATA_SLOW is 1."""
    found = all_records(shared / "data" / name)
    return found if SLOW else found[::every]


@cache
def all_records(path: Path) -> list[Record]:
    """The records of a file that pass the structure checks."""
    source = SourceConfig(path=str(path))
    rows = [row for unit in plan_units([source]) for row in rows_of(unit, source)]
    return [row.record for row in rows if row.record is not None and row.drop is None]


def judged(pair: Pair, found: list[Record]) -> Iterator[tuple[dict[str, Any], Any, list[str]]]:
    """Each conversation in OpenAI's format, its result from a batch, and what the oracle finds wrong with it."""
    for start in range(0, len(found), BATCH):
        batch = found[start : start + BATCH]
        for record, result in zip(batch, pair.encoder.encode(batch), strict=True):
            conversation = record.to_dict()
            yield conversation, result, pair.judge(conversation, result)


@pytest.mark.parametrize(("name", "every"), [("mix20k.jsonl", 71), ("glaive_en.json", 6), ("sharegpt_dummy.json", 25)])
def test_every_sample_of_real_data_is_what_the_definition_says(pair: Pair, shared: Path, name: str, every: int) -> None:
    bad = []
    samples = 0
    for conversation, result, problems in judged(pair, records(shared, name, every)):
        samples += 0 if isinstance(result, Drop) else len(result)
        if problems:
            bad.append((problems[0], conversation["messages"][:2]))
    assert bad == []
    assert samples > 0 or name == "glaive_en.json"
