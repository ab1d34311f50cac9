"""Probes of a template: short conversations rendered to learn how turns end and which forms of input it takes.

There is no list of known models. Everything is derived from renderings whose fields are sentinels, so that what the
template writes cannot be confused with what it was given.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sftdata.encode.template.ends import Tail, TurnEnd, call_end, candidate, plain_end
from sftdata.encode.template.jinja import ChatTemplate, RenderError, TooMuch, Turn, make_environment
from sftdata.encode.template.syntax import ContentUse, find_content_use
from sftdata.encode.template.thinking import Switch, find_switch
from sftdata.encode.tokenizer.control import RESERVED, ControlTokens, control_tokens
from sftdata.encode.tokenizer.load import TokenizerFiles
from sftdata.encode.tokenizer.stops import stop_tokens
from sftdata.errors import TemplateError
from sftdata.records.reasoning_marks import MARKS_OF_MODELS

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
REASONING_FIELDS = ("reasoning_content", "thinking", "reasoning")  # of which templates read one
# Some templates require ids of nine letters or digits.
CALL_IDS = ("callaaaa1", "callaaaa2")
RESULT: Turn = {"role": "tool", "content": LATER, "name": "lookup", "tool_call_id": CALL_IDS[0]}


def tool_turn(content: str | None, arguments: str | Mapping[str, Any], num_calls: int = 1) -> Turn:
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
    train_empty_thinking: bool = False
    modes: Any = None  # of thinking: see proof/modes.py

    def with_arguments(self, kwargs: Mapping[str, Any]) -> TemplateProbes:
        """The probes of the same template with these arguments, their strings protected."""
        return TemplateProbes(
            self.template, self.files, kwargs, self.control, train_empty_thinking=self.train_empty_thinking
        )

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
        texts = [*self.template.sources, *(text for text in probes if text), *own_marks_of(self.files)]
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
        two = tool_turn(self.tool_turn["content"], arguments, num_calls=2)
        text = self.probe([{"role": "user", "content": USER}, two], tools=True) or ""
        stops = self.stops if self.plain_end is None else self.stops | {self.plain_end.token}
        return call_end(self.call_tail, self.control.find(text.partition(USER)[2]), stops, self.control)

    def undeclared_end(self, *, calls: bool) -> str | None:
        """The token that may be the end of a turn but is none of the stops; None if the template writes none."""
        tail = self.call_tail if calls else self.plain_tail
        return None if tail is None else candidate(tail, self.control)

    @cached_property
    def tool_turn(self) -> Turn | None:
        """A turn with a tool call in a form that the template writes correctly, or None if there is no such form."""
        user: Turn = {"role": "user", "content": USER}
        forms: tuple[str | Mapping[str, str], ...] = ({"word": VALUE}, f'{{"word": "{VALUE}"}}')
        for arguments in forms:
            for content in (None, ""):
                turn = tool_turn(content, arguments)
                text = self.probe([user, turn], tools=True)
                if text is not None and shows_call(text):
                    return turn
        return None

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
            text = self.probe([user, tool_turn(self.tool_turn["content"], arguments)], tools=tools)
            if text is not None and shows_call(text):
                return "text" if isinstance(arguments, str) else "object"
        return None

    @cached_property
    def call_contents(self) -> frozenset[str | None]:
        """The empty contents, None and "", with which the template writes tool calls correctly."""
        if self.tool_turn is None:
            return frozenset()
        arguments = self.tool_turn["tool_calls"][0]["function"]["arguments"]
        user: Turn = {"role": "user", "content": USER}
        correct: set[str | None] = set()
        for content in (None, ""):
            text = self.probe([user, tool_turn(content, arguments)], tools=True)
            if text is not None and shows_call(text) and not (content is None and "None" in text.partition(USER)[2]):
                correct.add(content)
        return frozenset(correct)

    def signature(self, kwargs: Mapping[str, Any]) -> list[str | None]:
        """What the template writes with these arguments besides its own, to compare it: prompts and answers."""
        probes = TemplateProbes(self.template, self.files, {**self.kwargs, **kwargs})
        user: Turn = {"role": "user", "content": USER}
        answer = {"role": "assistant", "content": ANSWER}
        thought = {**answer, **dict.fromkeys(REASONING_FIELDS, THOUGHT)}
        return [
            probes.probe([user], prompt=True),
            probes.probe([{"role": "system", "content": LATER}, user], prompt=True),
            probes.probe([user, answer]),
            probes.probe([user, thought]),
        ]

    @cached_property
    def switch(self) -> Switch | None:
        """The argument that tells the template whether the model thinks, or None."""
        return find_switch(self.template, self.signature)

    @cached_property
    def reasoning_fields(self) -> tuple[str, ...]:
        """The fields in which the template gets reasoning, of which it writes one; empty if it writes none.

        They are those of transformers if it writes one of these. It may write them only if the model is to think.
        """
        user: Turn = {"role": "user", "content": USER}
        switch = self.switch
        switched = () if switch is None or switch.name in self.kwargs else ({switch.name: switch.on},)
        for fields in (REASONING_FIELDS[:2], REASONING_FIELDS):
            turn = {"role": "assistant", "content": ANSWER, **dict.fromkeys(fields, THOUGHT)}
            for kwargs in ({}, *switched):
                probes = TemplateProbes(self.template, self.files, {**self.kwargs, **kwargs})
                if THOUGHT in (probes.probe([user, turn]) or ""):
                    return fields
        return ()

    @property
    def shows_reasoning(self) -> bool:
        """Whether the template writes the reasoning of a last answer that it gets in a field."""
        return bool(self.reasoning_fields)

    @property
    def reads_reasoning(self) -> bool:
        """Whether reasoning at the head of an answer is written as such: in a field, or in the model's own marks."""
        return self.shows_reasoning or self.own_marks is not None

    @cached_property
    def opened_block(self) -> str:
        """The opening mark with which a prompt ends, and the white space behind it, for `own_marks`; mostly empty."""
        if self.own_marks is None:
            return ""
        prompt = self.probe([{"role": "user", "content": USER}], prompt=True) or ""
        _, mark, space = prompt.rpartition(self.own_marks[0])
        return mark + space if mark and not space.strip() else ""

    @cached_property
    def own_marks(self) -> tuple[str, str] | None:
        """The model's own marks around reasoning, for a template that writes none: tokens of the tokenizer, or None."""
        found = [] if self.shows_reasoning or not self.template.source else own_marks_of(self.files, in_pairs=True)
        named = [pair for pair in found if any(pair[1] in source for source in self.template.sources)]
        return next(iter([*named, *found]), None)

    @cached_property
    def thinking_marks(self) -> tuple[tuple[str, str], ...]:
        """The marks that the template may write around reasoning: those of known models, and what it writes itself."""
        found = list(MARKS_OF_MODELS.items())
        user: Turn = {"role": "user", "content": USER}
        turn = {"role": "assistant", "content": ANSWER, **dict.fromkeys(self.reasoning_fields, THOUGHT)}
        prompt, text = self.probe([user], prompt=True) or "", self.probe([user, turn]) or ""
        before, _, after = text.partition(THOUGHT)
        if self.reasoning_fields and ANSWER in after and before.startswith(prompt):
            pair = before[len(prompt) :].strip(), after.partition(ANSWER)[0].strip()
            if all(pair) and all(len(mark) < 60 for mark in pair):
                found.append(pair)
        return tuple(dict.fromkeys(found))


def own_marks_of(files: TokenizerFiles, *, in_pairs: bool = False) -> list[Any]:
    """The marks of known models around reasoning that a tokenizer has both of: as texts, or as pairs of opening and
    closing mark.
    """
    known = {token.content for token in files.added_tokens()}
    pairs = [pair for pair in MARKS_OF_MODELS.items() if known.issuperset(pair)]
    return pairs if in_pairs else [mark for pair in pairs for mark in pair]


def shows_call(text: str) -> bool:
    """Whether a rendering has the probe's call: its name and arguments, not as JSON within JSON or a Python repr."""
    answer = text.partition(USER)[2]
    misspelled = ('\\"word\\"', "'word'", "\\u0022word")
    has_all = "lookup" in answer and "word" in answer and VALUE in answer
    return has_all and not any(key in answer for key in misspelled)
