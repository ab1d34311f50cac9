"""From the rows as read to the dataset: decided on, encoded, packed, accounted for. The rest of the data path."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import pyarrow as pa

from sftdata.accounts import Accounts
from sftdata.comparing import choose_split, compare_rows, count_private, get_ready
from sftdata.config import Config
from sftdata.curate.split import TRAIN
from sftdata.encode.seen import BatchFacts
from sftdata.encoding import Encoding, End
from sftdata.engines.base import Engine, Piece
from sftdata.errors import ConfigError, SourceError
from sftdata.fates import FATE_COLUMNS, Fates
from sftdata.mixing import limit_records, mix_sources
from sftdata.output import encoding_entry, tokenizer_entry
from sftdata.progress import Progress
from sftdata.read.explain import NOT_DATA, no_rows_error
from sftdata.read.units import Unit
from sftdata.samples import SAMPLE_COLUMNS, Samples
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
from sftdata.store.stage import PLACED_SCHEMA, WRITTEN_SCHEMA, PackSamples, WriteShards
from sftdata.versions import describe_versions
from sftdata.workspace import Workspace


class Assembly:
    """What makes a dataset of rows that were read. Made while they are read, it gets ready for what comes then."""

    def __init__(self, config: Config, encoding: Encoding, engine: Engine, work: Workspace, progress: Progress) -> None:
        self._config = config
        self._encoding = encoding
        self._engine = engine
        self._work = work
        self._progress = progress
        get_ready(config)

    def make(self, units: Sequence[Unit], names: Sequence[str], rows: Sequence[Piece]) -> Manifest:
        """Make the dataset of the rows of these units, which the ledger calls by these names, and publish it."""
        config, engine = self._config, self._engine
        fates = Fates(units, names, engine.collect(rows, FATE_COLUMNS))
        refuse_unreadable(config, units, fates)
        compare_rows(engine, rows, fates, config, self._work.new)

        compared = fates.mark()
        manifest = self._made(rows, fates)
        if manifest is None:
            said = "fastokens gives other ids than tokenizers for some of this text: encoding again with tokenizers"
            self._progress.note(said)
            fates.go_back(compared)
            self._encoding.use("hf")
            manifest = self._made(rows, fates)
        assert manifest is not None  # tokenizers agrees with itself
        self._work.publish(manifest)
        return manifest

    def _made(self, rows: Sequence[Piece], fates: Fates) -> Manifest | None:
        """All files of the dataset, in the work folder, and its manifest; None where the encoder turned out wrong."""
        config, engine = self._config, self._engine
        beside = fates.beside()
        encoded = engine.map(self._encoding.stage(), rows, beside)
        folder = self._work.new / "tokenizer"
        self._encoding.begin_end(folder, engine, rows, beside["dropped"])
        columns = engine.collect(encoded, ["facts", *SAMPLE_COLUMNS])
        seen = BatchFacts.joined(columns["facts"].drop_null().to_pylist())
        samples = Samples(columns)
        del columns  # of which samples have taken what they need
        samples.drop_refused(fates)
        samples.drop_overlong(fates, config.pack.seq_len)
        limit_records(fates, samples, config)
        choose_split(engine, rows, fates, config)
        mixture = mix_sources(fates, samples, config)

        samples.assign_shards(fates, config.out.shard_tokens)
        refuse_all_held_out(config, samples)

        @cache
        def accounts() -> tuple[LedgerWriter, Mapping[str, int]]:
            ledger = write_ledger(self._work.new, config, fates, samples, engine, rows)
            return ledger, count_private(engine, rows, fates) if config.privacy.mode != "off" else {}

        shards = self._packed(samples.with_copies(encoded), samples, fates, meanwhile=accounts)
        ledger, private = accounts()
        end = self._encoding.end()
        if not end.agrees:
            return None
        files = [FileEntry(path=f"{folder.name}/{name}", size_bytes=size, sha256=sha) for name, size, sha in end.files]
        return make_manifest(config, end, shards, ledger, files, private, seen, mixture)

    def _packed(
        self, table: Sequence[Piece], samples: Samples, fates: Fates, meanwhile: Callable[[], object]
    ) -> Sequence[ShardEntry]:
        """Pack the samples and write the shards; `meanwhile` is called when their places are known."""
        engine, pack = self._engine, self._config.pack
        beside = samples.beside(fates)
        placed = engine.group("shard", PackSamples(pack.seq_len, pack.strategy, self._config.seed), table, beside)
        samples.take_places(engine.collect(placed, PLACED_SCHEMA.names) if placed else PLACED_SCHEMA.empty_table())
        write = WriteShards(str(self._work.shards), pack.seq_len)
        written = engine.group("shard", write, table, samples.with_places(beside), meanwhile)
        return samples.entries(engine.collect(written, WRITTEN_SCHEMA.names)) if written else ()


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
    end: End,
    shards: Sequence[ShardEntry],
    ledger: LedgerWriter,
    files: Sequence[FileEntry],
    private: Mapping[str, int],
    seen: BatchFacts,
    mixture: Sequence[MixtureEntry],
) -> Manifest:
    """All that is known of the dataset."""
    template = None
    if not config.is_plain_text:
        template = TemplateEntry(source=config.template, sha256=end.template_sha256)
    return Manifest(
        dataset_hash=hash_of_shards(shards),
        seed=config.seed,
        seq_len=config.pack.seq_len,
        shards=tuple(shards),
        ledger=tuple(ledger.files),
        files=tuple(files),
        tokenizer=tokenizer_entry(config.tokenizer, end.tokenizer, seen),
        template=template,
        encoding=encoding_entry(seen),
        config=config.model_dump(mode="json", exclude={"out": {"path"}}),
        versions=describe_versions(semantic=config.dedup.semantic is not None),
        counts=ledger.counts,
        privacy=dict(private),
        mixture=tuple(mixture),
        packing=PackingEntry.of(config.pack.strategy, config.pack.seq_len, shards),
    )
