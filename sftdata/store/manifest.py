"""The manifest: the JSON file that describes a dataset. It is written last; a folder without it is not a dataset."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError, field_validator, model_validator

from sftdata.errors import DatasetError, pluralize
from sftdata.files.atomic import MANIFEST_NAME, MAX_MANIFEST_BYTES, file_sha256, write_bytes
from sftdata.files.copies import copy_of
from sftdata.files.inside import is_plain_name
from sftdata.files.regular import regular_file, shorten
from sftdata.files.strict_json import read_object
from sftdata.store.config_parts import ConfigParts, Name, first_problem
from sftdata.store.shards import ShardStats
from sftdata.store.shards import SplitStats as SplitStats

SCHEMA_VERSION = 1
MAX_VOCAB_SIZE = 1 << 24  # a mask over the vocabulary stays small
HASH_KEY = "manifest_hash"  # sha256 of the rest of the manifest, see `hash_of_manifest`


class _First(FailFast):
    """Of a list, one wrong entry is reported and not a million. (Hashable, as `| None` requires.)"""

    __hash__ = object.__hash__


FIRST = _First()
Count = Annotated[int, Field(strict=True, ge=0, le=2**53)]
ShardCount = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
TokenId = Annotated[int, Field(strict=True, ge=0, lt=MAX_VOCAB_SIZE)]
TokenIds = Annotated[tuple[TokenId, ...], FIRST]
Prompt = Annotated[tuple[TokenId, ...], FIRST, Field(min_length=1)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Weight = Annotated[float, Field(strict=True, ge=0)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Entry(BaseModel):
    """A part of the manifest: immutable, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class FileEntry(Entry):
    """A file of the dataset: its path relative to the dataset folder (with /), size and checksum."""

    path: str
    size_bytes: Count
    sha256: Sha256

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        """Reject paths that lead out of the dataset folder."""
        if not is_plain_name(path) or path.startswith(".") or path == MANIFEST_NAME:
            raise ValueError("must be a path within the dataset folder")
        return path

    def check(self, folder: str | Path) -> None:
        """Compare the file with this entry.

        Raises DatasetError if it is not a regular file in the folder, or differs in size or content.
        """
        path = Path(folder, self.path)
        hint = "copy it again from the original dataset, or prepare the dataset again"
        if copy_of(folder) is None and not os.path.lexists(path):
            raise DatasetError(str(path), "is listed in the manifest, but does not exist", hint)
        regular_file(path, folder, self.size_bytes)
        if file_sha256(path) != self.sha256:
            raise DatasetError(str(path), "does not match its checksum in the manifest: its content has changed", hint)


class ShardEntry(FileEntry):
    """A shard and its contents in numbers."""

    split: Name
    rows: ShardCount
    samples: ShardCount
    tokens: ShardCount
    trained_tokens: ShardCount

    @model_validator(mode="after")
    def _adds_up(self) -> ShardEntry:
        """Reject numbers that no shard can have: each row has a sample, and each sample a token."""
        if not self.rows <= self.samples <= self.tokens or self.trained_tokens > self.tokens:
            raise ValueError("must have a sample in each row, a token in each sample, and no more trained tokens")
        return self

    @classmethod
    def of(cls, path: str, split: str, stats: ShardStats) -> ShardEntry:
        """The entry for a shard that was written to `path` within the folder."""
        return cls(
            path=path,
            split=split,
            rows=stats.rows,
            samples=stats.samples,
            tokens=stats.tokens,
            trained_tokens=stats.trained_tokens,
            size_bytes=stats.size_bytes,
            sha256=stats.sha256,
        )


class LedgerEntry(FileEntry):
    """A file of the ledger; one row per input row."""

    rows: Count


