"""`prepare`: raw files in, a dataset out. The whole of it, one line a stage."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sftdata.config import Config
from sftdata.curate.mixture import SourceShare, check_shares
from sftdata.curate.privacy.details import Details
from sftdata.curate.quality.languages import require_languages
from sftdata.engines.engine import TaskEngine
from sftdata.engines.where import Where
from sftdata.pipeline.contamination import drop_contaminated
from sftdata.pipeline.dataset_manifest import Parts, make_manifest, program_key, program_versions
from sftdata.pipeline.duplicates import (
    drop_exact_duplicates,
    drop_near_duplicates,
    drop_over_caps,
    drop_semantic_duplicates,
    drop_shared_prefixes,
    with_model_folder,
)
from sftdata.pipeline.encoding import (
    drop_overlong,
    encode_rows,
    load_encoder,
    loaded_meanwhile,
    note_template,
    suggest_settings,
    write_tokenizer,
)
from sftdata.pipeline.ledger_rows import write_error_log, write_ledger
from sftdata.pipeline.mixture import choose_validation, drop_over_max_records, mix_sources
from sftdata.pipeline.on_store.workspace import open_workspace
from sftdata.pipeline.packing import pack_samples, write_shards
from sftdata.pipeline.read import find_sources, notes_on_losses, read_rows, refuse_losses
from sftdata.progress import NoProgress, Progress, Steps
from sftdata.records.faults import going_without
from sftdata.store.manifest import Manifest

# Modules that workers need. pyarrow imports pandas at its first array; here that happens once for all workers.
PRELOAD = (
    "pandas",
    "pyarrow.compute",
    "pydantic.main",
    "jinja2.sandbox",
    "orjson",
    "xxhash",
    "fastokens",
    "tokenizers",
)


def prepare(
    config: Config,
    *,
    workers: int | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    overwrite: bool = False,
    fresh: bool = False,
    keep_work: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Prepare a dataset and return its manifest, which is also in the output folder.

    `workers` processes are used (default: one per core, and for little data this process alone); with the engine `ray`
    those of a cluster, or of this machine where no address is given. Neither changes a byte of the dataset.

    An output folder that holds a dataset is replaced only with `overwrite`, and only once the new one is whole.

    A run that was stopped is continued: its work is in OUT/.work under keys of what went in, and only what is missing,
    or depends on something that changed, is done. `fresh` ignores that work; `keep_work` keeps it after success too,
    for a run with other settings.

    Raises SftDataError (SourceError, TokenizerError, TemplateError, OutputError, ...) for what a user can put right.
    """
    progress = progress or NoProgress()
    steps, where = Steps(progress), Where(engine, workers, ray_address)
    check_settings_together(config)
    with (
        Details(config.privacy).in_errors(),
        open_workspace(config, overwrite=overwrite, fresh=fresh, keep_work=keep_work) as work,
        find_sources(config, work.rows, progress) as sources,
        where.launcher(
            work.pieces, progress.note, program_versions, sources.is_small(config), PRELOAD, work.clear
        ) as launcher,
    ):
        config = sources.config
        work.refuse_sources(sources.paths)
        encoder = load_encoder(config)
        tasks = TaskEngine(work.pieces, launcher, progress, salt=program_key(), attach=work.attach)
        with loaded_meanwhile(encoder, launcher):
            rows = read_rows(sources, config, tasks, encoder.end_tokens, encoder.calls_written)
        steps.read(int(rows.is_row.sum()), rows.num_live)
        drop_exact_duplicates(rows, config)
        notes = [*sources.notes, *notes_on_losses(sources, rows), *drop_near_duplicates(rows, tasks, config, work.new)]
        drop_shared_prefixes(rows, tasks, config)
        drop_semantic_duplicates(rows, tasks, config, work.new)
        steps.done("dedup", rows.num_live)
        notes += [*drop_contaminated(rows, tasks, config, work.new), *note_template(config, encoder, progress)]
        steps.done("decontaminate", rows.num_live)
        drop_over_caps(rows, config)
        steps.done("caps", rows.num_live)

        samples, stats = encode_rows(rows, tasks, encoder, config, progress)
        with going_without("settings for refused rows", notes.append):
            suggest_settings(sources, rows, encoder, stats, progress)
        steps.done("encode", rows.num_live, int(samples.is_sample.sum()), "sample")
        drop_overlong(rows, samples, config)
        drop_over_max_records(rows, samples, config)
        choose_validation(rows, config)
        mixture = mix_sources(rows, samples, config)
        refuse_losses(rows, config)

        to_write = pack_samples(rows, samples, tasks, config)
        steps.done("pack", rows.num_live, samples.num_sequences, "sequence")
        with ThreadPoolExecutor(2) as threads:
            ledger = threads.submit(lambda: write_ledger(rows, samples, config, work.new))
            tokenizer = threads.submit(lambda: write_tokenizer(encoder, work.new))
            shards = write_shards(to_write, samples, tasks, config, work.shards)
        files = [*tokenizer.result(), *write_error_log(rows, work.new)]
        parts = Parts(notes, shards, ledger.result(), files, mixture)
        manifest = make_manifest(config, encoder, rows, samples, stats, parts)
        work.publish(manifest)
        steps.done("write", rows.num_live, len(shards), "shard")
        tasks.remove_unused()
    return manifest


def check_settings_together(config: Config) -> None:
    """Raise ConfigError where settings contradict each other, or what one of them needs is not installed."""
    check_shares([SourceShare(weight=source.weight) for source in config.sources])
    if config.dedup.semantic is not None:
        with_model_folder(config, config.dedup.semantic)
    if config.filters.languages:
        require_languages()
