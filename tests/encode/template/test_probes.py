"""Probes find the end-of-turn tokens of every built-in template."""

from __future__ import annotations

from typing import Any

import pytest
from families import ENDS


@pytest.mark.parametrize("name", sorted(ENDS))
def test_the_end_of_turn_tokens_are_found(make_encoder: Any, name: str) -> None:
    eos = "<｜end▁of▁sentence｜>" if name.startswith("deepseek") else "</s>"
    expected = ENDS[name] or (eos,)
    assert set(make_encoder(name=name, eos=eos).probes.end_texts) == set(expected)
