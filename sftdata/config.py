"""The settings of `sftdata prepare`: YAML, command line or Python -> Config, with every problem reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date as Date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, field_validator

from sftdata.curate.duplicates.settings import DedupConfig
from sftdata.curate.privacy.settings import PrivacyConfig
from sftdata.curate.quality.settings import FilterConfig
from sftdata.settings.groups import Settings, check_settings
from sftdata.settings.overrides import apply_override, read_settings, set_nested

FORMATS = Literal["auto", "messages", "sharegpt", "alpaca", "prompt_completion", "text"]


class SourceConfig(Settings):
    """Where rows come from and how to read them."""

    path: str = Field(description="file, glob, folder, URL of any fsspec store, or hf://datasets/ORG/NAME")
    format: FORMATS = Field("auto", description="the rows' format; auto decides for every row by itself")
    columns: dict[str, str] = Field(
        default_factory=dict, description="the format's field -> the column that holds it, e.g. {prompt: question}"
    )
    system: str | None = Field(None, description="a system prompt for conversations that have none")
    keep: tuple[str, ...] = Field((), description="columns to copy into the ledger")
    max_records: int | None = Field(None, ge=1, description="use so many of its conversations at most")
    repeat: int = Field(
        1, ge=1, le=100, description="use each conversation so often in training; with weights, so often at most"
    )
    weight: float | None = Field(
        None, ge=0, description="its share of the trained tokens, relative to the other sources' weights"
    )
    split: str = Field("train", description="the split to read of a hub dataset")
    subset: str | None = Field(None, description="the configuration (subset) to read of a hub dataset")


class EvaluationConfig(Settings):
    """An evaluation set whose items must not be trained on, and how to read it."""

    path: str = Field(description="as a source's")
    format: FORMATS = Field("auto", description="as a source's")
    columns: dict[str, str] = Field(default_factory=dict, description="as a source's")
    split: str = Field("test", description="the split to read of a hub dataset")
    subset: str | None = Field(None, description="the configuration (subset) to read of a hub dataset")


class DecontaminateConfig(Settings):
    """Which rows are dropped for holding what a model will be tested with."""

    against: tuple[EvaluationConfig, ...] = Field((), description="evaluation files, each a path or settings")
    ngram_words: int = Field(8, ge=1, le=100, description="words in a run that is compared (8 as Tulu 3)")
    overlap: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="a row with more than this share of an item's runs is dropped (Tulu 3, arXiv 2411.15124)",
    )

    @field_validator("against", mode="before")
    @classmethod
    def _paths_are_files(cls, value: object) -> object:
        """A bare path stands for a file with nothing else set."""
        return _with_paths(value)


class CleanConfig(Settings):
    """What is taken out of texts before they are encoded."""

    strip_trailing_control: bool = Field(
        False, description="take a control string that ends an answer (another model's <|endoftext|>) off it"
    )


class PackConfig(Settings):
    """How samples are set_nested together into rows."""

    seq_len: int = Field(2048, ge=8, description="tokens a row holds at most")
    strategy: Literal["best_fit", "none"] = Field("best_fit", description="best_fit, or none: one sample a row")


class SplitConfig(Settings):
    """What is held out for validation."""

    validation: Annotated[int | float, Field(ge=0)] = Field(
        0, description="a share below 1, or a number of conversations"
    )
    by: str = Field(
        "content", description="what stays on one side: equal conversations, or rows of one value of this column"
    )

    @field_validator("validation", mode="after")
    @classmethod
    def _is_share_or_number(cls, value: int | float) -> int | float:
        """From 1 on it is a number of conversations, and whole."""
        if value >= 1 and value != int(value):
            raise ValueError("is a share below 1, or a whole number of conversations")
        return int(value) if value >= 1 else value


class OutConfig(Settings):
    """Where the dataset goes."""

    path: str = Field(description="the folder to write")
    shard_tokens: int = Field(50_000_000, ge=1, le=1_000_000_000, description="tokens a shard holds, about")


class Config(Settings):
    """All of `sftdata prepare`."""

    tokenizer: str = Field(description="a folder or a hub id")
    sources: tuple[SourceConfig, ...] = Field(min_length=1, description="the data, in order")
    out: OutConfig
    encoder: Literal["auto", "fast", "hf"] = Field(
        "auto",
        description="auto: fastokens where it gives the ids of Hugging Face tokenizers; or insist on fast (fastokens) "
        "or hf (tokenizers); the ids are the same",
    )
    template: str = Field("auto", description="auto: the tokenizer's own; a name in templates/; or a path")
    date: str = Field("2026-01-01", description="the day that templates are told when they ask for today, YYYY-MM-DD")
    seed: int = Field(0, ge=0, description="orders the packed rows")
    train_on: Literal["all", "last"] = Field(
        "all", description="which assistant turns are trained, where a message's own weight or train says nothing"
    )
    check_tool_calls: bool = Field(True, description="drop calls that do not fit the tools' declared JSON schemas")
    clean: CleanConfig = CleanConfig()
    overlong: Literal["drop", "split", "truncate"] = Field(
        "drop",
        description="conversations longer than pack.seq_len: drop; split into windows of later turns with as much "
        "history as fits; or truncate, which cuts answers",
    )
    filters: FilterConfig = Field(
        FilterConfig(preset="off"), description="answers too poor to train on: off, default, strict, or a mapping"
    )
    privacy: PrivacyConfig = Field(
        PrivacyConfig(mode="off"), description="personal data and secrets: off, report, redact, drop, or a mapping"
    )
    dedup: DedupConfig = DedupConfig()
    decontaminate: DecontaminateConfig = DecontaminateConfig()
    split: SplitConfig = SplitConfig()
    pack: PackConfig = PackConfig()
    trust_remote_code: bool = Field(False, description="let a hub tokenizer run its own code")
    _base: Path = PrivateAttr(default=Path())

    @field_validator("date", mode="before")
    @classmethod
    def _is_a_day(cls, value: object) -> object:
        """A day of the calendar; YAML reads an unquoted one as a date."""
        return (value if isinstance(value, Date) else Date.fromisoformat(str(value))).isoformat()

    @property
    def is_plain_text(self) -> bool:
        """Whether every source is plain text, which no chat template touches."""
        return all(source.format == "text" for source in self.sources)

    def resolve_path(self, path: str) -> str:
        """A path of this config: relative to the folder of its file, `~` is the home folder, URLs stay."""
        return path if "://" in path else str(self._base / Path(path).expanduser())

    def resolve_if_exists(self, name: str) -> str:
        """A name that may be a path: located where there is such a file or folder, else as it is."""
        path = self.resolve_path(name)
        return path if Path(path).exists() else name

    def resolved_sources(self) -> tuple[SourceConfig, ...]:
        """The sources with their paths located. ORG/NAME stays where there is no such path: it is a hub id."""
        return tuple(source.model_copy(update={"path": self._resolve_data(source.path)}) for source in self.sources)

    def resolved_evaluations(self) -> tuple[SourceConfig, ...]:
        """The evaluation files as sources, with their paths located."""
        return tuple(
            SourceConfig(**{**file.model_dump(), "path": self._resolve_data(file.path)})
            for file in self.decontaminate.against
        )

    def _resolve_data(self, path: str) -> str:
        return self.resolve_if_exists(path) if is_hub_id(path) else self.resolve_path(path)

    @field_validator("sources", mode="before")
    @classmethod
    def _paths_are_sources(cls, value: object) -> object:
        """A bare path stands for a source with nothing else set."""
        return _with_paths(value)

    @field_validator("out", mode="before")
    @classmethod
    def _path_is_out(cls, value: object) -> object:
        """A bare path stands for an output with nothing else set."""
        return {"path": value} if isinstance(value, str) else value


def _with_paths(value: object) -> object:
    """A list of settings in which paths may stand bare; one entry may stand without a list."""
    if isinstance(value, (str, Mapping)):
        value = [value]
    if isinstance(value, Sequence):
        return [{"path": item} if isinstance(item, str) else item for item in value]
    return value


PATH_GROUPS = ("out",)  # groups that may be written as a bare path


def load_config(
    path: str | Path,
    overrides: Sequence[str] = (),
    defaults: Mapping[str, Any] = {},
    options: Mapping[str, Any] = {},
) -> Config:
    """Read a YAML file and apply `dotted.key=value` overrides, then `options` by their dotted names. Paths are
    relative to the file.

    `defaults` holds what stands in for required keys that the file leaves out, where nothing will read them.
    Raises ConfigError naming every problem of the file and the overrides at once.
    """
    path = Path(path)
    settings = read_settings(path, "`tokenizer:`, `sources:` and `out:`")
    for override in overrides:
        apply_override(settings, override, PATH_GROUPS)
    for name, value in options.items():
        set_nested(settings, name, value, name, PATH_GROUPS)
    config = parse_config({**defaults, **settings}, str(path))
    config._base = path.parent
    return config


def parse_config(settings: Mapping[str, Any], where: str = "config") -> Config:
    """Check settings and give the Config. Raises ConfigError naming every problem at once."""
    return check_settings(Config, settings, where)


def is_hub_id(path: str) -> bool:
    """Whether a path has the form ORG/NAME, without a file's suffix or a pattern."""
    return (
        path.count("/") == 1
        and not path.startswith((".", "~", "/"))
        and not set(path) & set("*?[")
        and (Path(path).suffix == "")
    )
