"""A raw row -> a Record: which format the row has, and what the fields of that format mean.

    messages           {"messages": [{"role", "content"}, ...]}          OpenAI's chat format
    sharegpt           {"conversations": [{"from", "value"}, ...]}       and its many aliases
    prompt_completion  {"prompt", "completion"}                          two strings, or two lists of turns
    xlam               {"query", "tools", "answers"}                     the answers are tool calls
    alpaca             {"instruction", "input", "output"}                the prompt is instruction, newline, input
    rendered           {"text"}, or {"prompt", "completion"}             a chat in a template's marks; if asked for
    text               {"text"}                                          trained on whole; only with format: text

`auto` decides for every row: the first format, in this order, whose leading field holds something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sftdata.read.formats.fields import Fields, at_path, key_list
from sftdata.read.formats.merge import merged_turns
from sftdata.read.formats.reasoning import answers_with, find_reasoning, reasoning_text
from sftdata.read.formats.roles import role_of
from sftdata.read.formats.shapes.beside import history_turns, system_text, template_kwargs
from sftdata.read.formats.shapes.exchanges import turns_of
from sftdata.read.formats.shapes.known import (
    ANSWERS,
    COMPLETION,
    CONVERSATION,
    CONVERSATIONS,
    EXTRA_FIELDS,
    HISTORY,
    INPUT,
    INSTRUCTION,
    KWARGS,
    OUTPUT,
    PROMPT,
    QUERY,
    SYSTEM,
    TEXT,
    TOOLS,
    format_of,
    plain_names,
    with_plain_names,
)
from sftdata.read.formats.shapes.results import object_text, results_in_order, with_exact_numbers
from sftdata.read.formats.tool_calls import calls_in, has_tools, parse_tools
from sftdata.read.formats.turns import Notes, TurnFormat, parse_turns, same_turns, turns_in_text
from sftdata.read.formats.values import (
    ConversionError,
    describe_value,
    is_empty,
    is_given,
    parse_if_text,
    scalar_text,
)
from sftdata.read.marks.calls_in_text import CallsInText, parse_calls
from sftdata.read.marks.rendered import KEEP, refuse_prompt, refuse_text
from sftdata.read.readers.parse_json import MAX_NESTED, is_deep
from sftdata.records.record import Drop, Message, Record
from sftdata.records.rendered import ends_rendered, rendered_turns

JOINED = "joined: lists of texts"  # with line breaks: see Converted.calls


class RowFormat(NamedTuple):
    """How the rows of a source are read: its settings of the same names, and what is known of the template."""

    format: str = "auto"
    columns: Mapping[str, str] = {}
    system: str | None = None
    keep: tuple[str, ...] = ()
    roles: Mapping[str, str] = {}
    merge_same_role: str = "drop"  # or merge, allow
    tool_calls_in_text: str = "parse"  # or keep, drop
    calls_written: str = "always"  # by the template; or with_tools: for rows with tools; or never
    rendered_chats: str = "drop"  # or keep

    @property
    def is_default(self) -> bool:
        """Whether nothing is set that changes what a row means, so that plain rows can be read faster."""
        return not self.columns and self.system is None


class Converted(NamedTuple):
    """The record of a row, or why there is none; the columns and keys of turns that hold something unused; and what
    happened to the tool calls in its texts, as "parsed: <tool_call>", and to its lists of texts.
    """

    found: Record | Drop
    unused: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()


class _Reading:
    """One row while it is read."""

    def __init__(self, row: Mapping[str, Any], how: RowFormat) -> None:
        self.fields = Fields(row, how.columns)
        self.how = how
        self.notes = Notes()
        columns = how.columns
        self.turns = TurnFormat(
            columns.get("role") or columns.get("from"),
            columns.get("content") or columns.get("value"),
            columns.get("reasoning"),
            how.roles,
        )


def to_record(
    value: object, *, format: str, columns: Mapping[str, str], system: str | None, **settings: Any
) -> Record | Drop:
    """The record of one raw row, or why there is none. Never raises, whatever the row holds.

    `columns` maps a field of the format to the column that holds it, as a dotted path if it is nested
    ("instances.0.output"). `system` is the system prompt for conversations that have none; `settings` are other fields
    of RowFormat.
    """
    return convert(value, RowFormat(format, columns, system, **settings)).found


def convert(value: object, how: RowFormat) -> Converted:
    """The record of one raw row, or why there is none, and what is not used. Never raises, whatever the row holds."""
    if not isinstance(value, dict):
        return Converted(Drop("not_an_object", f"the row is {describe_value(value)}"))
    if is_deep(value):
        return Converted(Drop("wrong_type", f"a value of the row is nested more than {MAX_NESTED} levels deep"))
    format = how.format
    named = value
    value = with_plain_names(named, how.columns)
    if value is not named:
        names = plain_names(tuple(named), tuple(how.columns.values()))
        how = how._replace(keep=tuple(names.get(path, path) for path in how.keep))
    if format == "auto":
        found = format_of(value, how.columns)
        if found is None:
            try:
                refuse_text(value.get("text"), "text", f"format: text and {KEEP}")
            except ConversionError as error:
                return Converted(error.drop)
            return Converted(Drop("unknown_shape", f"the row's keys are {key_list(named)}"))
        format = found
    reading = _Reading(value, how)
    calls: dict[str, dict[str, None]] = {}
    try:
        record = _READERS[format](reading)
        if record.text is None:
            record = parse_calls(record, CallsInText(how.tool_calls_in_text, how.calls_written), calls)
            record = results_in_order(with_exact_numbers(record))
        if how.merge_same_role == "merge":
            record = merged_turns(record)
        reading.fields.reject_media(how.keep)
        texts = [record.text] if record.text is not None else [one.content for one in record.messages if one.content]
        unused = [*reading.fields.unused(how.keep, texts), *reading.notes.unused]
    except ConversionError as error:
        return Converted(error.drop)
    except RecursionError:
        return Converted(Drop("wrong_type", "a value of the row is nested too deeply"))
    if value is not named:
        own = {field: name for name, field in names.items()}
        unused = [own.get(name, name) for name in unused]
    fates = [f"{fate}: {', '.join(forms)}" for fate, forms in calls.items()]
    if reading.notes.joined:
        fates.append(JOINED)
    return Converted(record, tuple(unused), tuple(fates))


def _text(value: Any, label: str) -> str:
    """Text, or a number or boolean as text. Raises ConversionError for anything else."""
    value = scalar_text(value)
    if not isinstance(value, str):
        raise ConversionError("wrong_type", f"{label} is {describe_value(value)}, not text")
    return value


def _data(value: Any, label: str) -> str:
    """Text, or what stands for a text as data does: a number, a boolean or an object. Raises ConversionError."""
    return _text(object_text(value, label), label)


def _from_messages(reading: _Reading) -> Record:
    return _from_conversation(reading, CONVERSATION)


def _from_sharegpt(reading: _Reading) -> Record:
    return _from_conversation(reading, CONVERSATIONS)


def _from_conversation(reading: _Reading, names: Sequence[str]) -> Record:
    if not reading.fields.columns:
        names = [name for name in names if not is_empty(reading.fields.row.get(name))] or names
    turns = reading.fields.required(names)
    column = reading.fields.name_of(names)
    messages = parse_turns(turns, column, reading.turns, reading.notes)
    if reading.how.format == "auto" and not reading.fields.columns:
        _compare(reading, column, messages)
    return _record(reading, _with_reasoning(reading, messages))


def _compare(reading: _Reading, column: str, messages: tuple[Message, ...]) -> None:
    """Raise ConversionError if another column of turns says something else. One that says the same is used."""
    row = reading.fields.row
    for name in CONVERSATION:
        if name == column or name in reading.how.keep or is_empty(row.get(name)):
            continue
        try:
            others = parse_turns(row[name], name, reading.turns)
        except ConversionError:
            continue  # no conversation, so that it is counted as unused
        if not same_turns(messages, others):
            raise ConversionError(
                "conflicting_fields",
                f"its columns {column} and {name} hold different conversations; "
                f"name {name} in keep to train on {column} alone",
            )
        reading.fields.used[name] = row[name]


def _from_prompt_completion(reading: _Reading) -> Record:
    prompt = _turns_in(reading, PROMPT, "user")
    asked = object_text(reading.fields.lookup(PROMPT), "prompt")
    is_text = prompt == (Message(role="user", content=scalar_text(asked)),)
    completion = _turns_in(reading, COMPLETION, "assistant", only_answers=is_text)
    if reading.how.rendered_chats == "drop":
        refuse_prompt(prompt, "prompt", completion[0].content if len(completion) == 1 else None)
    return _record(reading, (*prompt, *_with_reasoning(reading, completion)))


def _turns_in(reading: _Reading, names: Sequence[str], role: str, *, only_answers: bool = False) -> tuple[Message, ...]:
    """The turns of one side of a conversation: those of a list, or one turn of this role with a text.

    Beside a prompt that is text (`only_answers`), a text that holds a whole chat is itself the answer.
    """
    value = scalar_text(reading.fields.required(names))
    turns = turns_in_text(value, reading.turns.roles) if isinstance(value, str) else value
    if isinstance(value, str) and turns and only_answers and not _are_answers(reading, turns):
        turns = None
    if isinstance(turns, dict) and turns_of(turns, reading.turns.roles) is None:
        text = object_text(turns, names[0])
        turns, value = (None, text) if isinstance(text, str) else (turns, value)
    if turns is None:
        return (Message(role=role, content=value),)
    return parse_turns(turns, names[0], reading.turns, reading.notes)


def _are_answers(reading: _Reading, turns: Sequence[Mapping[str, Any]]) -> bool:
    """Whether turns begin with an answer and none of them asks."""
    roles = [role_of(turn.get("role") or turn["from"], reading.turns.roles) for turn in turns]
    return roles[0] in ("assistant", "call") and not {"user", "system", "developer"}.intersection(roles)


def _from_xlam(reading: _Reading) -> Record:
    query = _text(reading.fields.required(QUERY), "query")
    answers = parse_if_text(reading.fields.required(ANSWERS), "answers")
    if not answers:
        raise ConversionError("missing_field", "answers has no tool call")
    answer = Message(role="assistant", content=None, tool_calls=calls_in(answers))
    return _record(reading, (Message(role="user", content=query), *_with_reasoning(reading, (answer,))))


def _from_alpaca(reading: _Reading) -> Record:
    fields = reading.fields
    context = fields.lookup(INPUT)
    is_null = INSTRUCTION[0] in fields.row and fields.lookup(INSTRUCTION) is None  # as an empty cell, beside an input
    instruction = "" if is_null and not is_empty(context) else _data(fields.required(INSTRUCTION), "instruction")
    output = _data(fields.required(OUTPUT), "output")
    if context is not None and (context := _data(context, "input")).strip():
        instruction = f"{instruction}\n{context}" if instruction.strip() else context
    history = history_turns(fields.lookup(HISTORY), reading.turns, reading.notes)
    if reading.how.rendered_chats == "drop" and ends_rendered(instruction) is not None:
        columns = f"columns: {{prompt: {fields.name_of(INSTRUCTION)}, completion: {fields.name_of(OUTPUT)}}}"
        answer = None if context or history else output
        refuse_prompt([Message(role="user", content=instruction)], "instruction", answer, columns)
    answers = _with_reasoning(reading, (Message(role="assistant", content=output),))
    return _record(reading, (*history, Message(role="user", content=instruction), *answers))


def _with_reasoning(reading: _Reading, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The turns with the reasoning that a column beside them has: see answers_with."""
    fields = reading.fields
    own = fields.columns.get("reasoning")
    if own is not None:
        text = reasoning_text(at_path(fields.row, own), own)
        names = [own]
    else:
        text, names = find_reasoning({name: value for name, value in fields.row.items() if name not in fields.used})
    if not text:
        return messages
    found = answers_with(messages, text, names[0], is_kept=names[0] in reading.how.keep)
    if found is None:
        return messages
    fields.used.update({name: at_path(fields.row, name) for name in names})
    return found


