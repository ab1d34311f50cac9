"""Reasoning in the text of an answer: where it and the answer begin, and when that is not certain."""

from __future__ import annotations

import pytest

from sftdata.records.reasoning_marks import InlineReasoning, is_asked_for, may_hold_reasoning, split_reasoning


@pytest.mark.parametrize(
    ("text", "mark", "reasoning", "answer"),
    [
        ("<think>why</think>Yes.", "<think>", "why", "Yes."),
        ("\n<think>\nwhy\n</think>\n\nYes.\n", "<think>", "why", "Yes.\n"),
        ("<thinking>why</thinking>Yes.", "<thinking>", "why", "Yes."),
        ("<Thought>why</thought> Yes.", "<Thought>", "why", " Yes."),
        ("<reasoning>\nwhy\n</reasoning>\n<answer>\n42\n</answer>", "<reasoning>", "why", "<answer>\n42\n</answer>"),
        ("[THINK]why[/THINK]Yes.", "[THINK]", "why", "Yes."),
        ("<seed:think>why</seed:think>Yes.", "<seed:think>", "why", "Yes."),
        ("◁think▷why◁/think▷Yes.", "◁think▷", "why", "Yes."),
        ("<|begin_of_thought|>\n\nwhy\n\n<|end_of_thought|>\n\nYes.", "<|begin_of_thought|>", "why", "Yes."),
        (
            "<|begin_of_thought|>\n\nwhy\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\nYes.\n\n<|end_of_solution|>",
            "<|begin_of_thought|>",
            "why",
            "Yes.",
        ),
        (
            "<|START_THINKING|>why<|END_THINKING|><|START_RESPONSE|>Yes.<|END_RESPONSE|>",
            "<|START_THINKING|>",
            "why",
            "Yes.",
        ),
        ("why\n</think>\n\nYes.", "</think>", "why", "Yes."),
        ("why</think>\nYes.", "</think>", "why", "Yes."),
        ("<think>\n\n</think>\n\nYes.", "<think>", "", "Yes."),
        ("<think>I could write <think>.</think>Yes.", "<think>", "I could write <think>.", "Yes."),
        ("<think>why</think>Close it with `</think>`.", "<think>", "why", "Close it with `</think>`."),
        ("<think>why</think>```\n</think>\n```", "<think>", "why", "```\n</think>\n```"),
        ("<think>why</think>", "<think>", "why", ""),
    ],
)
def test_marks_at_the_beginning_of_an_answer_are_split_from_it(
    text: str, mark: str, reasoning: str, answer: str
) -> None:
    assert split_reasoning(text) == InlineReasoning(mark, reasoning, answer)
    assert may_hold_reasoning(text)


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("<think>\nwhy", "its text begins with <think>, which is never closed"),
        ("[THINK]why</think>Yes.", "its text begins with [THINK], which is never closed"),
        (
            "<think>It ends with </think> here.</think>Yes.",
            "which </think> ends the reasoning that its text begins with is not certain",
        ),
    ],
)
def test_an_end_that_is_not_certain_is_a_flaw(text: str, flaw: str) -> None:
    found = split_reasoning(text)
    assert found is not None
    assert found.flaw == flaw


@pytest.mark.parametrize(
    "text",
    [
        "Yes.",
        "The model writes <think>why</think> first.",
        "Close the block with </think> and go on.",
        "Use `</think>`\nto close it.",
        "```\nwhy\n</think>\n```\nThat is it.",
        "</think>\n\nYes.",
        "why\n</think>\n",
        "a\n</think>\nb\n</think>\nc",
        "a <think> b\n</think>\nc",
        "a\n</reasoning>\nb",
        "<thinker>a</thinker>b",
        "<b>think</b> [think]",
    ],
)
def test_text_that_only_mentions_marks_has_no_reasoning(text: str) -> None:
    assert split_reasoning(text) is None


def test_tags_that_a_prompt_shows_are_asked_for_and_marks_of_models_never_are() -> None:
    assert is_asked_for("<reasoning>", "Write <Reasoning>...</Reasoning>, then the answer.")
    assert not is_asked_for("<reasoning>", "Explain your reasoning.")
    assert not is_asked_for("<think>", "Write <think>...</think>, then the answer.")
    assert not is_asked_for("[THINK]", "Write [THINK] first.")
