"""CSV and TSV files with the csv module. A quotation mark that is never closed costs the row that it is in."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections import Counter, deque
from collections.abc import Iterator
from typing import NamedTuple

from sftdata.errors import SourceError, pluralize
from sftdata.read.readers.json_lines import MAX_LINE_BYTES
from sftdata.read.readers.open_files import HEAD_BYTES, open_unit, reject_non_text
from sftdata.read.units import RawRow, Unit
from sftdata.records.record import Drop

_NULL = "\udc00"  # replaces null bytes, which the csv module of Python 3.10 rejects
_MARKS = ",;\t|"
_SEP_LINE = re.compile(r"sep=([,;\t|])\s*")  # Excel's first line
_DOUBLED = re.compile(r'""\w|\w""')
_INCHES = re.compile(r"(?<![^\s(x×/-])\d[\d.,/]*\"$")
_AHEAD = 1000  # lines to look at behind a broken row
# A quoted field with this many lines between its first and its last, each with the fields of a row, is a quotation mark
# that was not closed. Lines of two fields have one comma each, as lines of a text may.
_LIKE_ROWS = {2: 10}
_LIKE_ROWS_OF_MORE = 4


def read_delimited(unit: Unit) -> Iterator[RawRow]:
    """The rows of a CSV or TSV file with a header, as objects of strings; `line` is the first line of the row.

    A `.csv` file may use semicolons, tabs or bars instead of commas, as its header and first rows show; a `.tsv` file
    too, where its header has no tab. A broken row
    costs itself: reading goes on in the line behind it. Raises SourceError if the file is not text, its header cannot
    be used, or rows seem to be swallowed by a quotation mark that was not closed.
    """
    with open_unit(unit.path, unit.name, unit.compression) as reader:
        reject_non_text(reader, unit.name)
        head = reader.peek(HEAD_BYTES).decode("utf-8-sig", "replace").lstrip()
        mark = _delimiter(head, "\t" if unit.kind == "tsv" else ",")
        text = io.TextIOWrapper(reader, encoding="utf-8-sig", errors="surrogateescape", newline="")
        lines = _Lines(text)
        csv.field_size_limit(MAX_LINE_BYTES)
        is_spaced = _has_spaces(head, mark)
        rows = csv.reader(lines, delimiter=mark, strict=True, skipinitialspace=is_spaced)
        header = _read_header(rows, lines, unit.name)
        if header is not None:
            yield from _without_cut_rows(_rows_below(header, rows, lines, unit.name, mark))


def delimiter_of(unit: Unit) -> str:
    """What separates the fields of a file."""
    with open_unit(unit.path, unit.name, unit.compression) as reader:
        head = reader.peek(HEAD_BYTES).decode("utf-8-sig", "replace").lstrip()
    return _delimiter(head, "\t" if unit.kind == "tsv" else ",")


class _Lines:
    """The lines of a text for csv.reader. Those of the row that is being read are held, so that they can be read again
    if the row turns out to be broken.
    """

    def __init__(self, text: Iterator[str]) -> None:
        self._text = text
        self._again: deque[str] = deque()
        self.held: list[str] = []
        self.number = 1  # of the first line held

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._text).replace("\0", _NULL)
        self.held.append(line)
        return line

    def release(self, count: int | None = None) -> None:
        """The next row begins behind the first `count` of the lines held, or behind all of them."""
        if count is None or count >= len(self.held):
            count = len(self.held)
        self._again.extendleft(reversed(self.held[count:]))
        self.number += count
        self.held = []

    def hold(self, count: int) -> None:
        """Hold `count` lines, or all that there are."""
        for _ in itertools.islice(self, max(count - len(self.held), 0)):
            pass

    def behind(self) -> Iterator[str]:
        """The lines behind the first one held. Those that are looked at are held too."""
        for number in range(1, _AHEAD + 1):
            self.hold(number + 1)
            if number >= len(self.held):
                return
            yield self.held[number]


def _read_header(rows: Iterator[list[str]], lines: _Lines, name: str) -> list[str] | None:
    """The names of the columns; None if the file is empty. Raises SourceError if they cannot be used."""
    while True:
        lines.release()
        where = f"{name}:{lines.number}"
        try:
            header = next(rows)
        except StopIteration:
            return None
        except csv.Error as error:
            raise SourceError(
                where, f"the header cannot be read ({error})", "write the names of columns there"
            ) from error
        if header and not _SEP_LINE.fullmatch("".join(lines.held)):
            break
    if any("\udc00" <= char <= "\udcff" for name in header for char in name):
        raise SourceError(where, "the header is not UTF-8 text", "save the file as UTF-8")
    twice = [name for name, count in Counter(header).items() if name and count > 1]
    if twice:
        raise SourceError(where, f"the header names {twice[0]!r} twice", "give every column a different name")
    return header


class _Read(NamedTuple):
    """A row as it was read; whether it may go on in the next line, because its last field is not in quotes; and whether
    it is broken, and a quotation mark closes a field in it that none opens.
    """

    row: RawRow
    may_go_on: bool = False
    closes: bool = False


def _without_cut_rows(rows: Iterator[_Read]) -> Iterator[RawRow]:
    """The rows; one that seems to go on in the broken lines behind it is broken too."""
    waiting: list[RawRow] = []
    for row, may_go_on, closes in rows:
        if closes and waiting:
            why = f"line {waiting[0].line}: it seems to go on in line {row.line}, where a quotation mark closes a field"
            waiting[0] = RawRow(waiting[0].line, None, Drop("bad_row", f"{why} that none opens"))
        elif row.drop is not None and waiting and len(waiting) < _AHEAD:
            waiting.append(row)
            continue
        yield from waiting
        waiting = [row] if may_go_on else []
        if not may_go_on:
            yield row
    yield from waiting


def _rows_below(header: list[str], rows: Iterator[list[str]], lines: _Lines, name: str, mark: str) -> Iterator[_Read]:
    """The rows below the header."""
    nameless = [at for at, cell in enumerate(header) if not cell]
    columns = [cell or f"Unnamed: {at}" for at, cell in enumerate(header)]  # as pandas calls them
    while True:
        lines.release()
        line = lines.number
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            count = _lines_of_broken(lines, mark, len(columns))
            yield _Read(RawRow(line, None, Drop("bad_row", _why_broken(lines.held[:count], line, str(error)))))
            lines.release(count)
            continue
        if not row:
            continue
        while len(row) > len(columns) and not row[-1]:  # a comma at the end of the line
            row.pop()
        drop = _check_row(row, columns) or _check_header_again(row, header)
        closes = _closes_what_none_opens(row, lines.held)
        if len(lines.held) > 1:
            if len(row) != len(columns):
                lines.release(_lines_of_broken(lines, mark, len(columns)))
            elif drop is None:
                _refuse_swallowed(lines, mark, len(columns), name)
        if drop is not None:
            yield _Read(RawRow(line, None, drop), closes=closes)
            continue
        if closes:
            why = f"line {line}: a quotation mark closes a field that none opens"
            yield _Read(RawRow(line, None, Drop("bad_row", why)))
            continue
        value = dict(zip(columns, row, strict=True))
        for at in nameless:
            if not row[at]:
                del value[columns[at]]
        yield _Read(RawRow(line, value, None), not lines.held[-1].rstrip().endswith('"'))


def _closes_what_none_opens(row: list[str], held: list[str]) -> bool:
    """Whether a field without quotes has quotation marks as only a field in quotes has them: two for one beside a word,
    or one at its end that is neither one of a pair nor the sign for inches.
    """
    for text in row:
        if '"' not in text:
            continue
        is_last = text[-1] == '"' and text.count('"') % 2 and not _INCHES.search(text)
        if is_last or _DOUBLED.search(text):
            quoted = text.replace('"', '""')
            if f'"{quoted}"' not in "".join(held):
                return True
    return False


def _lines_of_broken(lines: _Lines, mark: str, num_columns: int) -> int:
    """How many of the lines held belong to a row that is broken: one, unless the next quotation mark behind its first
    line closes a field, and the lines up to there are no rows themselves.
    """
    between = full = 0
    for text in lines.behind():
        role = _first_mark_of(text, mark)
        is_full = text.count(mark) == num_columns - 1 and not text.isspace()
        if role == "none":
            between += 1
            full += is_full
            continue
        are_rows = (full == between and is_full) or (between >= 3 and 2 * full >= between)
        return between + 2 if role == "closes" and not are_rows else 1
    return 1


def _first_mark_of(text: str, mark: str) -> str:
    """What the first quotation mark of a line does, as it seems: none (there is none), opens or closes a field; or
    stray, if it is in the middle of a text.
    """
    before, quote, after = text.partition('"')
    if not quote:
        return "none"
    starts = not before.strip(" ") or before.rstrip(" ").endswith(mark)
    ends = not after.strip(" \r\n") or after.startswith(mark)
    if starts and ends:
        return "opens" if before else "closes"
    if starts:
        return "opens"
    return "closes" if ends or after.startswith('"') else "stray"


def _refuse_swallowed(lines: _Lines, mark: str, num_columns: int, name: str) -> None:
    """Raise SourceError where every line of a row looks like a row of its own."""
    between = lines.held[1:-1]
    if num_columns < 2 or len(between) < _LIKE_ROWS.get(num_columns, _LIKE_ROWS_OF_MORE):
        return
    if all(text.count(mark) == num_columns - 1 for text in lines.held) and not any('"' in text for text in between):
        first, last = lines.number, lines.number + len(lines.held) - 1
        what = f"a quotation mark opens here and closes in line {last} only, and each line between looks like a row"
        hint = f"close it in line {first}; if this is one text, save the file as JSON lines instead"
        raise SourceError(f"{name}:{first}", what, hint)


def _why_broken(held: list[str], line: int, error: str) -> str:
    """Why a row is broken, for the owner of the file."""
    where = f"line {line}" if len(held) == 1 else f"lines {line} to {line + len(held) - 1}"
    if "unexpected end" in error or "field limit" in error:
        return f"{where}: a quotation mark is never closed"
    if '\\"' in held[0]:
        return f'{where}: a quotation mark inside a quoted field is written as \\" and not as two'
    return f"{where}: a quotation mark is not closed, or one inside a quoted field is not written twice"


def _delimiter(head: str, usual: str) -> str:
    """What separates the fields, by the header and the first rows: the mark that gives most of them as many fields as
    the header. `usual` is that of the file's suffix; a tab in the header of a `.tsv` file is one.
    """
    excel = _SEP_LINE.match(head)
    if excel:
        return excel[1]
    lines = head.splitlines(keepends=True)[:50]
    first = re.sub(r'"[^"]*"', "", lines[0]) if lines else ""
    candidates = [mark for mark in _MARKS if mark in first]
    if not candidates or (usual == "\t" and usual in candidates):
        return usual
    return max(candidates, key=lambda mark: _num_fitting(lines, mark)) if len(candidates) > 1 else candidates[0]


def _num_fitting(lines: list[str], mark: str) -> int:
    """How many of the first rows have as many fields as the header, with this delimiter."""
    try:
        widths = [len(row) for row in csv.reader((line.replace("\0", "") for line in lines), delimiter=mark) if row]
    except csv.Error:
        return 0
    return sum(width == widths[0] for width in widths[1:])


def _has_spaces(head: str, mark: str) -> bool:
    """Whether a space follows every delimiter of the header, so that it belongs to the delimiter."""
    first = head.splitlines()[0] if head else ""
    return mark in first and mark != "\t" and first.count(mark) == first.count(f"{mark} ")


def _check_header_again(row: list[str], header: list[str]) -> Drop | None:
    """Why a row is none if it is the header, as in files that were put behind one another; or None."""
    if row[-1] == header[-1] and row[1:-1] == header[1:-1] and row[0].removeprefix("\ufeff") == header[0]:
        return Drop("bad_row", "it is the header again, as where two files were joined")
    return None


def _check_row(row: list[str], header: list[str]) -> Drop | None:
    """Why a row cannot be read under this header, or None."""
    for text in row:
        if text.isascii():
            continue
        if _NULL in text:
            return Drop("null_byte", f"in column {header[row.index(text)] if len(row) <= len(header) else '?'}")
        escaped = next((char for char in text if "\udc80" <= char <= "\udcff"), None)
        if escaped is not None:
            return Drop(
                "bad_encoding", f"the row holds the byte 0x{ord(escaped) - 0xDC00:02X}, which is not UTF-8 here"
            )
    if len(row) != len(header):
        return Drop("bad_row", f"{pluralize(len(row), 'field')} where the header has {len(header)}")
    return None
