"""Encoding in cases small enough to write the answer by hand: prompts, completions, labels, reasons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_tokenizers
from families import ENDS, TEMPLATES

from sftdata.encode.proof.guarded import GuardedBatch, GuardedSample
from sftdata.encode.proof.shapes import ShapeProver
from sftdata.encode.record_encoder import EncodeSettings, RecordEncoder
from sftdata.encode.template.load import load_template, template_names, template_source
from sftdata.encode.template.messages import trained_turns
from sftdata.encode.tokenizer.control import PRIVATE
from sftdata.encode.tokenizer.load import load_tokenizer
from sftdata.errors import TemplateError
from sftdata.records.record import Drop, Message, Record, ToolCall

DATE = "2024-02-29"
END = "<|im_end|>"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny_tokenizers.byte_level()


@pytest.fixture
def make(tokenizer: Any, tmp_path: Path) -> Any:
    """Makes an encoder for a template source, or for one of ours by name."""

    def made(source: str | None = None, name: str = "auto", eos: str = END, train_on: Any = "all") -> RecordEncoder:
        folder = tiny_tokenizers.write_folder(tmp_path, tokenizer, source, eos_token=eos)
        settings = EncodeSettings(
            files=load_tokenizer(str(folder)), date=DATE, template=name, train_on=train_on, backend="tokenizers"
        )
        return RecordEncoder(settings)

    return made


def chat(*turns: str, **fields: Any) -> Record:
    """A record of user and assistant turns in alternation; fields go to the last turn."""
    roles = ["user", "assistant"] * len(turns)
    messages = [Message(role=role, content=text) for role, text in zip(roles, turns)]
    if fields:
        messages[-1] = Message(role=messages[-1].role, content=messages[-1].content, **fields)
    return Record(messages=tuple(messages))


def seen(encoder: RecordEncoder, record: Record) -> Any:
    """The samples as text with what is trained in double brackets, or the drop."""
    result = encoder.encode([record])[0]
    if isinstance(result, Drop):
        return result
    texts = []
    for sample in result:
        text, inside = "", False
        for id_, label in zip(sample.input_ids.tolist(), sample.labels.tolist()):
            if (label != -100) != inside:
                inside = not inside
                text += "{{" if inside else "}}"
            text += encoder.decode([id_])
        texts.append(text + ("}}" if inside else ""))
    return texts


def test_answers_and_their_end_tokens_are_trained_and_nothing_else(make: Any) -> None:
    assert seen(make(tiny_tokenizers.CHATML), chat("hi", "yo", "and", "so")) == [
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n{{yo<|im_end|>}}\n"
        "<|im_start|>user\nand<|im_end|>\n<|im_start|>assistant\n{{so<|im_end|>}}\n"
    ]


def test_train_on_last_trains_the_last_answer_only(make: Any) -> None:
    (text,) = seen(make(tiny_tokenizers.CHATML, train_on="last"), chat("hi", "yo", "and", "so"))
    assert text.count("{{") == 1 and "{{so<|im_end|>}}" in text


def test_a_turn_with_nothing_before_it_is_never_trained() -> None:
    messages = (Message(role="assistant", content="a"), Message(role="user", content="b"))
    assert trained_turns(Record(messages), "all") == ()


@pytest.mark.parametrize(
    ("train", "policy", "expected"),
    [
        ((None, None), "all", (1, 3)),
        ((None, None), "last", (3,)),
        ((False, None), "all", (3,)),
        ((True, None), "last", (1, 3)),
        ((None, False), "last", ()),
        ((False, False), "all", ()),
    ],
)
def test_a_turns_own_mark_wins_over_the_policy(train: tuple[Any, Any], policy: Any, expected: tuple[int, ...]) -> None:
    roles = ["user", "assistant", "user", "assistant"]
    marks = [None, train[0], None, train[1]]
    messages = tuple(Message(role=role, content="x", train=mark) for role, mark in zip(roles, marks))
    assert trained_turns(Record(messages), policy) == expected


def test_a_record_without_a_trained_turn_is_dropped(make: Any) -> None:
    drop = seen(make(tiny_tokenizers.CHATML), chat("hi", "yo", train=False))
    assert drop.reason == "nothing_to_train"


def test_a_template_that_refuses_is_quoted(make: Any) -> None:
    source = "{% if messages|length > 1 %}{{ raise_exception('only one turn, please') }}{% endif %}x"
    drop = seen(make(source), chat("hi", "yo"))
    assert (drop.reason, "only one turn, please" in drop.detail) == ("template_error", True)


def test_a_template_without_an_end_token_is_refused(make: Any) -> None:
    turns = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    source = turns + "{% if add_generation_prompt %}assistant: {% endif %}"
    assert seen(make(source), chat("hi", "yo")).reason == "no_end_of_turn"


def test_a_token_that_straddles_the_boundary_is_encoded_as_inference_would(make: Any) -> None:
    encoder = make(tiny_tokenizers.CHATML)
    (sample,) = encoder.encode([chat("hi", "\n\nyo")])[0]
    encode = tiny_tokenizers.byte_level().encode
    prompt = encode("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n", add_special_tokens=False).ids
    completion = encode("\n\nyo<|im_end|>", add_special_tokens=False).ids
    assert sample.input_ids.tolist()[: len(prompt) + len(completion)] == prompt + completion
    assert sample.labels.tolist()[: len(prompt) + len(completion)] == [-100] * len(prompt) + completion


def test_words_that_the_generation_prompt_holds_already_are_not_trained(make: Any) -> None:
    source = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ 'Sure: ' if m.role == 'assistant' }}"
        "{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\nSure: {% endif %}"
    )
    assert seen(make(source), chat("hi", "yo")) == [
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nSure: {{yo<|im_end|>}}\n"
    ]


def test_a_template_that_drops_history_is_split_and_each_turn_trained_once(make: Any) -> None:
    encoder = make(name="qwen3")
    record = Record(
        messages=(
            Message(role="user", content="q"),
            Message(role="assistant", content="a", reasoning="why"),
            Message(role="user", content="r"),
            Message(role="assistant", content="b", reasoning="how"),
        )
    )
    assert seen(encoder, record) == [
        "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n{{<think>\nwhy\n</think>\n\na<|im_end|>}}\n",
        "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n"
        "<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n{{<think>\nhow\n</think>\n\nb<|im_end|>}}\n",
    ]


def test_a_template_that_leaves_out_tool_calls_is_refused(make: Any) -> None:
    source = tiny_tokenizers.CHATML.replace("message['content']", "(message['content'] or '')")
    call = ToolCall(name="lookup", arguments={"word": "x"})
    record = Record(
        messages=(Message(role="user", content="q"), Message(role="assistant", content=None, tool_calls=(call,)))
    )
    drop = seen(make(source), record)
    assert (drop.reason, drop.detail) == ("lost_field", "turn 2: tool_calls")


def test_tool_arguments_come_out_once_whether_given_as_text_or_object(make: Any) -> None:
    written = []
    for arguments in ({"word": "x"}, '{"word": "x"}'):
        call = ToolCall(name="lookup", arguments=arguments)
        record = Record(
            messages=(Message(role="user", content="q"), Message(role="assistant", content=None, tool_calls=(call,)))
        )
        written.append(seen(make(name="qwen3"), record))
    assert written[0] == written[1]
    assert '<tool_call>\n{"name": "lookup", "arguments": {"word": "x"}}\n</tool_call><|im_end|>}}' in written[0][0]


def test_a_date_in_a_template_is_the_configs(make: Any) -> None:
    source = "{{ strftime_now('%d %b %Y') }}\n" + tiny_tokenizers.CHATML
    (text,) = seen(make(source), chat("hi", "yo"))
    assert text.startswith("29 Feb 2024\n")


def test_template_arguments_of_a_row_reach_the_template(make: Any) -> None:
    encoder = make(name="qwen3")
    record = Record(messages=chat("q", "a").messages, template_kwargs={"enable_thinking": False})
    assert seen(encoder, record) == [
        "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n{{a<|im_end|>}}\n"
    ]


@pytest.mark.parametrize("name", sorted(ENDS))
def test_the_end_of_turn_is_found_without_being_told(make: Any, name: str) -> None:
    eos = "<｜end▁of▁sentence｜>" if name.startswith("deepseek") else "</s>"
    wanted = ENDS[name] or (eos,)
    assert set(make(name=name, eos=eos).probes.end_texts) == set(wanted)


@pytest.mark.parametrize("name", ["chatml", "llama3", "gemma2", "phi3", "zephyr", "vicuna", "mistral-v0.3", "qwen3"])
def test_what_is_known_of_a_shape_is_what_the_definition_gives(make: Any, name: str) -> None:
    prover = ShapeProver(make(name=name, eos="</s>").probes, "all")
    for texts in ("hi|yo", "a b|c\nd|e|f", "x</s>|y</s> z|u|v", "1|2|3|4|5|6"):
        record = chat(*texts.split("|"))
        trained = trained_turns(record, "all")
        for _ in range(2):
            batch = GuardedBatch()
            prover.add_samples(record, batch, 0)
            assert batch.samples_of(0) == prover.by_definition(record, trained)
            assert batch.controls == [piece.count(PRIVATE) for piece in batch.pieces]


def test_a_batch_knows_the_samples_of_each_record() -> None:
    batch = GuardedBatch()
    batch.add(0, ["a", "b"], [1, 1], (1,))
    batch.add(2, ["c", "d", "e"], [0, 1, 0], (1,))
    batch.add(2, ["f", "g"], [0, 0], (3,))
    assert [batch.samples_of(owner) for owner in range(4)] == [
        [GuardedSample(("a", "b"), (1,))],
        [],
        [GuardedSample(("c", "d", "e"), (1,)), GuardedSample(("f", "g"), (3,))],
        [],
    ]


@pytest.mark.parametrize("mark", ["\x01", "\ue002"])
def test_a_template_that_writes_what_stands_for_control_tokens_is_refused(make: Any, mark: str) -> None:
    source = "{% for m in messages %}" + mark + "{{ m.content }}<|im_end|>{% endfor %}"
    for written in (source, source.replace(mark, "{{ '" + ascii(mark)[1:-1] + "' }}")):
        with pytest.raises(TemplateError, match=r"U\+0001 or U\+E002"):
            make(written).check()


def test_what_a_record_without_training_asks_of_the_template_is_not_seen(make: Any) -> None:
    encoder = make("{{ pre or '' }}{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}")
    trained = chat("q", "w")
    untrained = Record((Message("user", "q"), Message("assistant", "w", train=False)), template_kwargs={"pre": "P"})
    encoder.encode([trained])
    prompts = encoder.generation_prompts()
    _, drop = encoder.encode([trained, untrained])
    assert isinstance(drop, Drop) and drop.reason == "nothing_to_train"
    assert encoder.generation_prompts() == prompts


def test_every_template_file_can_be_had_by_name() -> None:
    assert template_names() == sorted(path.stem for path in TEMPLATES.glob("*.jinja"))
    assert template_source("chatml") == (TEMPLATES / "chatml.jinja").read_text(encoding="utf-8")


def test_a_template_can_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.jinja"
    path.write_text("x", encoding="utf-8")
    assert template_source(str(path)) == "x"


def test_an_unknown_template_is_an_error_that_lists_ours() -> None:
    with pytest.raises(TemplateError, match="chatml"):
        template_source("no-such-template")


def test_a_tokenizer_without_a_template_is_an_error_for_auto() -> None:
    from datetime import date

    with pytest.raises(TemplateError, match="no chat template"):
        load_template("auto", own={}, special_tokens={}, today=date(2026, 1, 1))


def test_a_template_that_is_no_jinja_is_an_error_with_its_line(make: Any) -> None:
    with pytest.raises(TemplateError, match=":2"):
        make("x\n{% if %}")
