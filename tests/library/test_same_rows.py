"""Rows give one dataset, whichever way a program gives them, with any number of workers, and after a crash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from made_chats import CHATS, WORDS, chats
from raw_rows import chat, write_lines

import sftdata
from sftdata.engines import local
from sftdata.pipeline import read
from sftdata.store.ledger import read_ledger

ROOT = Path(__file__).resolve().parents[2]
NO_SHRINKING = [Phase.explicit, Phase.generate]  # of whole runs, which would take minutes
Rows = list[dict[str, Any]]

PLAIN: Rows = [chat(f"How much is {n} and {n}?", f"It is {2 * n}.") for n in range(60)]
COLUMNS: Rows = [{"prompt": f"Say {n}.", "completion": f"{n} it is.", "note": f"n{n}"} for n in range(60)]
GAPS: Rows = [
    {
        "prompt": f"Is {n} even?",
        "completion": None if n % 7 == 3 else "Yes." if n % 2 == 0 else "No.",
        "user_id": None if n % 5 == 0 else n // 3,
        "score": None if n % 4 == 0 else n / 8,
        "checked": None if n % 6 == 0 else n % 2 == 0,
        "tag": None if n % 2 else f"t{n}",
    }
    for n in range(60)
]
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": 2}}}
ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
TOOLS: Rows = [
    {
        "messages": [
            {"role": "user", "content": f"Add 1 and 2, {n} times.", "tool_calls": None},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "content": "3", "tool_calls": None},
            {"role": "assistant", "content": f"3, {n} times.", "tool_calls": None},
        ],
        "tools": [ADD] if n % 3 else None,
    }
    for n in range(20)
]
DATA: dict[str, tuple[Rows, dict[str, Any]]] = {
    "plain chats": (PLAIN, {}),
    "columns": (COLUMNS, {"keep": ["note"]}),
    "missing values": (GAPS, {"keep": ["user_id"], "split": {"validation": 0.3, "by": "user_id"}}),
    "tools": (TOOLS, {"template": "qwen2.5", "check_tool_calls": False}),
}


def as_polars(rows: Rows) -> Any:
    return pytest.importorskip("polars").DataFrame(rows)


class OfArrow:
    """A table of a library that is unknown, but gives Arrow data."""

    def __init__(self, rows: Rows) -> None:
        self._table = pa.Table.from_pylist(rows)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)


FORMS: dict[str, Callable[[Rows], Any]] = {
    "list": lambda rows: rows,
    "generator": lambda rows: (row for row in rows),
    "datasets": Dataset.from_list,
    "splits": lambda rows: DatasetDict({"train": Dataset.from_list(rows), "test": Dataset.from_list(rows[:2])}),
    "pandas": pd.DataFrame,
    "pandas of arrow": lambda rows: pa.Table.from_pylist(rows).to_pandas(types_mapper=pd.ArrowDtype),
    "polars": as_polars,
    "table": pa.Table.from_pylist,
    "reader": lambda rows: pa.Table.from_pylist(rows).to_reader(7),
    "batch": lambda rows: pa.RecordBatch.from_pylist(rows),
    "arrow dataset": lambda rows: pa.dataset.dataset(pa.Table.from_pylist(rows)),
    "arrow stream": OfArrow,
}


@pytest.fixture(scope="module")
def of_file(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> dict[str, sftdata.Manifest]:
    """What each of the data gives as a file."""
    found = {}
    for name, (rows, given_settings) in DATA.items():
        folder = tmp_path_factory.mktemp("of_file")
        found[name] = prepared(write_lines(folder / "rows.jsonl", rows), tiny_tokenizer, folder / "out", given_settings)
    return found


def prepared(data: Any, tokenizer: Path, out: Path, given_settings: dict[str, Any], **more: Any) -> sftdata.Manifest:
    """The manifest of a dataset, which is verified."""
    ds = sftdata.prepare(
        data, tokenizer=tokenizer, out=out, pack={"seq_len": 1024}, progress=False, **{**given_settings, **more}
    )
    sftdata.verify(out)
    return ds.manifest


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_rows_gives_the_dataset_of_a_file(
    of_file: dict[str, sftdata.Manifest], tiny_tokenizer: Path, tmp_path: Path, data: str, form: str
) -> None:
    rows, given_settings = DATA[data]
    manifest = prepared(FORMS[form](rows), tiny_tokenizer, tmp_path / "out", given_settings, workers=1)
    expected = of_file[data]
    assert expected.counts.packed > 10
    assert (manifest.dataset_hash, manifest.counts.rows_read) == (expected.dataset_hash, len(rows))
    assert manifest.counts.dropped == expected.counts.dropped
    where = read_ledger(tmp_path / "out")["where"].to_pylist()
    assert where == [f"rows:{number}" for number in range(1, len(rows) + 1)]


@pytest.mark.parametrize("form", ["list", "datasets", "pandas", "table"])
def test_two_workers_give_the_same_bytes_as_one(
    of_file: dict[str, sftdata.Manifest],
    tiny_tokenizer: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
) -> None:
    started = []

    class CountedPool(local.ProcessPool):
        def __init__(self, *arguments: Any) -> None:
            started.append(1)
            super().__init__(*arguments)

    monkeypatch.setattr(read, "SMALL_BYTES", 0)
    monkeypatch.setattr(read, "UNIT_BYTES", 1000)
    monkeypatch.setattr(local, "ProcessPool", CountedPool)
    rows, given_settings = DATA["columns"]
    manifest = prepared(FORMS[form](rows), tiny_tokenizer, tmp_path / "out", given_settings, workers=2)
    assert started == [1]
    assert manifest.dataset_hash == of_file["columns"].dataset_hash
    assert read_ledger(tmp_path / "out")["where"].to_pylist() == [f"rows:{number}" for number in range(1, 61)]


# Without the characters that split lines: those are in the tests of files.
CELLS = st.none() | WORDS
MADE = st.fixed_dictionaries(
    {"prompt": CELLS, "completion": CELLS},
    optional={"system": CELLS, "n": st.none() | st.integers(-(2**53), 2**53), "x": st.none() | st.just(0.5)},
)


@settings(max_examples=12, phases=NO_SHRINKING)
@given(rows=st.lists(MADE, min_size=1, max_size=6))
def test_any_rows_give_the_dataset_of_a_file_with_them(tiny_tokenizer: Path, rows: Rows) -> None:
    hashes = set()
    rows = [{"prompt": "Hi", "completion": "Ho", "n": 1, "x": 0.5}, *rows]  # so that one is packed
    with tempfile.TemporaryDirectory() as folder:
        file = write_lines(Path(folder) / "rows.jsonl", rows)
        for number, given_rows in enumerate([file, rows, Dataset.from_list(rows), pd.DataFrame(rows)]):
            manifest = prepared(given_rows, tiny_tokenizer, Path(folder) / f"out{number}", {"keep": ["n"]}, workers=1)
            hashes.add((manifest.dataset_hash, json.dumps(manifest.counts.dropped)))
    assert len(hashes) == 1


@settings(max_examples=4, phases=NO_SHRINKING)
@given(rows=st.lists(chats(), min_size=1, max_size=3))
def test_any_conversations_give_the_dataset_of_a_file_with_them(tiny_tokenizer: Path, rows: Rows) -> None:
    more = {"template": "qwen2.5", "check_tool_calls": False, "lost_context": "warn", "workers": 1}
    rows = [chat("Hi", "Ho"), *rows]
    hashes = set()
    with tempfile.TemporaryDirectory() as folder:
        file = write_lines(Path(folder) / "rows.jsonl", rows)
        table = pa.Table.from_pylist(rows, CHATS)
        frame = table.to_pandas(types_mapper=pd.ArrowDtype)  # without it, pandas makes 1 beside null to 1.0
        for number, given_rows in enumerate([file, rows, Dataset(table), table, frame]):
            manifest = prepared(given_rows, tiny_tokenizer, Path(folder) / f"out{number}", more)
            hashes.add((manifest.dataset_hash, json.dumps(manifest.counts.dropped)))
    assert len(hashes) == 1


# A program without `if __name__ == "__main__"`, whose rows are in no file. It is killed where a rename shows that some
# work is done.
PROGRAM = """
import os, signal, sys
from datasets import Dataset
import sftdata
from sftdata.pipeline import read

