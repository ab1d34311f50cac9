"""The manifest: what a dataset is, in one JSON file that is written last. A folder without it is not a dataset."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sftdata.errors import DatasetError
from sftdata.files.atomic import MANIFEST_NAME, file_sha256, write_bytes
from sftdata.store.shards import ShardStats

SCHEMA_VERSION = 1

Count = Annotated[int, Field(ge=0)]
TokenId = Annotated[int, Field(ge=0)]
Prompt = Annotated[tuple[TokenId, ...], Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Entry(BaseModel):
    """A part of the manifest. Unknown keys are refused; nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(Entry):
    """A file of the dataset: its path within the folder (with /), size and checksum."""

    path: str
    size_bytes: Count
    sha256: Sha256

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        """Paths lead into the dataset's folder, nowhere else."""
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or "\\" in path or ":" in path:
            raise ValueError("must be a path within the dataset's folder")
        return path

    def check(self, folder: str | Path) -> None:
        """Hold the file against this entry. Raises DatasetError where it is absent, shorter, longer or different."""
        path = Path(folder, self.path)
        hint = "copy it again from where it was made, or prepare the dataset again"
        if not path.is_file():
            raise DatasetError(str(path), "is in the manifest, but not there", hint)
        size_bytes = path.stat().st_size
        if size_bytes != self.size_bytes:
            raise DatasetError(str(path), f"holds {size_bytes} bytes instead of {self.size_bytes}", hint)
        if file_sha256(path) != self.sha256:
            raise DatasetError(str(path), "has another checksum than the manifest: its content was changed", hint)


class ShardEntry(FileEntry):
    """A shard, with what it holds."""

    split: str
    rows: Count
    samples: Count
    tokens: Count
    trained_tokens: Count

    @classmethod
    def of(cls, path: str, split: str, stats: ShardStats) -> ShardEntry:
        """The entry of a shard just written to `path` within the folder."""
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
    """The tokenizer, and what of it proves the masks."""

    source: str  # as configured
    sha256: Sha256  # of tokenizer/tokenizer.json
    vocab_size: Annotated[int, Field(ge=1)]  # the highest id + 1, added tokens included
    bos_id: TokenId | None = None
    eos_id: TokenId | None = None
    pad_id: TokenId | None = None
    end_of_turn_ids: tuple[TokenId, ...] = ()  # a trained run ends in one of these, and holds no other of them
    control_ids: tuple[TokenId, ...] = ()  # never made from a message's text
    answer_control_ids: tuple[TokenId, ...] | None = None  # those the template writes inside answers; None: not known
    generation_prompts: tuple[Prompt, ...] = ()  # one of them stands directly before each trained run


class TemplateEntry(Entry):
    """The chat template."""

    source: str  # as configured; auto is the tokenizer's own
    sha256: Sha256  # of tokenizer/chat_template.jinja


class ControlString(Entry):
    """A control token's text in messages of one role (`tools` for tool descriptions), where it stayed text."""

    string: str
    role: str
    count: Count


class EncodingEntry(Entry):
    """What encoding met and did besides the samples, over all records that came so far, packed or dropped later."""

    encoder: str  # fastokens or tokenizers; the shards are the same with either
    control_strings: tuple[ControlString, ...] = ()  # the most frequent first
    trailing_control: dict[str, Count] = Field(default_factory=dict)  # answers that end in a control string, by string
    stripped_answers: Count = 0  # freed of such an end
    split_conversations: Count = 0  # overlong: split
    overlong_turns: Count = 0  # of these conversations, trained in no sample: not even alone do they fit
    cut_answers: Count = 0  # overlong: truncate


class Counts(Entry):
    """The fate of every input row: rows_read is packed plus all of dropped (stage -> reason -> rows).

    `examples` names the first row that was dropped for each reason: reason -> "file:line".
    """

    rows_read: Count = 0
    packed: Count = 0
    dropped: dict[str, dict[str, Count]] = Field(default_factory=dict)
    examples: dict[str, str] = Field(default_factory=dict)

    @property
    def num_dropped(self) -> int:
        """Rows dropped, for whatever reason."""
        return sum(sum(reasons.values()) for reasons in self.dropped.values())


class MixtureEntry(Entry):
    """What one source was asked for and gave to the training split, after every other step."""

    source: str  # its path, as configured
    asked: float | None  # share of the trained tokens; None without weights
    got: Annotated[float, Field(ge=0, le=1)]
    records: Count  # used at least once
    copies: Count  # uses of records
    trained_tokens: Count  # in all copies
    available_tokens: Count  # trained tokens that max_records and repeat would have allowed


class PackingEntry(Entry):
    """How full the rows are: fill is the share of rows * seq_len that holds tokens."""

    strategy: str
    rows: Count
    fill: Annotated[float, Field(ge=0, le=1)]

    @classmethod
    def of(cls, strategy: str, seq_len: int, shards: Iterable[ShardEntry]) -> PackingEntry:
        """The packing of these shards."""
        shards = tuple(shards)
        rows = sum(shard.rows for shard in shards)
        tokens = sum(shard.tokens for shard in shards)
        return cls(strategy=strategy, rows=rows, fill=tokens / (rows * seq_len) if rows else 0.0)


