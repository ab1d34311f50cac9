"""Probes of a template: short conversations rendered to learn how turns end and which forms of input it takes.

There is no list of known models. Everything is derived from renderings whose fields are sentinels, so that what the
template writes cannot be confused with what it was given.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sftdata.encode.template.jinja import ChatTemplate, RenderError, TooMuch, Turn, make_environment
from sftdata.encode.template.syntax import ContentUse, find_content_use
from sftdata.encode.tokenizer.control import RESERVED, ControlTokens, control_tokens
from sftdata.encode.tokenizer.load import TokenizerFiles
from sftdata.errors import TemplateError

# Sentinels are lower-case letters, which no kind of escaping changes.
SENTINEL = "zqx{}xqz"
USER, ANSWER, LATER = SENTINEL.format("user"), SENTINEL.format("answer"), SENTINEL.format("later")
THOUGHT, VALUE = SENTINEL.format("thought"), SENTINEL.format("value")
TOOL = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": "Look a word up.",
        "parameters": {
            "type": "object",
            "properties": {"word": {"type": "string", "description": "the word"}},
            "required": ["word"],
        },
    },
}
# Some templates require ids of nine letters or digits.
CALL_IDS = ("callaaaa1", "callaaaa2")


def tool_turn(content: str | None, arguments: str | Mapping[str, str], num_calls: int = 1) -> Turn:
    """An assistant turn that calls the probes' tool."""
    calls = [
        {"id": CALL_IDS[i], "type": "function", "function": {"name": "lookup", "arguments": arguments}}
        for i in range(num_calls)
    ]
    return {"role": "assistant", "content": content, "tool_calls": calls}


