"""What is true of one template with one tokenizer, found by rendering probes: how turns end, which forms it takes.

Nothing here is a list of known models. Each fact is read off renderings of short conversations whose fields are
sentinels, so that what the template writes and what it was given cannot be confused.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sftdata.encode.template.jinja import ChatTemplate, RenderError, Turn, make_environment
from sftdata.encode.template.syntax import Reads, reads_of
from sftdata.encode.tokenizer.control import RESERVED, ControlTokens, control_tokens
from sftdata.encode.tokenizer.load import TokenizerFiles

# Sentinels are plain small letters, so that no escaping of any kind changes them.
MARK = "zqx{}xqz"
USER, ANSWER, LATER = MARK.format("user"), MARK.format("answer"), MARK.format("later")
THOUGHT, VALUE = MARK.format("thought"), MARK.format("value")
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
# A number of ids that some templates check (nine letters or digits).
CALL_IDS = ("callaaaa1", "callaaaa2")


def tool_turn(content: str | None, arguments: str | Mapping[str, str], num_calls: int = 1) -> Turn:
    """An assistant turn that calls the probe's tool."""
    calls = [
        {"id": CALL_IDS[i], "type": "function", "function": {"name": "lookup", "arguments": arguments}}
        for i in range(num_calls)
    ]
    return {"role": "assistant", "content": content, "tool_calls": calls}


