"""sample.messages: roles and texts from the tokens, under the templates of many families."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import sftdata
from sftdata.view.dataset import open_dataset

sys.path.append(str(Path(__file__).resolve().parents[2] / "encode"))  # where the small tokenizers are

import tiny_tokenizers

TURNS = [
    ("user", "Hi"),
    ("assistant", "Hello there"),
    ("user", "日本 <|im_end|> [INST] <|user|>"),
    ("assistant", "café."),
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_tokenizers.build("byte_level", tmp_path_factory.mktemp("byte_level"))


def messages(folder: Path, tokenizer: Path, row: dict[str, Any], **settings: Any) -> list[list[tuple[Any, ...]]]:
    """The messages of each sample that is made of a row."""
    (folder / "rows.jsonl").write_text(json.dumps(row) + "\n")
    source = {"path": str(folder / "rows.jsonl"), **settings.pop("source", {})}
    given = {"tokenizer": str(tokenizer), "sources": [source], "out": str(folder / "out"), **settings}
    sftdata.prepare(sftdata.parse_config(given), workers=1)
    return [[tuple(message) for message in sample.messages] for sample in open_dataset(folder / "out").samples]


TEMPLATES = (
    "chatml llama3 gemma3 gemma4 glm4 phi3 phi4 phi4-mini command-r zephyr lfm2 llama4 granite4 hermes3 kimi-k2 "
    "deepseek-v3 mistral-nemo mistral-v0.3 llama2 alpaca vicuna"
)


@pytest.mark.parametrize("template", TEMPLATES.split())
def test_messages_are_those_of_the_row(tmp_path: Path, tokenizer: Path, template: str) -> None:
    row = {"messages": [{"role": role, "content": text} for role, text in TURNS]}
    (found,) = messages(tmp_path, tokenizer, row, template=template)
    own = found[1:] if found[0][0] == "system" else found  # of templates that write a system prompt of their own
    assert own == [(role, text, role == "assistant") for role, text in TURNS]


def test_roles_and_texts_are_those_that_the_template_writes(tmp_path: Path, tokenizer: Path) -> None:
    row = {"messages": [{"role": role, "content": text} for role, text in [("system", "Brief."), *TURNS[:2]]]}
    (found,) = messages(tmp_path, tokenizer, row, template="qwen3")
    assert found == [
        ("system", "Brief.", False),
        ("user", "Hi", False),
        ("assistant", "<think>\n\n</think>\n\nHello there", True),
    ]


def test_results_of_tools_are_what_the_template_makes_of_them(tmp_path: Path, tokenizer: Path) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "3"},
        {"role": "assistant", "content": "Three."},
    ]
    (found,) = messages(tmp_path, tokenizer, {"messages": turns}, template="qwen2.5")
    assert [(role, text) for role, text, _ in found[1:]] == [
        ("user", "Look."),
        ("assistant", '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'),
        ("user", "<tool_response>\n3\n</tool_response>"),
        ("assistant", "Three."),
    ]


def test_under_an_unknown_template_the_answers_are_certain_and_the_rest_has_no_role(
    tmp_path: Path, tokenizer: Path
) -> None:
    (tmp_path / "own.jinja").write_text(
        "{% for m in messages %}{{ '<' + m.role[0] + '>' + m.content + ('</s>' if m.role == 'assistant' else '') }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<a>' }}{% endif %}"
    )
    row = {"messages": [{"role": role, "content": text} for role, text in TURNS[:2]]}
    (found,) = messages(tmp_path, tokenizer, row, template=str(tmp_path / "own.jinja"))
    assert found == [(None, "<u>Hi<a>", False), ("assistant", "Hello there", True)]


def test_text_without_a_template_is_one_message_without_a_role(tmp_path: Path, tokenizer: Path) -> None:
    (found,) = messages(
        tmp_path, tokenizer, {"text": "User: Hi\nAssistant: Yo"}, source={"format": "text", "rendered_chats": "keep"}
    )
    assert [(role, text.removesuffix("</s>").removeprefix("<s>")) for role, text, _ in found] == [
        (None, "User: Hi\nAssistant: Yo")
    ]


def test_an_answer_that_was_cut_off_has_its_text(tmp_path: Path, tokenizer: Path) -> None:
    row = {"messages": [{"role": "user", "content": "Count"}, {"role": "assistant", "content": "1 2 3 " * 40}]}
    (found,) = messages(tmp_path, tokenizer, row, template="chatml", overlong="truncate", pack={"seq_len": 64})
    assert [role for role, _, _ in found] == ["user", "assistant"]
    assert found[1][1].startswith("1 2 3 1 2 3") and "<|" not in found[1][1]
