"""Probes of a template: short conversations rendered to learn how turns end and which forms of input it takes.

There is no list of known models. Everything is derived from renderings whose fields are sentinels, so that what the
template writes cannot be confused with what it was given.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any, TypeVar

from sftdata.encode.template.ends import Tail, TurnEnd, call_end, candidate, plain_end
from sftdata.encode.template.jinja import ChatTemplate, RenderError, TooMuch, Turn, make_environment
from sftdata.encode.template.syntax import ContentUse, find_content_use
from sftdata.encode.template.thinking import ThinkingProbes, own_marks_of, signature_of
from sftdata.encode.tokenizer.control import RESERVED, ControlTokens, control_tokens
from sftdata.encode.tokenizer.load import TokenizerFiles
from sftdata.encode.tokenizer.stops import stop_tokens
from sftdata.errors import TemplateError

T = TypeVar("T")
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
NAMED_IDS = ("functions.lookup:0", "functions.lookup:1")  # and others write them in place of the name
RESULT: Turn = {"role": "tool", "content": LATER, "name": "lookup", "tool_call_id": CALL_IDS[0]}


def tool_turn(
    content: str | None, arguments: str | Mapping[str, Any], num_calls: int = 1, ids: Sequence[str | None] = CALL_IDS
) -> Turn:
    """An assistant turn that calls the probes' tool."""
    function = {"name": "lookup", "arguments": arguments}
    calls = [
        {**({} if id_ is None else {"id": id_}), "type": "function", "function": function} for id_ in ids[:num_calls]
    ]
    return {"role": "assistant", "content": content, "tool_calls": calls}


