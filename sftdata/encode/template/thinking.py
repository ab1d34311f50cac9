"""What a template does with reasoning, and the switch that tells it whether the model thinks.

Both are found by what the template reads and writes. Templates read the switch under several names (`enable_thinking`,
`thinking`, ...), as true and false or as words. A name counts only if the template reads it, and writes something else
with it on than with it off.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from sftdata.encode.options import SourceSettings, Thinking
from sftdata.encode.template.jinja import ChatTemplate, Turn
from sftdata.encode.tokenizer.load import TokenizerFiles
from sftdata.records.reasoning_marks import MARKS_OF_MODELS
from sftdata.records.template_arguments import OF_CONVERSATION, decided_by

# Names, and the values that turn thinking on and off; of several, the first that does something.
_FLAGS = (
    *("enable_thinking", "thinking", "enable_reasoning", "reasoning", "think", "use_thinking", "thinking_enabled"),
    *("enable_think", "use_reasoning", "reasoning_enabled", "is_thinking", "thinking_mode", "reasoning_mode"),
)
_NEGATED = ("disable_thinking", "disable_reasoning", "no_thinking", "no_think", "skip_thinking", "nothink")
_WITH_WORDS = ("thinking_option", "thinking_mode", "reasoning_mode", "thinking", "think", "reasoning")
_WORDS = (("on", "off"), ("enabled", "disabled"), ("thinking", "chat"), ("think", "no_think"), ("/think", "/no_think"))
NAMES = frozenset((*_FLAGS, *_NEGATED, *_WITH_WORDS))
_EFFORT = ("reasoning_effort", "thinking_effort")
_NO_EFFORT = ("none", "no_think", "off", "disabled")


FIELDS = ("reasoning_content", "thinking", "reasoning")  # for reasoning, of which templates read one
THOUGHT = "zqxthoughtxqz"  # a sentinel, see probes.py
_QUESTION: Turn = {"role": "user", "content": "zqxuserxqz"}
_ANSWER: Turn = {"role": "assistant", "content": "zqxanswerxqz"}
_MAX_MARK = 60  # characters
NUM_PROMPTS = 2


class Switch(NamedTuple):
    """An argument of a template, and the values with which the model thinks and does not think."""

    name: str
    on: Any
    off: Any

    def value(self, mode: str) -> Any:
        """The value for a mode, on or off."""
        return self.on if mode == "on" else self.off

    def shown(self, mode: str) -> str:
        """The argument as a person would write it: `enable_thinking=false`."""
        value = self.value(mode)
        return f"{self.name}={str(value).lower() if isinstance(value, bool) else value}"


Signature = Callable[[Mapping[str, Any]], Sequence[str | None]]  # what is written with arguments; None: refused


def find_switch(template: ChatTemplate, signature: Signature) -> Switch | None:
    """The switch that a template reads, or None. One that changes prompts is better than one that changes answers."""
    others = []
    for switch in _candidates(template):
        on, off = (signature({switch.name: switch.value(mode)}) for mode in ("on", "off"))
        if any(on) and any(off) and on != off:
            if on[:NUM_PROMPTS] != off[:NUM_PROMPTS]:
                return switch
            others.append(switch)
    return next(iter(others), None)


def _candidates(template: ChatTemplate) -> Iterator[Switch]:
    """The switches that a template may read, by names and words in it."""
    read = arguments_read(template)
    source = "\n".join(template.sources)

    def has(word: str) -> bool:
        return f"'{word}'" in source or f'"{word}"' in source

    for name in _FLAGS:
        if name in read:
            yield Switch(name, True, False)
    for name in _NEGATED:
        if name in read:
            yield Switch(name, False, True)
    for name in _WITH_WORDS:
        for on, off in _WORDS if name in read else ():
            if has(on) or has(off):
                yield Switch(name, on, off)
    for name in _EFFORT:
        for off in filter(has, _NO_EFFORT) if name in read else ():
            yield Switch(name, "high" if has("high") else "medium", off)


class Probe(Protocol):
    """Renders a probe with template arguments besides those of the probes; None if the template refuses it."""

    def __call__(
        self, messages: list[Turn], *, prompt: bool = False, kwargs: Mapping[str, Any] = ...
    ) -> str | None: ...


def signature_of(probe: Probe, kwargs: Mapping[str, Any]) -> list[str | None]:
    """What a template writes with these arguments, to compare it: NUM_PROMPTS prompts, then answers."""
    thought = {**_ANSWER, **dict.fromkeys(FIELDS, THOUGHT)}
    system: Turn = {"role": "system", "content": "zqxsystemxqz"}
    return [
        probe([_QUESTION], prompt=True, kwargs=kwargs),
        probe([system, _QUESTION], prompt=True, kwargs=kwargs),
        probe([_QUESTION, _ANSWER], kwargs=kwargs),
        probe([_QUESTION, thought], kwargs=kwargs),
    ]


class ThinkingProbes:
    """What probes show of a template's reasoning, with one tokenizer. It is the same with the arguments of any row."""

    def __init__(self, template: ChatTemplate, files: TokenizerFiles, probe: Probe) -> None:
        self._template, self._files, self._probe = template, files, probe

    @cached_property
    def switch(self) -> Switch | None:
        """The argument that tells the template whether the model thinks, or None."""
        return find_switch(self._template, lambda kwargs: signature_of(self._probe, kwargs))

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The fields in which the template gets reasoning, of which it writes one; empty if it writes none.

        They are those of transformers if it writes one of these. It may write them only if the model is to think.
        """
        switch = self.switch
        switched = () if switch is None else ({switch.name: switch.on},)
        for fields in (FIELDS[:2], FIELDS):
            turn = {**_ANSWER, **dict.fromkeys(fields, THOUGHT)}
            if any(THOUGHT in (self._probe([_QUESTION, turn], kwargs=kwargs) or "") for kwargs in ({}, *switched)):
                return fields
        return ()

    @property
    def reads_texts(self) -> bool:
        """Whether reasoning at the head of an answer is written as such: in a field, or in the model's own marks."""
        return bool(self.fields) or self.own_marks is not None

    @cached_property
    def own_marks(self) -> tuple[str, str] | None:
        """The model's own marks around reasoning, for a template that writes none: tokens of the tokenizer, or None.

        None also if the template writes something between its prompt and a content: there, no model writes its marks.
        """
        found = [] if self.fields or not self._template.source else own_marks_of(self._files)
        named = [pair for pair in found if any(pair[1] in source for source in self._template.sources)]
        pair = next(iter([*named, *found]), None)
        return None if pair is None or self._comes_behind_more(*pair) else pair

    def _comes_behind_more(self, opening: str, close: str) -> bool:
        """Whether marks at the head of an answer are written behind something that the prompt does not have.

        A block of thinking that is opened, or opened and closed, is no such thing: see proof/modes.py.
        """
        answer = {**_ANSWER, "content": f"{opening}\n{THOUGHT}\n{close}\n\n{_ANSWER['content']}"}
        prompt, text = self._probe([_QUESTION], prompt=True) or "", self._probe([_QUESTION, answer]) or ""
        tails = [one.rpartition(_QUESTION["content"])[2] for one in (prompt, text.partition(THOUGHT)[0])]
        given, before = ("".join(tail.split()) for tail in tails)
        bare = (one.removesuffix(close).removesuffix(opening) for one in (given, before.removesuffix(opening)))
        return THOUGHT in text and next(bare) != next(bare)

    @cached_property
    def opened_block(self) -> str:
        """The opening mark with which a prompt ends, and the white space behind it, for `own_marks`; mostly empty."""
        if self.own_marks is None:
            return ""
        _, mark, space = (self._probe([_QUESTION], prompt=True) or "").rpartition(self.own_marks[0])
        return mark + space if mark and not space.strip() else ""

    @cached_property
    def marks(self) -> tuple[tuple[str, str], ...]:
        """The marks that the template may write around reasoning: those of known models, and what it writes itself."""
        found = list(MARKS_OF_MODELS.items())
        turn = {**_ANSWER, **dict.fromkeys(self.fields, THOUGHT)}
        prompt, text = self._probe([_QUESTION], prompt=True) or "", self._probe([_QUESTION, turn]) or ""
        before, _, after = text.partition(THOUGHT)
        if self.fields and _ANSWER["content"] in after and before.startswith(prompt):
            pair = before[len(prompt) :].strip(), after.partition(_ANSWER["content"])[0].strip()
            if all(pair) and all(len(mark) < _MAX_MARK for mark in pair):
                found.append(pair)
        return tuple(dict.fromkeys(found))


