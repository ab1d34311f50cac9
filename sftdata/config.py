"""The settings of `sftdata prepare`: YAML, command line or Python -> Config, with every problem reported at once."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sftdata.errors import ConfigError

FORMATS = Literal["auto", "messages", "sharegpt", "alpaca", "prompt_completion", "text"]


class Settings(BaseModel):
    """A group of settings. Unknown keys are an error; nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceConfig(Settings):
    """Where rows come from and how to read them."""

    path: str = Field(description="file, glob, folder, URL of any fsspec store, or hf://datasets/ORG/NAME")
    format: FORMATS = Field("auto", description="the rows' format; auto decides for every row by itself")
    columns: dict[str, str] = Field(
        default_factory=dict, description="the format's field -> the column that holds it, e.g. {prompt: question}"
    )
    system: str | None = Field(None, description="a system prompt for conversations that have none")
    keep: tuple[str, ...] = Field((), description="columns to copy into the ledger")
    split: str = Field("train", description="the split to read of a hub dataset")
    subset: str | None = Field(None, description="the configuration (subset) to read of a hub dataset")


class DedupConfig(Settings):
    """Which repeated conversations are dropped."""

    exact: bool = Field(True, description="drop a conversation whose canonical text stands earlier in the data")


class PackConfig(Settings):
    """How samples are put together into rows."""

    seq_len: int = Field(2048, ge=8, description="tokens a row holds at most")
    strategy: Literal["best_fit", "none"] = Field("best_fit", description="best_fit, or none: one sample a row")


class SplitConfig(Settings):
    """What is held out for validation."""

    validation: Annotated[Union[int, float], Field(ge=0)] = Field(
        0, description="a share below 1, or a number of conversations"
    )


class OutConfig(Settings):
    """Where the dataset goes."""

    path: str = Field(description="the folder to write")
    shard_tokens: int = Field(50_000_000, ge=1, description="tokens a shard holds, about")


