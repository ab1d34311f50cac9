"""Our templates compared with the families' own, if available: both give the same text, or both refuse.

The families' templates come from trl's package data, from the shared tokenizers, and from the collections that
`make zoo` has fetched. Intended differences are listed here by tag, described in the header of each file, and tested in
test_templates_by_hand.py.
"""

from __future__ import annotations

import copy
import functools
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from template_conversations import Conversation, everything
from template_rendering import REFUSALS, render, source

ROOT = Path(__file__).resolve().parents[2]
Message = dict[str, Any]


def unchanged(message: Message) -> Message:
    return message


def with_arguments(message: Message, change: Callable[[Any], Any]) -> Message:
    changed = copy.deepcopy(message)
    for call in changed.get("tool_calls", ()):
        call["function"]["arguments"] = change(call["function"]["arguments"])
    return changed


def with_objects(message: Message) -> Message:
    """For families that write an object as JSON and would quote JSON text again."""
    return with_arguments(message, lambda value: json.loads(value) if isinstance(value, str) else value)


def with_texts(message: Message) -> Message:
    """For families that take arguments only as JSON text, and tool calls only with a content of None."""
    dumped = with_arguments(
        message, lambda value: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    )
    return {**dumped, "content": dumped["content"] or None} if dumped.get("tool_calls") else dumped


def without_none(message: Message) -> Message:
    """For families that crash on a content of None."""
    return {key: value for key, value in with_objects(message).items() if value is not None}


def with_empty_and_objects(message: Message) -> Message:
    return with_objects(with_empty(message))


def with_empty(message: Message) -> Message:
    """For families that write a content of None as the word "None"."""
    return {**message, "content": message["content"] or ""}


def without_date(text: str) -> str:
    """For a family whose published template is an edited one without the date."""
    return re.sub(r"Today Date: .*\n", "", text)


def with_kimis_name(text: str) -> str:
    """For a collection's first revision of a template, with another default system message."""
    return text.replace("You are a helpful assistant<", "You are Kimi, an AI assistant created by Moonshot AI.<")


def with_half_blocks(text: str) -> str:
    """For a collection's edited template, which writes an empty block where the family's has its end alone."""
    return text.replace("<think></think>", "</think>")


def without_space(text: str) -> str:
    """For a collection's template whose indentation ends up in its renderings."""
    return re.sub(r"\s+", "", text)


def with_one_closing(text: str) -> str:
    """For a family whose published template closes results in another way once they are answered."""
    return text.replace("</tool_response>\n<|im_end|>", "</tool_response><|im_end|>")


def without_last_end(text: str) -> str:
    """For a family whose published template ends an answer with the next question, and starts no turn after results."""
    text = text.removesuffix("<|assistant_end|>").replace("<|assistant_end|><|assistant_start|>", "<|assistant_start|>")
    return text.replace("]<|assistant_start|>", "]")


@dataclass(frozen=True)
class Family:
    """One of our templates and the family's own. Ours refuses the tags `refused`, and writes `other` differently."""

    name: str
    theirs: str
    feed: Callable[[Message], Message] = unchanged
    refused: frozenset[str] = frozenset()
    other: frozenset[str] = frozenset()
    only_prompts: bool = False  # the family's own template does not support an answer at the end
    only_with: str | None = None
    only_tools: bool = False  # the family's own template is for conversations with tools
    clean: Callable[[str], str] = str  # what is done to a text of the family's own, or of ours, before it is compared

    def __str__(self) -> str:
        return f"{self.name} = {self.theirs}"


def family(name: str, theirs: str, refused: str = "", other: str = "", **more: Any) -> Family:
    return Family(name, theirs, refused=frozenset(refused.split()), other=frozenset(other.split()), **more)


FAMILIES = [
    family("chatml", "shared/smollm2", "calls", only_with="system"),  # SmolLM2 adds a system message of its own
    family("llama3", "shared/llama3", "calls"),
    family("llama3", "trl/llama3", "calls"),
    family("llama3.1", "trl/llama3_1", "tools_first", feed=with_objects),
    family("llama3.2", "trl/llama3_2", "tools_first", feed=with_objects),
    family("qwen2.5", "trl/qwen2_5", "developer", feed=with_objects),
    family("qwen3", "trl/qwen3", "developer"),
    family("qwen3", "shared/qwen3", "developer"),
    family("gemma2", "trl/gemma", "calls"),
    family("gemma3", "trl/gemma3", "calls"),
    family("phi3", "trl/phi3", "calls developer orphan"),
    family("command-r", "trl/cohere", "calls"),
    family("glm4.5", "trl/glm4moe", "developer", feed=with_empty, only_prompts=True),
    family("gpt-oss", "trl/gptoss", "late_system parallel", feed=without_none),
    family("deepseek-v3", "shared/deepseek_v3", "developer", "one_call rounds text_and_call three", feed=with_texts),
    family("qwen3.5", "trl/qwen3_5_think", "string_arguments", feed=with_objects),
    family("gemma4", "trl/gemma4_v5", "two_answers orphan string_arguments", "text_and_call", feed=with_objects),
    family("lfm2.5", "trl/lfm2_2_5_v2", "developer", feed=with_empty),
    family(
        "apertus",
        "zoo/llamacpp-apertus-8b-instruct",
        "two_answers",
        "field",
        feed=with_empty_and_objects,
        clean=without_last_end,
    ),
    family(
        "hermes3",
        "zoo/llamacpp-hermes-2-pro-llama-3-8b-tool-use",
        "",
        "text_and_call nested",
        feed=with_objects,
        only_tools=True,
        clean=with_one_closing,
    ),
    family(
        "kimi-k2-thinking", "zoo/llamacpp-kimi-k2-thinking", "developer orphan", "calls reasoning", only_prompts=True
    ),
    family("lfm2", "trl/lfm2_v2", "developer string_arguments", feed=with_objects),
    family("nemotron3", "trl/nemotron_3_nano", "developer string_arguments", feed=with_objects, only_prompts=True),
    family("nemotron3", "trl/nemotron_3_super", "developer string_arguments", feed=with_objects, only_prompts=True),
    family("granite4", "zoo/llamacpp-granite-4.0", "developer", feed=with_objects),
    family("llama4", "zoo/axolotl-llama4", "developer tools_first", "string_arguments", feed=with_empty),
    family("minimax-m2", "zoo/llamacpp-minimax-m2", "late_system developer", feed=with_empty, only_prompts=True),
    family("glm4.5", "zoo/llamacpp-glm-4.6", "developer", feed=with_empty, only_prompts=True),
    family("glm4.7", "zoo/llamacpp-glm-4.7-flash", "developer", feed=with_empty, only_prompts=True),
    family("kimi-k2", "zoo/llamacpp-kimi-k2", "developer orphan", "calls", clean=with_kimis_name),
    family(
        "smollm3",
        "zoo/llamacpp-smollm3-3b",
        "late_system developer",
        "calls tools field no_thinking",
        clean=without_date,
    ),
    family(
        "deepseek-v3.1",
        "zoo/llamacpp-deepseek-v3.1",
        "developer",
        "thinking tools",
        feed=with_objects,
        clean=with_half_blocks,
    ),
    family("deepseek-v3.1", "zoo/vllm-deepseekv31", "developer", "thinking", feed=with_objects, clean=without_space),
    family("deepseek-r1", "trl/deepseekv3", "developer", "rounds", feed=with_texts, only_prompts=True),
]


