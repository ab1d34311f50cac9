"""The provers of a run: one for the template arguments of each source, and one for each set of arguments of rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from sftdata.encode.options import Reasoning, SourceSettings, ToolCalls
from sftdata.encode.proof.modes import modes_of
from sftdata.encode.proof.shapes import ShapeProver
from sftdata.encode.template.conversation import Refusal
from sftdata.encode.template.jinja import ChatTemplate
from sftdata.encode.template.messages import map_strings, strings_in
from sftdata.encode.template.probes import TemplateProbes
from sftdata.encode.template.thinking import arguments_of, arguments_read
from sftdata.encode.tokenizer.control import PLACEHOLDER, PRIVATE
from sftdata.errors import TemplateError
from sftdata.records.tools_as_text import MARKS

if TYPE_CHECKING:
    from sftdata.encode.record_encoder import EncodeSettings


MAX_PROVERS = 256  # a file may have other arguments in each of its rows


class Way(NamedTuple):
    """How the records of a source are rendered: the template arguments besides those of a row, and what becomes of
    their reasoning and their tool calls.
    """

    kwargs: Mapping[str, Any]
    reasoning: Reasoning
    tool_calls: ToolCalls
    prover: ShapeProver
    changes: bool  # whether records become others


class Provers:
    """The provers for one template and the settings of a run. `probes` are those without template arguments."""

    def __init__(self, template: ChatTemplate, settings: EncodeSettings) -> None:
        self._settings = settings
        calls = (settings.tool_calls, *(source.tool_calls for source in settings.sources))
        self.probes = TemplateProbes(
            template,
            settings.files,
            train_empty_thinking=settings.train_empty_thinking,
            marks=sum(MARKS, ()) if "inline" in calls else (),
        )
        self._by_kwargs: dict[bytes, ShapeProver] = {}  # the last used one last
        self._used: dict[bytes, TemplateProbes] = {}  # of the last batch

    def start_batch(self) -> None:
        """See ShapeProver.start_batch."""
        self._used.clear()
        for prover in (*(way.prover for way in self.ways), *self._by_kwargs.values()):
            prover.start_batch()

    @property
    def sources(self) -> tuple[SourceSettings, ...]:
        """The settings of the sources; without any, one that says nothing."""
        return self._settings.sources or (SourceSettings(),)

    @cached_property
    def ways(self) -> tuple[Way, ...]:
        """How the records of each of `sources` are rendered."""
        settings = self._settings
        of_run = (settings.chat_template_kwargs, settings.thinking)
        found = []
        for source in self.sources:
            kwargs = arguments_of(self.probes.thinking.switch, of_run, source)
            reasoning, calls = source.reasoning or settings.reasoning, source.tool_calls or settings.tool_calls
            changes = reasoning != "keep" or calls != "keep"
            found.append(Way(kwargs, reasoning, calls, self.of(kwargs), changes))
        return tuple(found)

    def of_row(self, way: Way, kwargs: Mapping[str, Any] | None) -> ShapeProver:
        """The prover for the arguments of a row, which win over those of its source. Raises Refusal."""
        return self.of({**way.kwargs, **kwargs}) if kwargs else way.prover

    def of(self, kwargs: Mapping[str, Any]) -> ShapeProver:
        """The prover for these template arguments, on which a rendering may depend. Raises Refusal."""
        if not kwargs:
            return self._plain
        key = json.dumps(kwargs, sort_keys=True, ensure_ascii=False).encode()
        prover = self._by_kwargs.pop(key, None)
        if prover is None:
            if _has_private_names(kwargs):
                raise Refusal("unproven_mask", "its chat_template_kwargs hold the private name of a control token")
            prover = self._new(self.probes.with_arguments(map_strings(kwargs, self.probes.control.protect)))
        self._by_kwargs[key] = prover
        if len(self._by_kwargs) > MAX_PROVERS:  # it is made anew if its arguments come again, and proves the same
            del self._by_kwargs[next(iter(self._by_kwargs))]
        self._used[key] = prover.probes
        return prover

    @cached_property
    def main(self) -> TemplateProbes:
        """The probes with the template arguments of the run, without which the template may take no conversation."""
        return self.of(self._settings.chat_template_kwargs).probes

    @cached_property
    def _plain(self) -> ShapeProver:
        """The prover for no template arguments."""
        return self._new(self.probes)

    def _new(self, probes: TemplateProbes) -> ShapeProver:
        settings = self._settings
        allow_lost = settings.lost_context == "warn"
        return ShapeProver(probes, settings.train_on, allow_lost=allow_lost, max_turns=settings.max_turns)

    def used_probes(self) -> Iterator[TemplateProbes]:
        """The probes of the provers of the last batch, in every mode of thinking."""
        used = [*(way.prover.probes for way in self.ways), *(self._used[key] for key in sorted(self._used))]
        for probes in used:
            yield from modes_of(probes).probes.values()

    def check(self) -> None:
        """Raise TemplateError for settings that can do nothing, or that contradict each other."""
        settings = self._settings
        run = SourceSettings(
            chat_template_kwargs=settings.chat_template_kwargs, thinking=settings.thinking, reasoning=settings.reasoning
        )
        for source in (run, *settings.sources):
            self._check_switch(source)
            self._check_arguments(source.chat_template_kwargs)
            if source.reasoning == "inline" and self.probes.shows_reasoning:
                what = "the chat template writes reasoning in its own marks, so that inline would have it written twice"
                raise TemplateError("reasoning", what, "set reasoning: keep")

    def _check_switch(self, source: SourceSettings) -> None:
        switch = self.probes.thinking.switch
        if source.thinking in (None, "auto"):
            return
        if switch is None:
            read = self._read_names()
            hint = f"set what it reads in chat_template_kwargs: {read}" if read else "remove it"
            what = f"{source.thinking} can do nothing: the chat template reads no switch for it"
            raise TemplateError("thinking", what, hint)
        given = source.chat_template_kwargs.get(switch.name)
        if given is not None and given != switch.value(str(source.thinking)):
            what = f"{source.thinking} is {switch.shown(str(source.thinking))}, and chat_template_kwargs says otherwise"
            raise TemplateError("thinking", what, "remove one of them")

    def _check_arguments(self, kwargs: Mapping[str, Any]) -> None:
        for name in kwargs:
            if name not in self.probes.template.variables:
                read = self._read_names()
                hint = f"it reads {read}" if read else "remove it: it reads no arguments"
                raise TemplateError(f"chat_template_kwargs.{name}", "the chat template does not read it", hint)
        if _has_private_names(kwargs):
            raise TemplateError("chat_template_kwargs", "hold the private name of a control token", "remove it")

    def _read_names(self) -> str:
        """The arguments that the template reads, for messages."""
        return ", ".join(arguments_read(self.probes.template))


def _has_private_names(kwargs: Mapping[str, Any]) -> bool:
    """Whether a string in template arguments could be taken for a control token."""
    return any(name in text for text in strings_in(kwargs) for name in (PRIVATE, PLACEHOLDER))
