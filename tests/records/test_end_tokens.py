"""What counts as the end of a turn or a text at the end of an answer, and what belongs to the answer."""

from __future__ import annotations

import pytest

from sftdata.records.end_tokens import EndTokens
from sftdata.records.record import Message, PlainRecord, Record, ToolCall


@pytest.mark.parametrize(
    "end",
    [
        "<|endoftext|>",
        "</s>",
        "<|im_end|>",
        "<|eot_id|>",
        "<|end_of_text|>",
        "<|eom_id|>",
        "<end_of_turn>",
        "<eos>",
        "<|end|>",
        "<|return|>",
        "<｜end▁of▁sentence｜>",
        "<｜end of sentence｜>",
        "<|end_of_sentence|>",
        "<|EOT|>",
        "<|END_OF_TURN_TOKEN|>",
        "<|end_of_turn|>",
        "<|user|>",
        "[EOS]",
        "[|endofturn|]",
    ],
)
def test_the_ends_of_the_known_families_are_stripped(end: str) -> None:
    assert EndTokens().split(f"Paris.{end}") == ("Paris.", (end,))
    assert EndTokens().split(f"Paris. \n{end}\n") == ("Paris.", (end,))


def test_several_ends_with_white_space_between_are_stripped_in_one_go() -> None:
    assert EndTokens().split(" Paris.<|im_end|>\n<|endoftext|> <|endoftext|>\n</s> ") == (
        " Paris.",
        ("<|im_end|>", "<|endoftext|>", "<|endoftext|>", "</s>"),
    )
    assert EndTokens().split("Paris<eos><pad><pad>") == ("Paris", ("<eos>", "<pad>", "<pad>"))


def test_an_answer_that_is_only_an_end_becomes_empty() -> None:
    assert EndTokens().split("<|im_end|>\n<|endoftext|>") == ("", ("<|im_end|>", "<|endoftext|>"))


def test_the_ends_of_the_tokenizer_are_stripped_too() -> None:
    assert EndTokens().split("Paris.<STOP>") == ("Paris.<STOP>", ())
    assert EndTokens(("<STOP>", "")).split("Paris.</s><STOP>") == ("Paris.", ("</s>", "<STOP>"))


@pytest.mark.parametrize(
    "answer",
    [
        '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>',
        "<think>One and one is two.</think>",
        "<code>x = 1</code>",
        "<answer>4</answer>",
        "[INST] Hi [/INST]",
        "<|tool_call|>f()<|/tool_call|>",
        "<｜tool▁calls▁end｜>",
        "to=functions.f<|message|>{}<|call|>",
        "<html></html>",
        "Now 9 dollars, was <s>12 dollars</s>",
        "The token is `<|im_end|>`",
        "x[EOS] = 1",
        "Close the tag with </s>",
        "The model stops when it emits <|endoftext|>",
        "Every turn of ChatML ends with the token <|im_end|>",
        "Its end is marked by <eos>",
        "Der Text endet mit <|im_end|>",
        "Paris. ",
        "",
    ],
)
def test_marks_that_belong_to_the_answer_stay_and_so_does_every_other_character(answer: str) -> None:
    assert EndTokens().split(answer) == (answer, ())


@pytest.mark.parametrize("answer", ["It is 42", "Paris.", "I like it", "Yes, it is", "x =", "Answer:", "**Yes**", "看"])
def test_an_end_behind_a_whole_sentence_or_on_a_line_of_its_own_is_stripped(answer: str) -> None:
    assert EndTokens().split(f"{answer} </s>") == (answer, ("</s>",))
    assert EndTokens().split(f"{answer}</s>") == (answer, ("</s>",))
    assert EndTokens().split("It ends with\n</s>") == ("It ends with", ("</s>",))


def test_a_token_that_the_question_speaks_of_stays_in_the_answer() -> None:
    ends = EndTokens()
    assert ends.split("It is <|im_end|>", "Does ChatML end in <|im_end|> or <|eot_id|>?") == ("It is <|im_end|>", ())
    assert ends.split("Paris.<|im_end|>", "The capital of France?<|im_end|>\n") == ("Paris.", ("<|im_end|>",))


def test_only_answers_change() -> None:
    roles = ("system", "user", "assistant", "user", "assistant")
    texts = ["Be kind.</s>", "Who?</s>", "Me.</s>", "You?", "Yes."]
    plain, stripped = EndTokens().strip(PlainRecord(roles, list(texts)))
    assert [turn.content for turn in plain.messages] == ["Be kind.</s>", "Who?</s>", "Me.", "You?", "Yes."]
    assert stripped == (("</s>",),)
    same = PlainRecord(roles, ["a"] * 5)
    assert EndTokens().strip(same)[0] is same


def test_calls_reasoning_and_tools_of_a_record_stay() -> None:
    call = (ToolCall(name="f", arguments="{}"),)
    turns = (
        Message("user", "Call f."),
        Message("assistant", "<|im_end|>", tool_calls=call),
        Message("tool", "1<|im_end|>"),
        Message("assistant", "One.<|im_end|>", reasoning="f gave 1.<|im_end|>", train=False),
    )
    record, stripped = EndTokens().strip(Record(turns, tools=({"name": "f"},)))
    assert record == Record(
        (
            Message("user", "Call f."),
            Message("assistant", "", tool_calls=call),
            Message("tool", "1<|im_end|>"),
            Message("assistant", "One.", reasoning="f gave 1.<|im_end|>", train=False),
        ),
        tools=({"name": "f"},),
    )
    assert stripped == (("<|im_end|>",), ("<|im_end|>",))


def test_plain_text_is_trained_as_it_is() -> None:
    assert EndTokens().strip(Record(text="Once.</s>")) == (Record(text="Once.</s>"), ())
