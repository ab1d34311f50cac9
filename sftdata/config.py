"""The settings of `sftdata prepare`: YAML, command line or Python -> Config, with all problems reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date as Date
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, field_serializer, field_validator, model_validator

from sftdata.curate.duplicates.settings import DedupConfig
from sftdata.curate.privacy.settings import PrivacyConfig
from sftdata.curate.quality.settings import FilterConfig
from sftdata.encode.options import MAX_TURNS, Reasoning, TemplateArguments, ThinkingSetting, ToolCallIds, ToolCalls
from sftdata.safe.addresses import written_address
from sftdata.settings.given_rows import WrittenRows, as_sources, check_names, with_name
from sftdata.settings.groups import Settings, Share, as_groups, check_settings
from sftdata.settings.other_names import PREPARE_NAMES, Names
from sftdata.settings.overrides import apply_override, read_settings, set_nested

FORMATS = Literal["auto", "messages", "sharegpt", "alpaca", "prompt_completion", "xlam", "rendered", "text"]

_OF_CONVERSATIONS = (
    *("system", "roles", "merge_same_role", "tool_calls_in_text"),
    *("chat_template_kwargs", "thinking", "reasoning", "tool_calls"),
)


class SourceConfig(Settings):
    """Where rows come from and how to read them."""

    short_for: ClassVar = "path"

    path: str = Field(description="file, glob, folder, URL of any fsspec store, or hf://datasets/ORG/NAME")
    rows: Any = Field(None, description="the rows themselves, in place of path: a list of dicts, or any table")
    name: str | None = Field(None, description="what the ledger calls rows that are given in place of path [rows]")
    format: FORMATS = Field("auto", description="the format of the rows; auto detects it for each row")
    columns: dict[str, str] = Field(
        default_factory=dict, description="field of the format -> your column, e.g. {prompt: question}"
    )
    system: str | None = Field(None, description="system prompt for conversations without one")
    roles: dict[str, Literal["system", "developer", "user", "assistant", "tool"]] = Field(
        default_factory=dict,
        description="name of a role in the data -> its role, e.g. {customer: user, agent: assistant}",
    )
    merge_same_role: Literal["drop", "merge", "allow"] = Field(
        "drop",
        description="rows with consecutive turns of one role: drop them; merge the turns, a blank line between their "
        "texts (or true); or allow them, if the template writes them",
    )
    tool_calls_in_text: Literal["parse", "keep", "drop"] = Field(
        "parse",
        description="tool calls written into answers, as in <tool_call>{...}</tool_call>: parse them into tool calls, "
        "which the template writes in its own form, unless it writes none; keep them as text; or drop their rows",
    )
    rendered_chats: Literal["drop", "keep"] = Field(
        "drop",
        description="rows whose text or prompt is a chat in the marks of a template: drop them, or keep it as text; "
        "format: rendered reads it back into turns",
    )
    chat_template_kwargs: TemplateArguments = Field(
        default_factory=dict, description="arguments of the chat template for its rows; those of a row win"
    )
    thinking: ThinkingSetting | None = Field(None, description="as for the whole run, for its rows")
    reasoning: Reasoning | None = Field(None, description="as for the whole run, for its rows")
    tool_calls: ToolCalls | None = Field(None, description="as for the whole run, for its rows")
    keep: tuple[str, ...] = Field((), description="columns to copy into the ledger")
    max_records: int | None = Field(
        None, ge=1, description="use at most this many of its conversations, chosen by a hash of their ids"
    )
    repeat: int = Field(
        1, ge=1, le=100, description="train on each conversation this many times; with weights, at most this many"
    )
    weight: float | None = Field(
        None, ge=0, description="share of the trained tokens, relative to the weights of the other sources"
    )
    split: str | None = Field(
        None, description="split to read of a source that has splits: a hub dataset, a saved DatasetDict [train]"
    )
    subset: str | None = Field(None, description="configuration (subset) to read of a hub dataset or a clone of one")

    @field_validator("merge_same_role", mode="before")
    @classmethod
    def _true_is_merge(cls, value: object) -> object:
        """`true` is short for merge, `false` for drop."""
        return {True: "merge", False: "drop"}[value] if isinstance(value, bool) else value

    @model_validator(mode="before")
    @classmethod
    def _is_path_or_rows(cls, value: Any) -> Any:
        """Rows have their name as their path."""
        return with_name(value)

    @model_validator(mode="after")
    def _uses_its_settings(self) -> SourceConfig:
        """Settings of conversations do nothing for texts."""
        fields = type(self).model_fields
        defaults = {name: fields[name].get_default(call_default_factory=True) for name in _OF_CONVERSATIONS}
        changed = [name for name, default in defaults.items() if getattr(self, name) != default]
        if self.format == "text" and changed:
            raise ValueError(f"{' and '.join(changed)} can do nothing with format: text; remove it")
        if self.rendered_chats == "keep" and self.format in ("messages", "sharegpt", "xlam", "rendered"):
            raise ValueError(f"rendered_chats can do nothing with format: {self.format}; remove it")
        return self

    @field_serializer("path", when_used="json")
    def _without_credentials(self, path: str) -> str:
        return written_address(path)

    @field_serializer("rows")
    def _count_and_hash(self, rows: Any) -> dict[str, object] | None:
        """What the manifest says of rows: it does not hold them."""
        return asdict(rows) if isinstance(rows, WrittenRows) else None


class EvaluationConfig(Settings):
    """An evaluation set that must not leak into training, and how to read it."""

    short_for: ClassVar = "path"

    path: str = Field(description="as for a source")
    format: FORMATS = Field("auto", description="as for a source")
    columns: dict[str, str] = Field(default_factory=dict, description="as for a source")
    split: str | None = Field(None, description="as for a source [test]")
    subset: str | None = Field(None, description="as for a source")

    @field_serializer("path", when_used="json")
    def _without_credentials(self, path: str) -> str:
        return written_address(path)


class DecontaminateConfig(Settings):
    """Which rows are dropped because they contain evaluation data."""

    against: tuple[EvaluationConfig, ...] = Field((), description="evaluation files, each a path or a mapping")
    ngram_words: int = Field(8, ge=1, le=100, description="length in words of the n-grams to compare (8 as in Tulu 3)")
    overlap: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="drop rows that contain more than this share of an item's n-grams (Tulu 3, arXiv 2411.15124)",
    )

    @field_validator("against", mode="before")
    @classmethod
    def _paths_are_files(cls, value: object) -> object:
        """A path alone is short for {path: ...}."""
        return as_groups(value)


class CleanConfig(Settings):
    """What is removed from texts before they are encoded."""

    strip_trailing_control: bool = Field(
        False, description="strip a control string, such as another model's <|endoftext|>, from the end of answers"
    )


class PackConfig(Settings):
    """How samples are packed into sequences."""

    seq_len: int = Field(2048, ge=8, description="maximum tokens of a sequence")
    strategy: Literal["best_fit", "none"] = Field("best_fit", description="best_fit, or none: one sample per sequence")


class SplitConfig(Settings):
    """What is held out for validation."""

    validation: Annotated[int | float, Field(ge=0)] = Field(
        0, description="a fraction below 1, or a number of conversations"
    )
    by: str = Field(
        "content",
        description="what stays in one split: equal conversations, or all rows with the same value of this column",
    )

    @field_validator("validation", mode="after")
    @classmethod
    def _is_share_or_number(cls, value: int | float) -> int | float:
        """A value of 1 or more is a number of conversations, so it must be whole."""
        if value >= 1 and value != int(value):
            raise ValueError("must be a fraction below 1, or a whole number of conversations")
        return int(value) if value >= 1 else value


class OutConfig(Settings):
    """Where the dataset is written."""

    short_for: ClassVar = "path"

    path: str = Field(description="output folder, or its address on a store, such as s3://BUCKET/NAME")
    work: str | None = Field(
        None,
        description="folder, or its address on a store, for the work of a run until its dataset is whole "
        "[OUT/.work; of an address, in the cache]",
    )
    shard_tokens: int = Field(50_000_000, ge=1, le=1_000_000_000, description="approximate tokens per shard")


class Config(Settings):
    """All settings of `sftdata prepare`."""

    other_names: ClassVar[Names] = PREPARE_NAMES
    listed_by: ClassVar = "sftdata settings"

    tokenizer: str = Field(description="folder or hub id")
    sources: tuple[SourceConfig, ...] = Field(min_length=1, description="the data, in order")
    out: OutConfig
    encoder: Literal["auto", "fast", "hf"] = Field(
        "auto",
        description="auto: fastokens if it produces the same ids as Hugging Face tokenizers, else tokenizers; "
        "fast: always fastokens; hf: always tokenizers. The ids are the same",
    )
    template: str = Field("auto", description="auto: the tokenizer's own; or a name in templates/; or a path")
    stop_tokens: tuple[str, ...] = Field(
        (),
        description="further tokens at which servers stop, besides the tokenizer's EOS and those of its "
        "generation_config.json: an answer ends with such a token",
    )
    date: str = Field("2026-01-01", description="the date for templates that ask for today, YYYY-MM-DD")
    seed: int = Field(0, ge=0, description="seed for the order of the sequences")
    train_on: Literal["all", "last"] = Field(
        "all", description="which assistant turns to train on, unless a message sets its own weight or train"
    )
    check_tool_calls: bool = Field(
        True, description="drop rows whose tool calls do not match the declared JSON schemas"
    )
    clean: CleanConfig = CleanConfig()
    overlong: Literal["drop", "split", "truncate"] = Field(
        "drop",
        description="rows longer than pack.seq_len: drop them; split conversations into windows, each with as much "
        "history as fits, and texts into pieces; or truncate them, which cuts answers",
    )
    lost_context: Literal["drop", "warn"] = Field(
        "drop",
        description="rows whose prompts would lack a message, a tool call or the tools, because the template does not "
        "write them: drop them, or train them and warn",
    )
    tool_call_ids: ToolCallIds = Field(
        "keep",
        description="ids of tool calls: keep those of the rows; or make them in the form that the template demands, "
        "for calls that have none or another one, and their results",
    )
    max_turns: int = Field(
        MAX_TURNS,
        ge=2,
        description="messages of a conversation, above which it is dropped or, with overlong: split, cut into windows: "
        "the proof of a conversation takes the square of them",
    )
    chat_template_kwargs: TemplateArguments = Field(
        default_factory=dict,
        description="arguments of the chat template, as in {enable_thinking: false}; those of a source or a row win",
    )
    thinking: ThinkingSetting = Field(
        "auto",
        description="whether the model is asked to think, by the switch that the chat template reads: on; off; or "
        "auto: each answer as it is, with reasoning or without",
    )
    train_empty_thinking: bool = Field(
        False, description="train the empty thinking block of answers without reasoning, which teaches not to think"
    )
    reasoning: Reasoning = Field(
        "keep",
        description="the reasoning of answers: keep: written by the template, and dropped with its row where the "
        "template writes none; inline: in <think> marks in front of the answer, for such templates; drop: left out, "
        "also where it begins a text in the marks of a known model",
    )
    tool_calls: ToolCalls = Field(
        "keep",
        description="tool calls, results and tools: keep: written by the template, and dropped with their row where it "
        "writes none; inline: as text in the form of Hermes, for such templates: calls in the answers, results in the "
        "user's turns, tools in the system message",
    )
    filters: FilterConfig = Field(
        FilterConfig(preset="off"), description="filters for low-quality answers: off, default, strict, or a mapping"
    )
    privacy: PrivacyConfig = Field(
        PrivacyConfig(mode="off"), description="personal data and secrets: off, report, redact, drop, or a mapping"
    )
    dedup: DedupConfig = DedupConfig()
    decontaminate: DecontaminateConfig = DecontaminateConfig()
    split: SplitConfig = SplitConfig()
    pack: PackConfig = PackConfig()
    max_dropped: Share | None = Field(
        None,
        description="write no dataset if more than this share of the rows, such as 0.1 or 10%, is dropped, duplicates "
        "included",
    )
    trust_remote_code: bool = Field(False, description="allow a hub tokenizer to run its own code")
    _base: Path = PrivateAttr(default=Path())

    @field_validator("date", mode="before")
    @classmethod
    def _is_a_day(cls, value: object) -> object:
        """A calendar date as a string; YAML parses an unquoted one to a date."""
        return (value if isinstance(value, Date) else Date.fromisoformat(str(value))).isoformat()

    @field_serializer("tokenizer", "template", when_used="json")
    def _without_credentials(self, name: str) -> str:
        return written_address(name)

    @classmethod
    def from_yaml(cls, path: str | Path) -> Config:
        """The settings in a file; paths are relative to it. Raises ConfigError that lists all problems."""
        return load_config(path)

    @property
    def is_plain_text(self) -> bool:
        """Whether every source is plain text, which needs no chat template."""
        return all(source.format == "text" for source in self.sources)

    def resolve_path(self, path: str) -> str:
        """Resolve a path relative to the folder of the config file. `~` is the home folder; URLs stay as they are."""
        return path if "://" in path else str(self._base / Path(path).expanduser())

    def resolve_if_exists(self, name: str) -> str:
        """Resolve a name if there is a file or folder at that path; else return it as it is."""
        path = self.resolve_path(name)
        return path if Path(path).exists() else name

    def resolved_sources(self) -> tuple[SourceConfig, ...]:
        """The sources with their paths resolved. ORG/NAME stays if there is no such path: it is a hub id."""
        return tuple(source.model_copy(update={"path": self._resolve_data(source.path)}) for source in self.sources)

    def resolved_evaluations(self) -> tuple[SourceConfig, ...]:
        """The evaluation files as sources, with their paths resolved."""
        return tuple(
            SourceConfig(**{**file.model_dump(), "path": self._resolve_data(file.path)})
            for file in self.decontaminate.against
        )

    def _resolve_data(self, path: str) -> str:
        return self.resolve_if_exists(path) if is_hub_id(path) else self.resolve_path(path)

    @field_validator("sources", mode="before")
    @classmethod
    def _paths_are_sources(cls, value: object) -> object:
        """A path alone is short for {path: ...}; an object that holds rows for {rows: ...}."""
        return as_sources(value)

    @field_validator("sources")
    @classmethod
    def _names_differ(cls, value: tuple[SourceConfig, ...]) -> tuple[SourceConfig, ...]:
        check_names(value)
        return value

    @field_validator("out", mode="before")
    @classmethod
    def _path_is_out(cls, value: object) -> object:
        """A path alone is short for {path: ...}."""
        return {"path": value} if isinstance(value, (str, Path)) else value


# Groups of settings for which a plain value is short: `out: shards` for {path: shards}.
PATH_GROUPS = {"out": "path", "filters": "preset", "privacy": "mode"}


def load_config(
    path: str | Path,
    overrides: Sequence[str] = (),
    defaults: Mapping[str, Any] = {},
    options: Mapping[str, Any] = {},
) -> Config:
    """Read a YAML file, then apply `dotted.key=value` overrides, then `options` (dotted name -> value).

    Paths are relative to the file.
    `defaults` has values for required settings that the file may leave out because the caller does not use them.
    Raises ConfigError that lists all problems of the file and the overrides.
    """
    path = Path(path)
    settings = read_settings(path, "`tokenizer:`, `sources:` and `out:`")
    apply_changes(settings, overrides, options)
    config = parse_config({**defaults, **settings}, str(path))
    config._base = path.parent
    return config


def apply_changes(settings: dict[str, Any], overrides: Sequence[str], options: Mapping[str, Any]) -> None:
    """Apply `dotted.key=value` overrides to settings, then `options` (dotted name -> value)."""
    for override in overrides:
        apply_override(settings, override, PATH_GROUPS)
    for name, value in options.items():
        set_nested(settings, name, value, name, PATH_GROUPS)


def parse_config(settings: Mapping[str, Any], where: str = "config") -> Config:
    """Validate settings. Raises ConfigError that lists all problems."""
    return check_settings(Config, settings, where)


def is_hub_id(path: str) -> bool:
    """Whether a path has the form ORG/NAME, without a file suffix or a glob pattern."""
    return (
        path.count("/") == 1
        and not path.startswith((".", "~", "/"))
        and not set(path) & set("*?[")
        and (Path(path).suffix == "")
    )