def _from_rendered(reading: _Reading) -> Record:
    value = reading.fields.lookup(TEXT)
    if value is None:
        prompt = _text(reading.fields.required(PROMPT), "prompt")
        value = prompt + _text(reading.fields.required(COMPLETION), "completion")
    found = rendered_turns(_text(value, "text"))
    if found is None:
        raise ConversionError("rendered_chat", "its text cannot be proven to be turns in the marks of a known template")
    return _record(reading, found[1])


def _from_text(reading: _Reading) -> Record:
    text = _text(reading.fields.required(TEXT), "text")
    if reading.how.rendered_chats == "drop":
        refuse_text(text, "text")
    return Record(text=text)


def _record(reading: _Reading, messages: tuple[Message, ...]) -> Record:
    """The record of a conversation, with the row's system prompt, tools and template arguments."""
    fields = reading.fields
    if (
        not fields.columns
        and reading.how.system is None
        and not reading.notes.tools
        and fields.row.keys().isdisjoint(EXTRA_FIELDS)
    ):
        return Record(messages=messages)  # most rows
    messages = _with_system(reading, messages)
    kwargs, tools = template_kwargs(fields.lookup(KWARGS))
    return Record(messages=messages, tools=_tools(reading, tools), template_kwargs=kwargs or None)


