"""`sfttrain chat` through a pipe: what the model is fed, where answers end, and what the commands do."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import sfttrain
from sftdata.errors import ModelError
from sfttrain.chat.model import ChatModel
from sfttrain.cli.app import app

Messages = Sequence[Mapping[str, str]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[str, str]]]:
    """The messages of each question; the answers are `one\\x1b[31m`, `two`, ..."""
    seen: list[list[tuple[str, str]]] = []

    def answer(self: ChatModel, messages: Messages, on_text: Callable[[str], None], **how: Any) -> str:
        seen.append([(one["role"], one["content"]) for one in messages])
        text = ["one\x1b[31m", "two", "three"][len(seen) - 1]
        on_text(text)
        return text

    monkeypatch.setattr(ChatModel, "answer", answer)
    return seen


def test_lines_of_a_pipe_are_messages_and_commands(finished: sfttrain.Result, asked: list[list[tuple[str, str]]]):
    lines = "Hello\n\nAnd?\n/system Be brief.\nHello\n/nonsense\n/quit\nnever\n"
    result = CliRunner().invoke(app, ["chat", str(finished.out)], input=lines)
    assert result.exit_code == 0, result.output
    assert result.stdout == "one\u241b[31m\ntwo\nthree\n"  # nothing of an answer controls the terminal
    assert "/nonsense is not a command; there are /system TEXT, /reset, /quit" in result.stderr
    first, answer = ("user", "Hello"), ("assistant", "one\x1b[31m")
    assert asked == [[first], [first, answer, ("user", "And?")], [("system", "Be brief."), first]]


def test_bytes_that_are_no_text_are_one_sentence(finished: sfttrain.Result, asked: list[list[tuple[str, str]]]):
    result = CliRunner().invoke(app, ["chat", str(finished.out)], input=b"Hello\n\xff\xfe\n")
    assert result.exit_code == 1
    assert "standard input: is not text in utf-8; give it in that encoding" in result.stderr
    assert len(asked) <= 1 and "Traceback" not in result.output


def test_reset_forgets_the_messages_and_keeps_the_system_prompt(
    finished: sfttrain.Result, asked: list[list[tuple[str, str]]]
):
    arguments = ["chat", str(finished.out), "--system", "Be brief."]
    assert CliRunner().invoke(app, arguments, input="Hello\n/reset\nAgain\n").exit_code == 0
    system = ("system", "Be brief.")
    assert asked == [[system, ("user", "Hello")], [system, ("user", "Again")]]


@pytest.mark.parametrize("kind", ["finished", "adapter"])
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # in peft
def test_a_run_is_fed_its_template_and_stops_where_answers_were_trained_to_end(
    kind: str, request: pytest.FixtureRequest, tiny_tokenizer: Path
):
    from tokenizers import Tokenizer

    run: sfttrain.Result = request.getfixturevalue(kind)
    model = ChatModel(str(run.out))
    assert 2 in model.stop_ids
    ids = model.prompt([{"role": "user", "content": "Hello"}])
    text = "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    assert ids == Tokenizer.from_file(str(tiny_tokenizer / "tokenizer.json")).encode(text).ids
    pieces: list[str] = []
    answer = model.answer([{"role": "user", "content": "Hello"}], pieces.append, max_tokens=5)
    assert "".join(pieces) == answer


def test_a_conversation_that_fills_the_context_is_said(finished: sfttrain.Result):
    result = CliRunner().invoke(app, ["chat", str(finished.out)], input="word " * 400 + "\n")
    assert result.exit_code == 0
    assert "fills the model's context of 256 tokens; begin anew with /reset" in result.stderr


def test_what_is_no_model_is_one_sentence(finished: sfttrain.Result, tmp_path: Path):
    result = CliRunner().invoke(app, ["chat", str(tmp_path)], input="Hello\n")
    assert result.exit_code == 1 and "cannot be loaded" in result.stderr and "Traceback" not in result.output
    model = tmp_path / "model"
    shutil.copytree(finished.out, model)
    (model / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="has no chat template"):
        ChatModel(str(model))
