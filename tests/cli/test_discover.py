"""Everything that can be said to `prepare` and `check` is found through the command line alone, and works as shown."""

from __future__ import annotations

import json
import re
import shlex
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from command_line import call
from pydantic import BaseModel

from sftdata.config import Config, SourceConfig, load_config, parse_config
from sftdata.encode.template.load import template_names
from sftdata.errors import ConfigError
from sftdata.reasons import REASONS, WHAT_HELPS

SETTINGS_PAGE = (Path(__file__).resolve().parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
WIDTHS = (60, 80, 120, 160)
NARROW = (60, 80, 100)  # where nothing is beside anything else, so that the words come in their order
BASE = {"tokenizer": "t", "sources": ["chats.jsonl"], "out": "shards"}
COMMANDS = (
    *("init", "check", "prepare", "verify", "inspect", "report", "why", "diff"),
    *("templates", "formats", "settings", "reasons", "schema"),
)


def models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """The groups of settings inside an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from models_in(inner)


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every setting and every group of a model."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        for inner in models_in(field.annotation):
            yield from keys_of(inner, f"{prefix}{name}.")


KEYS = tuple(keys_of(Config))


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the width of the terminal."""
    return lambda width: monkeypatch.setenv("COLUMNS", str(width))


def output(*arguments: object) -> str:
    code, printed, error = call(*arguments, program="sftdata")
    assert (code, error) == (0, ""), error
    return printed


@pytest.mark.parametrize("width", WIDTHS)
def test_every_setting_is_in_the_list_under_its_group(width: int, columns: Any) -> None:
    columns(width)
    shown, section = set(), ""
    for line in output("settings").splitlines():
        if line and not line.startswith(" "):
            section = line.partition(":")[0]
        elif match := re.match(r"  (\w+)", line):
            shown.add(f"{section}.{match[1]}" if section != "At the top of the settings" else match[1])
    assert set(KEYS) - shown == set()


@pytest.mark.parametrize("key", KEYS)
def test_each_setting_is_explained_and_what_is_shown_can_be_pasted(key: str, tmp_path: Path) -> None:
    page = output("settings", key)
    assert page.splitlines()[0] == key
    in_file = re.search(r"^In a settings file:\n((?:  .*\n)+)", page, flags=re.MULTILINE)
    assert in_file is not None
    pasted = yaml.safe_load(in_file[1])
    top = key.partition(".")[0]
    settings = {**BASE, **pasted}
    if top == "out" and key in ("out.shard_tokens", "out.work"):
        settings["out"] = {"path": "shards", **pasted["out"]}
    (tmp_path / "prepare.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    changed = load_config(tmp_path / "prepare.yaml")
    on_line = re.search(r"^On the command line:\n((?:  .*\n)+)", page, flags=re.MULTILINE)
    assert (on_line is None) == (key in IN_FILES)
    if on_line is not None:
        words = shlex.split(on_line[1].replace("\\\n", " "))
        assert words[:3] == ["sftdata", "prepare", "prepare.yaml"]
        (tmp_path / "prepare.yaml").write_text(yaml.safe_dump(BASE), encoding="utf-8")
        assert load_config(tmp_path / "prepare.yaml", words[3:]) == changed


# Settings of entries that the first source does not have, and rows, which are objects of Python.
IN_FILES = {
    *("sources.rows", "sources.name"),
    *("dedup.caps.column", "dedup.caps.max_records"),
    *(f"decontaminate.against.{name}" for name in ("path", "format", "columns", "split", "subset")),
}


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("seq_len", ["pack.seq_len"]),
        ("max_length", ["pack.seq_len"]),
        ("cutoff-len", ["pack.seq_len"]),
        ("sources.0.format", ["sources.format"]),
        ("threshold", ["dedup.near", "dedup.semantic", "threshold"]),
        ("filters.cut", ["filters", "cut_off", "cut_off_min_chars"]),
        ("tool_call_ids=make", ["tool_call_ids"]),
        ("system_prompt", ["sources.system"]),
    ],
)
def test_a_setting_is_found_by_parts_of_its_name_and_by_other_names(typed: str, found: list[str]) -> None:
    page = output("settings", typed)
    assert [name for name in found if name not in page] == []


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("seq_lenn", "sftdata: seq_lenn: is not a setting; did you mean pack.seq_len?"),
        ("zzzz", "sftdata: zzzz: is not a setting; `sftdata settings` lists all settings"),
        ("num_proc", "sftdata: num_proc: is not a setting; it is the option --workers of `sftdata prepare`"),
        ("lr", "sftdata: lr: is not a setting; it belongs to training: give `sfttrain run` learning_rate"),
    ],
)
def test_what_is_no_setting_is_said(typed: str, said: str) -> None:
    assert call("settings", typed, program="sftdata") == (1, "", f"{said}\n")


