"""Units of reading work (a file, or a part of one) and the raw rows that are read from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from sftdata.records.record import Drop


class Source(Protocol):
    """The settings of one source that reading needs; `sftdata.config.SourceConfig` is one."""

    @property
    def path(self) -> str: ...
    @property
    def format(self) -> str: ...
    @property
    def columns(self) -> Mapping[str, str]: ...
    @property
    def system(self) -> str | None: ...
    @property
    def roles(self) -> Mapping[str, str]: ...
    @property
    def merge_same_role(self) -> str: ...
    @property
    def tool_calls_in_text(self) -> str: ...
    @property
    def tool_calls(self) -> str | None: ...
    @property
    def rendered_chats(self) -> str: ...
    @property
    def keep(self) -> tuple[str, ...]: ...
    @property
    def split(self) -> str | None: ...
    @property
    def subset(self) -> str | None: ...


class Stored(NamedTuple):
    """What a store says of a file: both change when another file takes its place."""

    size_bytes: int
    version: str  # its ETag or generation, or the time of its last change; empty where the store gives none
    is_content: bool  # whether equal versions of one address are equal bytes, as equal ETags are


class Unit(NamedTuple):
    """One piece of reading work: a file of a source, or a part of it.

    `start` and `end` are byte offsets in an uncompressed local JSON-lines file (the unit holds the lines that *begin*
    in [start, end), wherever they end) and row numbers in a Parquet file. `end` is None in the last part of a file, and
    so in every unit that is a whole file.
    """

    source: int  # index into the sources
    path: str  # what to open: a local path or a URL
    name: str  # the path relative to the source, as users see it in "chats/a.jsonl:17"
    kind: str  # jsonl, json, csv, tsv, parquet, arrow, or saved: a saved Dataset with an indices file
    compression: str | None  # gz, zst, bz2, xz or None
    start: int = 0
    end: int | None = None
    tables: tuple[str, ...] = ()  # the Arrow files of a saved Dataset with indices; its path is its state.json
    indices: tuple[str, ...] = ()  # the files that say which of their rows it has, and in which order
    stored: Stored | None = None  # of a file on a store, when it was found; None where the store does not say

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file that the unit is read from."""
        return (self.path, *self.tables, *self.indices)


class RawRow(NamedTuple):
    """One row as read from its file: a value, or the reason why there is none.

    `line` is 1-based within the unit: the line number in text files, otherwise the row number.
    """

    line: int
    value: object
    drop: Drop | None
