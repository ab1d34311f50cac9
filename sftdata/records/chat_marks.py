"""The marks that families of chat templates write around turns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

ANALYSIS = "analysis"  # not a role: reasoning that Harmony writes as a turn before the answer


class Marks(NamedTuple):
    """What one family of templates writes before and after each turn.

    `closes` are empty where only the next mark ends a turn. With `has_preamble`, text before the first mark is a system
    prompt. With `is_text`, the marks are words, which ordinary text may contain.
    """

    name: str
    opens: Mapping[str, str]
    closes: Mapping[str, str]
    has_preamble: bool = False
    is_text: bool = False

    @property
    def is_inside_lines(self) -> bool:
        """Whether the marks, which are words, may follow each other on one line."""
        return self.closes["user"] in ("", " ")


def _uniform(name: str, form: str, close: str, **roles: str) -> Marks:
    """Marks that are the same for every role but for its name."""
    return Marks(name, {role: form.format(label) for role, label in roles.items()}, dict.fromkeys(roles, close))


_OPENAI = {role: role for role in ("system", "user", "assistant", "tool", "developer")}
_CHATBOT = {"system": "SYSTEM", "user": "USER", "assistant": "CHATBOT"}
_PROMPTER = {"system": "system", "user": "prompter", "assistant": "assistant"}
_SMALL = {role: role for role in ("system", "user", "assistant")}


def _words(name: str, user: str, assistant: str, between: str, end: str = "", *, preamble: bool = True) -> Marks:
    return Marks(name, {"user": user, "assistant": assistant}, {"user": between, "assistant": end}, preamble, True)


def _llama2(start: str, space: str, after: str, end: str) -> Marks:
    opens = {"user": f"{start}[INST]{space}", "assistant": f"{space}[/INST]{after}"}
    return Marks("Llama 2", opens, {"user": "", "assistant": end})


_HARMONY = {
    **{role: f"<|start|>{role}<|message|>" for role in ("system", "developer", "user")},
    ANALYSIS: "<|start|>assistant<|channel|>analysis<|message|>",
    "assistant": "<|start|>assistant<|channel|>final<|message|>",
}

# Of families with the same marks, the first whose text can be proven is taken.
FAMILIES = (
    _uniform("ChatML", "<|im_start|>{}\n", "<|im_end|>\n", **_OPENAI),
    _uniform("ChatML", "<|im_start|>{}\n", "<|im_end|>", **_OPENAI),
    _uniform("Phi-4", "<|im_start|>{}<|im_sep|>", "<|im_end|>", **_OPENAI),
    _uniform("Llama 3", "<|start_header_id|>{}<|end_header_id|>\n\n", "<|eot_id|>", **_OPENAI, ipython="ipython"),
    _uniform("Llama 4", "<|header_start|>{}<|header_end|>\n\n", "<|eot|>", **_OPENAI, ipython="ipython"),
    _uniform("Gemma", "<start_of_turn>{}\n", "<end_of_turn>\n", user="user", assistant="model", system="system"),
    _uniform("Granite", "<|start_of_role|>{}<|end_of_role|>", "<|end_of_text|>\n", **_OPENAI),
    Marks("Harmony", _HARMONY, dict.fromkeys(_HARMONY, "<|end|>")),
    _uniform("Command R", "<|START_OF_TURN_TOKEN|><|{}_TOKEN|>", "<|END_OF_TURN_TOKEN|>", **_CHATBOT),
    _uniform("Open Assistant", "<|{}|>", "<|endoftext|>", **_PROMPTER),
    _uniform("Open Assistant", "<|{}|>", "</s>", **_PROMPTER),
    _uniform("Kimi", "<|im_{0}|>{0}<|im_middle|>", "<|im_end|>", **_SMALL),
    Marks(
        "EXAONE",
        {role: f"[|{role}|]" for role in _SMALL},
        {"system": "[|endofturn|]\n", "user": "\n", "assistant": "[|endofturn|]\n"},
    ),
    _uniform("OpenChat", "GPT4 Correct {}: ", "<|end_of_turn|>", user="User", assistant="Assistant"),
    _uniform("human and bot", "<{}>: ", "\n", user="human", assistant="bot"),
    _uniform("human and bot", "<{}>: ", "\n\n", user="human", assistant="bot"),
    _uniform("Phi", "<|{}|>\n", "<|end|>\n", **_OPENAI),
    _uniform("Zephyr", "<|{}|>\n", "</s>\n", **_OPENAI),
    _uniform("Zephyr", "<|{}|>\n", "</s>", **_OPENAI),
    _uniform("Tulu", "<|{}|>\n", "\n", **_OPENAI),
    _uniform("GLM", "<|{}|>\n", "", **_SMALL, tool="observation"),
    Marks(
        "DeepSeek",
        {"user": "<｜User｜>", "assistant": "<｜Assistant｜>"},
        {"user": "", "assistant": "<｜end▁of▁sentence｜>"},
        True,
    ),
    _llama2("<s>", " ", " ", " </s>"),
    _llama2("<s>", " ", " ", "</s>"),
    _llama2("", " ", " ", "</s>"),
    _llama2("", " ", " ", " </s>"),
    _llama2("", " ", " ", ""),
    _llama2("", " ", "", "</s>"),
    _llama2("", "", "", "</s>"),
    _words("Vicuna", "USER: ", "ASSISTANT: ", " ", "</s>"),
    _words("Vicuna", "USER: ", "ASSISTANT: ", "\n", "</s>\n"),
    _words("Vicuna", "USER: ", "ASSISTANT: ", "\n", "\n"),
    _words("Vicuna", "USER: ", "ASSISTANT: ", " ", " "),
    _words("Alpaca", "### Instruction:\n", "### Response:\n", "\n\n", "\n\n"),
    _words("Alpaca", "### Instruction:\n", "### Response: ", "\n\n", "\n\n"),
    _words("Alpaca", "### Instruction:\n", "### Response:", "\n\n", "\n\n"),
    _words("Guanaco", "### Human: ", "### Assistant: ", "\n", "\n"),
    _words("Guanaco", "### Human: ", "### Assistant: ", "", ""),
    _words("Guanaco", "### Human:\n", "### Assistant:\n", "\n\n", "\n\n"),
    _words("SOLAR", "### User:\n", "### Assistant:\n", "\n\n", "\n\n"),
    _words("SOLAR", "### User:\n", "### Assistant:\n", "\n", "\n"),
    _words("SOLAR", "### User: ", "### Assistant: ", "\n\n", "\n\n"),
    _words("SOLAR", "### User: ", "### Assistant: ", "\n", "\n"),
    _words("Human and Assistant", "Human: ", "Assistant: ", "\n\n", "\n\n"),
    _words("Human and Assistant", "Human: ", "Assistant: ", "\n", "\n"),
    _words("User and Assistant", "User: ", "Assistant: ", "\n\n", "\n\n"),
    _words("User and Assistant", "User: ", "Assistant: ", "\n", "\n"),
)
