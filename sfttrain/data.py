"""The shards as sfttrain reads them: checked against the manifest, then mapped into memory as they are."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sftdata.errors import DatasetError, SftDataError
from sftdata.store.manifest import Manifest, SplitStats, hash_of_shards
from sftdata.store.shards import read_shard

if TYPE_CHECKING:
    from datasets import Dataset

TRAIN = "train"
VALIDATION = "validation"
TOKENIZER = "tokenizer"  # the folder of the dataset's tokenizer


@dataclass(frozen=True, slots=True)
class Shards:
    """A dataset that was found whole."""

    path: Path
    manifest: Manifest

    @property
    def tokenizer(self) -> Path:
        """The folder with the tokenizer and chat template that the samples were made with."""
        return self.path / TOKENIZER

    def rows(self, split: str) -> Dataset | None:
        """The packed rows of a split, mapped into memory; None where it has none.

        Columns: input_ids, labels (-100 where not trained) and seq_lengths, which tells the samples of a row apart.
        """
        from datasets import Dataset, concatenate_datasets

        files = [self.path / shard.path for shard in self.manifest.shards if shard.split == split and shard.rows]
        if not files:
            return None
        rows = concatenate_datasets([Dataset.from_file(str(file)) for file in files])
        return rows.select_columns(["input_ids", "labels", "seq_lengths"])


def open_shards(path: str | Path, *, checksums: bool = True) -> Shards:
    """The dataset in a folder, after every file that training reads was held against the manifest.

    Raises DatasetError where there is no manifest, its schema version is unknown, a file differs from its checksum
    (`checksums=False` skips reading the files for that), or nothing would be trained.
    """
    folder = Path(path)
    manifest = Manifest.load(folder)
    if manifest.dataset_hash != hash_of_shards(manifest.shards):
        raise DatasetError(str(folder), "its dataset_hash is not that of its shards", "prepare the dataset again")
    if checksums:
        for entry in manifest.shards:
            entry.check(folder)
            read_shard(folder / entry.path)
        for file in manifest.files:
            if file.path.startswith(f"{TOKENIZER}/"):
                file.check(folder)
    tokenizer = folder / TOKENIZER / "tokenizer.json"
    if checksums and manifest.tokenizer.sha256 != _listed(manifest, f"{TOKENIZER}/tokenizer.json"):
        raise DatasetError(str(tokenizer), "is not the tokenizer of the manifest", "prepare the dataset again")
    train = manifest.splits.get(TRAIN)
    if train is None or train.rows == 0:
        raise DatasetError(str(folder), "has no rows in its train split", "see its ledger for why rows were dropped")
    if train.trained_tokens == 0:
        raise DatasetError(str(folder), "no token of its train split is trained", "see `sftdata inspect` for the masks")
    return Shards(folder, manifest)


def read_vocabulary(path: Path, fault: type[SftDataError]) -> dict[str, int]:
    """Token -> id of a tokenizer.json, added tokens included, whichever of its forms the file has.

    Raises `fault` where the file cannot be read or is no tokenizer.json.
    """
    try:
        content = json.loads(path.read_bytes())
        vocab = content["model"]["vocab"]
        pairs = (
            vocab.items() if isinstance(vocab, dict) else [(entry[0], id) for id, entry in enumerate(vocab)]
        )  # Unigram
        tokens = dict(pairs)
        tokens.update({added["content"]: added["id"] for added in content.get("added_tokens") or ()})
    except OSError as error:
        raise fault(str(path), f"cannot be read ({error.strerror})", "check the file") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise fault(str(path), "is not a tokenizer.json", "restore the file") from error
    return tokens


def _listed(manifest: Manifest, path: str) -> str | None:
    """The checksum that the manifest lists for a file."""
    return next((file.sha256 for file in manifest.files if file.path == path), None)


@dataclass(frozen=True, slots=True)
class BatchShape:
    """How many rows an optimizer step sees, and how they are spread."""

    rows_per_device: int
    accumulation: int
    world_size: int
    row_tokens: float  # of a row, on average
    num_rows: int
    seq_len: int

    @property
    def rows(self) -> int:
        """Rows a step sees, over all processes."""
        return self.rows_per_device * self.accumulation * self.world_size

    @property
    def tokens(self) -> int:
        """Tokens a step sees, about."""
        return round(min(self.rows, self.num_rows) * self.row_tokens)

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every row is seen once."""
        batches = math.ceil(self.num_rows / (self.rows_per_device * self.world_size))
        return math.ceil(batches / self.accumulation)

    def steps(self, epochs: float | None, max_steps: int | None) -> int:
        """Steps of a run of so many epochs, or of `max_steps`."""
        return max_steps or math.ceil((epochs or 1) * self.steps_per_epoch)

    def describe(self, batch_tokens: int) -> str:
        """The shape in words, beside what was asked for."""
        spread = f"{self.rows_per_device} a process x {self.accumulation} accumulated x {self.world_size} process"
        asked = f"batch_tokens asks for {batch_tokens:,}"
        return (
            f"a step sees {self.rows:,} rows ({spread}{'es' if self.world_size > 1 else ''}), "
            f"about {self.tokens:,} tokens ({asked}); {self.steps_per_epoch:,} steps an epoch"
        )


def batch_shape(
    facts: SplitStats, seq_len: int, batch_tokens: int, world_size: int, rows_per_device: int | None = None
) -> BatchShape:
    """The shape whose steps come nearest to `batch_tokens`: at least one row for each process, at most all rows.

    A process takes as many rows at a time as make up one full row: one packed row, or many short unpacked ones, as
    attention without a special kernel costs the square of what is taken at a time. `rows_per_device` overrides that.
    """
    row_tokens = facts.tokens / facts.rows
    wanted = max(1, round(batch_tokens / (row_tokens * world_size)))  # rows a process
    available = math.ceil(facts.rows / world_size)
    if rows_per_device is None:
        rows_per_device = max(1, min(int(seq_len // row_tokens), wanted, available))
    accumulation = max(1, round(min(wanted, available) / rows_per_device))
    return BatchShape(rows_per_device, accumulation, world_size, row_tokens, facts.rows, seq_len)