class TokenizerEntry(Entry):
    """The tokenizer, with the token ids that verification needs."""

    source: str  # as configured
    sha256: Sha256  # of tokenizer/tokenizer.json
    vocab_size: Annotated[int, Field(strict=True, ge=1, le=MAX_VOCAB_SIZE)]  # highest id + 1, including added tokens
    bos_id: TokenId | None = None
    eos_id: TokenId | None = None
    pad_id: TokenId | None = None
    end_of_turn_ids: TokenIds = ()  # a trained run ends in one of these, and contains no other
    control_ids: TokenIds = ()  # message text is never encoded to these
    answer_control_ids: TokenIds | None = None  # those that the template writes inside answers; None: unknown
    generation_prompts: Annotated[
        tuple[Prompt, ...], FailFast()
    ] = ()  # one of them comes directly before each trained run


class TemplateEntry(Entry):
    """The chat template."""

    source: str  # as configured; auto is the tokenizer's own template
    sha256: Sha256  # of tokenizer/chat_template.jinja


class ControlString(Entry):
    """How often the string of a control token was found in messages of a role and encoded as text.

    The role is `tools` for tool descriptions.
    """

    string: str
    role: str
    count: Count


class EncodingEntry(Entry):
    """What encoding found and changed, over all records that reached it, including those dropped later."""

    encoder: str  # fastokens or tokenizers; both give the same shards
    control_strings: Annotated[tuple[ControlString, ...], FIRST] = ()  # most frequent first
    trailing_control: dict[str, Count] = Field(default_factory=dict)  # control string -> answers that end in it
    only_control: Count = 0  # answers that are nothing but such an ending
    foreign_ends: Count = 0  # rows with an answer that ends in one behind something else; exact duplicates too
    added_system: dict[str, Count] = Field(default_factory=dict)  # a template's own system prompt -> packed rows
    first_rows: dict[str, str] = Field(default_factory=dict)  # of foreign_ends, added_system: "file:line"
    stripped_answers: Count = 0  # answers from which such an ending was stripped
    split_conversations: Count = 0  # by overlong: split
    overlong_turns: Count = 0  # turns of split conversations that do not fit into a row even alone: not trained
    split_texts: Count = 0  # by overlong: split
    cut_answers: Count = 0  # by overlong: truncate
    lost_context: dict[str, Count] = Field(default_factory=dict)  # rows trained behind prompts without it, by what
    left_out: dict[str, Count] = Field(default_factory=dict)  # reason -> turns of rows that are trained without them
    unwritten: dict[str, Count] = Field(default_factory=dict)  # "messages: name" and the like -> how many
    reasoning: dict[str, Count] = Field(default_factory=dict)  # "read: <thinking>" and the like -> answers
    thinking: dict[str, Count] = Field(default_factory=dict)  # "off: enable_thinking=false" and the like -> rows
    rendered: dict[str, Count] = Field(default_factory=dict)  # family of templates -> messages in its marks
    media_marks: Count = 0  # messages that begin or end with the mark of a picture or a sound, such as <image>
    tools_twice: Count = 0  # rows whose system message lists the tools too
    developer_as_system: Count = 0  # developer messages that the template writes as system messages
    unused_messages: Count = 0  # after the last trained turn of a record
    arguments: dict[str, Count] = Field(default_factory=dict)  # "object from text" and the like -> calls given so
    made_call_ids: Count = 0  # calls, by tool_call_ids: make
    as_text: dict[str, Count] = Field(default_factory=dict)  # by tool_calls: inline, by what
    joined_texts: Count = 0  # rows with contents that are lists of texts, joined with line breaks
    ways_out: dict[str, str] = Field(default_factory=dict)  # reason -> a setting that trains rows dropped for it


class UnusedEntry(Entry):
    """A column of a source, or a key of its turns ("messages[].name"), that nothing uses: rows that give it a value.

    Rows that reading drops are not counted.
    """

    source: str  # as configured
    column: str
    rows: Count


class CallsEntry(Entry):
    """Tool calls in the texts of a source: rows in which all of these forms had this fate.

    They are parsed, or left as text: because `tool_calls_in_text` says so (kept), because the template writes no calls
    (unwritten), or because the form is not known for sure (unread). Rows that reading drops are not counted.
    """

    source: str  # as configured
    fate: Literal["parsed", "kept", "unwritten", "unread"]
    forms: tuple[str, ...]  # of calls and of what is around results, such as <tool_call> and <tool_response>
    rows: Count