def _with_system(reading: _Reading, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The turns with the system prompt of the row, or else of the source, if none of them has a system prompt.

    System turns without a text say nothing, so they make way for it. The row's prompt is left unused if a turn has one.
    """
    is_system = [message.role in ("system", "developer") for message in messages]
    if any(found and message.content and message.content.strip() for found, message in zip(is_system, messages)):
        return messages
    system = _own_system(reading) or reading.how.system
    if not system:
        return messages
    others = [message for found, message in zip(is_system, messages) if not found]
    return (Message(role="system", content=system), *others)


def _own_system(reading: _Reading) -> str:
    """The system prompt of the row; empty if it has none. Raises ConversionError if two columns hold different ones."""
    fields, (first, second) = reading.fields, SYSTEM
    own = fields.lookup(SYSTEM)
    other = None if fields.columns.keys() & set(SYSTEM) else fields.row.get(second)
    if second not in fields.used and is_given(other):
        if not is_given(own):
            own = fields.lookup((second,))
        elif scalar_text(own) != scalar_text(other) and second not in reading.how.keep:
            todo = f"name {second} in keep to use {first} alone"
            raise ConversionError("conflicting_fields", f"its {first} and its {second} say different things; {todo}")
    return system_text(own)


def _tools(reading: _Reading, in_kwargs: tuple[Mapping[str, Any], ...]) -> tuple[Mapping[str, Any], ...]:
    """The tools of a row, from its own columns, its template arguments or its system turn. Raises ConversionError if
    these differ.
    """
    fields = reading.fields
    value = fields.lookup(TOOLS)
    found = [("its tools", parse_tools(value))] if has_tools(value) else []
    second = TOOLS[1]
    if second not in {*fields.used, *reading.how.keep} and not fields.columns.keys() & set(TOOLS):
        other = fields.lookup((second,))
        found += [(f"its {second}", parse_tools(other))] if has_tools(other) else []
    found += [("the tools of its chat_template_kwargs", in_kwargs)]
    found += [("the tools of its system turn", tools) for tools in reading.notes.tools]
    found = [pair for pair in found if pair[1]]
    for name, tools in found:
        if tools != found[0][1]:
            raise ConversionError("conflicting_fields", f"{found[0][0]} and {name} differ")
    return found[0][1] if found else ()


_READERS = {
    "messages": _from_messages,
    "sharegpt": _from_sharegpt,
    "prompt_completion": _from_prompt_completion,
    "xlam": _from_xlam,
    "alpaca": _from_alpaca,
    "rendered": _from_rendered,
    "text": _from_text,
}
