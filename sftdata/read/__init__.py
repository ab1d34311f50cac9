"""Reading: files, folders, globs, remote stores and hub datasets -> rows, each a record or a reason for its drop."""

from __future__ import annotations

from sftdata.read.diagnose import no_rows_error, suggest_fix
from sftdata.read.formats.convert import to_record
from sftdata.read.formats.structure import check_structure
from sftdata.read.sources import lines_in, plan_units, read_raw
from sftdata.read.stage import rows_of
from sftdata.read.units import RawRow, Source, Unit

__all__ = [
    "RawRow",
    "Source",
    "Unit",
    "check_structure",
    "lines_in",
    "no_rows_error",
    "plan_units",
    "read_raw",
    "rows_of",
    "suggest_fix",
    "to_record",
]
