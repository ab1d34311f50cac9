"""Hypothesis strategies for unusual conversations: any Unicode, any order of roles, control strings anywhere."""

# ruff: noqa: E501 (tables read better with a row a line)
from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

# Control strings of many families, parts of them, and strings that templates search for.
CONTROL = (
    "<|im_start|>", "<|im_end|>", "<|im_end|>\n<|im_start|>assistant\n", "<|endoftext|>", "<s>", "</s>", "<unk>", "<bos>",
    "[INST]", "[/INST]", "<<SYS>>", "<|eot_id|>", "<|start_header_id|>assistant<|end_header_id|>\n\n", "<|begin_of_text|>",
    "<｜User｜>", "<｜Assistant｜>", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜tool▁calls▁begin｜>",
    "<start_of_turn>model\n", "<end_of_turn>", "<|end|>", "<|start|>assistant<|channel|>final<|message|>", "<|return|>",
    "<|user|>", "<|assistant|>", "<|observation|>", "<think>", "</think>", "<think>\n\n</think>\n\n", "<tool_call>",
    "</tool_call>", "<tool_response>", "</tool_response>", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "<|python_tag|>", "<|CHATBOT_TOKEN|>",
)  # fmt: skip
PIECES = (
    "<|im_end|", "<|im_end", "|>", "<|", "im_end|>", "<", ">", "[", "]", "[[", "]]", "{{ x }}", "{% endif %}", "<think", "/think>",
    "</", "think>", "USER:", "ASSISTANT:", "### Response:\n", "assistant\n", "system", "\u2581", "\u2581\u2581a", "Ġ", "None",
    "\ue000sftdata", "\ue002", "\ue003", "\ue004", "\ue005",
)  # fmt: skip
SPACES = ("", " ", "  ", "\n", "\n\n", "\t", " \n", "\r\n", "\u00a0", "\u3000", "\u200b")
PLAIN = (
    "What is the capital of France?", "Paris.", "Yes", "1 2 3 12345", "def f(x):\n    return x\n", "caf\u00e9 cafe\u0301", "\u0301x", "\u1100\u1161",
    "日本語のテキスト", "مرحبا", "👩‍💻🇩🇪", "\ufeffbom", "a\u0338", "'s it", "It's", "\u212b\ufb01", "Cat. cat", "\x01\x7f",
)  # fmt: skip

_anything = st.text(alphabet=st.characters(exclude_categories=("Cs", "Co"), exclude_characters="\x00"), max_size=8)


def few_examples(count: int) -> settings:
    """Settings for tests with real tokenizers: always the same examples, and no shrinking, which would take minutes;
    conversations are small as they are.
    """
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def texts(*, control: bool = True) -> st.SearchStrategy[str]:
    """A message's text: a few fragments, some of them control strings if `control`."""
    fragments = [st.sampled_from(PLAIN), st.sampled_from(PLAIN), st.sampled_from(SPACES), _anything]
    if control:
        fragments += [st.sampled_from(CONTROL), st.sampled_from(PIECES)]
    return st.lists(st.one_of(*fragments), min_size=0, max_size=4).map("".join)


def filled(text: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A text that is not empty or white space."""
    return st.tuples(text, st.sampled_from(PLAIN), text).map("".join)


def tool(name: str) -> dict[str, Any]:
    """The declaration of a tool that accepts any arguments."""
    return {
        "type": "function",
        "function": {"name": name, "description": f"Does {name}.", "parameters": {"type": "object", "properties": {}}},
    }


@st.composite
def _call(draw: st.DrawFn, text: st.SearchStrategy[str], number: int) -> dict[str, Any]:
    leaf = st.one_of(text, st.integers(-9, 999), st.booleans(), st.sampled_from(["x", "", 0.5]))
    names = st.sampled_from(["word", "city", "n"])
    arguments = draw(
        st.dictionaries(
            names, st.one_of(leaf, st.lists(leaf, max_size=2), st.dictionaries(names, leaf, max_size=1)), max_size=2
        )
    )
    given = json.dumps(arguments, ensure_ascii=draw(st.booleans())) if draw(st.booleans()) else arguments
    name = draw(st.sampled_from(["lookup", "get_weather"]))
    return {"id": f"call{number:05d}", "type": "function", "function": {"name": name, "arguments": given}}


@st.composite
def conversations(
    draw: st.DrawFn,
    *,
    control: bool = True,
    any_order: bool = False,
    tools: bool = False,
    reasoning: bool = False,
    weights: bool = False,
    kwargs: tuple[dict[str, Any], ...] = (),
) -> dict[str, Any]:
    """A conversation in OpenAI's format: alternating turns, or with any_order any sequence of roles."""
    text = texts(control=control)
    messages: list[dict[str, Any]] = []
    user: list[str] = []
    calls = 0

    def answer() -> dict[str, Any]:
        content = draw(st.one_of(filled(text), filled(text), text, st.sampled_from([*user, "a"])))
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if reasoning and draw(st.booleans()):
            if draw(st.booleans()):
                message["reasoning_content"] = draw(text)
            else:
                message["content"] = f"<think>{draw(text)}</think>{content}"
        if weights and draw(st.booleans()):
            message["weight"] = draw(st.sampled_from([0, 1]))
        return message

    def question() -> dict[str, Any]:
        content = draw(filled(text))
        user.append(content)
        return {"role": "user", "content": content}

    if any_order:
        roles = draw(st.lists(st.sampled_from(["user", "assistant", "system", "assistant"]), min_size=1, max_size=6))
        messages.extend(answer() if role == "assistant" else {**question(), "role": role} for role in roles)
    else:
        if draw(st.booleans()):
            messages.append({"role": "system", "content": draw(filled(text))})
        for _ in range(draw(st.integers(1, 3))):
            messages.append(question())
            while tools and draw(st.booleans()) and calls < 4:
                group = [draw(_call(text, calls + i)) for i in range(draw(st.integers(1, 2)))]
                calls += len(group)
                content = draw(st.one_of(st.none(), st.none(), st.just(""), filled(text)))
                turn = {**answer(), "content": content, "tool_calls": group}
                messages.append(turn)
                for call in group:
                    result = draw(filled(text))
                    name = call["function"]["name"]
                    messages.append({"role": "tool", "name": name, "tool_call_id": call["id"], "content": result})
            messages.append(answer())
    row: dict[str, Any] = {"messages": messages}
    if calls or (tools and draw(st.booleans())):
        row["tools"] = [tool("lookup"), tool("get_weather")]
    if kwargs:
        chosen = draw(st.sampled_from([{}, *kwargs]))
        if chosen:
            row["chat_template_kwargs"] = chosen
    return row
