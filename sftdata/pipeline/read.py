"""Reading in `prepare`: from the sources of the config to the table of rows."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sftdata.config import Config, SourceConfig
from sftdata.curate.duplicates.exact import content_key
from sftdata.curate.privacy.details import Details
from sftdata.curate.stage import FilterAndRedact
from sftdata.engines.engine import Engine
from sftdata.errors import ConfigError, SourceError, pluralize
from sftdata.files import copies
from sftdata.files.atomic import output_errors
from sftdata.pipeline.columns.in_files import in_batches
from sftdata.pipeline.rows import REASON_NAMES, RowTable
from sftdata.progress import NoProgress, Progress
from sftdata.read.advice import FIXABLE, speakers
from sftdata.read.diagnose import NOT_DATA, loss_notes, no_rows_error
from sftdata.read.file_names import distinct_names
from sftdata.read.file_stamps import Stamps, stamp_of
from sftdata.read.formats.convert import RowFormat
from sftdata.read.formats.fields import at_path, key_list
from sftdata.read.formats.roles import is_same_name
from sftdata.read.python_rows import BATCH_ROWS, is_split, number_of_rows, write_rows
from sftdata.read.readers.parse_json import parse_text
from sftdata.read.sources import plan_units, read_raw
from sftdata.read.stage import ADDRESS, Read, row_format, unit_identities
from sftdata.read.units import RawRow, Stored, Unit
from sftdata.records.end_tokens import EndTokens
from sftdata.records.faults import INTERNAL_ERROR, going_without
from sftdata.remote.stores import is_url
from sftdata.safe.addresses import safe_address, written_address
from sftdata.settings.given_rows import WrittenRows

SMALL_BYTES = 48 << 20  # of input: up to here one process is done first (tests/bench/RESULTS.md, "pool")
_MANY_ROWS = 20_000  # given as Python objects: from here on, writing them is shown as a stage
_FIRST_ROWS = 100  # of a unit, in which columns are looked for first
_MAX_DEPTH = 6  # of objects in rows, where names of columns and roles are looked for
# What one task reads changes no byte of the dataset.
UNIT_BYTES = 2 << 20  # of a JSON-lines file, or of several small files
MAX_SMALL_TASKS = 1024  # up to this many units, each is a task of its own, so that a changed file costs itself alone


class Sources(NamedTuple):
    """What a run reads."""

    sources: tuple[SourceConfig, ...]  # located, each with the columns to keep for later steps
    units: tuple[Unit, ...]  # files, or parts of them, in order
    names: tuple[str, ...]  # what the ledger calls the file of each unit
    config: Config  # of the run; it counts rows that were given as Python objects
    notes: tuple[str, ...]  # what of the sources is not read

    @property
    def paths(self) -> list[str]:
        """The files, and the addresses of remote ones."""
        return list(dict.fromkeys(path for unit in self.units for path in unit.paths))

    def is_small(self, config: Config) -> bool:
        """Whether one process is done before a pool of them has started. A compressed file may be large, and so may one
        on a store that does not say its size.
        """
        is_open = any(unit.compression or (is_url(unit.path) and unit.stored is None) for unit in self.units)
        if config.dedup.semantic is not None or is_open:
            return False
        stored = {unit.path: unit.stored.size_bytes for unit in self.units if unit.stored is not None}
        sizes = (stored[path] if path in stored else Path(path).stat().st_size for path in self.paths)
        return sum(sizes) <= SMALL_BYTES


@contextmanager
def find_sources(config: Config, folder: Path, progress: Progress) -> Iterator[Sources]:
    """The files of the sources, cut into units of work; rows that are given as Python objects are in files in `folder`
    until the block ends. Raises SourceError as `plan_units` and `write_rows`.
    """
    try:
        notes: list[str] = []
        config, located, units = plan_config(config, folder, UNIT_BYTES, notes.append, progress)
        wanted = _columns_for_later(config)
        sources = tuple(
            source.model_copy(update={"keep": tuple(dict.fromkeys([*source.keep, *wanted]))}) if wanted else source
            for source in located
        )
        names = distinct_names(units, [source.path for source in config.sources])
        for text in notes:
            progress.note(text)
        yield Sources(sources, tuple(units), tuple(names), config, tuple(notes))
    finally:
        if any(source.rows is not None for source in config.sources):
            shutil.rmtree(folder, ignore_errors=True)


def plan_config(
    config: Config, folder: Path, unit_bytes: int, say: Callable[[str], None], progress: Progress | None = None
) -> tuple[Config, tuple[SourceConfig, ...], list[Unit]]:
    """The config, its located sources, and their units; only these have the credentials in addresses. Rows that are
    given as Python objects are written to files in `folder`, and counted in the config. `say` is called with what is
    not read.
    """
    given, sources, located = [*config.sources], [*config.resolved_sources()], [*config.resolved_sources()]

    def note(number: int, text: str) -> None:
        say(f"{written_address(config.sources[number].path)}: {text}")

    for number, source in enumerate(config.sources):
        if source.rows is not None:
            keep = [*source.keep, *_columns_for_later(config)]
            file, written = _write_given(source, folder, keep, partial(note, number), progress or NoProgress())
            given[number] = sources[number] = source.model_copy(update={"rows": written})
            split = None if is_split(source.rows) else source.split
            copies.send(file)
            located[number] = source.model_copy(
                update={"rows": written, "path": copies.address_of(file), "split": split}
            )

    try:
        units = plan_units(located, unit_bytes, note=note)
    except SourceError as error:
        files = {source.path: own.path for source, own in zip(located, given) if own.rows is not None}
        raise SourceError(files.get(error.where, error.where), error.what, error.hint) from error
    units = [unit if given[unit.source].rows is None else unit._replace(name=given[unit.source].path) for unit in units]
    given, sources = [*map(_without_credentials, given)], [*map(_without_credentials, sources)]
    return config.model_copy(update={"sources": tuple(given)}), tuple(sources), units


def _write_given(
    source: SourceConfig, folder: Path, keep: Iterable[str], note: Callable[[str], None], progress: Progress
) -> tuple[Path, WrittenRows]:
    """Write rows that are given as Python objects to a file whose name says what is in it: once, so that tasks share
    the file, and no row is sent to a worker.
    """
    number = number_of_rows(source.rows, source.split) or 0
    is_large = number >= _MANY_ROWS
    if is_large:
        progress.start("given", number // BATCH_ROWS, number)
    advance = partial(progress.advance, tokens=0) if is_large else None
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / ".given.tmp"
    try:
        count, sha256 = write_rows(
            source.rows, unfinished, source.path, source.split, keep=keep, note=note, advance=advance
        )
    except OSError as error:
        if error.filename is not None:  # of what the caller's rows are read from
            raise
        with output_errors(folder):
            raise
    if is_large:
        progress.finish("given", count, "row", 0)
    file = folder / f"{sha256}.jsonl"
    with output_errors(file):
        unfinished.replace(file)
    return file, WrittenRows(count, sha256)


def _without_credentials(source: SourceConfig) -> SourceConfig:
    """A source as it may be written. Only the units, which are opened, have its address with a password or token."""
    shown = written_address(source.path)
    return source if shown == source.path else source.model_copy(update={"path": shown})


def _columns_for_later(config: Config) -> list[str]:
    """The columns that later steps need of every row."""
    wanted = [cap.column for cap in config.dedup.caps]
    return [*wanted, config.split.by] if config.split.by != "content" and config.split.validation else wanted


def read_rows(
    found: Sources, config: Config, engine: Engine, end_tokens: EndTokens, calls_written: str = "always"
) -> RowTable:
    """Every row of the sources: its record, or the reason why there is none; filters and privacy included.

    `end_tokens` are stripped from the end of answers if the config says so. Tool calls in texts are parsed where the
    template writes calls: `calls_written` is always, with_tools or never. Raises SourceError where a file cannot be
    read, or no row of a source is a conversation.
    """
    sources, units, names = found.sources, found.units, found.names
    stamps = tuple(stamp_of(unit) for unit in units)
    identities = unit_identities(units, sources, config.check_tool_calls)
    is_filtering = not config.filters.is_off or config.privacy.mode != "off"
    record_filter = FilterAndRedact(config.filters, config.privacy) if is_filtering else None
    stripped = end_tokens if config.clean.strip_trailing_control else None
    shown = tuple(unit._replace(path=safe_address(unit.path)) for unit in units)  # a stage is written to a file
    details = Details(config.privacy)
    stage = Read(
        shown,
        sources,
        content_key,
        config.check_tool_calls,
        stamps,
        record_filter,
        stripped,
        calls_written,
        config.tool_calls,
        details,
    )
    keys, sizes = _tasks(units, stamps, identities)
    given = engine.give(pa.table({"unit": np.arange(len(units))}), keys, sizes)
    pieces = engine.map(stage, given, _addresses(units))
    rows = RowTable(pieces, units, names, engine, is_keeping=any(source.keep for source in sources))
    if (rows.reason == REASON_NAMES.index(INTERNAL_ERROR)).any():
        for first, table in in_batches(engine, pieces, ["fault"]):
            rows.drop_faults(table["fault"], np.arange(first, first + table.num_rows))
    _refuse_unreadable(found, rows)
    _refuse_unmapped(found)
    return rows


def _tasks(
    units: Sequence[Unit], stamps: Sequence[Stamps], identities: Sequence[str | None]
) -> tuple[list[str | None], list[int]]:
    """The keys of the tasks that read these units, and how many units each of them reads: of very many small files
    several, so that neither tasks nor mapped files grow with their number.
    """
    most = -(-len(units) // MAX_SMALL_TASKS)
    groups: list[list[str | None]] = []
    left = 0  # bytes that the last group may still take
    for unit, stamp, identity in zip(units, stamps, identities, strict=True):
        is_part = unit.start > 0 or unit.end is not None
        stamps_of = (stamp,) if isinstance(stamp, Stored) else stamp or ()
        size = UNIT_BYTES if is_part else sum(file.size_bytes for file in stamps_of)
        if not groups or size > left or len(groups[-1]) == most or (identity is None) != (groups[-1][0] is None):
            groups.append([])
            left = UNIT_BYTES
        groups[-1].append(identity)
        left -= size
    whole = ["".join(key or "" for key in group) or None for group in groups]
    keys = [None if key is None else sha256(key.encode()).hexdigest() for key in whole] if most > 1 else whole
    return keys, [len(group) for group in groups]


def _addresses(units: Sequence[Unit]) -> pa.Table | None:
    """The addresses of units that have a password or a token, which go to the tasks and into no file; or None."""
    addresses = [unit.path if safe_address(unit.path) != unit.path else None for unit in units]
    return pa.table({ADDRESS: pa.array(addresses, pa.string())}) if any(addresses) else None


def _refuse_unreadable(found: Sources, rows: RowTable) -> None:
    """Raise SourceError for a source without a single usable row: its settings are wrong, not its rows."""
    for number, source in enumerate(found.sources):
        reasons = rows.reasons_of_source(number)
        if reasons <= NOT_DATA:
            own = found.config.sources[number]
            shown = source if own.rows is None else source.model_copy(update={"path": own.path})
            raise no_rows_error([unit for unit in found.units if unit.source == number], shown)


def notes_on_losses(found: Sources, rows: RowTable) -> list[str]:
    """What to do about rows that fit no format, or have unknown roles, beside others of their source that are kept."""
    notes: list[str] = []
    for number, source in enumerate(found.sources):
        reasons = {name for name in rows.reasons_of_source(number) if name is not None} & FIXABLE
        dropped = {name: (rows.source == number) & (rows.reason == REASON_NAMES.index(name)) for name in reasons}
        if dropped:
            shown = source.model_copy(update={"path": found.config.sources[number].path})  # as configured
            units = np.unique(np.concatenate([rows.unit[chosen] for chosen in dropped.values()])).tolist()
            counts = {name: int(chosen.sum()) for name, chosen in dropped.items()}
            with going_without(f"{shown.path}: settings for dropped rows", notes.append):
                notes += loss_notes([found.units[unit] for unit in units], shown, counts)
    return notes


def _refuse_unmapped(found: Sources) -> None:
    """Raise SourceError for a source with a setting that names a column that none of its rows has, and ConfigError for
    another setting that names a column that no row has at all.
    """
    for number, own in enumerate(found.config.sources):
        named = {column: f"columns maps {field} to {column}" for field, column in own.columns.items()}
        named |= {column: f"keep names the column {column}" for column in own.keep}
        units = [unit for unit in found.units if unit.source == number]
        for column, keys in _absent_columns(units, named).items():
            hint = f"its rows have the keys {keys}; correct the name, or remove the setting"
            raise SourceError(own.path, f"{named[column]}, which none of its rows has", hint)
        _refuse_roles(own, row_format(found.sources[number]), units)
    wanted = _columns_for_later(found.config)
    for column in _absent_columns(found.units, wanted):
        setting = "split.by" if column == found.config.split.by else "dedup.caps"
        raise ConfigError(setting, f"names the column {column}, which no row has", "correct the name")


def _refuse_roles(own: SourceConfig, how: RowFormat, units: Sequence[Unit]) -> None:
    """Raise SourceError if none of the rows of a source has a turn with a role that its `roles` name. Rows are read
    until all are found, the first rows of every unit before the others.
    """
    left, seen = [*own.roles], dict[str, None]()
    for limit in (_FIRST_ROWS, None):
        for unit in units if left else ():
            for _, value, _ in islice(read_raw(unit), limit):
                names = speakers(value, how) if isinstance(value, dict) else []
                left = [role for role in left if not any(is_same_name(name, role) for name in names)]
                seen.update(dict.fromkeys(names))
                if not left:
                    return
    if left:
        has = f"its rows have the roles {key_list(seen)}" if seen else "its rows have no turns with roles"
        what = f"roles names {', '.join(left)}, which no turn of its rows has"
        raise SourceError(own.path, what, f"{has}; correct the name, or remove it from roles")


def _absent_columns(units: Sequence[Unit], columns: Iterable[str]) -> dict[str, str]:
    """Those of these columns (names, dotted paths, or keys of turns) that no row of the units has, each with the keys
    that rows have. Rows are read until all are found, the first rows of every unit before the others.
    """
    left, keys = list(columns), ""
    for limit in (_FIRST_ROWS, None):
        for unit in units if left else ():
            for _, value, _ in islice(read_raw(unit), limit):
                if isinstance(value, dict):
                    left = [column for column in left if not _has_column(value, column)]
                    keys = keys or key_list(value)
                if not left:
                    return {}
    return dict.fromkeys(left, keys) if keys else {}


def _has_column(row: Mapping[str, Any], column: str) -> bool:
    """Whether a row has a column, also where it is null, or holds objects, such as turns, with a key of this name."""
    last = column.rpartition(".")[2]
    return at_path(row, column) is not None or any(column in item or last in item for item in _objects_in(row, 0))


def _objects_in(value: object, depth: int) -> Iterator[Mapping[str, Any]]:
    """The objects in a value, itself included, and in JSON that is in texts."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        with suppress(ValueError):
            value = parse_text(value)
    if isinstance(value, dict):
        yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if depth < _MAX_DEPTH:
        for item in inner:
            yield from _objects_in(item, depth + 1)