class Config(Settings):
    """All of `sftdata prepare`."""

    tokenizer: str = Field(description="a folder or a hub id")
    sources: tuple[SourceConfig, ...] = Field(min_length=1, description="the data, in order")
    out: OutConfig
    template: str = Field("auto", description="auto: the tokenizer's own; a name in templates/; or a path")
    date: str | None = Field(
        None, pattern=r"^\d{4}-\d\d-\d\d$", description="YYYY-MM-DD, for templates that ask for today"
    )
    seed: int = Field(0, ge=0, description="orders the packed rows")
    dedup: DedupConfig = DedupConfig()
    split: SplitConfig = SplitConfig()
    pack: PackConfig = PackConfig()
    trust_remote_code: bool = Field(False, description="let a hub tokenizer run its own code")

    @field_validator("sources", mode="before")
    @classmethod
    def _paths_are_sources(cls, value: object) -> object:
        """A bare path stands for a source with nothing else set."""
        if isinstance(value, (str, Mapping)):
            value = [value]
        if isinstance(value, Sequence):
            return [{"path": item} if isinstance(item, str) else item for item in value]
        return value

    @field_validator("out", mode="before")
    @classmethod
    def _path_is_out(cls, value: object) -> object:
        """A bare path stands for an output with nothing else set."""
        return {"path": value} if isinstance(value, str) else value


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file and apply `dotted.key=value` overrides. Paths in the file are relative to the file.

    Raises ConfigError naming every problem of the file and the overrides at once.
    """
    path = Path(path)
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(str(path), error.strerror or str(error), "give the path of a YAML file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), "is not UTF-8 text", "give a YAML file, or data files with --tokenizer") from error
    except yaml.YAMLError as error:
        line = getattr(error, "problem_mark", None)
        where = f"{path}:{line.line + 1}" if line else str(path)
        raise ConfigError(where, "is not YAML: " + " ".join(str(error).split()), "mend the file") from error
    if not isinstance(settings, dict):
        raise ConfigError(str(path), "holds no settings", "start with `tokenizer:`, `sources:` and `out:`")
    settings = resolve_paths(settings, path.parent)
    for override in overrides:
        apply_override(settings, override)
    return parse_config(settings, str(path))


def parse_config(settings: Mapping[str, Any], where: str = "config") -> Config:
    """Check settings and give the Config. Raises ConfigError naming every problem at once."""
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(where, describe_problems(error, Config)) from error


def describe_problems(error: ValidationError, root: type[BaseModel]) -> str:
    """All problems pydantic found, one a line where there are several, unknown keys with a suggestion."""
    problems = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"] if not str(part).startswith("function-"))
        if item["type"] == "extra_forbidden":
            problems.append(f"{key} is not a setting" + _suggestion(item["loc"], root))
        elif item["type"] == "missing":
            problems.append(f"{key} is required")
        else:
            problems.append(f"{key}: {item['msg'][0].lower()}{item['msg'][1:]} (got {item['input']!r})")
    if len(problems) == 1:
        return problems[0]
    return f"{len(problems)} problems:\n" + "\n".join(f"  - {problem}" for problem in problems)


def _suggestion(loc: tuple[int | str, ...], root: type[BaseModel]) -> str:
    """`; did you mean pack.seq_len?` where a known key of the same group is near."""
    group: type[BaseModel] | None = root
    for part in loc[:-1]:
        if isinstance(part, int) or group is None:
            continue
        field = group.model_fields.get(str(part))
        group = _group_of(field.annotation) if field else None
    known = list(group.model_fields) if group else []
    near = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.5)
    if not near:
        return f"; the settings here are {', '.join(known)}" if known else ""
    return "; did you mean " + ".".join([*(str(part) for part in loc[:-1]), near[0]]) + "?"


def _group_of(annotation: object) -> type[BaseModel] | None:
    """The group of settings inside an annotation such as `tuple[SourceConfig, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((group for arg in get_args(annotation) if (group := _group_of(arg))), None)


def apply_override(settings: dict[str, Any], override: str) -> None:
    """Set `dotted.key=value` in nested settings; the value is read as YAML; numbers index lists.

    Raises ConfigError where the text is no assignment or the key runs through a plain value.
    """
    dotted, equals, value = override.partition("=")
    if not equals or not dotted:
        raise ConfigError(override, "is neither a file nor a setting", "write settings as dotted.key=value")
    *parents, last = dotted.split(".")
    node: Any = settings
    for part in parents:
        node = _descend(node, part, override)
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(override, "the value is not YAML", "quote it") from error
    if isinstance(node, list):
        if not last.isdigit() or int(last) >= len(node):
            raise ConfigError(override, f"there is no entry {last} in a list of {len(node)}")
        node[int(last)] = parsed
    else:
        node[last] = parsed


def _descend(node: Any, part: str, override: str) -> Any:
    """The settings under `part`, made where absent; a bare path under `out` becomes a group."""
    if isinstance(node, list):
        if not part.isdigit() or int(part) >= len(node):
            raise ConfigError(override, f"there is no entry {part} in a list of {len(node)}")
        if isinstance(node[int(part)], str):
            node[int(part)] = {"path": node[int(part)]}
        return node[int(part)]
    child = node.setdefault(part, {})
    if isinstance(child, str) and part == "out":
        child = node[part] = {"path": child}
    if not isinstance(child, (dict, list)):
        raise ConfigError(override, f"{part} holds a plain value, not settings")
    return child


def resolve_paths(settings: dict[str, Any], base: Path) -> dict[str, Any]:
    """Settings whose relative local paths are made relative to `base`; hub ids and URLs stay."""
    settings = dict(settings)
    for key in ("tokenizer", "template"):
        value = settings.get(key)
        if isinstance(value, str) and (base / value).exists():
            settings[key] = str(base / value)
    sources = settings.get("sources")
    if isinstance(sources, (str, dict)):
        sources = [sources]
    if isinstance(sources, list):
        settings["sources"] = [_resolve(item, base) for item in sources]
    if "out" in settings:
        settings["out"] = _resolve(settings["out"], base)
    return settings


def _resolve(entry: Any, base: Path) -> Any:
    """A path, or a group with a path, relative to `base`."""
    if isinstance(entry, str):
        return entry if "://" in entry else str(base / entry)
    if isinstance(entry, dict) and isinstance(entry.get("path"), str):
        return {**entry, "path": _resolve(entry["path"], base)}
    return entry
