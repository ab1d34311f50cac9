"""The switch with which a template is told whether the model thinks, found by what the template reads and writes.

Templates read it under several names (`enable_thinking`, `thinking`, ...), as true and false or as words. A name counts
only if the template reads it, and writes something else with it on than with it off.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sftdata.encode.options import SourceSettings, Thinking
from sftdata.encode.template.jinja import ChatTemplate
from sftdata.records.template_arguments import OF_CONVERSATION, decided_by

# Names, and the values that turn thinking on and off; of several, the first that does something.
_FLAGS = (
    *("enable_thinking", "thinking", "enable_reasoning", "reasoning", "think", "use_thinking", "thinking_enabled"),
    *("enable_think", "use_reasoning", "reasoning_enabled", "is_thinking", "thinking_mode", "reasoning_mode"),
)
_NEGATED = ("disable_thinking", "disable_reasoning", "no_thinking", "no_think", "skip_thinking", "nothink")
_WITH_WORDS = ("thinking_option", "thinking_mode", "reasoning_mode", "thinking", "think", "reasoning")
_WORDS = (("on", "off"), ("enabled", "disabled"), ("thinking", "chat"), ("think", "no_think"), ("/think", "/no_think"))
_EFFORT = ("reasoning_effort", "thinking_effort")


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
    """The switch that a template reads, or None."""
    for switch in _candidates(template):
        on, off = (signature({switch.name: switch.value(mode)}) for mode in ("on", "off"))
        if any(a != b for a, b in zip(on, off)) and any(on) and any(off):
            return switch
    return None


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
        if name in read and has("none"):
            yield Switch(name, "high" if has("high") else "medium", "none")


def arguments_read(template: ChatTemplate) -> list[str]:
    """The names that a template reads and only arguments give, sorted; not those that it sets itself, unless it asks
    whether they are given.
    """
    source = "\n".join(template.sources)
    own = set(re.findall(r"\{%-?\s*(?:set|for)\s+(\w+)", source)) - set(
        re.findall(r"(\w+)\s+is\s+(?:not\s+)?defined", source)
    )
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
