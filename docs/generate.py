"""Write the tables of docs/ that follow from the code: `python docs/generate.py`. With --check, say which are stale.

A page marks where a table goes: from `<!-- table NAME -->` to `<!-- end -->`. What is between the two is replaced.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from sftdata.cli.discover import FORMATS
from sftdata.config import Config
from sftdata.curate.quality.settings import FilterConfig
from sftdata.reasons import REASONS, WHAT_HELPS
from sftdata.settings.catalog import settings_of
from sftdata.store.ledger import LEDGER_SCHEMA
from sftdata.store.shards import SHARD_SCHEMA
from sfttrain.config import TrainConfig

DOCS = Path(__file__).resolve().parent
MARKED = re.compile(r"(<!-- table ([a-z_. ]+) -->\n)(.*?)(<!-- end -->)", flags=re.DOTALL)
RESULTS = DOCS.parent / "tests" / "bench" / "RESULTS.md"
TRAINING = RESULTS.with_name("TRAINING.md")
GSM8K = DOCS / "results" / "gsm8k.json"
DRIVER = DOCS / "results" / "driver.json"  # of tests/bench/driver.py
VERY_MANY = (100_000_000, 1_000_000_000)  # records
RATES = DOCS / "results" / "rates.json"
SIDES = {"sfttrain": "sfttrain", "trl": "TRL"}  # of docs/results
POINT = {"trained_tokens": ",.0f", "seconds": ".0f", "loss": ".3f"}
MEASURED = (  # what docs/speed.md shows of the results, in their words
    "sftdata prepare, 20,000 records, whole process",
    "TRL SFTTrainer, 20,000 records, two processes, without its imports",
    "prepare against TRL SFTTrainer, 20,000 records",
    "sftdata prepare, 200,000 records, whole process",
    "TRL SFTTrainer, 200,000 records, two processes, without its imports",
    "prepare against TRL SFTTrainer, 200,000 records",
    "prepare with near-deduplication against TRL SFTTrainer",
    "prepare, 1,000,000 records",
    "growth from 100,000 records",
    "peak memory of all processes, 1,000,000 records",
    "prepare with near-deduplication, 1,000,000 records",
    "peak memory of all processes with near-deduplication, 1,000,000 records",
    "--engine local, two workers against one, rows/s",
    "--engine ray, two workers against one, rows/s",
    "--engine ray, two workers, 1,000,000 records",
    "sftdata prepare, 100 rows",
    "fastokens against tokenizers, one thread, qwen3",
    "whole prepare, --encoder fast against hf",
    "packing mix20k.jsonl, one shard",
    "packing 10,000,000 samples, one thread",
)
TOP = "top"  # the settings that are in no group
ABOUT_COLUMNS = {  # of a shard
    "input_ids": "the ids of the samples, in their order",
    "labels": "the id where trained, -100 elsewhere; not shifted: the model shifts",
    "seq_lengths": "the lengths of the samples, in order; they sum to `len(input_ids)`",
    "record_ids": "one per sample; samples of one conversation share it",
}


def text(words: str) -> str:
    """Words as they are written in a cell: a `<` would begin a tag, a `|` the next cell."""
    pieces = re.split(r"(`[^`]*`)", words)
    return "".join(
        piece.replace("|", "\\|") if piece.startswith("`") else piece.replace("<", "\\<").replace("|", "\\|")
        for piece in pieces
    )


def code(value: str) -> str:
    """A value as code in a cell; nothing for an empty one."""
    return f"`{value}`".replace("|", "\\|") if value else ""


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *map(list, rows)]
    return "".join(f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in line)}|\n" for line in lines)


def settings_table(model: type[BaseModel], group: str) -> str:
    """The settings of one group: name, default, what it takes, what it is for."""
    chosen = [one for one in settings_of(model) if one.section == ("" if group == TOP else group) and one.group is None]
    rows = [
        [
            code(one.leaf),
            one.default if one.default == "required" else code(one.default),
            text(one.kind),
            text(one.about),
        ]
        for one in chosen
    ]
    return table(["setting", "default", "takes", "what it does"], rows)


def filters_table() -> str:
    """The filters with the values of both presets."""
    presets = [FilterConfig.model_validate(name).model_dump(mode="json") for name in ("default", "strict")]
    rows = [
        [code(one.key), *(code(json.dumps(_inside(values, one.key))) for values in presets), text(one.about)]
        for one in settings_of(FilterConfig)
        if one.group is None
    ]
    return table(["setting of `filters`", "default", "strict", "what it does"], rows)


def _inside(values: Mapping[str, Any], key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values


def reasons_table(stage: str) -> str:
    """The reasons of one stage: name, meaning, what helps."""
    rows = [
        [code(name), text(meaning), text(WHAT_HELPS[name])] for name, (at, meaning) in REASONS.items() if at == stage
    ]
    return table(["reason", "what it means", "what helps"], rows)


def formats_table() -> str:
    """The formats: name, what a row is, a row."""
    rows = [[code(name), text(kind.about), code(kind.row)] for name, kind in FORMATS.items()]
    return table(["format", "a row has", "for example"], rows)


def column_type(column: pa.Field) -> str:
    """The type of a column, without the name that Arrow gives to the items of a list."""
    return code(str(column.type).replace("item: ", "").replace("element: ", ""))


def columns_table() -> str:
    """The columns of a shard."""
    rows = [[code(one.name), column_type(one), ABOUT_COLUMNS[one.name]] for one in SHARD_SCHEMA]
    return table(["column", "type", "what it holds"], rows)


def ledger_table() -> str:
    """The columns of the ledger."""
    rows = [[code(one.name), column_type(one)] for one in LEDGER_SCHEMA]
    return table(["column", "type"], rows)


def cells_in(page: Path) -> list[list[str]]:
    """The lines of the tables of a page, with their heads, as their cells."""
    lines = page.read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line[:1] == "|"]


def speed_table() -> str:
    """Figures of the last benchmark; of a measurement that was made twice, the first."""
    figures = {cells[0]: cells[1] for cells in reversed(cells_in(RESULTS))}
    return table(["measured", "figure"], [[text(name), text(figures[name])] for name in MEASURED if name in figures])


def training_table() -> str:
    """Trained tokens per second of sfttrain and others, of the last benchmark."""
    heads, _, *rows = cells_in(TRAINING)
    return table(heads, rows)


def of_sides() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The sides of docs/results with their runs, one for each seed."""
    runs = json.loads(GSM8K.read_text(encoding="utf-8"))["runs"]
    for side, name in SIDES.items():
        yield name, [run for run in runs if run["side"] == side]