read.UNIT_BYTES = 1000
tokenizer, out, kill_at = sys.argv[1], sys.argv[2], int(sys.argv[3])
renamed = 0

def hook(event, arguments):
    global renamed
    if event == "os.rename" and "/.work/" in str(arguments[0]):
        renamed += 1
        if renamed == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
rows = Dataset.from_list([{"prompt": f"Say {n}.", "completion": f"{n} it is."} for n in range(200)])
ds = sftdata.prepare(rows, name="mine", tokenizer=tokenizer, out=out, pack={"seq_len": 64}, workers=1)
print(ds.manifest.dataset_hash)
"""


@pytest.fixture
def run(tiny_tokenizer: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    def run_program(out: Path, kill_at: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", PROGRAM, str(tiny_tokenizer), str(out), str(kill_at)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_DISABLE_TELEMETRY": "1"}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    yield run_program


def test_a_killed_run_is_continued_and_ends_in_the_same_bytes(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    whole = run(tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    killed = run(tmp_path / "killed", 6)
    assert killed.returncode == -9
    (rows,) = (tmp_path / "killed" / ".work" / "rows").iterdir()
    assert len(rows.read_text().splitlines()) == 200
    again = run(tmp_path / "killed")
    assert again.returncode == 0, again.stderr
    assert "by an earlier run" in again.stderr
    assert again.stdout == whole.stdout
    names = [
        sorted(str(path.relative_to(tmp_path / one)) for path in (tmp_path / one).rglob("*"))
        for one in ("whole", "killed")
    ]
    assert names[0] == names[1]
    assert "rows" not in " ".join(names[0])


def test_a_program_shows_its_progress_on_stderr_and_gets_the_dataset(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = run(tmp_path / "out")
    assert [line.split()[0] for line in done.stderr.splitlines()][:1] == ["read"]
    assert "200 rows" in done.stderr.splitlines()[0]
    assert "pack" in done.stderr and "\r" not in done.stderr and "\x1b" not in done.stderr
    assert done.stdout.strip() == sftdata.open(tmp_path / "out").manifest.dataset_hash