@pytest.mark.parametrize("width", WIDTHS)
def test_every_reason_is_in_the_list_under_its_stage(width: int, columns: Any) -> None:
    columns(width)
    shown, stage = {}, ""
    for line in output("reasons").splitlines():
        if line and not line.startswith(" "):
            stage = line
        elif match := re.match(r"  (\w+)  ", line + "  "):
            shown[match[1]] = stage
    assert shown == {reason: stage for reason, (stage, _) in REASONS.items()}


@pytest.mark.parametrize("reason", list(REASONS))
def test_each_reason_is_explained_with_settings_that_exist(reason: str) -> None:
    page = " ".join(output("reasons", reason).split())
    stage, meaning = REASONS[reason]
    assert page.startswith(f"{reason} {meaning[:1].upper()}{meaning[1:]}. dropped by {stage} what helps ")
    helps = page.partition("what helps ")[2].partition(f" `sftdata inspect DATASET --dropped {reason}`")[0]
    assert len(helps) > 30
    for setting in re.findall(r"`([^`\s]+=[^`]*)`", helps):
        settings: dict[str, Any] = {**BASE, "sources": [{"path": "chats.jsonl"}]}
        from sftdata.config import apply_changes

        apply_changes(settings, [setting], {})
        parse_config(settings)


def test_there_is_help_for_every_reason_and_for_nothing_else() -> None:
    assert list(WHAT_HELPS) == list(REASONS)


def test_a_stage_lists_its_reasons_and_a_typo_is_found() -> None:
    page = output("reasons", "dedup")
    assert [name for name, (stage, _) in REASONS.items() if (stage == "dedup") != (f"  {name} " in page)] == []
    code, _, error = call("reasons", "overlongg", program="sftdata")
    assert (code, error) == (1, "sftdata: overlongg: is neither a reason nor a stage; did you mean overlong?\n")


def test_every_format_is_listed_and_shown_with_a_row_that_it_reads_and_its_fields() -> None:
    from sftdata.read.formats.convert import RowFormat, convert
    from sftdata.read.formats.shapes.known import FIELDS
    from sftdata.records.record import Record

    names = typing.get_args(SourceConfig.model_fields["format"].annotation)
    page = output("formats")
    assert re.findall(r"^  (\w+)  ", page, flags=re.MULTILINE) == ["auto", *(name for name in FORMATS)]
    assert set(names) == {"auto", *FORMATS}
    for name in FORMATS:
        shown = output("formats", name)
        row = re.search(r"^A row:\n((?:  .*\n)+)", shown, flags=re.MULTILINE)
        fields = re.search(r"^Fields, for columns:\n((?:  .*\n)+)", shown, flags=re.MULTILINE)
        assert row is not None
        assert fields is not None
        value = json.loads(" ".join(line.strip() for line in row[1].splitlines()))
        assert isinstance(convert(value, RowFormat(name)).found, Record)
        assert set(" ".join(fields[1].split()).split(", ")) == set(FIELDS[name])
    assert "text" in output("settings", "sources.format")
    assert call("formats", "sharegtp")[2] == "sftdata: sharegtp: is not a format; did you mean sharegpt?\n"


FORMATS = ("messages", "sharegpt", "prompt_completion", "xlam", "alpaca", "rendered", "text")


@pytest.mark.parametrize("arguments", [("templates",), ("templates", "list")])
def test_every_template_is_listed(arguments: tuple[str, ...]) -> None:
    assert re.findall(r"^(\S+)  +\S", output(*arguments), flags=re.MULTILINE) == template_names()


