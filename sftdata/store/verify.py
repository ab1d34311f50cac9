"""Verification: checks from the files alone that a dataset is complete and consistent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from sftdata.errors import DatasetError
from sftdata.files.atomic import MANIFEST_NAME
from sftdata.files.regular import shorten
from sftdata.reasons import REASONS
from sftdata.remote.mirror import fetch_again, local_folder
from sftdata.store.checked import TOKENIZER_FILE, check_tokenizer, checked_rows, unlisted_files
from sftdata.store.consistency import (
    check_columns,
    check_hash,
    check_manifest,
    check_mixture,
    check_names,
    check_targets,
    check_unused,
)
from sftdata.store.ledger import PACKED, PER_PLACE_COLUMNS, PREPARE_AGAIN, Tally, checked_ledger, reject
from sftdata.store.manifest import MAX_VOCAB_SIZE, Manifest, ShardEntry
from sftdata.store.places import Places, read_places
from sftdata.store.proof import Proof

TEMPLATE_FILE = "tokenizer/chat_template.jinja"


@dataclass(frozen=True, slots=True)
class DatasetStats:
    """The contents of a verified dataset in numbers."""

    files: int
    size_bytes: int
    rows_read: int
    packed: int
    dropped: int
    rows: int
    samples: int
    tokens: int
    trained_tokens: int
    is_hashed: bool = False  # whether the manifest states a hash of itself; one of an earlier version does not


def verify(folder: str | Path) -> DatasetStats:
    """Verify a dataset from its files. Raises DatasetError for the first check that fails.

    The folder has exactly the listed files, with their checksums. The manifest is consistent. Each ledger row has one
    valid fate, and the counts match the manifest. Each sample of each shard passes `proof.Proof` and is in the ledger
    once, with its number of tokens. Of a dataset on a store every file is fetched for this.
    Memory: a batch of a shard and a few narrow columns of the ledger.
    """
    folder = local_folder(folder)
    fetch_again(folder)
    manifest = Manifest.load(folder)
    check_manifest(folder, manifest)
    is_hashed = check_hash(folder)
    _check_file_list(folder, manifest)
    for entry in manifest.listed_files():
        entry.check(folder)
    _check_tokenizer(folder, manifest)
    places = _check_ledger(folder, manifest)
    overlong = manifest.parts.overlong
    proof = Proof(
        manifest.tokenizer,
        cut_len=manifest.seq_len if overlong == "truncate" else None,
        split_len=manifest.seq_len if overlong == "split" else None,
    )
    for number, shard in enumerate(manifest.shards):
        _check_shard(folder, manifest, shard, places.of_shard(number), proof)
    places.check_tokens()
    if manifest.encoding is not None and all_encoded_are_packed(manifest):
        proof.check_seen(str(folder / MANIFEST_NAME))
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
        is_hashed=is_hashed,
    )


def _check_file_list(folder: Path, manifest: Manifest) -> None:
    """There is nothing that is not listed. Hidden files and folders (such as the work folder) are ignored."""
    for path in unlisted_files(folder, manifest):
        raise DatasetError(shorten(str(path)), "is not in the manifest", "move it out of the dataset folder")


def _check_tokenizer(folder: Path, manifest: Manifest) -> None:
    """The tokenizer and the template are those of the manifest, and all token ids are in the vocabulary."""
    where = str(folder / MANIFEST_NAME)
    tokenizer = manifest.tokenizer
    checksums = {entry.path: entry.sha256 for entry in manifest.files}
    if checksums.get(TOKENIZER_FILE) != tokenizer.sha256:
        raise DatasetError(where, f"tokenizer.sha256 is not the checksum of {TOKENIZER_FILE}", PREPARE_AGAIN)
    if manifest.template is not None and checksums.get(TEMPLATE_FILE) != manifest.template.sha256:
        raise DatasetError(where, f"template.sha256 is not the checksum of {TEMPLATE_FILE}", PREPARE_AGAIN)
    vocab_size = _vocab_size(check_tokenizer(folder, manifest))
    if vocab_size != tokenizer.vocab_size:
        what = (
            f"tokenizer.vocab_size is {tokenizer.vocab_size}, but the vocabulary of {TOKENIZER_FILE} has {vocab_size}"
        )
        raise DatasetError(where, what, PREPARE_AGAIN)
    special = [id_ for id_ in (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) if id_ is not None]
    id_lists = (tokenizer.end_of_turn_ids, tokenizer.control_ids, tokenizer.answer_control_ids or ())
    for id_ in (*special, *(id_ for ids in (*id_lists, *tokenizer.generation_prompts) for id_ in ids)):
        if id_ >= vocab_size:
            raise DatasetError(
                where, f"tokenizer lists the id {id_}, outside its vocabulary of {vocab_size}", PREPARE_AGAIN
            )


def _vocab_size(path: Path) -> int:
    """The highest id in a tokenizer.json, including added tokens, plus 1."""
    try:
        payload = orjson.loads(path.read_bytes())
        vocab = payload["model"]["vocab"]
        ids = [*(vocab.values() if isinstance(vocab, Mapping) else range(len(vocab)))]
        ids += [token["id"] for token in payload.get("added_tokens") or ()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(str(path), "is not in a tokenizer format that sftdata supports", PREPARE_AGAIN) from error
    wrong = [id_ for id_ in ids if type(id_) is not int or not 0 <= id_ < MAX_VOCAB_SIZE]
    if wrong:
        what = f"has the id {shorten(repr(wrong[0]), 50)}; ids are whole numbers below {MAX_VOCAB_SIZE:,}"
        raise DatasetError(str(path), what, PREPARE_AGAIN)
    return max(ids, default=-1) + 1


def _check_ledger(folder: Path, manifest: Manifest) -> Places:
    """Each ledger row has one valid fate, and the counts match the manifest. Returns the places of the packed rows."""
    tally = Tally()
    sources: list[Any] = []
    names: list[Any] = []
    duplicates_of: list[Any] = []
    packed: list[pa.Table] = []
    keep = ["source", "where", "record_id", "split", *PER_PLACE_COLUMNS, "num_tokens", "num_trained_tokens"]
    for entry in manifest.ledger:
        for table in checked_ledger(folder, entry):
            _check_reasons(folder / entry.path, table, manifest)
            tally.add(table)
            sources.append(table["source"])
            names.append(table["where"])
            duplicates_of.append(table["duplicate_of"].drop_null())
            packed.append(table.select(keep).filter(pc.equal(table["fate"], PACKED)))
        check_columns(folder / entry.path, manifest)
    counts = tally.counts()
    if counts != manifest.counts:
        raise DatasetError(str(folder / MANIFEST_NAME), f"its counts differ from the ledger's, {counts}", PREPARE_AGAIN)
    check_names(folder, manifest, sources, names)
    check_targets(folder, names, duplicates_of)
    check_unused(folder, manifest, sources)
    check_mixture(folder, manifest, all_packed := pa.concat_tables(packed))
    return read_places(folder, all_packed, manifest)


def all_encoded_are_packed(manifest: Manifest) -> bool:
    """Whether every sample that was encoded is in the shards, as it was encoded."""
    late = {"encode", "pack", "mixture"} & manifest.counts.dropped.keys()
    return not late and manifest.parts.overlong in (None, "drop")


def _check_reasons(path: Path, table: pa.Table, manifest: Manifest) -> None:
    """Each row is of a source, and dropped for a known reason, with the evidence that belongs to it."""
    is_packed = pc.equal(table["fate"], PACKED)
    is_dropped = pc.invert(is_packed)

    def reject_among(rows: Any, bad: Any, what: str) -> None:
        reject(path, table, pc.and_(rows, bad), what)

    def is_null(column: str) -> Any:
        return pc.is_null(table[column])

    def is_set(column: str) -> Any:
        return pc.is_valid(table[column])

    sources = [source.path for source in manifest.parts.sources]
    reject(path, table, pc.invert(_is_in(table["source"], sources)), "its source {source!r} is not in the config")
    is_known = _is_in(table["reason"], list(REASONS))
    reject_among(is_dropped, pc.invert(is_known), "dropped for an unknown reason: {reason!r}")
    stages = pa.array([stage for stage, _ in REASONS.values()])
    stage = pc.take(stages, pc.index_in(table["reason"], value_set=pa.array(list(REASONS))))
    is_right_stage = pc.fill_null(pc.equal(table["stage"], stage), False)
    reject_among(is_dropped, pc.invert(is_right_stage), "{reason} is not a reason of the stage {stage!r}")
    is_near = _is_in(table["reason"], ["near_duplicate", "semantic_duplicate"])
    is_duplicate = pc.or_(is_near, _is_in(table["reason"], ["duplicate", "shared_prefix"]))
    reject_among(is_duplicate, is_null("duplicate_of"), "a duplicate, but duplicate_of is null")
    reject_among(is_packed, is_set("duplicate_of"), "packed, but with duplicate_of {duplicate_of!r}")
    is_other = pc.invert(is_duplicate)
    reject_among(is_other, is_set("duplicate_of"), "not a duplicate, but with duplicate_of {duplicate_of!r}")
    in_range = pc.and_(pc.greater(table["similarity"], 0), pc.less_equal(table["similarity"], 1))
    reject_among(is_near, pc.invert(pc.fill_null(in_range, False)), "{reason}, but with a similarity of {similarity}")
    reject_among(pc.invert(is_near), is_set("similarity"), "not a near-duplicate, but with a similarity")
    needs_detail = _is_in(table["reason"], ["contaminated", "private_data", "over_cap"])
    reject_among(needs_detail, is_null("detail"), "{reason}, but detail is null")


def _check_shard(folder: Path, manifest: Manifest, shard: ShardEntry, places: Any, proof: Proof) -> None:
    """The rows of a shard pass the proof and are in the ledger."""
    for rows in checked_rows(folder, shard, manifest):
        is_text = places.check(rows)
        proof.check(rows, is_text)
        places.check_runs(rows)
    places.check_done(str(folder / shard.path))


def _is_in(column: Any, values: Sequence[str]) -> Any:
    """Which entries are among these values. Null is not."""
    return pc.is_in(column, value_set=pa.array(list(values), pa.string()))