def rows_again(found: Sources, rows: RowTable, entries: npt.NDArray[np.int64]) -> list[RawRow]:
    """The raw rows of these entries, read again."""
    values = []
    for number in dict.fromkeys(rows.unit[entries].tolist()):
        of_unit = np.flatnonzero((rows.unit == number) & rows.is_row)
        wanted = set(np.searchsorted(of_unit, entries[rows.unit[entries] == number]).tolist())
        first_rows = islice(read_raw(found.units[number]), max(wanted) + 1)
        values += [raw for place, raw in enumerate(first_rows) if place in wanted]
    return values


def refuse_losses(rows: RowTable, config: Config) -> None:
    """Raise SourceError if more than max_dropped of the rows are dropped."""
    number, dropped = int(rows.is_row.sum()), int((rows.is_row & ~rows.live).sum())
    if config.max_dropped is None or dropped <= config.max_dropped * number:
        return
    reasons, counts = np.unique(rows.reason[rows.is_row & ~rows.live], return_counts=True)
    most = sorted(zip(counts.tolist(), reasons.tolist()), reverse=True)[:3]
    named = ", ".join(f"{count:,} {REASON_NAMES[reason]}" for count, reason in most)
    verb = "is" if dropped == 1 else "are"
    what = f"{dropped:,} of {pluralize(number, 'row')} {verb} dropped ({dropped / number:.1%}: {named})"
    what += ", more than max_dropped allows"
    hint = "no dataset was written; correct the rows, or raise max_dropped and run again: the work so far is kept"
    raise SourceError("sources", f"{what} ({config.max_dropped:.1%})", hint)
