"""A conversation in the form that the chat template takes, and the refusal of one that cannot be encoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sftdata.encode.template.jinja import RenderError, Turn
from sftdata.encode.template.probes import TemplateProbes
from sftdata.encode.template.refusals import refused_part
from sftdata.records.record import Drop


class Refusal(Exception):
    """A conversation that cannot be encoded with a proof. `drop` has the reason; `turn` is 0-based."""

    def __init__(self, reason: str, detail: str, turn: int | None = None) -> None:
        where = "" if turn is None else f"turn {turn + 1}: "
        super().__init__(f"{reason}: {where}{detail}")
        self.drop = Drop(reason, where + detail)
        self._parts = (reason, detail, turn)

    def with_detail(self, text: str) -> Refusal:
        """The same refusal with another detail in front of its own."""
        reason, detail, turn = self._parts
        return Refusal(reason, f"{text}: {detail}", turn)

    def placed(self, places: Sequence[int]) -> Refusal:
        """The same refusal of a turn whose place is another one: by its place in the conversation that was tried."""
        reason, detail, turn = self._parts
        return Refusal(reason, detail, None if turn is None else places[min(turn, len(places) - 1)])

    def moved(self, turns: int) -> Refusal:
        """The same refusal of a turn that comes this many turns later."""
        reason, detail, turn = self._parts
        return Refusal(reason, detail, None if turn is None else turn + turns)


@dataclass(slots=True)
class Conversation:
    """A conversation as the template gets it: every field protected, tool arguments in the form it writes."""

    messages: list[Turn]
    tools: list[Any] | None
    kwargs: Mapping[str, Any] | None

    def render(self, probes: TemplateProbes, num_messages: int, *, prompt: bool) -> str:
        """The first messages as text. Raises Refusal with the template's own message if the template raises."""
        try:
            return probes.template.render(
                self.messages[:num_messages], tools=self.tools, add_generation_prompt=prompt, kwargs=self.kwargs
            )
        except RenderError as error:
            later = self._refused_system(probes, num_messages, prompt)
            if later is not None:
                raise Refusal("system_not_first", str(error), later) from error
            part = refused_part(self.messages[:num_messages], self.tools, str(error), probes)
            turn = num_messages if prompt else num_messages - 1
            raise Refusal("template_error", f"the chat template {part}: {error}", turn) from error

    def _refused_system(self, probes: TemplateProbes, num_messages: int, prompt: bool) -> int | None:
        """The first system message after another turn, if the template takes the messages without such ones."""
        later = [at for at in range(1, num_messages) if self.messages[at]["role"] in ("system", "developer")]
        if not later:
            return None
        others = [self.messages[at] for at in range(num_messages) if at not in later]
        try:
            probes.template.render(others, tools=self.tools, add_generation_prompt=prompt, kwargs=self.kwargs)
        except RenderError:
            return None
        return later[0]