def between(values: Iterable[float], form: str) -> str:
    """The mean of values, and what they lie between."""
    found = sorted(values)
    return f"{fmean(found):{form}} ({found[0]:{form}} to {found[-1]:{form}})"


def results_table() -> str:
    """What the runs of docs/results took, and where they ended."""
    rows = []
    for name, runs in of_sides():
        last = [run["points"][-1] for run in runs]
        speeds = [(b["trained_tokens"] - a["trained_tokens"]) / (b["seconds"] - a["seconds"]) for a, b in ends_of(runs)]
        rows.append(
            [
                name,
                between((one["loss"] for one in last), ".3f"),
                between((one["trained_tokens"] for one in last), ",.0f"),
                between((one["seconds"] for one in last), ".0f"),
                between((run["processor_seconds"] for run in runs), ".0f"),
                between(speeds, ".0f"),
            ]
        )
    heads = ["", "loss at the end", "trained tokens", "seconds", "processor seconds", "trained tokens/s while training"]
    return table(heads, rows)


def ends_of(runs: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The first and the last point of each run: the first steps' start-up is before both."""
    for run in runs:
        yield run["points"][0], run["points"][-1]


def points_table() -> str:
    """The loss at each checkpoint of the runs of docs/results, the mean of the seeds."""
    sides = [runs for _, runs in of_sides()]
    rows = []
    for number, first in enumerate(sides[0][0]["points"]):
        row = [f"{first['step']}"]
        for runs in sides:
            points = [run["points"][number] for run in runs]
            row += [f"{fmean(one[name] for one in points):{form}}" for name, form in POINT.items()]
        rows.append(row)
    heads = [f"{side}: {name.replace('_', ' ')}" for side in SIDES.values() for name in POINT]
    return table(["step", *heads], rows)


def rates_table() -> str:
    """The loss of whole runs by their learning rate, beside the rate that find-lr recommends."""
    rows = [
        [
            name,
            f"{found['recommended']:.2g}",
            f"{found['best_of_grid']:.2g}",
            f"{found['factor']:g}",
            "; ".join(
                f"{rate}: {'diverged' if loss is None else f'{loss:.3f}'}" for rate, loss in found["losses"].items()
            ),
        ]
        for name, found in json.loads(RATES.read_text(encoding="utf-8")).items()
    ]
    return table(["task", "find-lr says", "best of the grid", "factor", "validation loss of whole runs"], rows)


def driver_table() -> str:
    """What the process of `prepare` holds at most in each step: bytes for each record, and for each further one, and
    what the latter are for very many.
    """
    runs = json.loads(DRIVER.read_text(encoding="utf-8"))["runs"]
    sizes = [run["records"] for run in runs]
    rows = []
    for step in runs[0]["steps"]:
        peaks = [run["steps"][step]["peak"] for run in runs]
        further = (peaks[-1] - peaks[0]) / (sizes[-1] - sizes[0])
        cells = [*(f"{peak / size:,.0f}" for peak, size in zip(peaks, sizes)), f"{further:,.0f}"]
        rows.append([step, *cells, *(f"{further * number / 1e9:,.0f} GB" for number in VERY_MANY)])
    many = [f"{number:,}" for number in VERY_MANY]
    return table(["step", *(f"{size:,} records" for size in sizes), "each further record", *many], rows)


SINGLE: dict[str, Callable[[], str]] = {
    "filters": filters_table,
    "formats": formats_table,
    "columns": columns_table,
    "ledger": ledger_table,
    "speed": speed_table,
    "speed.training": training_table,
    "results": results_table,
    "results.points": points_table,
    "driver": driver_table,
    "results.rates": rates_table,
}


def made(name: str) -> str:
    """The table of this name."""
    if name in SINGLE:
        return SINGLE[name]()
    kind, _, part = name.partition(" ")
    if kind == "reasons":
        return reasons_table(part)
    return settings_table({"prepare": Config, "train": TrainConfig}[kind], part)


def pages() -> Iterator[tuple[Path, str, str]]:
    """Every page with tables: its path, its text, and the text as it should be."""
    for path in sorted(DOCS.glob("*.md")):
        old = path.read_text(encoding="utf-8")
        if MARKED.search(old):
            yield path, old, MARKED.sub(lambda found: f"{found[1]}\n{made(found[2])}\n{found[4]}", old)


def tables() -> set[str]:
    """The names of all tables that the pages have."""
    return {found[2] for path in DOCS.glob("*.md") for found in MARKED.finditer(path.read_text(encoding="utf-8"))}


def main(arguments: list[str]) -> int:
    """Write the pages, or with --check print those that are stale. The exit code is 1 if one is."""
    stale = [(path, new) for path, old, new in pages() if old != new]
    for path, new in stale:
        if "--check" not in arguments:
            path.write_text(new, encoding="utf-8")
        print(f"{'stale' if '--check' in arguments else 'wrote'} {path.relative_to(DOCS.parent)}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