class SplitStats(Entry):
    """What one split holds."""

    shards: int
    rows: int
    samples: int
    tokens: int
    trained_tokens: int


class Manifest(Entry):
    """What a dataset is. Two runs of one config on the same data give the same bytes: no times, no machine's paths."""

    schema_version: int = SCHEMA_VERSION
    dataset_hash: Sha256  # of the shards: equal shards, equal hash
    seed: Count
    seq_len: Annotated[int, Field(ge=1)]
    shards: tuple[ShardEntry, ...]
    ledger: tuple[LedgerEntry, ...]
    files: tuple[FileEntry, ...] = ()  # everything else in the folder: tokenizer/, report.html
    tokenizer: TokenizerEntry
    template: TemplateEntry | None  # None where every source is plain text
    encoding: EncodingEntry | None = None  # None where something else than `prepare` wrote the dataset
    config: dict[str, Any]  # resolved, without out.path
    versions: dict[str, str]  # of the tools
    counts: Counts
    privacy: dict[str, Count] = Field(default_factory=dict)  # personal data by kind, in rows packed or dropped for it
    mixture: tuple[MixtureEntry, ...] = ()  # a line for each source; empty where nothing was asked for
    packing: PackingEntry

    @property
    def splits(self) -> dict[str, SplitStats]:
        """Facts of each split, in the order of the shards."""
        names = dict.fromkeys(shard.split for shard in self.shards)
        return {name: _split_stats([shard for shard in self.shards if shard.split == name]) for name in names}

    @property
    def text_sources(self) -> frozenset[str]:
        """The `path` of the sources whose format is `text`: their samples are trained on whole."""
        sources = self.config.get("sources", ())
        return frozenset(source["path"] for source in sources if source.get("format") == "text")

    def listed_files(self) -> tuple[FileEntry, ...]:
        """Every file of the dataset but the manifest."""
        return (*self.shards, *self.ledger, *self.files)

    def to_json(self) -> bytes:
        """The manifest as JSON for people: indented, always the same bytes."""
        payload = self.model_dump(mode="json")
        return (json.dumps(payload, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")

    def save(self, folder: str | Path) -> str:
        """Write manifest.json into the folder, whole or not at all, and give its sha256. Raises OutputError."""
        return write_bytes(Path(folder, MANIFEST_NAME), self.to_json())

    @staticmethod
    def load(folder: str | Path) -> Manifest:
        """Read the manifest of a dataset.

        Raises DatasetError where the folder is no dataset, or one of a schema version that this program does not know.
        """
        path = Path(folder, MANIFEST_NAME)
        payload = _read_json(Path(folder), path)
        version = payload.get("schema_version")
        if version != SCHEMA_VERSION:
            raise DatasetError(
                str(path),
                f"has schema version {version!r}, and this program knows {SCHEMA_VERSION} only",
                "update sftdata, or prepare the dataset again",
            )
        try:
            return Manifest.model_validate(payload)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            what = f"{key}: {first['msg'][:1].lower()}{first['msg'][1:]}"
            raise DatasetError(str(path), f"is not a manifest ({what})", "prepare the dataset again") from error


def hash_of_shards(shards: Iterable[ShardEntry]) -> str:
    """The dataset's hash: sha256 over each shard's path and checksum, in the order of the paths."""
    digest = hashlib.sha256()
    for path, sha256 in sorted((shard.path, shard.sha256) for shard in shards):
        digest.update(f"{path}\0{sha256}\n".encode())
    return digest.hexdigest()


def _read_json(folder: Path, path: Path) -> Mapping[str, Any]:
    """The JSON object in the manifest file."""
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "is not there"
        raise DatasetError(str(folder), what, "give the folder that `sftdata prepare` wrote")
    try:
        payload = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        what = f"holds no {MANIFEST_NAME}, so it is not a finished dataset"
        raise DatasetError(str(folder), what, "run `sftdata prepare` to its end") from error
    except OSError as error:
        raise DatasetError(str(path), f"cannot be read ({error.strerror})", "check the file") from error
    except ValueError as error:
        raise DatasetError(str(path), f"is not JSON ({error})", "prepare the dataset again") from error
    if not isinstance(payload, dict):
        raise DatasetError(str(path), "is not a JSON object", "prepare the dataset again")
    return payload


def _split_stats(shards: list[ShardEntry]) -> SplitStats:
    """The sums over a split's shards."""
    return SplitStats(
        shards=len(shards),
        rows=sum(shard.rows for shard in shards),
        samples=sum(shard.samples for shard in shards),
        tokens=sum(shard.tokens for shard in shards),
        trained_tokens=sum(shard.trained_tokens for shard in shards),
    )