def own_marks_of(files: TokenizerFiles) -> list[tuple[str, str]]:
    """The marks of known models around reasoning of which a tokenizer has both, the opening and the closing one."""
    known = {token.content for token in files.added_tokens()}
    return [pair for pair in MARKS_OF_MODELS.items() if known.issuperset(pair)]


def arguments_read(template: ChatTemplate) -> list[str]:
    """The names that a template reads and only arguments give, sorted; not those that it sets itself, unless it asks
    whether they are given or has a default for them.
    """
    source = "\n".join(template.sources)
    given = set(re.findall(r"(\w+)(?:\s+is\s+(?:not\s+)?(?:un)?defined|\s*\|\s*default\b)", source))
    own = set(re.findall(r"\{%-?\s*(?:set|for)\s+(\w+)", source)) - given
    names = template.variables - {*OF_CONVERSATION, "tools"} - own
    return sorted(name for name in names if decided_by(name) is None)


def arguments_of(
    switch: Switch | None,
    of_run: tuple[Mapping[str, Any], Thinking],
    source: SourceSettings,
) -> dict[str, Any]:
    """The template arguments of a source: its own over those of the run, and its `thinking` over both."""
    arguments, thinking = of_run
    found = {**arguments}
    if source.thinking is None and thinking != "auto" and switch is not None:
        found[switch.name] = switch.value(thinking)
    found.update(source.chat_template_kwargs)
    if source.thinking not in (None, "auto") and switch is not None:
        found[switch.name] = switch.value(str(source.thinking))
    return found
