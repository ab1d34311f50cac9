"""`sftdata settings`, `reasons`, `formats` and `schema`: what can be said to the other commands, and what they say."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from sftdata.cli import completion
from sftdata.cli.shared import user_errors
from sftdata.settings.layout import (
    Line,
    columns_of_terminal,
    command_lines,
    definitions,
    fold,
    heading,
    print_lines,
    table,
)

if TYPE_CHECKING:
    from sftdata.settings.catalog import Setting

_TEXT_COLUMNS = 100  # of paragraphs


class RowKind(NamedTuple):
    """A format of rows."""

    about: str
    row: str  # as JSON
    fields: tuple[str, ...]  # the names that `columns` maps to


_OF_ALL = ("system", "system_prompt", "tools", "functions", "chat_template_kwargs")
_OF_TURNS = ("role", "content", "from", "value", "reasoning")
FORMATS: Mapping[str, RowKind] = {
    "messages": RowKind(
        "a list of turns with role and content, as OpenAI has it; optionally with tools, weight or train",
        '{"messages": [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"}]}',
        ("messages", *_OF_TURNS, *_OF_ALL),
    ),
    "sharegpt": RowKind(
        "a list of turns with from and value",
        '{"conversations": [{"from": "human", "value": "1 + 1?"}, {"from": "gpt", "value": "2"}]}',
        ("conversations", "conversation", *_OF_TURNS, *_OF_ALL),
    ),
    "prompt_completion": RowKind(
        "a prompt and its completion, two texts or two lists of messages",
        '{"prompt": "1 + 1?", "completion": "2"}',
        ("prompt", "completion", "response", "reasoning", *_OF_ALL),
    ),
    "xlam": RowKind(
        "a query, tools, and answers that are tool calls",
        '{"query": "Add 1 and 1", "tools": [{"name": "add"}], "answers": [{"name": "add", "arguments": {"a": 1}}]}',
        ("query", "answers", "reasoning", *_OF_ALL),
    ),
    "alpaca": RowKind(
        "an instruction, an input that may be empty, and an output",
        '{"instruction": "Add the numbers", "input": "1 and 1", "output": "2"}',
        ("instruction", "input", "context", "output", "response", "completion", "history", "reasoning", *_OF_ALL),
    ),
    "rendered": RowKind(
        "a text that is a chat in the marks of a known template, read back into turns; only if format says so",
        '{"text": "<|im_start|>user\\n1 + 1?<|im_end|>\\n<|im_start|>assistant\\n2<|im_end|>\\n"}',
        ("text", "prompt", "completion", "response", *_OF_ALL),
    ),
    "text": RowKind(
        "a text that is trained as it is; only if format says so",
        '{"text": "One and one is two."}',
        ("text",),
    ),
}
_AUTO = "each row is taken for the first of messages, sharegpt, prompt_completion, xlam and alpaca that it fits"

# A value to show for settings whose default or choices say too little.
EXAMPLES: Mapping[str, Any] = {
    "tokenizer": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "sources": ["chats.jsonl"],
    "sources.path": "chats.jsonl",
    "sources.rows": [{"prompt": "1 + 1?", "completion": "2"}],
    "sources.name": "sums",
    "sources.columns": {"prompt": "question", "completion": "answer"},
    "sources.system": "Answer in one sentence.",
    "sources.roles": {"customer": "user", "agent": "assistant"},
    "sources.chat_template_kwargs": {"enable_thinking": False},
    "sources.keep": ["user_id"],
    "sources.max_records": 1000,
    "sources.repeat": 2,
    "sources.weight": 0.5,
    "sources.split": "train",
    "sources.subset": "en",
    "out": "shards",
    "out.path": "shards",
    "template": "chatml",
    "stop_tokens": ["<|im_end|>"],
    "chat_template_kwargs": {"enable_thinking": False},
    "clean": {"strip_trailing_control": True},
    "filters": "default",
    "filters.max_answer_chars": 20_000,
    "filters.max_answer_words": 100_000,
    "filters.repetition": {"enabled": False},
    "filters.languages": ["en", "de"],
    "privacy": "redact",
    "privacy.kinds": ["api_key", "email"],
    "privacy.phone_regions": ["US", "GB"],
    "dedup": {"exact": False},
    "dedup.near": {"threshold": 0.8},
    "dedup.prefix": {"chars": 200},
    "dedup.semantic": {"model": "models/all-MiniLM-L6-v2"},
    "dedup.semantic.model": "models/all-MiniLM-L6-v2",
    "dedup.caps": [{"column": "user_id", "max_records": 200}],
    "dedup.caps.column": "user_id",
    "decontaminate": {"against": ["exam.jsonl"]},
    "decontaminate.against": ["exam.jsonl"],
    "decontaminate.against.path": "exam.jsonl",
    "decontaminate.against.columns": {"prompt": "q", "completion": "a"},
    "decontaminate.against.split": "test",
    "decontaminate.against.subset": "en",
    "split": {"validation": 0.01},
    "split.validation": 0.01,
    "split.by": "user_id",
    "pack": {"seq_len": 4096},
    "pack.seq_len": 4096,
    "max_dropped": "10%",
}


def settings(
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="[KEY]",
            help="a setting, a group, the beginning or the last part of a name, or what another tool calls it",
            autocompletion=completion.setting_keys,
        ),
    ] = None,
) -> None:
    """List all settings, or explain one."""
    with user_errors():
        from sftdata.config import Config
        from sftdata.settings.catalog import settings_of

        every = list(settings_of(Config))
        width = columns_of_terminal()
        if key is None:
            show_lines([*_tables(every, every, width), Line(), *map(Line, fold(_HOW_TO_SET, min(width, 100)))])
            return
        note, found = find(key, every)
        lines = [Line(line) for line in fold(note, min(width, _TEXT_COLUMNS))] if note else []
        lines += [Line()] if note else []
        if len(found) == 1:
            show_lines([*lines, *_details(found[0], every, min(width, _TEXT_COLUMNS))])
        else:
            show_lines([*lines, *_tables(found, every, width)])


_HOW_TO_SET = (
    "In a settings file they are nested as their names are; on the command line they are written with dots, as in "
    "pack.seq_len=4096, and those of the first source as in sources.0.format=text. `sftdata settings NAME` explains "
    "one."
)


def show_lines(lines: Iterable[Line]) -> None:
    """Print lines; on a terminal through a pager if they are more than it shows."""
    if not sys.stdout.isatty():
        print_lines(lines)
        return
    from rich.text import Text

    from sftdata.safe.pager import paged

    with paged() as console:
        for line in lines:
            console.print(Text(line.text, style="bold" if line.is_heading else ""), soft_wrap=True)


def find(key: str, every: Sequence[Setting]) -> tuple[str, list[Setting]]:
    """What is meant by a key: a note where it is called otherwise, and the settings. Raises ConfigError."""
    from sftdata.errors import ConfigError
    from sftdata.settings.other_names import PREPARE_NAMES, plain_name
    from sftdata.settings.unknown_keys import suggest

    name = ".".join(plain_name(part) for part in key.partition("=")[0].split(".") if not part.isdecimal())
    if exact := [one for one in every if one.key == name]:
        return "", exact
    other = PREPARE_NAMES.get(name)
    if other is not None and other.setting:
        return f"What other tools call {name} is {other.setting} here.", [
            one for one in every if one.key == other.setting
        ]
    for found in (
        [one for one in every if one.leaf == name],
        [one for one in every if one.key.startswith(name)],
        [one for one in every if name in one.key],
    ):
        if found:
            return "", found
    if other is not None:
        what = f"it is the option {other.option} of `sftdata prepare`" if other.option else other.instead
        raise ConfigError(key, "is not a setting", what)
    known = {one.leaf: one.key for one in every} | {one: to.setting for one, to in PREPARE_NAMES.items() if to.setting}
    near = suggest(name.rpartition(".")[2], list(known))
    meant = near.removeprefix("; did you mean ").removesuffix("?")
    hint = f"did you mean {known[meant]}?" if meant in known else "`sftdata settings` lists all settings"
    raise ConfigError(key, "is not a setting", hint)


def _tables(shown: Sequence[Setting], every: Sequence[Setting], width: int) -> Iterator[Line]:
    """Settings by their groups, each group under a heading."""
    sections = list(dict.fromkeys(one.section for one in shown))
    about = {one.key: one.about for one in every}
    for number, section in enumerate(sections):
        if number:
            yield Line()
        title = "At the top of the settings" if not section else f"{section}: {about[section]}"
        for at, line in enumerate(fold(title, width, "", "    ")):
            yield Line(line, at == 0)
        rows = [one for one in shown if one.section == section]
        cells = [(one.leaf, one.kind, one.default, one.about) for one in rows]
        wide = table(("setting", "takes", "default", ""), cells, width, (26, 24, 16)) if width >= 110 else None
        if wide is not None:
            yield from wide
        else:
            yield from definitions([(one.leaf, one.in_words) for one in rows], width)


def _details(setting: Setting, every: Sequence[Setting], width: int) -> Iterator[Line]:
    """Everything about one setting, with lines that can be pasted."""
    from sftdata.settings.other_names import PREPARE_NAMES, with_names_of

    yield heading(setting.key)
    yield from map(Line, fold(setting.about[:1].upper() + setting.about[1:], width, "  "))
    yield Line()
    rows = [("takes", setting.kind), ("default", setting.default or "that of each of its settings")]
    if setting.lists:
        rows.append(("of", f"each entry of {setting.lists[-1]}"))
    if names := with_names_of(setting.key, PREPARE_NAMES):
        rows.append(("in other tools", ", ".join(names)))
    yield from definitions(rows, width)
    yield from (Line(), heading("In a settings file:"))
    yield from (Line(f"  {line}") for line in in_a_file(setting).splitlines())
    if (on_line := on_command_line(setting)) is not None:
        yield from (Line(), heading("On the command line:"))
        yield from map(Line, command_lines(f"sftdata prepare prepare.yaml {on_line}", width))
    if setting.leaf == "format":
        yield from (Line(), heading("Formats:"))
        yield from definitions([(name, one.about) for name, one in FORMATS.items()], width)
    if setting.key == "template":
        yield from (Line(), Line("  `sftdata templates list` lists the built-in templates."))
    if inner := [one for one in every if one.section == setting.key]:
        yield from (Line(), heading("Its settings:"))
        yield from definitions([(one.leaf, one.in_words) for one in inner], width)


def example_of(setting: Setting) -> Any:
    """A value that a setting takes, and that is not its default where it has choices."""
    if setting.key in EXAMPLES:
        return EXAMPLES[setting.key]
    if setting.choices:
        other = next((one for one in setting.choices if one != setting.default), setting.choices[0])
        return {"true": True, "false": False}.get(other, other)
    from sftdata.settings.yaml_text import parse_yaml

    return parse_yaml(setting.default)


def in_a_file(setting: Setting) -> str:
    """A setting as lines of YAML, in its groups."""
    from sftdata.settings.yaml_line import flow

    *groups, leaf = setting.key.split(".")
    lines, indent, head = [], "", ""
    for group in groups:
        head = f"{head}.{group}" if head else group
        lines.append(f"{indent}{group}:")
        indent = indent.replace("-", " ") + "  "
        if head in setting.lists:
            beside = {"sources": "path: chats.jsonl", "decontaminate.against": "path: exam.jsonl"}.get(head)
            beside = "column: user_id" if head == "dedup.caps" else beside
            indent += "- "
            beside = 'rows: [{prompt: "1 + 1?", completion: "2"}]' if setting.key == "sources.name" else beside
            if beside is not None and not beside.startswith(f"{leaf}:") and leaf != "rows":
                lines.append(f"{indent}{beside}")
                indent = indent.replace("-", " ")
    if setting.key == "dedup.semantic.model" or not setting.key.startswith("dedup.semantic."):
        return "\n".join([*lines, f"{indent}{leaf}: {flow(example_of(setting))}"])
    model = f"{indent}model: {EXAMPLES['dedup.semantic.model']}"
    return "\n".join([*lines, model, f"{indent}{leaf}: {flow(example_of(setting))}"])


def on_command_line(setting: Setting) -> str | None:
    """A setting as `key=value`, quoted for a shell; None where it belongs into a file, or into Python."""
    from sftdata.settings.yaml_line import override

    if setting.key in ("sources.rows", "sources.name") or setting.lists[-1:] in (
        ("dedup.caps",),
        ("decontaminate.against",),
    ):
        return None
    if setting.key.startswith("dedup.semantic.") and setting.leaf != "model":  # which is required
        model = override("dedup.semantic.model", EXAMPLES["dedup.semantic.model"])
        return f"{model} {override(setting.key, example_of(setting))}"
    return override(setting.on_command_line, example_of(setting))


def reasons(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="a reason, or a stage", autocompletion=completion.reasons),
    ] = None,
) -> None:
    """List the reasons why a row is dropped, or explain one and what helps."""
    with user_errors():
        from sftdata.errors import ConfigError
        from sftdata.reasons import REASONS, WHAT_HELPS
        from sftdata.settings.other_names import plain_name
        from sftdata.settings.unknown_keys import suggest

        width = min(columns_of_terminal(), 120)
        wanted = plain_name(name or "")
        stages = list(dict.fromkeys(stage for stage, _ in REASONS.values()))
        if wanted in REASONS:
            stage, meaning = REASONS[wanted]
            lines = [heading(wanted), *map(Line, fold(f"{meaning[:1].upper()}{meaning[1:]}.", width, "  "))]
            lines += [Line(), *definitions([("dropped by", stage), ("what helps", WHAT_HELPS[wanted])], width)]
            show_lines([*lines, Line(), *(Line(line) for line in fold(_FIND.format(wanted), width))])
            return
        if wanted and wanted not in stages:
            hint = suggest(wanted, [*REASONS, *stages]).removeprefix("; ") or "`sftdata reasons` lists all reasons"
            raise ConfigError(str(name), "is neither a reason nor a stage", hint)
        lines = []
        for stage in [wanted] if wanted else stages:
            rows = [(reason, meaning) for reason, (own, meaning) in REASONS.items() if own == stage]
            lines += [*([Line()] if lines else []), heading(stage), *definitions(rows, width)]
        show_lines([*lines, Line(), *map(Line, fold(_MORE_REASONS, width))])


_FIND = "`sftdata inspect DATASET --dropped {}` shows such rows, `sftdata why DATASET FILE:LINE` one of them."
_MORE_REASONS = "`sftdata reasons NAME` says what helps; `sftdata why DATASET FILE:LINE` what happened to one row."


def formats(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="a format", autocompletion=completion.formats)
    ] = None,
) -> None:
    """List the formats of rows, or show one with its fields."""
    with user_errors():
        from sftdata.errors import ConfigError
        from sftdata.settings.unknown_keys import suggest

        width = min(columns_of_terminal(), 120)
        if name is None:
            rows = [("auto", _AUTO), *((key, one.about) for key, one in FORMATS.items())]
            lines = definitions(rows, width)
            show_lines([*lines, Line(), *map(Line, fold(_MORE_FORMATS, width))])
        elif name == "auto":
            show_lines([heading("auto"), *map(Line, fold(f"{_AUTO[:1].upper()}{_AUTO[1:]}.", width, "  "))])
        elif name in FORMATS:
            one = FORMATS[name]
            about = f"{one.about[:1].upper()}{one.about[1:]}."
            lines = [heading(name), *map(Line, fold(about, width, "  ")), Line(), heading("A row:")]
            lines += [*map(Line, fold(one.row, width, "  ", "  ")), Line(), heading("Fields, for columns:")]
            lines += [*map(Line, fold(", ".join(one.fields), width, "  ", "  ")), Line()]
            columns = f"{one.fields[0]}=NAME_OF_YOUR_COLUMN"
            lines += map(Line, command_lines(f"sftdata check FILE --format {name} --columns {columns}", width, 0))
            show_lines(lines)
        else:
            known = suggest(name, ["auto", *FORMATS]).removeprefix("; ").replace("the settings here", "the formats")
            raise ConfigError(name, "is not a format", known)


_MORE_FORMATS = (
    "`sftdata formats NAME` shows a row and the fields. A format is set for a source: --format NAME, or format: NAME; "
    "columns of other names are mapped to its fields: --columns prompt=question,completion=answer"
)


def schema() -> None:
    """Print the JSON schema of settings files, for editors."""
    with user_errors():
        from sftdata.config import Config
        from sftdata.settings.catalog import json_schema

        print(json.dumps(json_schema(Config), indent=2, ensure_ascii=False))
