"""Contamination in `prepare`: rows that hold items of evaluation files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from sftdata.config import Config
from sftdata.curate.contamination import ContaminationSettings, EvaluationIndex, EvaluationItem, item_text
from sftdata.curate.guarded import Guarded
from sftdata.curate.stage import Decontaminate, items_key
from sftdata.engines.engine import Engine
from sftdata.errors import SourceError, pluralize
from sftdata.pipeline.columns.in_files import in_batches
from sftdata.pipeline.rows import RowTable
from sftdata.read.diagnose import evaluation_advice
from sftdata.read.file_names import distinct_names
from sftdata.read.sources import plan_units
from sftdata.read.stage import rows_of
from sftdata.read.units import Unit
from sftdata.safe.addresses import written_address
from sftdata.settings.yaml_line import settings_line

WHOLE_FILES = 1 << 62  # bytes of an evaluation file in one unit: lines then count from its start


def drop_contaminated(rows: RowTable, engine: Engine, config: Config, scratch: Path) -> list[str]:
    """Drop the live rows that hold an item of the evaluation files. The index of the items is made in `scratch`.

    Returns what is to be said of those files: what of them is not read, and which items can hardly be found.
    Raises SourceError where an evaluation file cannot be read, or has a row that is not a conversation.
    """
    if not config.decontaminate.against:
        return []
    settings = ContaminationSettings(config.decontaminate.ngram_words, config.decontaminate.overlap)
    notes: list[str] = []
    items = list(evaluation_items(config, notes.append))
    folder = scratch / "evaluation"
    folder.mkdir(parents=True)
    index = EvaluationIndex.build(items, settings)
    index.write(folder)
    stage = Decontaminate(str(folder), settings, items_key((item.where, item.text) for item in items))
    for first, table in in_batches(engine, engine.map(Guarded(stage), rows.pieces, rows.dropped()), ["hit", "fault"]):
        rows.drop_faults(table["fault"], np.arange(first, first + table.num_rows))
        hits = table["hit"]
        found = first + np.flatnonzero(hits.is_valid().to_numpy())
        if len(found):
            rows.drop(found, "contaminated", hits.drop_null().combine_chunks())
    return notes + unsearchable(index)


def unsearchable(index: EvaluationIndex) -> list[str]:
    """Lines on the items that match nothing, or only a turn that is the same; no lines if there are none."""
    lines = []
    if index.num_blank:
        are = "is" if index.num_blank == 1 else "are"
        lines.append(f"{pluralize(index.num_blank, 'evaluation item')} {are} blank and cannot be searched for")
    if index.num_only_whole:
        items, words = pluralize(index.num_only_whole, "evaluation item"), (index.settings.ngram_words + 1) // 2
        match = "matches" if index.num_only_whole == 1 else "match"
        lines.append(f"{items} of fewer than {words} words {match} only a turn that says the same")
    return lines


def evaluation_items(config: Config, say: Callable[[str], None]) -> Iterator[EvaluationItem]:
    """Every item of the evaluation files, with its file and line. `say` gets what of these files is not read.

    A row of which no record can be made raises SourceError: its question would not be looked for.
    """
    sources = config.resolved_evaluations()

    def note(number: int, text: str) -> None:
        say(f"{written_address(config.decontaminate.against[number].path)}: {text}")

    units = plan_units(sources, WHOLE_FILES, "test", note)
    names = distinct_names(units, [written_address(source.path) for source in config.decontaminate.against])
    for unit, name in zip(units, names):
        for row in rows_of(unit, sources[unit.source]):
            where = f"{name}:{row.line}"
            if row.record is None:
                why = f" ({row.drop.reason}: {row.drop.detail})" if row.drop else ""
                raise SourceError(where, f"is not a conversation{why}", _how_to_read(config, units, unit.source))
            yield EvaluationItem(where, item_text(row.record))


def _how_to_read(config: Config, units: Sequence[Unit], number: int) -> str:
    """What to do about a row of an evaluation file that is no conversation: settings that were tried, if there are."""
    own = [unit for unit in units if unit.source == number]
    advice = evaluation_advice(own, config.resolved_evaluations()[number])
    if advice is None:
        return "fix the row, or say how to read the file with decontaminate.against: [{path, columns, format}]"
    files = [file.model_dump(exclude_defaults=True) for file in config.decontaminate.against]
    files[number] |= advice.settings
    line = settings_line({"decontaminate": {"against": files}})
    return f"read it with {line}{advice.share_fixed}"