@dataclass
class TemplateProbes:
    """A template, the tokenizer's control tokens under it, and what probing showed."""

    template: ChatTemplate
    files: TokenizerFiles
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    shown_fields: dict[Hashable, dict[str, bool]] = field(default_factory=dict)  # see fields.py; by shape of turn

    def _write(self, messages: list[Turn], *, tools: bool = False, prompt: bool = False) -> str | None:
        """A probe's rendering, or None where the template refuses it."""
        try:
            return self.template.render(
                messages, tools=[TOOL] if tools else None, add_generation_prompt=prompt, kwargs=self.kwargs
            )
        except RenderError:
            return None

    @cached_property
    def control(self) -> ControlTokens:
        """The control tokens: special ones, and every marker that the template's text or a probe's rendering holds."""
        probes = [
            self._write([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], prompt=True),
            self._write([{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]),
            self._write([{"role": "user", "content": "u"}], tools=True, prompt=True),
        ]
        return control_tokens(self.files, [*self.template.sources, *(text for text in probes if text)])

    @cached_property
    def refusal(self) -> str | None:
        """Why no conversation at all can be trained under this template, or None."""
        chat: list[Turn] = [{"role": "user", "content": USER}, {"role": "assistant", "content": ANSWER}]
        try:
            text = self.template.render(chat, kwargs=self.kwargs)
        except RenderError as error:
            return f"refuses a plain question and answer: {error}"
        if ANSWER not in text:
            return "does not write the assistant's content"
        if any(character in written for character in RESERVED for written in (text, *self.template.sources)):
            return "writes U+0001 or U+E002, which stand for control tokens here"
        return None

    @cached_property
    def reads(self) -> Reads:
        """What the template reads of message text."""
        return reads_of(self.template.sources, make_environment(self.template.today))

    @cached_property
    def end_texts(self) -> tuple[str, ...]:
        """The end-of-turn tokens, as text: one for plain turns, and where it differs one for turns that call tools."""
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
        """What prompts end with after the last message's text, guarded: behind user and system, and a tool result."""
        user: Turn = {"role": "user", "content": LATER}
        chats: list[list[Turn]] = [
            [user],
            [{"role": "system", "content": USER}, user],
            [{"role": "user", "content": USER}, {"role": "assistant", "content": ANSWER}, user],
        ]
        if self.tool_turn is not None:
            result = {"role": "tool", "content": LATER, "name": "lookup", "tool_call_id": CALL_IDS[0]}
            chats.append([{"role": "user", "content": USER}, self.tool_turn, result])
        texts = [self._write(chat, tools=len(chat) > 2 and chat[-1] is not user, prompt=True) for chat in chats]
        suffixes = [text.rpartition(LATER)[2] for text in texts if text is not None and LATER in text]
        return tuple(dict.fromkeys(self.control.guard(suffix) for suffix in suffixes if suffix))

    def _plain_end(self) -> str | None:
        """The token that ends a plain answer.

        The tokenizer's EOS where it follows both a last and an earlier answer (some formats close an inner block
        first); else the first special token after a last answer, else the first marker of the template there.
        """
        chat: list[Turn] = [{"role": "user", "content": USER}, {"role": "assistant", "content": ANSWER}]
        last = self._write(chat)
        if last is None or ANSWER not in last:
            return None
        after_last = self.control.find(last.rpartition(ANSWER)[2])
        longer = self._write([*chat, {"role": "user", "content": LATER}])
        between = (longer or "").rpartition(LATER)[0].rpartition(ANSWER)[2]
        eos = self.files.special_tokens.get("eos_token")
        if eos in after_last and eos in self.control.find(between):
            return eos
        special = {token.content for token in self.control.tokens if token.special} | {eos}
        return next((text for text in after_last if text in special), None) or next(iter(after_last), None)

    def _tool_end(self, plain: str | None) -> str | None:
        """The token that ends a turn of tool calls: the plain one, or a special one written once however many calls."""
        turn = self.tool_turn
        if turn is None:
            return None
        user: Turn = {"role": "user", "content": USER}
        after = self._after_value(self._write([user, turn], tools=True))
        if plain in after:
            return plain
        special = {token.content for token in self.control.tokens if token.special}
        end = next((text for text in after if text in special), None)
        if end is None:
            return None
        function = turn["tool_calls"][0]["function"]
        content: str | None = turn["content"]
        two = self._write([user, tool_turn(content, function["arguments"], num_calls=2)], tools=True)
        in_two = self.control.find((two or "").partition(USER)[2])
        return end if in_two.count(end) <= 1 else None

    def _after_value(self, text: str | None) -> list[str]:
        return self.control.find((text or "").rpartition(VALUE)[2])

    @cached_property
    def tool_turn(self) -> Turn | None:
        """A turn with a tool call in the form that the template shows rightly, or None where it shows none."""
        user: Turn = {"role": "user", "content": USER}
        for content in (None, ""):
            forms: tuple[str | Mapping[str, str], ...] = ({"word": VALUE}, f'{{"word": "{VALUE}"}}')
            for arguments in forms:
                turn = tool_turn(content, arguments)
                text = self._write([user, turn], tools=True)
                if text is not None and shows_call(text):
                    return turn
        return None

    @cached_property
    def argument_forms(self) -> frozenset[str]:
        """The forms, "object" and "text", in which the template writes tool arguments rightly."""
        if self.tool_turn is None:
            return frozenset()
        forms: dict[str, str | Mapping[str, str]] = {"object": {"word": VALUE}, "text": f'{{"word": "{VALUE}"}}'}
        user: Turn = {"role": "user", "content": USER}
        written = {
            name: self._write([user, tool_turn(self.tool_turn["content"], arguments)], tools=True)
            for name, arguments in forms.items()
        }
        return frozenset(name for name, text in written.items() if text is not None and shows_call(text))

    @cached_property
    def takes_empty_calls(self) -> frozenset[bool]:
        """Whether calls are shown with content null (True) and with content "" (False)."""
        if self.tool_turn is None:
            return frozenset()
        arguments = self.tool_turn["tool_calls"][0]["function"]["arguments"]
        user: Turn = {"role": "user", "content": USER}
        shown = set()
        for content in (None, ""):
            text = self._write([user, tool_turn(content, arguments)], tools=True)
            if text is not None and shows_call(text) and not (content is None and "None" in text.partition(USER)[2]):
                shown.add(content is None)
        return frozenset(shown)

    @cached_property
    def shows_reasoning(self) -> bool:
        """Whether `reasoning_content` of a last answer is visible in its rendering."""
        turn = {"role": "assistant", "content": ANSWER, "reasoning_content": THOUGHT, "thinking": THOUGHT}
        text = self._write([{"role": "user", "content": USER}, turn])
        return text is not None and THOUGHT in text


def shows_call(text: str) -> bool:
    """Whether a rendering shows the probe's call: its name and its arguments, neither encoded twice nor as Python."""
    answer = text.partition(USER)[2]
    wrong = ('\\"word\\"', "'word'", "\\u0022word")
    return "lookup" in answer and "word" in answer and VALUE in answer and not any(sign in answer for sign in wrong)
