"""Reading in `prepare`: from the sources of the config to the table of rows."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from sftdata.config import Config, SourceConfig
from sftdata.curate.duplicates.exact import content_key
from sftdata.curate.stage import FilterAndRedact
from sftdata.engines.engine import Engine
from sftdata.pipeline.rows import ROW_COLUMNS, RowTable
from sftdata.read.diagnose import NOT_DATA, no_rows_error
from sftdata.read.file_names import distinct_names
from sftdata.read.file_stamps import stamp_of
from sftdata.read.readers.open_files import is_url
from sftdata.read.sources import plan_units
from sftdata.read.stage import Read, unit_identities
from sftdata.read.units import Unit
from sftdata.records.end_tokens import EndTokens

SMALL_BYTES = 32 << 20  # of input: up to here one process is done first (tests/bench/RESULTS.md, "pool")
UNIT_BYTES = 2 << 20  # of a JSON-lines file that one task reads; changes no byte of the dataset


class Sources(NamedTuple):
    """What a run reads."""

    sources: tuple[SourceConfig, ...]  # located, each with the columns to keep for later steps
    units: tuple[Unit, ...]  # files, or parts of them, in order
    names: tuple[str, ...]  # what the ledger calls the file of each unit

    @property
    def paths(self) -> list[str]:
        """The files, and the addresses of remote ones."""
        return list(dict.fromkeys(path for unit in self.units for path in unit.paths))

    def is_small(self, config: Config) -> bool:
        """Whether one process is done before a pool of them has started. A remote or compressed file may be large."""
        if config.dedup.semantic is not None or any(is_url(unit.path) or unit.compression for unit in self.units):
            return False
        return sum(Path(path).stat().st_size for path in self.paths) <= SMALL_BYTES


def find_sources(config: Config) -> Sources:
    """The files of the sources, cut into units of work. Raises SourceError as `plan_units`."""
    wanted = [cap.column for cap in config.dedup.caps]
    if config.split.by != "content" and config.split.validation:
        wanted.append(config.split.by)
    sources = tuple(
        source.model_copy(update={"keep": tuple(dict.fromkeys([*source.keep, *wanted]))}) if wanted else source
        for source in config.resolved_sources()
    )
    units = plan_units(sources, UNIT_BYTES)
    names = distinct_names(units, [source.path for source in config.sources])
    return Sources(sources, tuple(units), tuple(names))


def read_rows(found: Sources, config: Config, engine: Engine, end_tokens: EndTokens) -> RowTable:
    """Every row of the sources: its record, or the reason why there is none; filters and privacy included.

    `end_tokens` are stripped from the end of answers if the config says so. Raises SourceError where a file cannot be
    read, or no row of a source is a conversation.
    """
    sources, units, names = found
    stamps = tuple(stamp_of(unit) for unit in units)
    identities = unit_identities(units, sources, config.check_tool_calls)
    is_filtering = not config.filters.is_off or config.privacy.mode != "off"
    record_filter = FilterAndRedact(config.filters, config.privacy) if is_filtering else None
    stripped = end_tokens if config.clean.strip_trailing_control else None
    stage = Read(units, sources, content_key, config.check_tool_calls, stamps, record_filter, stripped)
    pieces = engine.map(stage, engine.give(pa.table({"unit": np.arange(len(units))}), identities))
    rows = RowTable(pieces, units, names, engine.collect(pieces, ROW_COLUMNS))
    _refuse_unreadable(found, rows)
    return rows


def _refuse_unreadable(found: Sources, rows: RowTable) -> None:
    """Raise SourceError for a source without a single usable row: its settings are wrong, not its rows."""
    for number, source in enumerate(found.sources):
        reasons = rows.reasons_of_source(number)
        if reasons <= NOT_DATA:
            raise no_rows_error([unit for unit in found.units if unit.source == number], source)
