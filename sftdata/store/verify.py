"""Verification: does a dataset hold what its manifest says, from the files alone?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from sftdata.errors import DatasetError
from sftdata.files.atomic import MANIFEST_NAME
from sftdata.reasons import REASONS
from sftdata.store.ledger import DROPPED, PACKED, Tally, read_ledger_file
from sftdata.store.manifest import Manifest, PackingEntry, ShardEntry, hash_of_shards
from sftdata.store.places import Places, places_of
from sftdata.store.proof import PREPARE_AGAIN, Proof, flatten_batch, split_batches
from sftdata.store.shards import read_batches

TOKENIZER_FILE = "tokenizer/tokenizer.json"
TEMPLATE_FILE = "tokenizer/chat_template.jinja"
# The ledger's columns with an entry for each sample of a row.
PER_PLACE = {"places": "a place in a shard", "turns": "a trained turn", "digests": "a digest"}


@dataclass(frozen=True, slots=True)
class DatasetStats:
    """What was found to hold."""

    files: int
    size_bytes: int
    rows_read: int
    packed: int
    dropped: int
    rows: int
    samples: int
    tokens: int
    trained_tokens: int


def verify(folder: str | Path) -> DatasetStats:
    """Prove a dataset from its files. Raises DatasetError with the first thing that does not hold.

    Every file is there with its checksum and none besides; the manifest agrees with itself; every row of the ledger
    has one proper fate and the counts are those of the manifest; every sample of every shard is what `proof.Proof`
    asks, and stands in the ledger once, with its tokens. Memory holds a batch of a shard and a few narrow columns of
    the ledger.
    """
    folder = Path(folder)
    manifest = Manifest.load(folder)
    _check_manifest(folder, manifest)
    _check_listing(folder, manifest)
    for entry in manifest.listed_files():
        entry.check(folder)
    _check_tokenizer(folder, manifest)
    places = _check_ledger(folder, manifest)
    proof = Proof(manifest.tokenizer, manifest.seq_len if manifest.config.get("overlong") == "truncate" else None)
    for number, shard in enumerate(manifest.shards):
        _check_shard(folder, manifest, shard, places.of_shard(number), proof)
    places.check_tokens()
    return DatasetStats(
        files=len(manifest.listed_files()) + 1,
        size_bytes=sum(entry.size_bytes for entry in manifest.listed_files()),
        rows_read=manifest.counts.rows_read,
        packed=manifest.counts.packed,
        dropped=manifest.counts.num_dropped,
        rows=manifest.packing.rows,
        samples=sum(shard.samples for shard in manifest.shards),
        tokens=sum(shard.tokens for shard in manifest.shards),
        trained_tokens=sum(shard.trained_tokens for shard in manifest.shards),
    )


def _check_manifest(folder: Path, manifest: Manifest) -> None:
    """The manifest agrees with itself."""
    where = str(folder / MANIFEST_NAME)
    if not manifest.ledger:
        raise DatasetError(where, "lists no ledger", PREPARE_AGAIN)
    path, times = Counter(entry.path for entry in manifest.listed_files()).most_common(1)[0]
    if times > 1:
        raise DatasetError(where, f"lists {path} {times} times", PREPARE_AGAIN)
    for shard in manifest.shards:
        if not shard.path.startswith(f"{shard.split}/"):
            raise DatasetError(
                where, f"{shard.path} does not stand in the folder of its split, {shard.split}", PREPARE_AGAIN
            )
    if manifest.dataset_hash != hash_of_shards(manifest.shards):
        raise DatasetError(where, "dataset_hash is not the hash of the shards' checksums", PREPARE_AGAIN)
    packing = PackingEntry.of(manifest.packing.strategy, manifest.seq_len, manifest.shards)
    if manifest.packing != packing:
        stated = f"{manifest.packing.rows} rows filled to {manifest.packing.fill}"
        raise DatasetError(where, f"packing says {stated}, the shards {packing.rows} to {packing.fill}", PREPARE_AGAIN)
    if manifest.packing.strategy == "none" and any(shard.rows != shard.samples for shard in manifest.shards):
        raise DatasetError(where, "packing.strategy is none, but there are more samples than rows", PREPARE_AGAIN)
    counts = manifest.counts
    if counts.rows_read != counts.packed + counts.num_dropped:
        sums = f"{counts.packed} packed and {counts.num_dropped} dropped"
        raise DatasetError(where, f"of {counts.rows_read} rows read, {sums} are accounted for", PREPARE_AGAIN)


def _check_listing(folder: Path, manifest: Manifest) -> None:
    """No file but those listed. Hidden files and folders (the work folder, the system's own) are not looked at."""
    listed = {entry.path for entry in manifest.listed_files()} | {MANIFEST_NAME}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if not any(part.startswith(".") for part in name.parts) and path.is_file() and name.as_posix() not in listed:
            raise DatasetError(str(path), "is not in the manifest", "move it out of the dataset's folder")


def _check_tokenizer(folder: Path, manifest: Manifest) -> None:
    """The tokenizer and the template in the folder are the manifest's, and its facts about ids are possible."""
    where = str(folder / MANIFEST_NAME)
    tokenizer = manifest.tokenizer
    checksums = {entry.path: entry.sha256 for entry in manifest.files}
    if checksums.get(TOKENIZER_FILE) != tokenizer.sha256:
        raise DatasetError(where, f"tokenizer.sha256 is not the checksum of {TOKENIZER_FILE}", PREPARE_AGAIN)
    if manifest.template is not None and checksums.get(TEMPLATE_FILE) != manifest.template.sha256:
        raise DatasetError(where, f"template.sha256 is not the checksum of {TEMPLATE_FILE}", PREPARE_AGAIN)
    vocab_size = _vocab_size(folder / TOKENIZER_FILE)
    if vocab_size != tokenizer.vocab_size:
        what = f"tokenizer.vocab_size is {tokenizer.vocab_size}, but the highest id of {TOKENIZER_FILE} makes it "
        raise DatasetError(where, what + str(vocab_size), PREPARE_AGAIN)
    single = [id_ for id_ in (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) if id_ is not None]
    several = (tokenizer.end_of_turn_ids, tokenizer.control_ids, tokenizer.answer_control_ids or ())
    for id_ in (*single, *(id_ for ids in (*several, *tokenizer.generation_prompts) for id_ in ids)):
        if id_ >= vocab_size:
            raise DatasetError(
                where, f"tokenizer names the id {id_}, outside its vocabulary of {vocab_size}", PREPARE_AGAIN
            )


def _vocab_size(path: Path) -> int:
    """The highest id of a tokenizer.json, added tokens included, plus 1."""
    try:
        payload = orjson.loads(path.read_bytes())
        vocab = payload["model"]["vocab"]
        highest = max(vocab.values(), default=-1) if isinstance(vocab, Mapping) else len(vocab) - 1
        added = max((token["id"] for token in payload.get("added_tokens") or ()), default=-1)
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(str(path), "is no tokenizer that this program knows", PREPARE_AGAIN) from error
    return int(max(highest, added)) + 1


def _check_ledger(folder: Path, manifest: Manifest) -> Places:
    """Every row of the ledger has one proper fate; the counts are the manifest's. Gives the places of the packed."""
    tally = Tally()
    names: list[Any] = []
    repeats: list[Any] = []
    packed: list[pa.Table] = []
    keep = ["source", "where", "record_id", "split", *PER_PLACE, "num_tokens", "num_trained_tokens"]
    for entry in manifest.ledger:
        path = folder / entry.path
        table = read_ledger_file(path, [*keep, "fate", "stage", "reason", "detail", "duplicate_of", "similarity"])
        if table.num_rows != entry.rows:
            raise DatasetError(str(path), f"holds {table.num_rows} rows instead of {entry.rows}", PREPARE_AGAIN)
        _check_fates(path, table, manifest)
        tally.add(table)
        names.append(table["where"])
        repeats.append(table["duplicate_of"].drop_null())
        packed.append(table.select(keep).filter(pc.equal(table["fate"], PACKED)))
    counts = tally.counts()
    if counts != manifest.counts:
        raise DatasetError(str(folder / MANIFEST_NAME), f"its counts differ from the ledger's, {counts}", PREPARE_AGAIN)
    _check_repeats(folder, names, repeats)
    return places_of(folder, pa.concat_tables(packed), manifest)


def _check_fates(path: Path, table: pa.Table, manifest: Manifest) -> None:
    """Each row is packed with a place and tokens, or dropped for a known reason."""
    is_packed = pc.fill_null(pc.equal(table["fate"], PACKED), False)
    is_dropped = pc.fill_null(pc.equal(table["fate"], DROPPED), False)

    def check(bad: Any, what: str) -> None:
        if pc.any(bad).as_py():
            row = table.slice(int(np.argmax(bad.to_numpy())), 1).to_pylist()[0]
            raise DatasetError(str(path), f"the row of {row['where']}: {what.format(**row)}", PREPARE_AGAIN)

    def null(column: str) -> Any:
        return pc.is_null(table[column])

    def but(when: Any, wrong: Any, what: str) -> None:
        check(pc.and_(when, wrong), what)

    check(null("where"), "where is null")
    sources = [source["path"] for source in manifest.config.get("sources", ())]
    check(pc.invert(_is_in(table["source"], sources)), "its source {source!r} is none of the config's")
    check(pc.invert(pc.or_(is_packed, is_dropped)), "its fate is {fate!r}, neither packed nor dropped")
    for column in ("record_id", "split", "num_tokens", "num_trained_tokens"):
        but(is_packed, null(column), f"packed, but its {column} is null")
    for column in ("stage", "reason", "detail"):
        but(is_packed, pc.is_valid(table[column]), f"packed, but with a {column}, {{{column}!r}}")
    for column, noun in PER_PLACE.items():
        number = pc.fill_null(pc.list_value_length(table[column]), 0)
        but(is_packed, pc.equal(number, 0), f"packed, but without {noun}")
        but(is_dropped, pc.greater(number, 0), f"dropped, but with {noun}")
    but(is_dropped, pc.invert(_is_in(table["reason"], list(REASONS))), "dropped for no known reason: {reason!r}")
    stages = pa.array([stage for stage, _ in REASONS.values()])
    stage = pc.take(stages, pc.index_in(table["reason"], value_set=pa.array(list(REASONS))))
    right = pc.fill_null(pc.equal(table["stage"], stage), False)
    but(is_dropped, pc.invert(right), "{reason} is no reason of the stage {stage!r}")
    is_near = _is_in(table["reason"], ["near_duplicate", "semantic_duplicate"])
    is_duplicate = pc.or_(is_near, _is_in(table["reason"], ["duplicate", "shared_prefix"]))
    but(is_duplicate, null("duplicate_of"), "a duplicate, but of what is not said")
    but(is_packed, pc.is_valid(table["duplicate_of"]), "packed, but called a duplicate of {duplicate_of!r}")
    but(pc.invert(is_duplicate), pc.is_valid(table["duplicate_of"]), "no duplicate, but called one of {duplicate_of!r}")
    is_similar = pc.and_(pc.greater(table["similarity"], 0), pc.less_equal(table["similarity"], 1))
    but(is_near, pc.invert(pc.fill_null(is_similar, False)), "{reason}, but with a similarity of {similarity}")
    but(pc.invert(is_near), pc.is_valid(table["similarity"]), "no similar row is named, but a similarity")
    is_shown = _is_in(table["reason"], ["contaminated", "private_data", "over_cap"])
    but(is_shown, null("detail"), "{reason}, but by what is not said")


def _check_repeats(folder: Path, names: Sequence[Any], repeats: Sequence[Any]) -> None:
    """Every duplicate names a row that exists."""
    named = pa.chunked_array([chunk for column in repeats for chunk in column.chunks], pa.string())
    if len(named) == 0:
        return
    known = pa.chunked_array([chunk for column in names for chunk in column.chunks], pa.string())
    lost = named.filter(pc.invert(pc.is_in(named, value_set=known)))
    if len(lost):
        raise DatasetError(
            str(folder / "ledger"), f"a row is called a duplicate of {lost[0]}, which is not there", PREPARE_AGAIN
        )


def _check_shard(folder: Path, manifest: Manifest, shard: ShardEntry, places: Any, proof: Proof) -> None:
    """A shard's rows hold, stand in the ledger, and add up to what the manifest says."""
    where = str(folder / shard.path)
    found = dict.fromkeys(("rows", "samples", "tokens", "trained_tokens"), 0)
    for batch in split_batches(_valid(where, read_batches(where))):
        rows = flatten_batch(batch, where, found["rows"], manifest.seq_len)
        is_text = places.check(rows)
        proof.check(rows, is_text)
        places.check_runs(rows)
        found["rows"] += batch.num_rows
        found["samples"] += rows.num_samples
        found["tokens"] += len(rows.ids)
        found["trained_tokens"] += int(rows.trained_counts.sum())
    places.check_done(where)
    for name, value in found.items():
        if value != getattr(shard, name):
            raise DatasetError(
                where, f"holds {value} {name}, but the manifest says {getattr(shard, name)}", PREPARE_AGAIN
            )


def _valid(where: str, batches: Any) -> Any:
    """The batches, each found to be sound: offsets in bounds, strings in UTF-8."""
    for batch in batches:
        try:
            batch.validate(full=True)
        except pa.ArrowInvalid as error:
            raise DatasetError(where, f"is damaged ({str(error).splitlines()[0]})", PREPARE_AGAIN) from error
        yield batch


def _is_in(column: Any, values: Sequence[str]) -> Any:
    """Which entries are among these values; null is not."""
    return pc.is_in(column, value_set=pa.array(list(values), pa.string()))
