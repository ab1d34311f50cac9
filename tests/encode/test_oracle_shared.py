"""The oracle agrees with the encoder on conversations made by hypothesis, for the shared tokenizers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from families import SHARED, Pair, shared_pair
from hypothesis import given
from strategies import conversations, few_examples

quick = few_examples(14)
SWITCHED = ({"enable_thinking": False}, {"enable_thinking": True})


@pytest.fixture(scope="module", params=sorted(SHARED))
def pair(request: pytest.FixtureRequest, shared: Path) -> Pair:
    return shared_pair(shared, request.param)


@quick
@given(conversations(control=False))
def test_plain_conversations_get_the_ids_and_labels_of_the_definition(pair: Pair, conversation: dict[str, Any]) -> None:
    assert pair.problems(conversation) == []


@quick
@given(conversations(control=True))
def test_control_strings_in_text_stay_text(pair: Pair, conversation: dict[str, Any]) -> None:
    assert pair.problems(conversation) == []


@quick
@given(conversations(any_order=True))
def test_roles_in_any_order_are_right_or_dropped(pair: Pair, conversation: dict[str, Any]) -> None:
    assert pair.problems(conversation) == []


@quick
@given(conversations(tools=True, reasoning=True, weights=True, kwargs=SWITCHED))
def test_tools_reasoning_and_weights_are_right_or_dropped(pair: Pair, conversation: dict[str, Any]) -> None:
    assert pair.problems(conversation) == []