class Counts(Entry):
    """Row counts: rows_read = packed + the sum of dropped (stage -> reason -> rows).

    `examples` has the first row dropped for each reason: reason -> "file:line".
    """

    rows_read: Count = 0
    packed: Count = 0
    dropped: dict[str, dict[str, Count]] = Field(default_factory=dict)
    examples: dict[str, str] = Field(default_factory=dict)

    @property
    def num_dropped(self) -> int:
        """All dropped rows."""
        return sum(sum(reasons.values()) for reasons in self.dropped.values())

    def dropped_as(self, reason: str) -> int:
        """The rows dropped for a reason."""
        return sum(reasons.get(reason, 0) for reasons in self.dropped.values())


class MixtureEntry(Entry):
    """The requested and actual share of one source in the training split, after all other steps."""

    source: Name  # path of the source, as configured
    asked: (
        Annotated[float, Field(strict=True, ge=0)] | None
    )  # requested share of the trained tokens; None without weights
    got: Share  # actual share
    records: Count  # records used at least once
    copies: Count  # records used, counting repeats
    trained_tokens: Count  # over all copies
    available_tokens: Count  # trained tokens that max_records and repeat allow


class PackingEntry(Entry):
    """How full the packed rows are: fill = tokens / (rows * seq_len)."""

    strategy: str
    rows: Count
    fill: Share

    @classmethod
    def of(cls, strategy: str, seq_len: int, shards: Iterable[ShardEntry]) -> PackingEntry:
        """The packing entry for these shards."""
        shards = tuple(shards)
        rows = sum(shard.rows for shard in shards)
        tokens = sum(shard.tokens for shard in shards)
        return cls(strategy=strategy, rows=rows, fill=tokens / (rows * seq_len) if rows else 0.0)