@dataclass
class TemplateProbes:
    """What probes show of one template with one tokenizer, and the control tokens of the two together.

    `kwargs` are template arguments with protected strings. Which tokens are control tokens does not depend on them:
    `given_control` are those of the probes without arguments.
    """

    template: ChatTemplate
    files: TokenizerFiles
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    given_control: ControlTokens | None = None
    shown_fields: dict[Hashable, dict[str, bool]] = field(default_factory=dict)  # see fields.py, by shape
    hidden_fields: dict[Hashable, tuple[Any, ...]] = field(default_factory=dict)  # see context.py, by shape
    refused_parts: dict[Hashable, str] = field(default_factory=dict)  # see refusals.py, by shape and error

    def _render(self, messages: list[Turn], *, tools: bool = False, prompt: bool = False) -> str | None:
        """The rendering of a probe, or None if the template refuses it. Raises TemplateError if it does too much."""
        try:
            return self.template.render(
                messages, tools=[TOOL] if tools else None, add_generation_prompt=prompt, kwargs=self.kwargs
            )
        except TooMuch as error:
            if self.kwargs:
                return None  # it may be for the arguments of one row
            raise TemplateError(self.template.name, f"cannot render a short conversation: {error}") from error
        except RenderError:
            return None

    @cached_property
    def control(self) -> ControlTokens:
        """The control tokens: see `control_tokens`, applied to the template's sources and the renderings of probes."""
        if self.given_control is not None:
            return self.given_control
        probes = [
            self._render([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], prompt=True),
            self._render([{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]),
            self._render([{"role": "user", "content": "u"}], tools=True, prompt=True),
        ]
        return control_tokens(self.files, [*self.template.sources, *(text for text in probes if text)])

    @cached_property
    def refusal(self) -> str | None:
        """Why no conversation can be trained with this template, or None."""
        chat: list[Turn] = [{"role": "user", "content": USER}, {"role": "assistant", "content": ANSWER}]
        try:
            text = self.template.render(chat, kwargs=self.kwargs)
        except RenderError as error:
            return f"refuses a plain question and answer: {error}"
        if ANSWER not in text:
            return "does not write the assistant's content"
        if any(character in written for character in RESERVED for written in (text, *self.template.sources)):
            return "writes U+0001 or U+E002, which sftdata uses internally to mark control tokens"
        return None

    @cached_property
    def content_use(self) -> ContentUse:
        """How the template uses message contents."""
        return find_content_use(self.template.sources, make_environment(self.template.today))

    @cached_property
    def end_texts(self) -> tuple[str, ...]:
        """The end-of-turn tokens, as text: that of plain turns and, if it differs, that of turns with tool calls."""
        plain = self._plain_end()
        tool = self._tool_end(plain)
        return tuple(dict.fromkeys(end for end in (plain, tool) if end))

    @cached_property
    def end_ids(self) -> tuple[int, ...]:
        """The ids of `end_texts`."""
        ids = (self.control.id_of(end) for end in self.end_texts)
        return tuple(id_ for id_ in ids if id_ is not None)

    @cached_property
    def generation_prompts(self) -> tuple[str, ...]:
        """The ends of prompts, after the text of the last message (from the user or a tool), as guarded text."""
        user: Turn = {"role": "user", "content": LATER}
        chats: list[list[Turn]] = [
            [user],
            [{"role": "system", "content": USER}, user],
            [{"role": "user", "content": USER}, {"role": "assistant", "content": ANSWER}, user],
        ]
        if self.tool_turn is not None:
            result = {"role": "tool", "content": LATER, "name": "lookup", "tool_call_id": CALL_IDS[0]}
            chats.append([{"role": "user", "content": USER}, self.tool_turn, result])
        texts = [self._render(chat, tools=len(chat) > 2 and chat[-1] is not user, prompt=True) for chat in chats]
        suffixes = [text.rpartition(LATER)[2] for text in texts if text is not None and LATER in text]
        return tuple(dict.fromkeys(self.control.guard(suffix) for suffix in suffixes if suffix))

    def _plain_end(self) -> str | None:
        """The token that ends a plain answer, or None.

        It is the tokenizer's EOS if that follows both a last and an earlier answer (some formats close an inner block
        first). Otherwise it is the first special token after a last answer, or else the first control token there.
        """
        chat: list[Turn] = [{"role": "user", "content": USER}, {"role": "assistant", "content": ANSWER}]
        last = self._render(chat)
        if last is None or ANSWER not in last:
            return None
        after_last = self.control.find(last.rpartition(ANSWER)[2])
        longer = self._render([*chat, {"role": "user", "content": LATER}])
        between = (longer or "").rpartition(LATER)[0].rpartition(ANSWER)[2]
        eos = self.files.special_tokens.get("eos_token")
        if eos in after_last and eos in self.control.find(between):
            return eos
        special = {token.content for token in self.control.tokens if token.special} | {eos}
        return next((text for text in after_last if text in special), None) or next(iter(after_last), None)

    def _tool_end(self, plain: str | None) -> str | None:
        """The token that ends a turn with tool calls: `plain`, or a special token written once even for two calls."""
        turn = self.tool_turn
        if turn is None:
            return None
        user: Turn = {"role": "user", "content": USER}
        after = self._after_value(self._render([user, turn], tools=True))
        if plain in after:
            return plain
        special = {token.content for token in self.control.tokens if token.special}
        end = next((text for text in after if text in special), None)
        if end is None:
            return None
        function = turn["tool_calls"][0]["function"]
        content: str | None = turn["content"]
        two = self._render([user, tool_turn(content, function["arguments"], num_calls=2)], tools=True)
        in_two = self.control.find((two or "").partition(USER)[2])
        return end if in_two.count(end) <= 1 else None

    def _after_value(self, text: str | None) -> list[str]:
        """The control strings after the last argument of a tool call."""
        return self.control.find((text or "").rpartition(VALUE)[2])

    @cached_property
    def tool_turn(self) -> Turn | None:
        """A turn with a tool call in a form that the template writes correctly, or None if there is no such form."""
        user: Turn = {"role": "user", "content": USER}
        for content in (None, ""):
            forms: tuple[str | Mapping[str, str], ...] = ({"word": VALUE}, f'{{"word": "{VALUE}"}}')
            for arguments in forms:
                turn = tool_turn(content, arguments)
                text = self._render([user, turn], tools=True)
                if text is not None and shows_call(text):
                    return turn
        return None

    @cached_property
    def calls_written(self) -> str:
        """For which conversations the template writes tool calls: always, with_tools, or never."""
        if self.tool_turn is None:
            return "never"
        text = self._render([{"role": "user", "content": USER}, self.tool_turn])
        return "always" if text is not None and shows_call(text) else "with_tools"

    @cached_property
    def argument_forms(self) -> frozenset[str]:
        """The forms of tool arguments, "object" and "text", that the template writes correctly."""
        if self.tool_turn is None:
            return frozenset()
        forms: dict[str, str | Mapping[str, str]] = {"object": {"word": VALUE}, "text": f'{{"word": "{VALUE}"}}'}
        user: Turn = {"role": "user", "content": USER}
        written = {
            name: self._render([user, tool_turn(self.tool_turn["content"], arguments)], tools=True)
            for name, arguments in forms.items()
        }
        return frozenset(name for name, text in written.items() if text is not None and shows_call(text))

    @cached_property
    def call_contents(self) -> frozenset[str | None]:
        """The empty contents, None and "", with which the template writes tool calls correctly."""
        if self.tool_turn is None:
            return frozenset()
        arguments = self.tool_turn["tool_calls"][0]["function"]["arguments"]
        user: Turn = {"role": "user", "content": USER}
        correct: set[str | None] = set()
        for content in (None, ""):
            text = self._render([user, tool_turn(content, arguments)], tools=True)
            if text is not None and shows_call(text) and not (content is None and "None" in text.partition(USER)[2]):
                correct.add(content)
        return frozenset(correct)

    @cached_property
    def shows_reasoning(self) -> bool:
        """Whether the template writes the `reasoning_content` of a last answer."""
        turn = {"role": "assistant", "content": ANSWER, "reasoning_content": THOUGHT, "thinking": THOUGHT}
        text = self._render([{"role": "user", "content": USER}, turn])
        return text is not None and THOUGHT in text


def shows_call(text: str) -> bool:
    """Whether a rendering has the probe's call: its name and arguments, not as JSON within JSON or a Python repr."""
    answer = text.partition(USER)[2]
    misspelled = ('\\"word\\"', "'word'", "\\u0022word")
    has_all = "lookup" in answer and "word" in answer and VALUE in answer
    return has_all and not any(key in answer for key in misspelled)