def test_a_template_is_found_by_the_beginning_of_its_name(tmp_path: Path, tiny_tokenizer: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    arguments = ("--tokenizer", tiny_tokenizer, "--out", tmp_path / "o", "--workers", 1)
    code, _, error = call("prepare", tmp_path / "a.jsonl", *arguments, "template=qwen")
    assert code == 1
    assert "did you mean qwen2.5, qwen3 or qwen3.5?" in error


def pages() -> list[tuple[str, ...]]:
    helps = [(command, "--help") for command in COMMANDS if command in output("--help")]
    helps += [("templates", one, "--help") for one in ("list", "show", "check")]
    lists = [
        ("settings",),
        ("reasons",),
        ("formats",),
        ("templates",),
        ("settings", "pack.seq_len"),
        ("settings", "filters"),
    ]
    return [("--help",), *helps, *lists, ("reasons", "lost_field"), ("formats", "alpaca")]


def words(text: str) -> list[str]:
    return [word for word in text.split() if word != "\\"]


def test_no_page_breaks_inside_a_word_and_none_is_wider_than_the_terminal(columns: Any) -> None:
    for page in pages():
        columns(100)
        whole = words(output(*page))
        for width in sorted({*NARROW, *WIDTHS}):
            columns(width)
            printed = output(*page)
            if width in NARROW or page[-1] == "--help":
                assert words(printed) == whole, (page, width)
            else:
                assert set(words(printed)) - {one.strip("();") for one in whole} - set(whole) <= {"setting"}, page
            too_wide = [line for line in printed.splitlines() if len(line) > width and len(line.split()) > 1]
            assert [line for line in too_wide if not is_unbreakable(line)] == [], (page, width)


def is_unbreakable(line: str) -> bool:
    """Whether a line is too wide for one long word, or is YAML to be pasted."""
    return max(map(len, line.split())) > 30 or line.lstrip().startswith(("-", "{")) or ": [" in line or ": {" in line


def test_the_commands_are_in_the_order_of_their_use() -> None:
    listed = re.findall(r"^  (\w+)  ", output("--help"), flags=re.MULTILINE)
    assert listed == [name for name in COMMANDS if name in listed]
    assert {"check", "prepare", "verify", "inspect", "why", "templates", "settings", "reasons", "schema"} <= set(listed)


@pytest.mark.parametrize("command", ["check", "prepare", "verify", "inspect", "why", "settings", "reasons", "schema"])
def test_h_is_help_with_examples(command: str) -> None:
    page = output(command, "-h")
    assert page == output(command, "--help")
    assert f"\nExamples:\n  sftdata {command}" in page


@pytest.fixture(scope="module")
def schema() -> Any:
    """What `sftdata schema` prints."""
    return json.loads(output("schema"))


def test_the_schema_is_valid_describes_every_setting_and_allows_what_the_page_of_settings_shows(schema: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for name, group in [("Config", schema), *schema["$defs"].items()]:
        assert group["additionalProperties"] is False, name
        missing = [key for key, one in group["properties"].items() if not one.get("description")]
        assert missing == [], name
    validator = jsonschema.Draft202012Validator(schema)
    block = re.search(r"^```yaml prepare.yaml\n((?:.*\n)*?)```$", SETTINGS_PAGE, flags=re.MULTILINE)
    assert block is not None
    assert [error.message for error in validator.iter_errors(as_editor_reads(block[1]))] == []


def as_editor_reads(text: str) -> Any:
    """YAML 1.2, which editors read: off, on and dates are texts."""

    class Reader(yaml.SafeLoader):
        """Without the words of YAML 1.1."""

    Reader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in pairs if not tag.endswith((":timestamp", ":bool"))]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Reader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|false"), list("tf"))
    return yaml.load(text, Reader)


SHORT = [
    "sources: chats.jsonl",
    "sources: [chats.jsonl, {path: b.csv}]",
    "sources: {path: chats.jsonl}",
    "sources: [{rows: [{prompt: a, completion: b}]}]",
    "out: {path: shards}",
    "filters: strict",
    "filters: off",
    "filters: {languages: en}",
    "privacy: redact",
    "privacy: {mode: drop, kinds: email, phone_regions: US}",
    "dedup: {near: on, prefix: off, semantic: off}",
    "dedup: {near: true}",
    "decontaminate: {against: exam.jsonl}",
    "decontaminate: {against: [exam.jsonl]}",
    "sources: [{path: a, merge_same_role: true, keep: [user_id]}]",
    "thinking: off",
    "max_dropped: 10%",
    "max_dropped: 0.1",
    "split: {validation: 0.1}",
]
WRONG = [
    "max_length: 4096",
    "pack: {seq_len: many}",
    "pack: {seqlen: 9}",
    "overlong: cut",
    "sources: []",
    "sources: [{format: text}]",
    "seed: true",
    "filters: {preset: hard}",
    "dedup: {near: {threshold: 2}}",
]


@pytest.mark.parametrize("line", [*SHORT, *WRONG])
def test_the_schema_allows_what_a_config_takes_and_refuses_what_it_refuses(line: str, schema: Any) -> None:
    validator = jsonschema.Draft202012Validator(schema)
    settings = {**BASE, **as_editor_reads(line)}
    assert validator.is_valid(settings) == (line in SHORT)
    if line in SHORT:
        parse_config({**BASE, **yaml.safe_load(line)})
    else:
        with pytest.raises(ConfigError):
            parse_config({**BASE, **yaml.safe_load(line)})


def test_the_check_of_a_template_breaks_no_word(tiny_tokenizer: Path, columns: Any) -> None:
    columns(200)
    whole = words(output("templates", "check", "chatml", "--tokenizer", tiny_tokenizer))
    for width in (60, 80, 120):
        columns(width)
        assert sorted(words(output("templates", "check", "chatml", "--tokenizer", tiny_tokenizer))) == sorted(whole)
