"""Developer messages under templates that have no such role: they become system messages. And the system prompt that a
template writes of its own.

OpenAI renamed the system role to developer; most chat templates know one of the two. Some write nothing for the other,
or write it as if the user had said it, or with a header that no model has seen, as they do for any role. What a
template does with it is found by rendering, for each beginning of a conversation:

    developer user         is known                                        stays
                           is not, and a system message is written there   becomes the system message
    system developer user  is not known, a second system message is        becomes a second system message
                           neither is, and one system message is           both become one, a blank line between them

Where nothing of this works the message stays as it is. If the template then loses it, the check of the prompt refuses
the conversation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sftdata.encode.template.jinja import RenderError, Turn
from sftdata.encode.template.probes import LATER, SENTINEL, USER, TemplateProbes
from sftdata.records.record import Message, PlainRecord, Record, is_plain

_LEADING = ("system", "developer")
_UNKNOWN = SENTINEL.format("role")
_SYSTEM = SENTINEL.format("system")
MAX_CHARS = 2_000  # of a template's own system prompt, which the summary shows


class Roles(NamedTuple):
    """The roles of a conversation as the template writes them. `joined` messages at its start become one."""

    roles: tuple[str, ...]
    joined: int = 0  # 0: none are joined
    changed: int = 0  # how many developer messages are written as system messages

    @property
    def shift(self) -> int:
        """How many turns fewer the conversation has."""
        return max(0, self.joined - 1)


def written_roles(roles: tuple[str, ...], probes: TemplateProbes) -> Roles:
    """The roles with which a template writes every developer message, or the same roles."""
    head = next((at for at, role in enumerate(roles) if role not in _LEADING), len(roles))
    joined = 0
    leading, later = roles[:head], roles[head:]
    if "developer" in leading and not _is_written(leading, probes, known=True):
        system = ("system",) * head
        if _is_written(system, probes):
            leading = system
        elif head > 1 and _is_written(("system",), probes):
            leading, joined = system, head
    is_lost = "developer" in later and not _is_written(("user", "assistant", "developer"), probes, known=True)
    if is_lost and _is_written(("user", "assistant", "system"), probes):
        later = tuple("system" if role == "developer" else role for role in later)
    new = (*leading, *later)
    changed = sum(a != b for a, b in zip(roles, new))
    return Roles(new, joined, changed)


def _is_written(roles: Sequence[str], probes: TemplateProbes, *, known: bool = False) -> bool:
    """Whether the template writes these messages before a user message, none of them as one of the user or assistant.

    With `known`, whether it also has the role developer: it writes a role that does not exist differently.
    """
    contents = [SENTINEL.format(f"lead{at}") for at in range(len(roles))]
    text = _render(roles, contents, probes)
    if text is None:
        return False
    if not all(content in text for content in contents):
        return False
    if known:
        unknown = _render([_UNKNOWN if role == "developer" else role for role in roles], contents, probes)
        if unknown is not None and unknown.replace(_UNKNOWN, "developer") == text:
            return False
    others = [
        _render([other if at == place else role for place, role in enumerate(roles)], contents, probes)
        for at, role in enumerate(roles)
        if role in _LEADING
        for other in ("user", "assistant")
    ]
    return text not in others


def _render(roles: Sequence[str], contents: Sequence[str], probes: TemplateProbes) -> str | None:
    messages: list[Turn] = [{"role": role, "content": content} for role, content in zip(roles, contents)]
    messages.append({"role": "user", "content": LATER})
    try:
        return probes.template.render(messages, add_generation_prompt=True, kwargs=probes.kwargs)
    except RenderError:
        return None


def with_roles(record: Record, written: Roles) -> Record:
    """The record with these roles. Messages are joined only if they have nothing but contents."""
    if not written.joined and record.plain is not None:
        return PlainRecord(written.roles, record.plain.contents)
    messages = tuple(message._replace(role=role) for message, role in zip(record.messages, written.roles))
    head = messages[: written.joined]
    text = "\n\n".join(message.content for message in head if message.content and message.content.strip())
    if head:
        messages = (Message("system", text, pieces=head[-1].pieces), *messages[len(head) :])
    return record.replaced(messages=messages)


def can_join(record: Record, written: Roles) -> bool:
    """Whether joining the messages at the start of a record loses nothing. The last may have pieces behind its text."""
    *others, last = record.messages[: written.joined]
    return is_plain(last._replace(pieces=())) and all(map(is_plain, others))


def added_system(probes: TemplateProbes) -> str | None:
    """The text that a template writes in place of a system prompt, where there is none; None if it writes nothing.

    It is what differs between a question with a system prompt and without: a template that writes something else too,
    such as a header or the date, writes it around both.
    """
    question: Turn = {"role": "user", "content": USER}
    without = probes.probe([question])
    given = probes.probe([{"role": "system", "content": _SYSTEM}, question])
    if without is None or given is None or given.count(_SYSTEM) != 1:
        return None
    before, _, behind = given.partition(_SYSTEM)
    if len(without) <= len(before) + len(behind) or not (without.startswith(before) and without.endswith(behind)):
        return None
    text = without[len(before) : len(without) - len(behind)].strip()
    is_of_turn = USER in text or any(end in text for end in probes.end_texts)  # another turn, not a prompt
    return None if is_of_turn or not text else text[:MAX_CHARS]
