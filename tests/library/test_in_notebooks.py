"""`sftdata.prepare` and `sftdata.check` in a notebook: one display that changes, and results as HTML."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from raw_rows import chat

from sftdata.library.notebook_progress import NotebookProgress

ROOT = Path(__file__).resolve().parents[2]
CELLS = (
    "import sftdata\nfrom sftdata.pipeline import read\nread.SMALL_BYTES = 0",
    "rows = {rows!r}\nsftdata.check(rows)",
    "ds = sftdata.prepare(rows, tokenizer={tokenizer!r}, out='out', workers=2)\nds",
    "sftdata.prepare(rows, tokenizer={tokenizer!r}, out='again', progress=False).manifest",
)


@pytest.fixture
def run_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_tokenizer: Path) -> Any:
    """The cells of a notebook that was run in the test folder."""
    pytest.importorskip("ipykernel", reason="ipykernel is not installed (extra: notebook)")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed (extra: notebook)")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed (extra: notebook)")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    rows = [chat(f"Hi {n}", f"Ho {n}<|endoftext|>") for n in range(12)] + [chat("Hi 0", "Ho 0<|endoftext|>")]
    sources = [cell.format(rows=rows, tokenizer=str(tiny_tokenizer)) for cell in CELLS]
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, sources)))
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    return [cell.outputs for cell in notebook.cells]


def text_of(output: Any) -> str:
    """The text of a display: its HTML without marks."""
    return re.sub(r"<style>.*?</style>|<[^>]*>", "", output["data"]["text/html"], flags=re.DOTALL)


@pytest.mark.filterwarnings("default")  # the notebook libraries' own
def test_a_run_is_one_display_and_a_dataset(run_cells: Any) -> None:
    first, checked, prepared, silent = run_cells
    assert first == []
    # A display of the progress, which stays in one place, and the result.
    assert [output["output_type"] for output in checked] == ["display_data", "execute_result"]
    assert "13 rows, 13 with findings" in text_of(checked[1])
    assert [output["output_type"] for output in prepared] == ["display_data", "execute_result"]
    lines = [line.split() for line in text_of(prepared[0]).splitlines() if line.strip()]
    assert [line[0] for line in lines[:6]] == ["done", "read", "dedup", "encode", "pack", "write"]
    assert lines[1][1:3] == ["13", "rows"] and lines[2][1] == "-1"
    assert re.search(r"warning: \d+ rows \(100.0%\) have an answer that ends in", text_of(prepared[0]))
    assert "<progress" not in prepared[0]["data"]["text/html"]  # it is done
    assert re.search(r"<details><summary>done in [\d.]+ s, 1 warning</summary>", prepared[0]["data"]["text/html"])
    assert prepared[0]["data"]["text/plain"].splitlines()[0].split()[:3] == ["read", "13", "rows"]
    assert "12 conversations" in text_of(prepared[1])
    assert [output["output_type"] for output in silent] == ["execute_result"]
    assert silent[0]["data"]["text/plain"].startswith("<Manifest: 13 rows read, 12 packed, 1 dropped; 1 shard")


class Display:
    """What IPython gives to change a display."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def update(self, what: NotebookProgress) -> None:
        self.shown.append(what._repr_html_())


def test_the_bar_shows_rows_of_all_rows_and_messages_stay_text() -> None:
    progress = NotebookProgress()
    progress.start("encode", 4, 1000)
    progress.advance(250, 4000)
    html = progress._repr_html_()
    assert '<progress value="0.250" max="1"></progress>' in html
    assert "encode        250 / 1,000 rows" in html
    assert repr(progress) == "encode: 250 / 1,000 rows"
    progress.finish("encode", 1000, "sample", 3)
    progress.note("<b>bold</b> \x1b[31m")
    html = progress._repr_html_()
    assert "<progress" not in html and "1,000 samples, -3" in html
    assert "&lt;b&gt;bold&lt;/b&gt;" in html and "\x1b" not in html


def test_a_stopped_run_says_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    progress, display = NotebookProgress(), Display()
    progress._handle = display
    with pytest.raises(KeyboardInterrupt):
        try:
            progress.start("read", 10)
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            progress.__exit__(KeyboardInterrupt, error, None)
            raise
    assert "read (stopped)" in display.shown[-1]
