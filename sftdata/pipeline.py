"""`prepare`: raw files in, a dataset out. The data path down to the rows as read; assembly.py goes on from there.

The tokenizer is loaded, and what comes after reading imported, while the workers read.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from sftdata.config import Config, SourceConfig
from sftdata.curate.exact import content_key
from sftdata.curate.languages import require_languages
from sftdata.curate.mixture import SourceShare, check_shares
from sftdata.encoding import Encoding, begin_encoding
from sftdata.engines.local import LocalEngine
from sftdata.machine import count_cores
from sftdata.progress import Progress, Quiet
from sftdata.read.names import distinct_names
from sftdata.read.sources import plan_units
from sftdata.read.stage import Read, unit_identities
from sftdata.read.stamps import stamp_of
from sftdata.versions import program_key
from sftdata.workspace import Workspace

if TYPE_CHECKING:
    from sftdata.assembly import Assembly
    from sftdata.curate.stage import Judge
    from sftdata.store.manifest import Manifest

UNIT_BYTES = 2 << 20  # of a JSON-lines file that one worker reads at a time; changes no byte of the dataset


def prepare(
    config: Config,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    fresh: bool = False,
    keep_work: bool = False,
    progress: Progress | None = None,
    encoding: Encoding | None = None,
) -> Manifest:
    """Prepare a dataset and give its manifest, which is also in the output folder.

    `workers` processes are used (default: one per core); their number changes no byte of the dataset. An output
    folder that holds a dataset is replaced only with `overwrite`, and only once the new one is whole.

    A run that was ended is gone on with: what it did stands in OUT/.work under keys of what went in, and only what is
    missing, or depends on something that changed, is done. `fresh` takes nothing over; `keep_work` keeps the work
    after success too, for a run with other settings. `encoding` is what `begin_encoding` gave, where it was called
    before.

    Raises SftDataError (SourceError, TokenizerError, TemplateError, OutputError, ...) for what a user can put right.
    """
    workers = workers or count_cores()
    progress = progress or Quiet()
    encoding = encoding or begin_encoding(config)
    out = config.located(config.out.path)
    with (
        Workspace(out, config.model_dump(mode="json"), overwrite=overwrite, fresh=fresh, keep_work=keep_work) as work,
        LocalEngine(work.pieces, workers, progress, preload="sftdata.assembly", salt=program_key()) as engine,
    ):
        sources = sources_to_read(config)
        units = plan_units(sources, UNIT_BYTES)
        work.refuse_sources([unit.path for unit in units])
        engine.warm_up(len(units))
        check_together(config)
        stamps = tuple(stamp_of(unit) for unit in units)
        identities = unit_identities(units, sources, config.check_tool_calls, threads=workers)
        read = Read(tuple(units), sources, content_key, config.check_tool_calls, stamps, make_judge(config))
        given = engine.give(pa.table({"unit": np.arange(len(units))}), identities)

        @cache
        def assembly() -> Assembly:
            from sftdata.assembly import Assembly

            encoding.check()
            return Assembly(config, encoding, engine, work, progress)

        rows = engine.map(read, given, meanwhile=assembly)
        names = distinct_names(units, [source.path for source in config.sources])
        manifest = assembly().make(units, names, rows)
        engine.forget_unused()
    return manifest


def sources_to_read(config: Config) -> tuple[SourceConfig, ...]:
    """The sources, located, with the columns kept too that decide the split and are capped."""
    wanted = [cap.column for cap in config.dedup.caps]
    if config.split.by != "content" and config.split.validation:
        wanted.append(config.split.by)
    return tuple(
        source.model_copy(update={"keep": tuple(dict.fromkeys([*source.keep, *wanted]))}) if wanted else source
        for source in config.located_sources()
    )


def check_together(config: Config) -> None:
    """Raise ConfigError where settings do not go together, or what one of them needs is not there."""
    check_shares([SourceShare(weight=source.weight) for source in config.sources])
    if config.dedup.semantic is not None:
        from sftdata.repeats import located_semantic

        located_semantic(config, config.dedup.semantic)


def make_judge(config: Config) -> Judge | None:
    """What judges single records, or None where nothing is asked for. Raises ConfigError where a library is missing."""
    if config.filters.is_off and config.privacy.mode == "off":
        return None
    if config.filters.languages:
        require_languages()
    from sftdata.curate.stage import Judge

    return Judge(config.filters, config.privacy)
