"""Every file in templates/ has a header that renders to nothing, a line in the README, and trainable answers."""

from __future__ import annotations

import re

import pytest
from template_conversations import assistant, system, user
from template_rendering import NAMES, TEMPLATES, ours, render, source

HEADER = re.compile(r"\A\{#-\n(.*?)\n-#\}\n", re.DOTALL)
FIELDS = ("Format:", "End of turn:", "System:", "Tools:", "Reasoning:", "History:", "BOS:")
# The token that ends an answer at the end of a conversation, from each published format.
ENDS = {
    "alpaca": "</s>",
    "apertus": "<|assistant_end|>",
    "chatml": "<|im_end|>",
    "command-r": "<|END_OF_TURN_TOKEN|>",
    "deepseek-r1": "<｜end▁of▁sentence｜>",
    "deepseek-v3": "<｜end▁of▁sentence｜>",
    "deepseek-v3.1": "<｜end▁of▁sentence｜>",
    "gemma2": "<end_of_turn>",
    "gemma3": "<end_of_turn>",
    "gemma4": "<turn|>",
    "glm4": "<|user|>",
    "glm4.5": "<|user|>",
    "glm4.7": "<|user|>",
    "gpt-oss": "<|return|>",
    "granite4": "<|end_of_text|>",
    "hermes3": "<|im_end|>",
    "kimi-k2": "<|im_end|>",
    "kimi-k2-thinking": "<|im_end|>",
    "lfm2": "<|im_end|>",
    "lfm2.5": "<|im_end|>",
    "llama2": "</s>",
    "llama3": "<|eot_id|>",
    "llama3.1": "<|eot_id|>",
    "llama3.2": "<|eot_id|>",
    "llama4": "<|eot|>",
    "minimax-m2": "[e~[",
    "mistral-nemo": "</s>",
    "mistral-v0.3": "</s>",
    "nemotron3": "<|im_end|>",
    "phi3": "<|end|>",
    "phi4": "<|im_end|>",
    "phi4-mini": "<|end|>",
    "qwen2.5": "<|im_end|>",
    "qwen3": "<|im_end|>",
    "qwen3.5": "<|im_end|>",
    "smollm3": "<|im_end|>",
    "vicuna": "</s>",
    "zephyr": "</s>",
}
CHATS = {
    "one turn": [user("Hi"), assistant("Hello!")],
    "two turns": [user("Hi"), assistant("Hello!"), user("Bye?"), assistant("Bye.")],
    "empty answer": [user("Hi"), assistant("")],
    "white space": [user(" Hi\n"), assistant(" Hello! \n")],
}


def test_every_format_has_a_file() -> None:
    assert sorted(ENDS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_header_describes_the_format(name: str) -> None:
    header = HEADER.match(source(name))
    assert header, "a template starts with its header"
    assert [field for field in FIELDS if f"\n{field} " not in header[1]] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_header_renders_to_nothing(name: str) -> None:
    without = HEADER.sub("", source(name))
    assert render(source(name), CHATS["two turns"]) == render(without, CHATS["two turns"])
    assert not ours(name, CHATS["one turn"])[0].isspace()


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_has_a_line_for_every_template(name: str) -> None:
    readme = (TEMPLATES / "README.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{re.escape(name)}` \|.*\|$", readme, re.MULTILINE)
    assert row, "a row of the table"
    assert (ENDS[name] if ENDS[name] != "</s>" else "eos_token") in row[0].replace("\\|", "|")


def test_the_readme_lists_no_file_that_does_not_exist() -> None:
    table = (TEMPLATES / "README.md").read_text(encoding="utf-8").partition("\n## ")[0]
    assert sorted(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)) == NAMES


@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("name", NAMES)
def test_the_last_answer_follows_its_prompt_and_ends_with_the_end_of_turn_token(name: str, chat: str) -> None:
    messages = CHATS[chat]
    prompt, whole = ours(name, messages[:-1], prompt=True), ours(name, messages)
    assert whole.startswith(prompt)
    completion = whole[len(prompt) :]
    assert messages[-1]["content"].strip() in completion
    answer, end, rest = completion.rpartition(ENDS[name])
    assert end
    assert ENDS[name] not in answer
    assert rest.strip() in ("", "</s>")


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"gemma2"}))
def test_a_system_message_is_in_the_prompt_once(name: str) -> None:
    rendered = ours(name, [system("Rhyme, always."), *CHATS["two turns"]])
    assert rendered.count("Rhyme, always.") == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_tokenizer_without_bos_and_eos_gives_the_same_text_without_them(name: str) -> None:
    for missing in (None, ""):
        rendered = ours(name, CHATS["one turn"], bos_token=missing, eos_token=missing)
        assert "None" not in rendered
        assert rendered == ours(name, CHATS["one turn"]).replace("<s>", "").replace("</s>", "")
