"""`prepare`: raw files in, a dataset out. The whole data path, top to bottom."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from sftdata.config import Config
from sftdata.encode.records import EncodeSettings, RecordEncoder
from sftdata.encode.tokenizers import load_tokenizer
from sftdata.engines.base import Engine, Piece
from sftdata.engines.local import LocalEngine
from sftdata.errors import SourceError
from sftdata.fates import Fates
from sftdata.machine import count_cores
from sftdata.output import Workspace, describe_versions, tokenizer_entry, write_tokenizer
from sftdata.progress import Progress, Quiet
from sftdata.read.sources import plan_units
from sftdata.read.explain import no_rows_error
from sftdata.read.units import Unit
from sftdata.stages import UNIT_SCHEMA, BatchFacts, Encode, Read, WriteShards
from sftdata.store.ledger import LedgerWriter
from sftdata.store.manifest import FileEntry, Manifest, PackingEntry, ShardEntry, TemplateEntry, hash_of_shards

UNIT_BYTES = 2 << 20  # of a JSON-lines file that one worker reads at a time; changes no byte of the dataset


def prepare(
    config: Config, *, workers: int | None = None, overwrite: bool = False, progress: Progress | None = None
) -> Manifest:
    """Prepare a dataset and give its manifest, which is also in the output folder.

    `workers` processes are used (default: one per core); their number changes no byte of the dataset. An output
    folder that holds a dataset is replaced only with `overwrite`, and only once the new one is whole.

    Raises SftDataError (SourceError, TokenizerError, TemplateError, OutputError, ...) for what a user can put right.
    """
    with (
        Workspace(config.located(config.out.path), overwrite=overwrite) as work,
        LocalEngine(work.spool, workers or count_cores(), progress or Quiet()) as engine,
    ):
        settings = encode_settings(config)
        encoder = RecordEncoder(settings)
        encoder.check()
        sources = config.located_sources()
        units = plan_units(sources, UNIT_BYTES)

        rows = engine.map(Read(tuple(units), sources), give_units(engine, len(units)))
        fates = Fates(
            [source.path for source in config.sources],
            units,
            engine.collect(rows, ["unit", "line", "key", "reason", "detail", "skip"]),
        )
        refuse_unreadable(config, units, fates)
        if config.dedup.exact:
            fates.drop_duplicates()

        samples = engine.map(Encode(encoder.shared()), rows, fates.beside())
        seen = take_samples(engine, samples, fates)
        fates.drop_overlong(config.pack.seq_len)
        fates.choose_split(config.split.validation)

        paths = fates.assign_shards(config.out.shard_tokens)
        pack = WriteShards(str(work.new), paths, config.pack.seq_len, config.pack.strategy, config.seed)
        placed = engine.group("shard", pack, samples, fates.sample_columns())
        shards = fates.take_places(engine.collect(placed, ["position", "row", "index", "facts"]))

        ledger = write_ledger(work.new, config, fates, engine, rows)
        files = write_tokenizer(work.new, settings.files, encoder)
        manifest = make_manifest(config, encoder, shards, ledger, files, seen)
        work.publish(manifest)
    return manifest


def encode_settings(config: Config) -> EncodeSettings:
    """What decides how records are encoded. Raises TokenizerError where the tokenizer cannot be loaded."""
    files = load_tokenizer(config.located_if_there(config.tokenizer), trust_remote_code=config.trust_remote_code)
    return EncodeSettings(files=files, template=config.located_if_there(config.template), date=config.date)


def give_units(engine: Engine, count: int) -> list[Piece]:
    """The numbers of the units as a table, one piece each."""
    return engine.give(pa.table({"unit": range(count)}, schema=UNIT_SCHEMA), rows_per_piece=1)


def refuse_unreadable(config: Config, units: Sequence[Unit], fates: Fates) -> None:
    """Raise SourceError for a source of which no row can be made out: its settings are wrong, not its rows."""
    for number, source in enumerate(config.located_sources()):
        reasons = fates.reasons_of_source(number)
        if not reasons:
            raise SourceError(source.path, "holds no rows", "check the path, or take it out of the sources")
        if reasons <= {"unknown_shape", "missing_field"}:
            raise no_rows_error([unit for unit in units if unit.source == number], source)


def take_samples(engine: Engine, samples: Sequence[Piece], fates: Fates) -> BatchFacts:
    """Tell the fates of all samples; what the batches saw, joined."""
    encoded = engine.collect(
        samples, ["row", "sample", "num_tokens", "num_trained", "reason", "detail", "facts"]
    )
    fates.take_samples(encoded)
    seen = BatchFacts()
    for text in encoded["facts"].drop_null().to_pylist():
        seen.add_json(text)
    return seen


def write_ledger(
    folder: Path, config: Config, fates: Fates, engine: Engine, rows: Sequence[Piece]
) -> LedgerWriter:
    """Write the fate of every row."""
    keep = list(dict.fromkeys(name for source in config.sources for name in source.keep))
    kept = engine.collect(rows, ["keep"])["keep"].combine_chunks() if keep else pa.nulls(fates.size, pa.string())
    with LedgerWriter(folder, keep) as ledger:
        for table in fates.ledger(keep, kept):
            ledger.write(table)
    return ledger


def make_manifest(
    config: Config,
    encoder: RecordEncoder,
    shards: Sequence[ShardEntry],
    ledger: LedgerWriter,
    files: Sequence[FileEntry],
    seen: BatchFacts,
) -> Manifest:
    """All that is known of the dataset."""
    template = None
    if any(source.format != "text" for source in config.sources):
        sha256 = hashlib.sha256(encoder.template.source.encode()).hexdigest()
        template = TemplateEntry(source=config.template, sha256=sha256)
    tokenizer = tokenizer_entry(encoder.settings.files, encoder, seen)
    return Manifest(
        dataset_hash=hash_of_shards(shards),
        seed=config.seed,
        seq_len=config.pack.seq_len,
        shards=tuple(shards),
        ledger=tuple(ledger.files),
        files=tuple(files),
        tokenizer=tokenizer.model_copy(update={"source": config.tokenizer}),
        template=template,
        config=config.model_dump(mode="json", exclude={"out": {"path"}}),
        versions=describe_versions(),
        counts=ledger.counts,
        packing=PackingEntry.of(config.pack.strategy, config.pack.seq_len, shards),
    )