@dataclass
class TemplateProbes:
    """What probes show of one template with one tokenizer, and the control tokens of the two together.

    `kwargs` are template arguments with protected strings. Which tokens are control tokens does not depend on them, and
    neither does what reasoning becomes: `given_control` and `given_thinking` are those of the probes without arguments.
    """

    template: ChatTemplate
    files: TokenizerFiles
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    given_control: ControlTokens | None = None
    given_thinking: ThinkingProbes | None = None
    shown_fields: dict[Hashable, dict[str, bool]] = field(default_factory=dict)  # see fields.py, by shape
    hidden_fields: dict[Hashable, tuple[Any, ...]] = field(default_factory=dict)  # see context.py, by shape
    refused_parts: dict[Hashable, str] = field(default_factory=dict)  # see refusals.py, by shape and error
    train_empty_thinking: bool = False
    marks: tuple[str, ...] = ()  # that are control tokens too, if the tokenizer has them: they are written into texts
    found: dict[Hashable, Any] = field(default_factory=dict)  # see `once`

    def with_arguments(self, kwargs: Mapping[str, Any]) -> TemplateProbes:
        """The probes of the same template with these arguments, their strings protected."""
        return TemplateProbes(
            self.template,
            self.files,
            kwargs,
            self.control,
            self.thinking,
            train_empty_thinking=self.train_empty_thinking,
        )

    def once(self, find: Callable[[TemplateProbes], T]) -> T:
        """What a function finds out about these probes, found out once."""
        if find not in self.found:
            self.found[find] = find(self)
        result: T = self.found[find]
        return result

    def probe(self, messages: list[Turn], *, tools: bool = False, prompt: bool = False) -> str | None:
        """The rendering of a probe, or None if the template refuses it. Raises TemplateError if it does too much."""
        try:
            return self.template.render(
                messages,
                tools=[TOOL] if tools or self.needs_tools else None,
                add_generation_prompt=prompt,
                kwargs=self.kwargs,
            )
        except TooMuch as error:
            if self.kwargs:
                return None  # it may be for the arguments of one row
            raise TemplateError(self.template.name, f"cannot render a short conversation: {error}") from error
        except RenderError:
            return None

    @cached_property
    def needs_tools(self) -> bool:
        """Whether the template takes only conversations with tools: then all probes have some."""
        chat: list[Turn] = [{"role": "user", "content": USER}, {"role": "assistant", "content": ANSWER}]
        taken = []
        for tools in (None, [TOOL]):
            try:
                self.template.render(chat, tools=tools, kwargs=self.kwargs)
            except RenderError:
                taken.append(False)
            else:
                taken.append(True)
        return taken == [False, True]

    @cached_property
    def control(self) -> ControlTokens:
        """The control tokens: see `control_tokens`, applied to the template's sources and the renderings of probes."""
        if self.given_control is not None:
            return self.given_control
        probes = [
            self.probe([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], prompt=True),
            self.probe([{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]),
            self.probe([{"role": "user", "content": "u"}], tools=True, prompt=True),
        ]
        marks = (*sum(own_marks_of(self.files), ()), *self.marks)
        texts = [*self.template.sources, *(text for text in probes if text), *marks]
        return control_tokens(self.files, texts)

    @cached_property
    def refusal(self) -> str | None:
        """Why no conversation can be trained with this template, or None."""
        chat: list[Turn] = [{"role": "user", "content": USER}, {"role": "assistant", "content": ANSWER}]
        try:
            text = self.template.render(chat, tools=[TOOL] if self.needs_tools else None, kwargs=self.kwargs)
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
        return tuple(dict.fromkeys(end.token for end in (self.plain_end, self.call_end) if end is not None))

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
            chats.append([{"role": "user", "content": USER}, self.tool_turn, RESULT])
        texts = [self.probe(chat, tools=len(chat) > 2 and chat[-1] is not user, prompt=True) for chat in chats]
        suffixes = [text.rpartition(LATER)[2] for text in texts if text is not None and LATER in text]
        return tuple(dict.fromkeys(self.control.guard(suffix) for suffix in suffixes if suffix))

    @cached_property
    def stops(self) -> frozenset[str]:
        """The tokens at which a server stops: see tokenizer/stops.py."""
        return frozenset(stop_tokens(self.files))

    @cached_property
    def plain_tail(self) -> Tail | None:
        """What the template writes after a plain answer, or None if it refuses one."""
        chat: list[Turn] = [{"role": "user", "content": USER}, {"role": "assistant", "content": ANSWER}]
        last = self.probe(chat)
        if last is None or ANSWER not in last:
            return None
        longer = self.probe([*chat, {"role": "user", "content": LATER}])
        earlier = None if longer is None else longer.rpartition(LATER)[0].rpartition(ANSWER)[2]
        return Tail(last.rpartition(ANSWER)[2], earlier)

    @cached_property
    def plain_end(self) -> TurnEnd | None:
        """The end of a plain answer, or None if none is certain."""
        if self.plain_tail is None:
            return None
        head = (self.probe([{"role": "user", "content": USER}]) or "").partition(USER)[0]
        return plain_end(self.plain_tail, head, self.stops, self.control)

    @cached_property
    def call_tail(self) -> Tail | None:
        """What the template writes after a turn with a tool call, or None if it writes none."""
        if self.tool_turn is None:
            return None
        chat: list[Turn] = [{"role": "user", "content": USER}, self.tool_turn]
        last = self.probe(chat, tools=True) or ""
        longer = self.probe([*chat, RESULT], tools=True)
        earlier = None if longer is None else longer.rpartition(LATER)[0].rpartition(VALUE)[2]
        return Tail(last.rpartition(VALUE)[2], earlier)

    @cached_property
    def call_end(self) -> TurnEnd | None:
        """The end of a turn with tool calls, or None if none is certain or the template writes no calls."""
        if self.tool_turn is None or self.call_tail is None:
            return None
        arguments = self.tool_turn["tool_calls"][0]["function"]["arguments"]
        two = tool_turn(self.tool_turn["content"], arguments, num_calls=2, ids=self.ids)
        text = self.probe([{"role": "user", "content": USER}, two], tools=True) or ""
        stops = self.stops if self.plain_end is None else self.stops | {self.plain_end.token}
        return call_end(self.call_tail, self.control.find(text.partition(USER)[2]), stops, self.control)

    def undeclared_end(self, *, calls: bool) -> str | None:
        """The token that may be the end of a turn but is not a stop; None if the template writes none."""
        tail = self.call_tail if calls else self.plain_tail
        return None if tail is None else candidate(tail, self.control)

    @cached_property
    def tool_turn(self) -> Turn | None:
        """A turn with a tool call in a form that the template writes correctly, or None if there is no such form."""
        user: Turn = {"role": "user", "content": USER}
        forms: tuple[str | Mapping[str, str], ...] = ({"word": VALUE}, f'{{"word": "{VALUE}"}}')
        for ids, arguments, content in product((CALL_IDS, NAMED_IDS), forms, (None, "")):
            turn = tool_turn(content, arguments, ids=ids)
            text = self.probe([user, turn], tools=True)
            if text is not None and shows_call(text):
                return turn
        return None

    @property
    def ids(self) -> tuple[str, str]:
        """The ids of calls in probes."""
        named = self.tool_turn is not None and self.tool_turn["tool_calls"][0]["id"] == NAMED_IDS[0]
        return NAMED_IDS if named else CALL_IDS

    @cached_property
    def calls_written(self) -> str:
        """For which conversations the template writes tool calls: always, with_tools, or never."""
        if self.tool_turn is None:
            return "never"
        text = self.probe([{"role": "user", "content": USER}, self.tool_turn])
        return "always" if text is not None and shows_call(text) else "with_tools"

    @cached_property
    def argument_forms(self) -> tuple[str | None, str | None]:
        """The form in which the template gets tool arguments in conversations without tools, and in those with tools.

        "object" wherever it takes objects, as servers give them; "text", which is JSON, where it fails on objects or
        writes them as Python does; None if it writes no calls.
        """
        with_tools = self._argument_form(tools=True)
        if self.template.tool_source is None:
            return with_tools, with_tools
        return self._argument_form(tools=False) or with_tools, with_tools

    def _argument_form(self, *, tools: bool) -> str | None:
        if self.tool_turn is None:
            return None
        flat = {"word": VALUE}
        mixed = {**flat, "number": 7, "yes": True, "list": ["x"], "inner": {"key": "x"}}
        user: Turn = {"role": "user", "content": USER}
        # A template may take objects of texts alone: then JSON text is better, if it takes that.
        for arguments in (mixed, json.dumps(mixed), flat, json.dumps(flat)):
            text = self.probe([user, tool_turn(self.tool_turn["content"], arguments, ids=self.ids)], tools=tools)
            if text is not None and shows_call(text):
                return "text" if isinstance(arguments, str) else "object"
        return None

    @cached_property
    def call_contents(self) -> frozenset[str | None]:
        """The empty contents, None and "", with which the template writes tool calls correctly.

        Some templates take one of them in a last turn alone.
        """
        if self.tool_turn is None:
            return frozenset()
        arguments = self.tool_turn["tool_calls"][0]["function"]["arguments"]
        user: Turn = {"role": "user", "content": USER}
        correct: dict[bool, set[str | None]] = {False: set(), True: set()}
        for content, earlier in product((None, ""), correct):
            chat = [user, tool_turn(content, arguments, ids=self.ids)]
            result: Turn = {**RESULT, "tool_call_id": self.ids[0]}
            answer: Turn = {"role": "assistant", "content": ANSWER}
            text = self.probe([*chat, result, answer, user] if earlier else chat, tools=True)
            if text is not None and shows_call(text) and not (content is None and "None" in text.partition(USER)[2]):
                correct[earlier].add(content)
        return frozenset(correct[False] & correct[True] or correct[False])

    @cached_property
    def thinking(self) -> ThinkingProbes:
        """What the template does with reasoning."""
        return self.given_thinking or ThinkingProbes(self.template, self.files, self._probe_with)

    def signature(self, kwargs: Mapping[str, Any]) -> list[str | None]:
        """What the template writes with these arguments besides its own, to compare it."""
        return signature_of(self._probe_with, kwargs)

    def _probe_with(self, messages: list[Turn], *, prompt: bool = False, kwargs: Mapping[str, Any] = {}) -> str | None:
        """A probe with more template arguments."""
        probes = TemplateProbes(self.template, self.files, {**self.kwargs, **kwargs}) if kwargs else self
        return probes.probe(messages, prompt=prompt)

    @property
    def shows_reasoning(self) -> bool:
        """Whether the template writes the reasoning of a last answer that it gets in a field."""
        return bool(self.thinking.fields)


def shows_call(text: str) -> bool:
    """Whether a rendering has the probe's call: its name and arguments, not as JSON within JSON or a Python repr."""
    answer = text.partition(USER)[2]
    misspelled = ('\\"word\\"', "'word'", "\\u0022word")
    has_all = "lookup" in answer and "word" in answer and VALUE in answer
    return has_all and not any(key in answer for key in misspelled)
