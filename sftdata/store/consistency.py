"""The manifest against itself and against the ledger: what it says twice is the same, and what can be counted is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sftdata.errors import DatasetError, pluralize
from sftdata.files.atomic import MANIFEST_NAME
from sftdata.files.regular import shorten
from sftdata.store.config_parts import ConfigParts
from sftdata.store.ledger import PREPARE_AGAIN, ledger_schema
from sftdata.store.manifest import (
    HASH_KEY,
    Manifest,
    MixtureEntry,
    PackingEntry,
    hash_of_manifest,
    hash_of_shards,
    read_payload,
)

TRAIN, VALIDATION = "train", "validation"
MAX_DIFFERENCE = 1e-9  # of shares, which are rounded when they are computed
# Reasons for which no row can be dropped with a setting that is off -> whether it is on.
SETTINGS_OF: dict[str, tuple[str, Callable[[ConfigParts], bool]]] = {
    "duplicate": ("dedup.exact", lambda parts: parts.dedup is None or parts.dedup.exact),
    "near_duplicate": ("dedup.near", lambda parts: parts.dedup is None or bool(parts.dedup.near)),
    "shared_prefix": ("dedup.prefix", lambda parts: parts.dedup is None or bool(parts.dedup.prefix)),
    "semantic_duplicate": ("dedup.semantic", lambda parts: parts.dedup is None or bool(parts.dedup.semantic)),
    "over_cap": ("dedup.caps", lambda parts: parts.dedup is None or bool(parts.dedup.caps)),
    "contaminated": (
        "decontaminate.against",
        lambda parts: parts.decontaminate is None or bool(parts.decontaminate.against),
    ),
    "private_data": ("privacy.mode", lambda parts: parts.privacy.mode in (None, "drop")),
    "over_max_records": ("max_records", lambda parts: any(source.max_records is not None for source in parts.sources)),
    "over_weight": ("weight", lambda parts: any(source.weight is not None for source in parts.sources)),
}


def check_hash(folder: Path) -> bool:
    """Whether the manifest states its hash; one of an earlier version does not.

    Raises DatasetError if it is not the hash of its content.
    """
    payload = read_payload(folder)
    if HASH_KEY not in payload:
        return False
    if payload[HASH_KEY] != hash_of_manifest(payload):
        what = f"{HASH_KEY} is not the hash of its content: it was changed after it was written"
        hint = "copy it again from the original dataset, or prepare the dataset again"
        raise DatasetError(str(folder / MANIFEST_NAME), what, hint)
    return True


def check_manifest(folder: Path, manifest: Manifest) -> None:
    """What the manifest says of the same thing in several places is the same. Raises DatasetError if not."""
    for problem in _problems(manifest):
        raise DatasetError(str(folder / MANIFEST_NAME), problem, PREPARE_AGAIN)


def _problems(manifest: Manifest) -> Any:
    """What is wrong with a manifest, seen alone."""
    if not manifest.ledger:
        yield "lists no ledger"
        return
    path, times = Counter(entry.path for entry in manifest.listed_files()).most_common(1)[0]
    if times > 1:
        yield f"lists {path} {times} times"
    for shard in manifest.shards:
        if not shard.path.startswith(f"{shard.split}/"):
            yield f"{shard.path} is not in the folder of its split, {shorten(shard.split)}"
    if manifest.dataset_hash != hash_of_shards(manifest.shards):
        yield "dataset_hash is not the hash of the shards' checksums"
    if sum(shard.tokens for shard in manifest.shards) > manifest.seq_len * sum(shard.rows for shard in manifest.shards):
        yield "shards have more tokens than fit into their rows"
        return
    packing = PackingEntry.of(manifest.packing.strategy, manifest.seq_len, manifest.shards)
    if manifest.packing != packing:
        stated = f"{pluralize(manifest.packing.rows, 'row')} with a fill of {manifest.packing.fill}"
        yield f"packing states {stated}, but the shards have {packing.rows} with a fill of {packing.fill}"
    if manifest.packing.strategy == "none" and any(shard.rows != shard.samples for shard in manifest.shards):
        yield "packing.strategy is none, but there are more samples than rows"
    counts = manifest.counts
    if counts.rows_read != counts.packed + counts.num_dropped:
        do = "does" if counts.rows_read == 1 else "do"
        sums = f"{counts.packed} packed and {counts.num_dropped} dropped"
        yield f"{pluralize(counts.rows_read, 'row')} read {do} not equal {sums}"
    yield from _setting_problems(manifest)


def _setting_problems(manifest: Manifest) -> Any:
    """Where the settings in a manifest do not fit the rest of it."""
    parts = manifest.parts
    stated = {
        "pack.seq_len": (parts.pack.seq_len, manifest.seq_len),
        "pack.strategy": (parts.pack.strategy, manifest.packing.strategy),
        "seed": (parts.seed, manifest.seed),
        "tokenizer": (parts.tokenizer, manifest.tokenizer.source),
        "template": (parts.template, manifest.template.source if manifest.template else None),
    }
    for name, (setting, used) in stated.items():
        if setting is not None and used is not None and setting != used:
            yield f"config.{name} is {shorten(repr(setting))}, but the dataset was made with {shorten(repr(used))}"
    is_text = bool(parts.sources) and all(source.format == "text" for source in parts.sources)
    if parts.sources and is_text != (manifest.template is None):
        yield f"config.sources are {'' if is_text else 'not '}all plain text, which the template does not fit"
    splits = [shard.split for shard in manifest.shards]
    if parts.split is not None and not parts.split.validation and VALIDATION in splits:
        yield "config.split.validation is 0, but there are shards for validation"
    reasons = {reason for dropped in manifest.counts.dropped.values() for reason in dropped}
    for reason in sorted(reasons & SETTINGS_OF.keys()):
        name, is_on = SETTINGS_OF[reason]
        if not is_on(parts):
            yield f"rows were dropped as {reason}, which config.{name} does not do"
    if manifest.privacy and parts.privacy.mode == "off":
        yield "privacy counts findings, but config.privacy.mode is off"
    encoding = manifest.encoding
    if encoding is not None and (unknown := encoding.ways_out.keys() - reasons - encoding.left_out.keys()):
        yield f"encoding.ways_out names {shorten(min(unknown))}, for which no row was dropped"
    if manifest.mixture and [entry.source for entry in manifest.mixture] != [source.path for source in parts.sources]:
        yield "mixture does not have the sources of the config"


def check_columns(path: Path, manifest: Manifest) -> None:
    """A file of the ledger has exactly the columns that `keep` asks for. Raises DatasetError if not."""
    keep = [name for source in manifest.parts.sources for name in source.keep]
    if (found := pq.read_schema(path)).names != (names := ledger_schema(keep).names):
        other = sorted(set(found.names) ^ set(names))
        what = f"its columns are not those of the config ({shorten(', '.join(other)) or 'another order'})"
        raise DatasetError(str(path), what, PREPARE_AGAIN)


def check_names(folder: Path, manifest: Manifest, sources: Sequence[Any], names: Sequence[Any]) -> None:
    """Each row of a source is in the ledger once. `sources` and `names` are its columns `source` and `where`.

    A file that the config names several times is read as often. Raises DatasetError if a row is there more often.
    """
    where = _joined(names)
    if pc.count_distinct(where).as_py() == len(where):
        return
    times = Counter(source.path for source in manifest.parts.sources)
    rows = Counter(zip(_joined(sources).to_pylist(), where.to_pylist(), strict=True))
    for (source, name), number in rows.items():
        if number > times[source]:
            what = f"has {number} rows of {shorten(str(name))} in {shorten(str(source))}, which was read once"
            raise DatasetError(str(folder / "ledger"), what, PREPARE_AGAIN)


def check_targets(folder: Path, names: Sequence[Any], duplicates_of: Sequence[Any]) -> None:
    """Each `duplicate_of` is an existing row. Raises DatasetError if not."""
    targets = _joined(duplicates_of)
    if len(targets) == 0:
        return
    missing = targets.filter(pc.invert(pc.is_in(targets, value_set=_joined(names))))
    if len(missing):
        what = f"a row is a duplicate of {shorten(str(missing[0]))}, which does not exist"
        raise DatasetError(str(folder / "ledger"), what, PREPARE_AGAIN)


def check_mixture(folder: Path, manifest: Manifest, packed: pa.Table) -> None:
    """The mixture is what the packed rows of the ledger add up to. Raises DatasetError if not."""
    where = str(folder / MANIFEST_NAME)
    train = packed.filter(pc.equal(packed["split"], TRAIN))
    total = max(sum(entry.trained_tokens for entry in manifest.mixture), 1)
    stated: dict[str, list[MixtureEntry]] = {}
    for entry in manifest.mixture:
        stated.setdefault(entry.source, []).append(entry)
        if abs(entry.got - entry.trained_tokens / total) > MAX_DIFFERENCE or entry.copies < entry.records:
            what = f"mixture states a share of {entry.got} for {shorten(entry.source)}, which its numbers do not give"
            raise DatasetError(where, what, PREPARE_AGAIN)
    for source, entries in stated.items():
        rows = train.filter(pc.equal(train["source"], source))
        found = rows.num_rows, pc.sum(rows["num_trained_tokens"]).as_py() or 0
        said = sum(entry.records for entry in entries), sum(entry.trained_tokens for entry in entries)
        if found != said:
            what = f"mixture states {said[0]} records with {said[1]} trained tokens of {shorten(source)}"
            raise DatasetError(where, f"{what}, but the ledger has {found[0]} with {found[1]}", PREPARE_AGAIN)


def check_unused(folder: Path, manifest: Manifest, sources: Sequence[Any]) -> None:
    """No more rows hold something unused than were read. Raises DatasetError if they do."""
    if not manifest.unused:
        return
    read = {pair["values"]: pair["counts"] for pair in _joined(sources).value_counts().to_pylist()}
    for entry in manifest.unused:
        if entry.rows > read.get(entry.source, 0):
            what = f"unused states {entry.rows} rows with {shorten(entry.column)} in {shorten(entry.source)}"
            number = read.get(entry.source, 0)
            raise DatasetError(str(folder / MANIFEST_NAME), f"{what}, of which {number} were read", PREPARE_AGAIN)


def _joined(columns: Sequence[Any]) -> Any:
    """Columns of strings, one behind the other."""
    return pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string())