class Manifest(Entry):
    """The description of a dataset.

    The same config on the same data gives the same bytes: there are no timestamps and no local paths in it.
    """

    shown_by: ClassVar[Callable[[Manifest], str] | None] = None  # set by the room that shows datasets

    schema_version: int = SCHEMA_VERSION
    dataset_hash: Sha256  # of the shards: the same shards give the same hash
    seed: Annotated[int, Field(strict=True, ge=0)]
    seq_len: Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
    shards: Annotated[tuple[ShardEntry, ...], FIRST]
    ledger: Annotated[tuple[LedgerEntry, ...], FIRST]
    files: Annotated[tuple[FileEntry, ...], FIRST] = ()  # all other files: tokenizer/
    tokenizer: TokenizerEntry
    template: TemplateEntry | None  # None if every source is plain text
    encoding: EncodingEntry | None = None  # None if the dataset was not written by `prepare`
    config: dict[str, Any]  # resolved, without out.path
    versions: dict[str, str]  # of sftdata and its dependencies
    counts: Counts
    notes: Annotated[
        tuple[str, ...], FailFast()
    ] = ()  # what of the sources is not read: other splits, files that are no data
    unused: Annotated[
        tuple[UnusedEntry, ...], FailFast()
    ] = ()  # sources as configured, columns in order of their names
    calls_in_text: Annotated[tuple[CallsEntry, ...], FIRST] = ()
    # Kind of personal data -> findings, in packed rows and rows dropped for it.
    privacy: dict[str, Count] = Field(default_factory=dict)
    # One entry per source; empty if no mixture is configured.
    mixture: Annotated[tuple[MixtureEntry, ...], FailFast()] = ()
    packing: PackingEntry

    @field_validator("config")
    @classmethod
    def _can_be_used(cls, config: dict[str, Any]) -> dict[str, Any]:
        """Reject settings of a wrong type, of those that a reader uses."""
        ConfigParts.of(config)
        return config

    @cached_property
    def parts(self) -> ConfigParts:
        """Those of the settings that a reader uses."""
        return ConfigParts.of(self.config)

    @property
    def splits(self) -> dict[str, SplitStats]:
        """Statistics of each split, in the order of the shards."""
        by_name: dict[str, list[ShardEntry]] = {}
        for shard in self.shards:
            by_name.setdefault(shard.split, []).append(shard)
        return {name: SplitStats.of(shards) for name, shards in by_name.items()}

    @property
    def text_sources(self) -> frozenset[str]:
        """The `path` of each source with format `text`. All tokens of its samples are trained."""
        return frozenset(source.path for source in self.parts.sources if source.format == "text")

    def __repr__(self) -> str:
        counts, tokens = self.counts, sum(shard.tokens for shard in self.shards)
        rows = f"{pluralize(counts.rows_read, 'row')} read, {counts.packed:,} packed, {counts.num_dropped:,} dropped"
        trained = sum(shard.trained_tokens for shard in self.shards)
        size = f"{pluralize(len(self.shards), 'shard')}, {pluralize(tokens, 'token')}, {trained:,} trained"
        return f"<Manifest: {rows}; {size}; dataset hash {self.dataset_hash[:12]}>"

    __str__ = __repr__

    def _repr_html_(self) -> str | None:
        show = type(self).shown_by
        return None if show is None else show(self)

    def listed_files(self) -> tuple[FileEntry, ...]:
        """All files of the dataset except the manifest."""
        return (*self.shards, *self.ledger, *self.files)

    def to_json(self) -> bytes:
        """The manifest as indented JSON, with its own hash; equal manifests give the same bytes."""
        payload = self.model_dump(mode="json")
        payload[HASH_KEY] = hash_of_manifest(payload)
        return (json.dumps(payload, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")

    def save(self, folder: str | Path) -> str:
        """Write manifest.json into the folder atomically and return its sha256. Raises OutputError."""
        return write_bytes(Path(folder, MANIFEST_NAME), self.to_json())

    @staticmethod
    def load(folder: str | Path) -> Manifest:
        """Read the manifest of a dataset.

        Raises DatasetError if the folder is not a dataset, has an unsupported schema version, or has a manifest that
        cannot be one.
        """
        path = Path(folder, MANIFEST_NAME)
        payload = read_payload(folder)
        payload.pop(HASH_KEY, None)  # `consistency.check_hash` compares it
        version = payload.get("schema_version")
        if version != SCHEMA_VERSION or isinstance(version, bool):
            raise DatasetError(
                str(path),
                f"has schema version {shorten(repr(version), 50)}, but this version of sftdata supports only"
                f" {SCHEMA_VERSION}",
                "update sftdata, or prepare the dataset again",
            )
        try:
            return Manifest.model_validate(payload)
        except ValidationError as error:
            what = f"is not a manifest ({first_problem(error)})"
            raise DatasetError(str(path), what, "prepare the dataset again") from error


def hash_of_manifest(payload: Mapping[str, Any]) -> str:
    """The hash of a manifest's content, however its JSON is written: sha256 over all keys but HASH_KEY, sorted."""
    content = {key: value for key, value in payload.items() if key != HASH_KEY}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def hash_of_shards(shards: Iterable[ShardEntry]) -> str:
    """The dataset's hash: sha256 over each shard's path and checksum, in the order of the paths."""
    digest = hashlib.sha256()
    for path, sha256 in sorted((shard.path, shard.sha256) for shard in shards):
        digest.update(f"{path}\0{sha256}\n".encode())
    return digest.hexdigest()


def read_payload(folder: str | Path) -> dict[str, Any]:
    """The JSON object in the manifest of a dataset. Raises DatasetError if there is none."""
    folder, path = Path(folder), Path(folder, MANIFEST_NAME)
    if not os.path.isdir(folder):  # noqa: PTH112 (false, not an error, where the name is too long)
        what = "is not a folder" if os.path.lexists(folder) else "does not exist"
        raise DatasetError(shorten(str(folder)), what, "give a folder written by `sftdata prepare`")
    if not os.path.lexists(path):
        what = f"contains no {MANIFEST_NAME}, so it is not a complete dataset"
        raise DatasetError(str(folder), what, "run `sftdata prepare` until it finishes")
    return read_object(path, folder, MAX_MANIFEST_BYTES)
