"""`prepare`: raw files in, a dataset out. The whole data path, top to bottom."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from sftdata.accounts import Accounts
from sftdata.comparing import check_comparisons, choose_split, compare_rows, count_private, sources_to_read
from sftdata.config import Config
from sftdata.curate.exact import content_key
from sftdata.curate.languages import require_languages
from sftdata.curate.split import TRAIN
from sftdata.curate.stage import Judge
from sftdata.encode.records import RecordEncoder
from sftdata.encode.stage import BatchFacts, Encode
from sftdata.encoding import make_encoder
from sftdata.engines.base import Engine, Piece
from sftdata.engines.local import LocalEngine
from sftdata.errors import ConfigError, SourceError
from sftdata.fates import FATE_COLUMNS, Fates
from sftdata.machine import count_cores
from sftdata.mixing import check_mixture, limit_records, mix_sources
from sftdata.output import describe_versions, encoding_entry, program_key, tokenizer_entry, write_tokenizer
from sftdata.progress import Progress, Quiet
from sftdata.read.explain import no_rows_error
from sftdata.read.names import distinct_names
from sftdata.read.sources import plan_units
from sftdata.read.stage import Read, unit_identities
from sftdata.read.stamps import stamp_of
from sftdata.read.units import Unit
from sftdata.samples import PLACED_COLUMNS, SAMPLE_COLUMNS, Samples
from sftdata.store.ledger import LedgerWriter
from sftdata.store.manifest import (
    FileEntry,
    Manifest,
    MixtureEntry,
    PackingEntry,
    ShardEntry,
    TemplateEntry,
    hash_of_shards,
)
from sftdata.store.stage import WriteShards
from sftdata.workspace import Workspace

UNIT_BYTES = 2 << 20  # of a JSON-lines file that one worker reads at a time; changes no byte of the dataset
# Where all rows of a source have these, its settings or its format are wrong, not its rows.
NOT_DATA = {"bad_json", "not_an_object", "unknown_shape", "missing_field"}


def prepare(
    config: Config,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    fresh: bool = False,
    keep_work: bool = False,
    progress: Progress | None = None,
    encoder: RecordEncoder | None = None,
) -> Manifest:
    """Prepare a dataset and give its manifest, which is also in the output folder.

    `workers` processes are used (default: one per core); their number changes no byte of the dataset. An output
    folder that holds a dataset is replaced only with `overwrite`, and only once the new one is whole.

    A run that was ended is gone on with: what it did stands in OUT/.work under keys of what went in, and only what is
    missing, or depends on something that changed, is done. `fresh` takes nothing over; `keep_work` keeps the work
    after success too, for a run with other settings. `encoder` is what `make_encoder` gave, where it was called before.

    Raises SftDataError (SourceError, TokenizerError, TemplateError, OutputError, ...) for what a user can put right.
    """
    workers = workers or count_cores()
    out = config.located(config.out.path)
    with (
        Workspace(out, config.model_dump(mode="json"), overwrite=overwrite, fresh=fresh, keep_work=keep_work) as work,
        LocalEngine(work.pieces, workers, progress or Quiet(), preload=__name__, salt=program_key()) as engine,
    ):
        sources = sources_to_read(config)
        units = plan_units(sources, UNIT_BYTES)
        work.refuse_sources([unit.path for unit in units])
        engine.warm_up(len(units))
        judge = make_judge(config)
        check_mixture(config)
        check_comparisons(config)
        encoder = encoder or make_encoder(config)

        stamps = tuple(stamp_of(unit) for unit in units)
        identities = unit_identities(units, sources, config.check_tool_calls, threads=workers)
        read = Read(tuple(units), sources, content_key, config.check_tool_calls, stamps, judge)
        given = engine.give(pa.table({"unit": range(len(units))}), identities)
        rows = engine.map(read, given)
        names = distinct_names(units, [source.path for source in config.sources])
        fates = Fates(units, names, engine.collect(rows, FATE_COLUMNS))
        refuse_unreadable(config, units, fates)
        compare_rows(engine, rows, fates, config, work.new)

        encoder.wait()
        encoded = engine.map(Encode(encoder), rows, fates.beside())
        seen = joined_facts(engine, encoded)
        if seen.disagreed:
            said = "fastokens gives other ids than tokenizers for some of this text: encoding again with tokenizers"
            (progress or Quiet()).note(said)
            encoder = RecordEncoder(replace(encoder.settings, backend="tokenizers"))
            encoded = engine.map(Encode(encoder), rows, fates.beside())
            seen = joined_facts(engine, encoded)
        samples = Samples(engine.collect(encoded, SAMPLE_COLUMNS))
        samples.drop_refused(fates)
        samples.drop_overlong(fates, config.pack.seq_len)
        limit_records(fates, samples, config)
        choose_split(engine, rows, fates, config)
        mixture = mix_sources(fates, samples, config)

        samples.assign_shards(fates, config.out.shard_tokens)
        refuse_all_held_out(config, samples)
        pack = WriteShards(str(work.shards), config.pack.seq_len, config.pack.strategy, config.seed)
        placed = engine.group("shard", pack, samples.with_copies(encoded), samples.beside(fates))
        shards = samples.take_places(engine.collect(placed, PLACED_COLUMNS)) if placed else []

        ledger = write_ledger(work.new, config, fates, samples, engine, rows)
        files = write_tokenizer(work.new, encoder)
        private = count_private(engine, rows, fates) if config.privacy.mode != "off" else {}
        manifest = make_manifest(config, encoder, shards, ledger, files, seen, private, mixture)
        work.publish(manifest)
        engine.forget_unused()
    return manifest


def make_judge(config: Config) -> Judge | None:
    """What judges single records, or None where nothing is asked for. Raises ConfigError where a library is missing."""
    if config.filters.languages:
        require_languages()
    judge = Judge(config.filters, config.privacy)
    return None if judge.is_off else judge


def joined_facts(engine: Engine, encoded: Sequence[Piece]) -> BatchFacts:
    """What the batches of encoding saw."""
    return BatchFacts.joined(engine.collect(encoded, ["facts"])["facts"].drop_null().to_pylist())


def refuse_unreadable(config: Config, units: Sequence[Unit], fates: Fates) -> None:
    """Raise SourceError for a source of which no row can be made out: its settings are wrong, not its rows."""
    for number, source in enumerate(config.located_sources()):
        reasons = fates.reasons_of_source(number)
        if not reasons:
            raise SourceError(source.path, "holds no rows", "check the path, or take it out of the sources")
        if reasons <= NOT_DATA:
            raise no_rows_error([unit for unit in units if unit.source == number], source)


def refuse_all_held_out(config: Config, samples: Samples) -> None:
    """Raise ConfigError where the validation split takes every conversation."""
    if samples.paths and not any(path.startswith(f"{TRAIN}/") for path in samples.paths):
        held = f"{config.split.validation} takes every conversation that could be packed"
        raise ConfigError("split.validation", held, "hold out fewer, so that some are left to train on")


def write_ledger(
    folder: Path, config: Config, fates: Fates, samples: Samples, engine: Engine, rows: Sequence[Piece]
) -> LedgerWriter:
    """Write the fate of every row."""
    keep = list(dict.fromkeys(name for source in config.sources for name in source.keep))
    kept = engine.collect(rows, ["keep"])["keep"].combine_chunks() if keep else pa.nulls(0, pa.string())
    accounts = Accounts(fates, samples, [source.path for source in config.sources], keep, kept)
    with LedgerWriter(folder, keep) as ledger:
        for table in accounts.tables():
            ledger.write(table)
    return ledger


def make_manifest(
    config: Config,
    encoder: RecordEncoder,
    shards: Sequence[ShardEntry],
    ledger: LedgerWriter,
    files: Sequence[FileEntry],
    seen: BatchFacts,
    private: Mapping[str, int],
    mixture: Sequence[MixtureEntry],
) -> Manifest:
    """All that is known of the dataset."""
    template = None
    if not config.is_plain_text:
        sha256 = hashlib.sha256(encoder.template.source.encode()).hexdigest()
        template = TemplateEntry(source=config.template, sha256=sha256)
    return Manifest(
        dataset_hash=hash_of_shards(shards),
        seed=config.seed,
        seq_len=config.pack.seq_len,
        shards=tuple(shards),
        ledger=tuple(ledger.files),
        files=tuple(files),
        tokenizer=tokenizer_entry(config.tokenizer, encoder, seen),
        template=template,
        encoding=encoding_entry(seen),
        config=config.model_dump(mode="json", exclude={"out": {"path"}}),
        versions=describe_versions(semantic=config.dedup.semantic is not None),
        counts=ledger.counts,
        privacy=dict(private),
        mixture=tuple(mixture),
        packing=PackingEntry.of(config.pack.strategy, config.pack.seq_len, shards),
    )