def published(which: str, request: pytest.FixtureRequest) -> str:
    """The family's own template. Skips the test if it is not available."""
    place, name = which.split("/", 1)
    if place == "shared":
        path = Path(request.getfixturevalue("shared")) / "tokenizers" / name / "chat_template.jinja"
        return path.read_text(encoding="utf-8")
    if place == "zoo":
        return fetched()[name]
    spec = find_spec("trl")
    if spec is None or spec.origin is None:
        pytest.skip("trl is not installed, whose package data has the families' own templates")
    path = Path(spec.origin).parent / "chat_templates" / f"{name}.jinja"
    if not path.is_file():
        pytest.skip(f"this version of trl has no {name}.jinja")
    return path.read_text(encoding="utf-8")


@functools.cache
def fetched() -> dict[str, str]:
    """The templates that `make zoo` has fetched, by name. Skips the test if they are not there."""
    sys.path.insert(0, str(ROOT / "tests" / "zoo"))
    import zoo_fetch

    folder = ROOT / ".cache" / "zoo"
    if not all((folder / f"{one.package}-{one.version}").is_dir() for one in zoo_fetch.COLLECTIONS):
        pytest.skip("the templates of other projects are not in .cache/zoo: make zoo fetches them")
    found: dict[str, str] = zoo_fetch.fetch(folder)
    return found


def attempt(template: str, chat: Conversation, messages: list[Message], prompt: bool) -> str:
    """The rendered text, or the word "refused"."""
    try:
        return render(template, messages, prompt, tools=chat.tools, **chat.kwargs)
    except (*REFUSALS, RecursionError):
        return "refused"


def mine(family: Family, chat: Conversation, prompt: bool) -> str:
    return family.clean(attempt(source(family.name), chat, chat.messages, prompt))


def theirs(family: Family, template: str, chat: Conversation, prompt: bool) -> str:
    return family.clean(attempt(template, chat, [family.feed(message) for message in chat.messages], prompt))


def cases(family: Family) -> list[tuple[Conversation, bool]]:
    """Every conversation that the family's own template supports, with and without generation prompt."""
    return [
        (chat, prompt)
        for chat in everything()
        if family.only_with is None or chat.messages[0]["role"] == family.only_with
        if chat.tools or not family.only_tools
        for prompt in (False, True)
        if not (family.only_prompts and not prompt and chat.messages[-1]["role"] == "assistant")
    ]


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_our_template_gives_the_text_of_the_familys_own(family: Family, request: pytest.FixtureRequest) -> None:
    template = published(family.theirs, request)
    compared = [case for case in cases(family) if not case[0].tags & (family.refused | family.other)]
    wrong = [
        (chat.name, prompt)
        for chat, prompt in compared
        if mine(family, chat, prompt) != theirs(family, template, chat, prompt)
    ]
    assert wrong == []
    assert sum(mine(family, chat, prompt) != "refused" for chat, prompt in compared) >= 10


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_what_a_format_does_not_support_is_refused(family: Family) -> None:
    refusable = [(chat, prompt) for chat, prompt in cases(family) if chat.tags & family.refused]
    assert bool(refusable) == bool(family.refused)
    assert {mine(family, chat, prompt) for chat, prompt in refusable} <= {"refused"}


@pytest.mark.parametrize("family", [one for one in FAMILIES if one.other or one.refused], ids=str)
def test_every_exception_to_the_comparison_is_needed(family: Family, request: pytest.FixtureRequest) -> None:
    template = published(family.theirs, request)
    for tag in family.refused | family.other:
        tagged = [case for case in cases(family) if tag in case[0].tags]
        assert any(mine(family, chat, prompt) != theirs(family, template, chat, prompt) for chat, prompt in tagged), tag
